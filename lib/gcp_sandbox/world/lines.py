"""The log entries of a call: of its run, of its request, of the job that made it, and of the platform."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from gcp_sandbox.world.events import Attempt, Entry, Run
from gcp_sandbox.world.failures import HTTP, KINDS
from gcp_sandbox.world.inventory import Function

if TYPE_CHECKING:
    from gcp_sandbox.world.words import Words


_UNSEEN = ("gone", "silence")  # calls without a request that the service could log
_HEARD = timedelta(milliseconds=40)  # from an answer to the scheduler's entry about it


class Lines:
    """The log entries of calls, in the words of one world."""

    def __init__(self, words: Words):
        self.words = words

    def of_call(self, attempt: Attempt, now: datetime, scheduled: bool = True) -> Iterator[Entry]:
        """The entries of one call until `now`, unordered; the job's own only if `scheduled`."""
        function, at, run, kind, first = attempt
        ended, status = _end(attempt, now)
        if run:
            yield from self._of_run(run, now)
        else:
            yield from self.of_failure(kind, function, at, first=first)
        told = kind in _UNSEEN or (kind and any(line.payload == "request" for line in KINDS[kind].lines))
        if ended and status and not told:
            yield _request(function, at, ended, status, run.id if run else "")
        if scheduled and kind != "silence":
            yield Entry(at, function.name, "INFO", "AttemptStarted", "attempt")
            if ended and (done := ended + _HEARD) <= now:
                severity = "INFO" if status == HTTP[0] else "ERROR"
                yield Entry(done, function.name, severity, "AttemptFinished", "attempt", status=status)

    def _of_run(self, run: Run, now: datetime) -> Iterator[Entry]:
        """What is logged of one run: its start and its end, or the lines of the platform that stopped it."""
        name = run.function.name
        yield Entry(run.started_at, name, "INFO", f"Run {run.id} started.", run=run.id)
        stopped = run.kind and KINDS[run.kind].lines
        if stopped and run.ended_at and run.ended_at <= now:
            yield from self.of_failure(run.kind, run.function, run.ended_at, run.id, began=run.started_at)
        elif run.finished_at and run.status == "success":
            yield Entry(run.finished_at, name, "INFO", f"Run {run.id} wrote {run.records} rows.", run=run.id)
        elif run.finished_at:
            yield Entry(run.finished_at, name, "ERROR", f"Run {run.id} failed: {run.error}", run=run.id)

    def of_failure(
        self, kind: str, function: Function, at: datetime, run: str = "", first: str = "", began: datetime | None = None
    ) -> Iterator[Entry]:
        """The lines that the platform logs for a failure; the line of a request has the time at which it `began`."""
        for when, line in self.words.lines(kind, function, at, first):
            if line.payload == "request":
                yield _request(function, began or at, at, HTTP[KINDS[kind].code], run, line.text)
            else:
                yield Entry(when, function.name, line.severity, line.text, line.payload, run)


def answer(kind: str, run: Run | None) -> int:
    """The HTTP status that a call gets."""
    failed = run is None or run.status != "success"
    return HTTP[KINDS[kind].code if kind else 13] if failed else HTTP[0]


def _end(attempt: Attempt, now: datetime) -> tuple[datetime | None, int]:
    """When a call ended (None: not yet, or nobody knows), and its HTTP status (0: the job did not wait for it)."""
    function, at, run, kind, _ = attempt
    late = at + timedelta(seconds=function.timeout_s) if run and kind == "stuck" else None
    ended = late or (run.ended_at or run.finished_at if run else at)
    return (ended if ended and ended <= now else None), 0 if late else answer(kind, run)


def _request(function: Function, began: datetime, ended: datetime, status: int, run: str, text: str = "") -> Entry:
    """The entry of one request, which has the time of its beginning."""
    severity = "ERROR" if status >= 500 else "WARNING" if status >= 400 else "INFO"
    took = (ended - began).total_seconds()
    return Entry(began, function.name, severity, text, "request", run, status=status, took=took)
