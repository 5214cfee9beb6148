"""What the P1 page proposes works as printed: each command makes a plan, and done in order they mend what can be mended."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest

from runbook.request import request
from tests.outages import SHIPPED
from tests.runbook.changes import Place

WORLDS = [*SHIPPED, "no_etl", "missing_function", "stale_scores", "many_errors"]
# Outages that runbooks alone can end.
MENDED = ["p1_stuck_etl", "p1_secret_disabled", "p1_memory_limit", "p1_timeout", "p1_crash_after_deploy"]


def steps(place: Place) -> list[tuple[str, dict[str, Any]]]:
    """The runbooks that the page proposes, with their parameters as the command line would give them."""
    found = []
    for step in place.run("p1_response", incident="INC-9").names["page"].steps:
        words = shlex.split(step["command"])
        if words[:2] == ["runbook", "run"]:
            given = dict(word.split("=", 1) for word in words[words.index("-p") + 1 :: 2])
            values = request(words[2], given).values
            found.append((words[2], {name: values[name] for name in given}))
    return found


@pytest.mark.parametrize("world", WORLDS)
def test_every_proposed_command_makes_a_plan(tmp_path: Path, world: str) -> None:
    place = Place(tmp_path / "records", world=world)
    for runbook, given in dict(steps(place)).items():
        outcome = place.plan(runbook, **given).outcome
        assert outcome.plan.changes
        assert any(f"runbook apply {outcome.plan.id}" in line for line in outcome.next), outcome.next


@pytest.mark.parametrize("world", MENDED)
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
