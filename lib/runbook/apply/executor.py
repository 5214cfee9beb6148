"""One application of a plan, change by change: look, INTENT, write, RESULT, look until it has settled, CONFIRM.

Each line is in the journal before what it tells of begins. What a write did is never taken from its answer.
"""

from __future__ import annotations

import json
import time
import traceback
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from runbook.apply.actions import ACTIONS
from runbook.apply.actions.base import Observation
from runbook.apply.secret_value import SecretValue
from runbook.cloud.failures import gap
from runbook.cloud.query import Absent, BadColumn
from runbook.display.text import Row
from runbook.model.errors import Broken, Refused, RunbookError
from runbook.model.outcome import ChangeStatus, Outcome
from runbook.model.plan import Change, Plan
from runbook.records.journal import Journal

if TYPE_CHECKING:
    from runbook.context import Context


SETTLE_TIMEOUT_S = 900  # how long a change may take to settle on Google
BRIEF_S = 60  # how long Google may go on to show what was before a write
PAUSE_S = 3
LOOKS = 8  # in the sandbox, where each look is a step of what is under way
Sent = Literal["no", "yes", "refused"]  # whether a write was sent; what Google refused had no effect

# What becomes of a change, by how things look and whether its write was sent; where there is nothing, it is sent.
STATUS: dict[tuple[str, Sent], ChangeStatus | None] = {
    ("new", "no"): "done",
    ("old", "no"): None,
    ("failed", "no"): None,
    ("pending", "no"): "unknown",
    ("unseen", "no"): "unknown",
    ("other", "no"): "failed",
    ("new", "yes"): "done",
    ("old", "yes"): "unknown",  # it may still come
    ("failed", "yes"): "failed",
    ("pending", "yes"): "unknown",
    ("unseen", "yes"): "unknown",
    ("other", "yes"): "unknown",
    ("new", "refused"): "done",
    ("old", "refused"): "failed",  # only who was refused can be sure that what is old now stays old
    ("failed", "refused"): "failed",
    ("pending", "refused"): "unknown",
    ("unseen", "refused"): "unknown",
    ("other", "refused"): "unknown",
}


