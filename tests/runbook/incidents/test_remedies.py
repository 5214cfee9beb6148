"""What the P1 page proposes works as printed: each command makes a plan, and done in order they mend what can be mended."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from runbook.config.load import load_settings
from runbook.config.request import request
from runbook.config.signatures import CAUSES
from runbook.incidents.causes import Cause
from runbook.incidents.headroom import HIT
from runbook.incidents.remedies import remedy_steps
from runbook.model.moment import Moment
from tests.generated_outages import SHIPPED
from tests.runbook.changes import Place
from tests.slices import every, first_of_each

# World → the runbooks that are proposed; none where people or other systems must act.
PROPOSED: dict[str, list[str]] = {
    "p1_stuck_etl": ["retry"],
    "p1_auth_expired": ["rotate_secret", "retry"],
    "p1_secret_disabled": ["retire_secret", "retry"],
    "p1_permission_changed": ["retry"],
    "p1_unauthenticated": ["retry"],
    "p1_quota_seconds": ["retry"],
    "p1_quota_hours": ["retry"],
    "p1_memory_limit": ["deploy", "retry"],
    "p1_timeout": ["deploy", "retry"],
    "p1_crash_after_deploy": ["rollback"],
    "p1_bad_data": [],
    "p1_schema_change": [],
    "p1_dependency_outage": ["retry"],
    "p1_paused_scheduler": ["scheduler"],
    "p1_capacity": ["retry"],
    "p1_region_outage": [],
    "p1_unknown": [],
    "p1_two_causes": ["rotate_secret", "retry", "deploy"],
    "p1_two_more": ["retry", "rollback"],
    "no_etl": ["retry"],
    "missing_function": ["deploy"],
    "stale_scores": ["deploy", "retry"],
    "many_errors": ["rotate_secret", "retry"],
}
# Outages that runbooks alone can end.
MENDED = ["p1_stuck_etl", "p1_secret_disabled", "p1_memory_limit", "p1_timeout", "p1_crash_after_deploy"]


# What ran into a limit needs that limit: the worlds below show these.
@pytest.mark.parametrize("cause", sorted(set(CAUSES) - set(HIT)))
def test_every_cause_has_a_remedy(cause: str) -> None:
    system, now = load_settings("sandbox"), datetime(2026, 3, 11, 13, 30, tzinfo=UTC)
    found = Cause(cause, ("gmail-sync",), now, "sure", ("said",))
    where = {"environment": "sandbox", "world": "", "incident": ""}
    try:
        remedies = remedy_steps(found, system, Moment(now, system.zone), where, ())
    except KeyError:
        pytest.fail(f"the cause {cause} has no fix: add it with `fix` to lib/runbook/incidents/fixes.yaml")
    assert remedies, f"no next step for the cause {cause}: add its `fix` to lib/runbook/incidents/fixes.yaml"
    assert all(step.do for step in remedies)


def steps(place: Place) -> list[tuple[str, dict[str, Any]]]:
    """The runbooks that the page proposes, with their parameters as the command line would give them."""
    found = []
    for step in place.run("p1_response", incident="INC-9").names["page"].steps:
        words = shlex.split(step.command)
        if words[:2] == ["runbook", "run"]:
            given = dict(word.split("=", 1) for word in words[words.index("-p") + 1 :: 2])
            values = request(words[2], given).values
            found.append((words[2], {name: values[name] for name in given}))
    return found


def test_no_outage_is_left_out() -> None:
    assert set(SHIPPED) <= set(PROPOSED), (
        "Add the new world to PROPOSED: the runbooks that `runbook run p1_response --world NAME` proposes; to MENDED, too, if "
        "they alone end the outage"
    )


@pytest.mark.parametrize("world", every(6, PROPOSED))
def test_every_proposed_command_makes_a_plan(tmp_path: Path, world: str) -> None:
    place = Place(tmp_path / "records", world=world)
    proposed = steps(place)
    assert list(dict.fromkeys(runbook for runbook, _ in proposed)) == PROPOSED[world]
    for runbook, given in dict(proposed).items():
        outcome = place.plan(runbook, **given).outcome
        assert outcome.plan.changes
        assert any(f"runbook apply {outcome.plan.id}" in line for line in outcome.next), outcome.next


@pytest.mark.parametrize("world", first_of_each(lambda world: tuple(PROPOSED[world]), MENDED))
def test_what_is_proposed_ends_the_outage(tmp_path: Path, world: str) -> None:
    place = Place(tmp_path / "records", world=world)
    done = []
    for _ in range(8):
        proposed = steps(place)
        if not proposed:
            break
        place.applied(proposed[0][0], **proposed[0][1])
        done.append(proposed[0][0])
    page = place.run("p1_response").names["page"]
    assert not page.causes, (done, page.causes.rows)
    assert done.count("rollback") + done.count("deploy") <= 1, done
