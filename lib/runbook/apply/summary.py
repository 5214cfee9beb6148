"""The outcome of an attempt in words: what was done, why it stopped, how to go on, and how to undo what is done."""

from collections.abc import Sequence
from datetime import datetime

from runbook.model.command import command
from runbook.model.outcome import ChangeStatus, Outcome, Result
from runbook.model.plan import Plan

Statuses = Sequence[tuple[ChangeStatus, str]]


def summary(plan: Plan, statuses: Statuses, began: datetime, can_go_on: bool) -> Outcome:
    """The outcome of an attempt; `can_go_on`: the same approvals still hold for the rest."""
    missing = [row for row in _counted(plan, statuses) if row[1] != "done"]
    if not missing:
        done = sum(status == "done" for status, _ in statuses)
        said = f"{done} of {len(statuses)} changes are done and verified"
        said = "the change is done and verified" if len(statuses) == 1 else said
        return Outcome(plan, "applied", tuple(statuses), said, (), began)
    number, status, why = missing[0]
    said = f"change {number} of {len(statuses)}: {status}, {why}"
    if unknown := any(status == "unknown" for _, status, _ in missing):
        on = f"check each change again, and go on: runbook apply {plan.id}"
    elif can_go_on:
        on = f"fix the reported problem; then go on under the same approvals: runbook apply {plan.id}"
    else:
        on = "fix the reported problem, then plan again"
    result: Result = "unknown" if unknown else "failed"
    return Outcome(plan, result, tuple(statuses), said, (on, *_undo(plan, statuses)), began)


def abandoned(plan: Plan, statuses: Statuses, began: datetime) -> Outcome:
    """The outcome of an attempt that was only looked at and closed."""
    known = [status for _, status, _ in _counted(plan, statuses)]
    done = [status for status, _ in statuses].count("done")
    said = f"abandoned: {done} of {len(statuses)} changes were done; nothing was sent now"
    result: Result = "unknown" if "unknown" in known else "failed"
    again = f"look at each change, then plan again: {command(str(plan.origin['runbook']), plan.origin['parameters'])}"
    undo = _undo(plan, statuses) if set(known) != {"done"} else []
    return Outcome(plan, result, tuple(statuses), said, (again, *undo), began)


def _counted(plan: Plan, statuses: Statuses) -> list[tuple[int, ChangeStatus, str]]:
    """Number, status and text of the changes that decide the result: the required ones, or all if none is."""
    rows = [(n, c, *status) for n, (c, status) in enumerate(zip(plan.changes, statuses, strict=True), 1)]
    only_optional = all(change.optional for change in plan.changes)
    return [(n, status, said) for n, c, status, said in rows if only_optional or not c.optional]


def _undo(plan: Plan, statuses: Statuses) -> list[str]:
    """How to undo the changes that are done, newest first; messages cannot be undone."""
    done = [c for c, (status, _) in zip(plan.changes, statuses, strict=True) if status == "done" and not c.optional]
    return [f"to undo “{c.action}” of {c.resource}: {c.way_back}" for c in reversed(done)]
