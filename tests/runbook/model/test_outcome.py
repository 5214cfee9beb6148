"""The findings of an outcome agree with its result."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from runbook.model.actions import SetJobState
from runbook.model.findings import Findings, Verdict
from runbook.model.outcome import LINES, ChangeStatus, Outcome, Result
from runbook.model.plan import Change, Plan

STATUSES: tuple[tuple[ChangeStatus, str], ...] = (("failed", "it is\nENABLED"), ("not attempted", ""))
PAUSE = Change(SetJobState(job="gmail-sync", before="ENABLED", after="PAUSED"), "runbook run toggle_schedule")


@pytest.mark.parametrize("result", ["applied", "failed", "unknown"])
def test_only_what_was_applied_is_ok(result: Result) -> None:
    """Also if each change is done: somebody else may have taken over, or given it up, after the last one."""
    assert result in get_args(Result)
    plan = Plan("toggle_schedule", "", (PAUSE,), {}, Findings())
    found = Outcome(plan, result, (("done", "it is PAUSED"),), "it was taken over", ("look at it",)).findings
    assert (found.worst is Verdict.ok) == (result == "applied")
    assert [f.next for f in found if f.verdict is not Verdict.ok] == ([] if result == "applied" else ["look at it"])


@pytest.mark.parametrize(
    ("count", "outcome", "lines"),
    [
        (1, {"result": "planned"}, ["gmail-sync: ENABLED → PAUSED"]),
        (
            2,
            {"result": "failed", "statuses": STATUSES},
            ["failed: gmail-sync: ENABLED → PAUSED; it is ENABLED", "not attempted: gmail-sync: ENABLED → PAUSED"],
        ),
        (0, {"result": "nothing to do", "said": "it is PAUSED"}, []),
        (1, {"result": "refused", "said": "busy\nsince 09:00\nby casey"}, ["since 09:00", "by casey"]),
        (LINES + 2, {"result": "planned"}, ["gmail-sync: ENABLED → PAUSED"] * LINES + ["and 2 more changes"]),
    ],
)
def test_its_lines_are_the_changes_or_why_there_is_none(count: int, outcome: dict[str, Any], lines: list[str]) -> None:
    plan = Plan("toggle_schedule", "", (PAUSE,) * count, {}, Findings())
    assert Outcome(plan, **outcome).lines == lines
