"""Applies the changes of a plan in order: observe, INTENT, write, RESULT, observe until it has settled, CONFIRM.

Each journal entry is on the disk before the step that it describes. The effect of a write is always observed, never
taken from its answer.
"""

import json
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property, partial
from typing import Any, Literal

from runbook.apply.actions import ACTIONS
from runbook.apply.actions.base import Observation
from runbook.apply.attempts import Attempt, TakenOver
from runbook.apply.secret_value import SecretValue
from runbook.apply.summary import abandoned, summary
from runbook.cloud.failures import gap
from runbook.cloud.query import Absent, BadColumn
from runbook.context import Context
from runbook.data_file import table, text_of
from runbook.model import Broken, Refused, Row, RunbookError
from runbook.model.actions import Notify
from runbook.model.outcome import ChangeStatus, Outcome
from runbook.model.plan import Change, Plan
from runbook.plans.base import message
from runbook.records import mapping, rows_in

SETTLE_TIMEOUT_S = 900  # how long a change may take to settle on Google
BRIEF_S = 60  # how long Google may still show the old state after a write
PAUSE_S = 3
LOOKS = 8  # observations in the sandbox, where each one advances pending work by a step
Sent = Literal["no", "yes", "refused"]  # whether a write was sent; a refused write had no effect

# The status of a change, by the observed state and whether its write was sent. None: send the write.
STATUS: dict[tuple[str, Sent], ChangeStatus | None] = {
    (state, sent): status for sent, row in table(__file__, "status.yaml").items() for state, status in row.items()
}


