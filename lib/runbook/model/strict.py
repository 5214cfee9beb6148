"""The base of everything that is read from a file: strict types, no unknown keys, no change after loading."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints


def words(pattern: str) -> Any:
    """A text that fits a pattern."""
    return Annotated[str, StringConstraints(pattern=pattern)]


Name = words(r"^[a-z][a-z0-9-]{0,62}$")
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=0)]


class Part(BaseModel):
    """Base of every part: an unknown key is an error, "3" is not 3, and nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
