"""Who makes a plan applies it: another person is told so, and takes nothing away from whom it was signed for."""

from __future__ import annotations

import shlex
from pathlib import Path
from unittest.mock import patch

import pytest

from runbook.approvals.stored_plan import find
from tests.runbook.changes import Place, Result

GIVEN = {"reason": "it fails"}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return Place(tmp_path / "records")


def by(who: str) -> object:
    return patch("tests.runbook.changes.REQUESTER", who)


def planned(place: Place, who: str) -> str:
    with by(who):
        return place.plan("rollback", **GIVEN).id


def applied(place: Place, who: str, plan: str) -> Result:
    with by(who):
        return place.go("rollback", plan, **GIVEN)


def test_who_may_apply_a_plan_is_said_before_anything_runs(place: Place) -> None:
    plan = planned(place, "blake")
    place.approve(plan)
    with by("morgan"):
        said = place.cli("apply", plan)
    assert said.exit_code == 5
    assert f"only blake may apply the plan {plan}" in said.output
    assert "you are morgan" in said.output
    assert "runbook approve" not in said.output
    again = next(line for line in said.output.splitlines() if "runbook run" in line)
    words = shlex.split(again[again.index("runbook run") :])
    assert words[:3] == ["runbook", "run", "rollback"]
    assert "reason=it fails" in words


def test_a_run_that_applies_says_so_too(place: Place) -> None:
    plan = planned(place, "blake")
    place.approve(plan)
    outcome = applied(place, "morgan", plan).outcome
    assert (outcome.result, outcome.said.splitlines()[0]) == ("refused", f"only blake may apply the plan {plan}")
    assert not [step for step in outcome.next if "runbook approve" in step]
    assert applied(place, "blake", plan).outcome.result == "applied"


def test_a_plan_that_was_signed_stays_good_though_somebody_else_made_the_same(place: Place) -> None:
    plan = planned(place, "blake")
    place.approve(plan)
    assert planned(place, "morgan") == plan
    with place.here():
        assert find(plan).stored.file.terms.requester == "morgan"
        mine = find(plan, "blake")
        assert mine.stored.file.terms.requester == "blake"
        with patch.dict("os.environ", RUNBOOK_PERSON="blake"):
            mine.require_signature()
    done = applied(place, "blake", plan)
    assert done.outcome.result == "applied"
    assert done.outcome.planned_in == mine.stored.file.record


def test_who_made_the_same_plan_later_needs_signatures_of_their_own(place: Place) -> None:
    plan = planned(place, "blake")
    place.approve(plan)
    planned(place, "morgan")
    with by("morgan"):
        said = place.cli("apply", plan)
    assert said.exit_code == 5
    assert f'somebody who is team-lead signs it: runbook approve {plan} --role team-lead --reason "…"' in said.output
    place.approve(plan)
    assert applied(place, "morgan", plan).outcome.result == "applied"


def test_a_stale_plan_names_the_command_that_plans_again(place: Place) -> None:
    """The plan that it would be now is nowhere yet, so nobody can sign it."""
    first, second = (place.plan("deploy", function="calendar-sync", memory=size).id for size in ("1Gi", "2Gi"))
    place.approve(first)
    place.approve(second)
    assert place.go("deploy", second, function="calendar-sync", memory="2Gi").outcome.result == "applied"
    outcome = place.go("deploy", first, function="calendar-sync", memory="1Gi").outcome
    assert outcome.result == "refused"
    [again] = [step[step.index("runbook run") :] for step in outcome.next if "runbook run" in step]
    assert not [step for step in outcome.next if "runbook approve" in step]
    words = [word.split("=") for word in shlex.split(again) if "=" in word]
    made = place.plan("deploy", **dict(words))
    assert f"the plan is now {made.id}" in outcome.said
