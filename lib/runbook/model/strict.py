"""The base class for data that is read from files: strict types, no unknown keys, immutable."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints


def words(pattern: str) -> Any:
    """A text that matches a pattern."""
    return Annotated[str, StringConstraints(pattern=pattern)]


Name = words(r"^[a-z][a-z0-9-]{0,62}$")
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=0)]


class Part(BaseModel):
    """Base class: an unknown key is an error, "3" is not 3, and instances are immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
