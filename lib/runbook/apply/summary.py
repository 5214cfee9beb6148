"""The outcome of an attempt in words: what was done, why it stopped, how to go on, and how to undo what is done."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from runbook.model.outcome import ChangeStatus, Outcome, Result
from runbook.model.plan import Plan

Statuses = Sequence[tuple[ChangeStatus, str]]


def result_of(plan: Plan, statuses: Statuses) -> Result:
    """The result of all changes together."""
    worst = {status for _, status, _ in _counted(plan, statuses)}
    return "unknown" if "unknown" in worst else "failed" if worst != {"done"} else "applied"


def summary(plan: Plan, statuses: Statuses, began: datetime, can_go_on: bool) -> Outcome:
    """The outcome of an attempt; `can_go_on`: the same approvals still hold for the rest."""
    result = result_of(plan, statuses)
    return Outcome(plan, result, tuple(statuses), said_of(plan, statuses), _next(plan, statuses, can_go_on), began)


def abandoned(plan: Plan, statuses: Statuses, began: datetime) -> Outcome:
    """The outcome of an attempt that was only looked at and closed."""
    known = [status for _, status, _ in _counted(plan, statuses)]
    said = f"abandoned: {known.count('done')} of {len(known)} changes were done; nothing was sent now"
    result: Result = "unknown" if "unknown" in known else "failed"
    _, *undo = _next(plan, statuses, False) or ("",)
    return Outcome(plan, result, tuple(statuses), said, ("look at each change, then plan again", *undo), began)


def said_of(plan: Plan, statuses: Statuses) -> str:
    """The result in a sentence."""
    if result_of(plan, statuses) == "applied":
        done = sum(status == "done" for status, _ in statuses)
        if len(statuses) == 1:
            return "the change is done and verified"
        return f"{done} of {len(statuses)} changes are done and verified"
    number, status, said = next(row for row in _counted(plan, statuses) if row[1] != "done")
    return f"change {number} of {len(statuses)}: {status}, {said}"


def _counted(plan: Plan, statuses: Statuses) -> list[tuple[int, ChangeStatus, str]]:
    """Number, status and text of the changes that decide the result: the required ones, or all if none is."""
    rows = [(n, c, *status) for n, (c, status) in enumerate(zip(plan.changes, statuses, strict=True), 1)]
    only_optional = all(change.optional for change in plan.changes)
    return [(n, status, said) for n, c, status, said in rows if only_optional or not c.optional]


def _next(plan: Plan, statuses: Statuses, can_go_on: bool) -> tuple[str, ...]:
    """How to continue, and how to undo the changes that are done, newest first."""
    result = result_of(plan, statuses)
    if result == "applied":
        return ()
    on = "fix the reported problem, then plan again"
    if can_go_on:
        on = f"fix the reported problem; then runbook apply {plan.id} resumes under the same approvals"
    if result == "unknown":
        on = f"runbook apply {plan.id} checks each change again and resumes"
    done = [c for c, (status, _) in zip(plan.changes, statuses, strict=True) if status == "done" and not c.optional]
    return (on, *(f"to undo “{c.action}” of {c.resource}: {c.way_back}" for c in reversed(done)))
