"""One kind of write, and its read-back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from runbook.apply.secret_value import SecretValue
from runbook.cloud.client import Cloud
from runbook.display.text import Row
from runbook.model.plan import Change

State = Literal["old", "new", "pending", "failed", "other", "unseen"]


@dataclass(frozen=True)
class Observation:
    """How things are: `state` against the change, `said` in words, `data` as the API gave it (etags are there)."""

    state: State
    said: str = ""
    data: Row = field(default_factory=dict)


class Send(Protocol):
    """One write: method and URL, and either a JSON body or bytes. Raises Google's exceptions."""

    def __call__(self, method: str, url: str, body: Any = None, headers: Row | None = None) -> Row: ...


@dataclass(frozen=True)
class Action:
    """`observe(cloud, change)` and `do(send, cloud, change, observed, material)`, see above."""

    observe: Callable[[Cloud, Change], Observation]
    do: Callable[[Send, Cloud, Change, Observation, SecretValue], None]


def side(now: object, change: Change, said: str, data: Row) -> Observation:
    """Old or new by comparing with what the change says; anything else is `other`."""
    state: State = "new" if now == change.args.after else "old" if now == change.args.before else "other"
    return Observation(state, said, data)
