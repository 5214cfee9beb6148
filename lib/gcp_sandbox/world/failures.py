"""Kinds of failures (a world's `kind:`): what they are is data in failures.yaml.

In some failures, the function ends its run and logs the error. In others, the platform stops it: the function logs
nothing more, its run never ends, and only the platform logs. And in some, the call never reaches the function: no run.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NamedTuple

import yaml
from pydantic import AfterValidator

from gcp_sandbox.world.inventory import Function

NOT_ENDED = "The run did not report an end; marked by the run after it."

# google.rpc.Code of a scheduler's job → HTTP status of the answer that it got.
HTTP = {0: 200, 4: 504, 5: 404, 7: 403, 8: 429, 13: 500, 14: 503}


class Line(NamedTuple):
    """A line that the platform logs; `payload` names the log (services/logging/)."""

    text: str
    severity: str = "ERROR"
    payload: str = "system"


@dataclass(frozen=True)
class Kind:
    """`error` is the function's own, for each source system, or any `other`; `code` what its scheduler job gets."""

    outcome: str = "failed"
    error: dict[str, str] | str = ""
    lines: tuple[Line, ...] = ()
    code: int = 13
    cure: str = ""
    whole_time: bool = False

    def words(self, function: Function) -> str:
        """The error message of the service that the function calls; "" if the function logs nothing."""
        if isinstance(self.error, str):
            return self.error
        return self.error.get(function.source_system, self.error["other"])


def _read() -> dict[str, Kind]:
    path = Path(__file__).with_name("failures.yaml")
    said = yaml.load(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return {
        name: Kind(**one | {"lines": tuple(Line(**line) for line in one.get("lines", ()))})
        for name, one in said.items()
    }


KINDS = _read()


def _known(kind: str) -> str:
    if kind not in ("", *KINDS):
        raise ValueError(f"unknown kind {kind!r}. Available: {', '.join(KINDS)}")
    return kind


Failure = Annotated[str, AfterValidator(_known)]


def mebibytes(memory: str) -> int:
    """512 of "512Mi", 1024 of "1Gi"."""
    return int(memory[:-2]) * {"Mi": 1, "Gi": 1024}[memory[-2:]]
