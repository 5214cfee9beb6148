"""One kind of write, and its read-back; the modules of the actions take every type from here."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

from runbook.apply.secret_value import SecretValue
from runbook.cloud.client import Cloud
from runbook.display.text import Row
from runbook.model.plan import Change

State = Literal["old", "new", "pending", "failed", "other", "unseen"]


@dataclass(frozen=True)
class Observation:
    """The current state: `state` relative to the change, `said` in words, `data` from the API, with its etag."""

    state: State
    said: str = ""
    data: Row = field(default_factory=dict)


class Send(Protocol):
    """One write: method and URL, and either a JSON body or bytes. Raises Google's exceptions."""

    def __call__(self, method: str, url: str, body: Any = None, headers: Row | None = None) -> Row: ...


class Action(NamedTuple):
    """`observe(cloud, change)` and `do(send, cloud, change, observed, secret_value)`; see the package."""

    observe: Callable[[Cloud, Change], Observation]
    do: Callable[[Send, Cloud, Change, Observation, SecretValue], None]


def side(now: object, change: Change, said: str, data: Row) -> Observation:
    """The observation whose state is `new` or `old` if `now` equals that side of the change, else `other`."""
    state: State = "new" if now == change.args.after else "old" if now == change.args.before else "other"
    return Observation(state, said, data)