@dataclass
class Executor:
    """One attempt to apply a plan, change by change.

    `refused`: the last write was refused and had no effect, so it can be retried.
    """

    run: Context
    plan: Plan
    secret_value: SecretValue
    journal: Attempt
    refused: bool = False

    @cached_property
    def earlier(self) -> list[Row]:
        """The rows of this attempt before this process applied anything: of a change, nobody has written later ones.

        Raises Broken for a damaged one.
        """
        return rows_in(self.journal.store, self.journal.place)

    def all(self, began: datetime, signed: Sequence[str] = ()) -> Outcome:
        """Apply the changes in order; stop at the first required change that is not done, unless it is independent.

        If that change can be retried, the journal stays open, and the approvals stay valid for it. Those in the roles
        `signed` hear of the end.
        """
        statuses: list[tuple[ChangeStatus, str]] = []
        try:
            for number, change in enumerate(self.plan.changes, 1):
                statuses.append(self._one(number, change))
                if statuses[-1][0] != "done" and not change.optional and not change.args.independent:
                    break
            statuses += [("not attempted", "")] * (len(self.plan.changes) - len(statuses))
            done = summary(self.plan, statuses, began, can_go_on=self.refused)
            final = done.result == "applied" or (done.result == "failed" and not self.refused)
            self._tell(done, signed)
            self._write("CLOSE", result=done.result, final=final)
        except TakenOver as error:  # this process does not know how its last change ended
            rest = [("unknown", error.what), *[("not attempted", "")] * len(self.plan.changes)]
            known = (*statuses, *rest)[: len(self.plan.changes)]
            return Outcome(self.plan, "unknown", known, error.what, (error.next,), began)
        return done

    def _tell(self, ended: Outcome, signed: Sequence[str]) -> None:
        """Tell those who signed, or heard of the changes before, how they ended. It counts for nothing.

        Each result is told once: an attempt that failed may go on, and end as applied.
        """
        heard = [c.args.contact for c in self.plan.changes if isinstance(c.args, Notify) and not c.args.once]
        title = f"{self.plan.origin['environment']}: {self.plan.origin['runbook']} ended"
        incident = self.plan.origin["parameters"].get("incident")
        text = f"{ended.result}: {ended.said}\nPlan {self.plan.id}" + (f", incident {incident}" if incident else "")
        once = f"{self.once}-{ended.result}"
        for number, contact in enumerate(dict.fromkeys((*heard, *signed)), len(self.plan.changes) + 1):
            self._one(number, message(contact, title, text, once))

    def look(self, began: datetime) -> Outcome:
        """Observe each change, send nothing, and close the attempt for good."""
        statuses: list[tuple[ChangeStatus, str]] = []
        for number, change in enumerate(self.plan.changes, 1):
            noted, sent = self._resumed(number, change)
            observed = self._observe(replace(noted, notes={"once": self.once, **noted.notes}))
            self._write("CONFIRM", number=number, state=observed.state, said=observed.said)
            status = STATUS[observed.state, "yes" if sent else "no"] or "not attempted"
            late = "; a request was sent, and can still take effect" * (sent and observed.state == "old")
            statuses.append((status, observed.said + late))
        self._write("CLOSE", result="abandoned")
        return abandoned(self.plan, statuses, began)

    @property
    def once(self) -> str:
        """What tells the messages of this attempt from those of another."""
        return f"{self.plan.id}-{self.journal.place[-8:]}"

    def _one(self, number: int, change: Change) -> tuple[ChangeStatus, str]:
        change, sent = self._resumed(number, change)
        self.refused = False
        if change.optional:
            change = replace(change, notes={"once": self.once})
        observed = self._settled(change, wait=("pending", "old") if sent and change.args.is_a_run else ("pending",))
        ended = sent and change.args.is_a_run and observed.state == "failed"  # and is not started twice
        if status := STATUS[observed.state, "yes" if ended else "no"]:
            return status, observed.said if status == "done" or ended else f"not started: {observed.said}"
        if change.args.is_a_run:  # a time to come is in no INTENT of ours
            newest = observed.data["newest"]
            change = replace(change, notes={"since": min(newest, change.notes.get("since", newest))})
        intent = {"change": change.plain(), "notes": change.notes, "seen": observed.said, "undo": change.way_back}
        self._write("INTENT", number=number, **intent)
        said, refused = self._sent(number, change, observed)
        if self.refused:  # refused on this machine: nothing was sent
            return "failed", said
        observed = self._settled(change, wait=("pending", "unseen") if refused else ("pending", "unseen", "old"))
        self._write("CONFIRM", number=number, state=observed.state, said=observed.said)
        self.refused = refused and observed.state == "old"
        status = STATUS[observed.state, "refused" if refused else "yes"] or "unknown"
        return status, "; ".join(t for t in (observed.said, said if status != "done" else "") if t)

    def _sent(self, number: int, change: Change, observed: Observation) -> tuple[str, bool]:
        """Send the write; return the error, "" if there is none, and whether the write was refused.

        Sets `refused` if the write was not sent at all. Raises any error that is neither an answer nor a missing one.
        """
        try:
            send = partial(self._send, number)
            ACTIONS[change.action].do(send, self.run.cloud, change, observed, self.secret_value)
            return "", False
        except Refused as refusal:
            said, refused = f"{refusal.what}: {refusal.observed}", True
            self.refused = True
        except Exception as error:
            if hasattr(error, "message"):  # scrub it first, because an answer may repeat the request
                error.message = self.secret_value.scrub(str(error.message))
            missing, refused = gap(error, change.resource), _is_answer(error)
            if missing is None and not refused:
                self._hide(error)
                raise
            said = missing.why if missing else str(error).splitlines()[0]
        self._write("RESULT", number=number, said=said, refused=refused)
        return said, refused

    def _hide(self, error: Exception) -> None:
        """Raise Broken instead of an error whose traceback contains a secret's value."""
        whole = "".join(traceback.format_exception(error))
        if self.secret_value.scrub(whole) != whole:
            about = {"kind": type(error).__name__, "said": self.secret_value.scrub(str(error)), "plan": self.plan.id}
            raise Broken(**text_of(__file__, "interrupted", **about)) from None

    def _resumed(self, number: int, change: Change) -> tuple[Change, bool]:
        """A change, with the time of its function's last run from the journal, and whether it may have been sent.

        Everything else in the journal is ignored, because the changes come from the plan. A refused write counts as
        never tried. A run has no state before it, so of a run the earliest time counts, and no row says that it was
        refused: who may write into the store could otherwise start it twice.
        """
        rows, a_run = [row for row in self.earlier if row.get("number") == number], change.args.is_a_run
        noted = [mapping(row.get("notes")) for row in rows if row["kind"] == "INTENT" and a_run]
        since = [notes["since"] for notes in noted if isinstance(notes.get("since"), str)]
        sent = False
        for row in rows:
            if row["kind"] == "WRITE":
                sent = True
            elif row["kind"] == "RESULT" and row.get("refused") and not a_run:
                sent = False
        return replace(change, notes={"since": min(since)}) if since else change, sent

    def _settled(self, change: Change, wait: tuple[str, ...]) -> Observation:
        """Observe until the state is none of `wait`, or until the time is up; a run of a function appears late."""
        on_google, began = self.run.cloud.target == "google", time.monotonic()
        for n in range(SETTLE_TIMEOUT_S // PAUSE_S if on_google else LOOKS):
            if on_google and n:
                time.sleep(PAUSE_S)
            observed = self._observe(change)
            timeout = BRIEF_S if observed.state == "old" and not change.args.is_a_run else SETTLE_TIMEOUT_S
            if observed.state not in wait or (on_google and time.monotonic() - began > timeout):
                break
        return observed

    def _observe(self, change: Change) -> Observation:
        try:
            return ACTIONS[change.action].observe(self.run.cloud, change)
        except Exception as error:
            if missing := gap(error, change.resource):
                return Observation("unseen", f"could not read: {missing.why}")
            # A rejected query must not raise: the writes so far must still be reported.
            if not _is_answer(error) and not isinstance(error, RunbookError | Absent | BadColumn):
                raise
            said = f"{error.what}: {error.observed}" if isinstance(error, RunbookError) else str(error)
            return Observation("unseen", f"could not read: {said.splitlines()[0]}")

    def _send(self, number: int, method: str, url: str, body: Any = None, headers: Row | None = None) -> Row:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        self._write("WRITE", number=number, method=method, url=url.partition("?")[0], bytes=len(raw))
        self.journal.require_prompt()
        return self.run.cloud.write(method, url, raw, headers)

    def _write(self, kind: str, **data: Any) -> None:
        self.journal.write(kind, **data)
        self.run.journal.write(kind, plan=self.plan.id, **data)


def _is_answer(error: Exception) -> bool:
    """Whether the error is an answer from Google: a 4xx."""
    from google.api_core.exceptions import ClientError

    return isinstance(error, ClientError)
