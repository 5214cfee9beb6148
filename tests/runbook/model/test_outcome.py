"""The findings of an outcome agree with its result."""

from __future__ import annotations

from typing import get_args

import pytest

from runbook.model.actions import SetJobState
from runbook.model.findings import Findings, Verdict
from runbook.model.outcome import Outcome, Result
from runbook.model.plan import Change, Plan

PAUSE = Change(SetJobState(job="gmail-sync", before="ENABLED", after="PAUSED"), "runbook run toggle_schedule")


@pytest.mark.parametrize("result", ["applied", "failed", "unknown"])
def test_only_what_was_applied_is_ok(result: Result) -> None:
    """Also if each change is done: somebody else may have taken over, or given it up, after the last one."""
    assert result in get_args(Result)
    plan = Plan("toggle_schedule", "", (PAUSE,), {}, Findings())
    found = Outcome(plan, result, (("done", "it is PAUSED"),), "it was taken over", ("look at it",)).findings
    assert (found.worst is Verdict.ok) == (result == "applied")
    assert [f.next for f in found if f.verdict is not Verdict.ok] == ([] if result == "applied" else ["look at it"])
