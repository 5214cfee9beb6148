"""What happens in a world: runs and attempts to run, changes, log entries. Types only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from gcp_sandbox.world.inventory import Function


@dataclass(frozen=True)
class Run:
    """One execution of a function; `finished_at` is None while it is still running, or was stopped by the platform.

    `kind` is the kind of its failure (failures.py), `ended_at` the time of the failure.
    """

    id: str
    function: Function
    started_at: datetime
    finished_at: datetime | None
    status: str
    error: str
    records: int
    kind: str = ""
    ended_at: datetime | None = None


class Attempt(NamedTuple):
    """One call of a function by the scheduler: its run, or why there is none."""

    function: Function
    at: datetime
    run: Run | None
    kind: str = ""
    first: str = ""


class Change(NamedTuple):
    """A change: API, method and resource as Google names them; `delta` is the change of an IAM policy.

    `step` is "first" or "last" of a long-running `operation`; `code` and `error` are those of a failed call.
    """

    api: str
    method: str
    resource: str
    by: str
    delta: tuple[tuple[str, str], ...] = ()
    operation: str = ""
    step: str = ""
    code: int = 0
    error: str = ""


class Entry(NamedTuple):
    """One log entry before it becomes JSON; `payload` names its form, `run` is the id of its run.

    `revision` "" is the revision that served at that time. `status` is the answer to a request, which `took` some
    seconds; an `attempt` of the scheduler has the same status, or 0 for no answer. `change` is what was changed.
    """

    at: datetime
    function: str
    severity: str
    text: str
    payload: str = "text"
    run: str = ""
    revision: str = ""
    status: int = 0
    change: Change | None = None
    took: float = 0