@dataclass
class Executor:
    """One application of a plan, change by change.

    `refused`: the last write was, and had no effect, so that it can be tried again.
    """

    run: Context
    plan: Plan
    secret_value: SecretValue
    journal: Journal
    refused: bool = False

    def all(self, began: datetime) -> Outcome:
        """Apply the changes in order until one that is needed is not done.

        The journal, and with it the approvals, stays open while that can be tried again.
        """
        statuses: list[tuple[ChangeStatus, str]] = []
        for number, change in enumerate(self.plan.changes, 1):
            statuses.append(self._one(number, change))
            if statuses[-1][0] != "done" and not change.optional:
                break
        statuses += [("not attempted", "")] * (len(self.plan.changes) - len(statuses))
        worst = {status for _, status, _ in self._counted(statuses)}
        result = "unknown" if "unknown" in worst else "failed" if worst != {"done"} else "applied"
        if result == "applied" or (result == "failed" and not self.refused):
            self._write("CLOSE", result=result)
        done = [c for c, (status, _) in zip(self.plan.changes, statuses, strict=True) if status == "done"]
        return Outcome(
            self.plan, result, tuple(statuses), self._said(result, statuses), self._next(result, done), began
        )

    def _counted(self, statuses: list[tuple[ChangeStatus, str]]) -> list[tuple[int, ChangeStatus, str]]:
        """Number, fate and words of what decides the result: the needed changes, or all where none is."""
        rows = [(n, c, *told) for n, (c, told) in enumerate(zip(self.plan.changes, statuses, strict=True), 1)]
        return [
            (n, status, said) for n, c, status, said in rows if not c.optional or all(row[1].optional for row in rows)
        ]

    def _said(self, result: str, statuses: list[tuple[ChangeStatus, str]]) -> str:
        if result == "applied":
            done = sum(status == "done" for status, _ in statuses)
            if len(statuses) == 1:
                return "the change is done, and was seen to be"
            return f"{done} of {len(statuses)} changes are done, and were seen to be"
        number, status, said = next(row for row in self._counted(statuses) if row[1] != "done")
        return f"change {number} of {len(statuses)}: {status}, {said}"

    def _next(self, result: str, done: list[Change]) -> tuple[str, ...]:
        """The way on, and for what is done already the way back, newest first."""
        if result == "applied":
            return ()
        on = "mend what it says, then plan again"
        if self.refused:
            on = f"mend what it says; then runbook apply {self.plan.id} goes on under the same approvals"
        if result == "unknown":
            on = f"runbook apply {self.plan.id} looks again and goes on"
        return (
            on,
            *(f"to go back on “{c.action}”, {c.resource}: {c.way_back}" for c in reversed(done) if not c.optional),
        )

    def _one(self, number: int, change: Change) -> tuple[ChangeStatus, str]:
        change, sent = self._resumed(number, change)
        self.refused = False
        if change.optional:
            change = replace(change, notes={"once": f"{self.plan.id}-{self.journal.path.parent.name}"})
        observed = self._settled(change, wait=("pending", "old") if sent and change.args.is_a_run else ("pending",))
        if status := STATUS[observed.state, "no"]:
            return status, observed.said if status == "done" else f"not started: {observed.said}"
        if change.args.is_a_run and "since" not in change.notes:
            change = replace(change, notes={"since": observed.data["newest"]})
        intent = {"change": change.plain(), "notes": change.notes, "seen": observed.said, "undo": change.way_back}
        self._write("INTENT", number=number, **intent)
        said, refused = self._sent(number, change, observed)
        if self.refused:  # by ourselves: nothing was sent
            return "failed", said
        observed = self._settled(change, wait=("pending", "unseen") if refused else ("pending", "unseen", "old"))
        self._write("CONFIRM", number=number, state=observed.state, said=observed.said)
        self.refused = refused and observed.state == "old"
        status = STATUS[observed.state, "refused" if refused else "yes"] or "unknown"
        return status, "; ".join(t for t in (observed.said, said if status != "done" else "") if t)

    def _sent(self, number: int, change: Change, observed: Observation) -> tuple[str, bool]:
        """Send the write; what was answered where that was an error, and whether that was a refusal.

        Sets `refused` where it was not even sent. Raises what is neither an answer nor silence.
        """
        try:
            ACTIONS[change.action].do(self._sender(number), self.run.cloud, change, observed, self.secret_value)
            return "", False
        except Refused as refusal:
            said, refused = f"{refusal.what}: {refusal.observed}", True
            self.refused = True
        except Exception as error:
            if hasattr(error, "message"):  # before anything reads it: an answer may repeat what was sent
                error.message = self.secret_value.scrub(str(error.message))
            missing, refused = gap(error, change.resource), _is_answer(error)
            if missing is None and not refused:
                self._hide(error)
                raise
            said = missing.why if missing else str(error).splitlines()[0]
        self._write("RESULT", number=number, said=said, refused=refused)
        return said, refused

    def _hide(self, error: Exception) -> None:
        """Raise Broken in place of an error that would show a secret's value, wherever in it that stands."""
        whole = "".join(traceback.format_exception(error))
        if self.secret_value.scrub(whole) != whole:
            observed = f"{type(error).__name__}: {self.secret_value.scrub(str(error))}"
            raise Broken(
                "a write broke off",
                observed,
                "It is not known whether it had its effect.",
                f"runbook apply {self.plan.id} looks again.",
            ) from None

    def _resumed(self, number: int, change: Change) -> tuple[Change, bool]:
        """A change with when its function last ran before an earlier attempt, and whether that may have sent it.

        Nothing else of the journal is believed: what is done is what the plan says. What was refused is as if it had
        never been tried: its notes are of a moment that has passed.
        """
        noted, sent = change, False
        for row in self.journal.read():
            if row.get("number") == number and row["kind"] == "INTENT":
                since = (row.get("notes") or {}).get("since")
                noted = replace(change, notes={"since": since} if isinstance(since, str) else {})
            elif row.get("number") == number and row["kind"] == "WRITE":
                sent = True
            elif row.get("number") == number and row["kind"] == "RESULT" and row.get("refused"):
                noted, sent = change, False
        return noted, sent

    def _settled(self, change: Change, wait: tuple[str, ...]) -> Observation:
        """Look until it is in none of the states to wait for, or patience ends; a run of a function is slow to show."""
        on_google, began = self.run.cloud.target == "google", time.monotonic()
        for n in range(SETTLE_TIMEOUT_S // PAUSE_S if on_google else LOOKS):
            if on_google and n:
                time.sleep(PAUSE_S)
            observed = self._observe(change)
            patience = BRIEF_S if observed.state == "old" and not change.args.is_a_run else SETTLE_TIMEOUT_S
            if observed.state not in wait or (on_google and time.monotonic() - began > patience):
                break
        return observed

    def _observe(self, change: Change) -> Observation:
        try:
            return ACTIONS[change.action].observe(self.run.cloud, change)
        except Exception as error:
            missing = gap(error, change.resource)
            if missing:
                return Observation("unseen", f"could not see: {missing.why}")
            # A query that Google does not take is none, too: what was done stays done, and must be told.
            if not _is_answer(error) and not isinstance(error, RunbookError | Absent | BadColumn):
                raise
            said = f"{error.what}: {error.observed}" if isinstance(error, RunbookError) else str(error)
            return Observation("unseen", f"could not see: {said.splitlines()[0]}")

    def _sender(self, number: int) -> Any:
        def send(method: str, url: str, body: Any = None, headers: Row | None = None) -> Row:
            raw = body if isinstance(body, bytes) else json.dumps(body).encode()
            self._write("WRITE", number=number, method=method, url=url.partition("?")[0], bytes=len(raw))
            return self.run.cloud.write(method, url, raw, headers)

        return send

    def _write(self, kind: str, **data: Any) -> None:
        self.journal.write(kind, **data)
        self.run.journal.write(kind, plan=self.plan.id, **data)


def _is_answer(error: Exception) -> bool:
    """Whether Google answered, with an error that is none of ours."""
    from google.api_core.exceptions import ClientError

    return isinstance(error, ClientError)
