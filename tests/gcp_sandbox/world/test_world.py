"""The language of worlds: what it refuses, and that every shipped world tells what its name says."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest
import yaml

from gcp_sandbox.world.durations import duration
from gcp_sandbox.world.inventory import Inventory
from gcp_sandbox.world.schema import BadWorld, load, shipped
from gcp_sandbox.world.story import Story
from tests.gcp_sandbox.conftest import INVENTORY

REAL = "params/sandbox.yaml"


def story(world: str, **changes: object) -> Story:
    return Story(Inventory.model_validate({**INVENTORY, **changes}), load(world))


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("40m", 2400), ("26h", 93600), ("2d", 172800), ("0h", 0)])
def test_durations(text, seconds):
    assert duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "h", "1.5h", "-2h", "2 h", "2w", 3])
def test_no_durations(text):
    with pytest.raises(ValueError, match="is not a duration"):
        duration(text)


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ("colour: red", "colour"),
        ("runs: [{select: {}, outcome: lost}]", "outcome"),
        ("runs: [{select: {}, outcome: failed, since: soon}]", "is not a duration"),
        ("runs: [{select: {nmae: x}, outcome: failed}]", "nmae"),
        ("runs: [{select: {}, kind: bored}]", "unknown kind 'bored'. Available: memory, timeout"),
        ("runs: [{select: {}, since: 3h}]", "set an outcome or a kind"),
        ("errors: [{select: {}, text: x}]", "count"),
        ("errors: [{select: {}, count: 1}]", "set a text or a kind"),
        ("errors: [{select: {}, count: 1, text: x, kind: memory}]", "set a text or a kind"),
        ("errors: [{select: {}, count: 1, text: x, status: 500}]", "a request has a status"),
        ("errors: [{select: {}, count: 1, text: x, payload: request}]", "a request has a status"),
        ("incidents: [{feed: sap, of: [x], since: 1h}]", "feed"),
        ("grants: [{action: ADD, age: 1h}]", "role"),
        ("faults: [{route: '('}]", "is not a regular expression"),
        ("unreachable: us-central1", "unreachable"),
        ("like: nothing-like-it", "Available: "),
        ("runs: [", "not valid YAML"),
    ],
)
def test_what_a_world_may_not_say(told, said, complaint):
    with pytest.raises(BadWorld, match=complaint):
        load(told(said))


@pytest.mark.parametrize(
    "said",
    [
        "runs: [{select: {name: nobody}, outcome: failed}]",
        "errors: [{select: {source_system: sap}, count: 1, text: x}]",
        "functions: [{select: {secret: nothing}, state: FAILED}]",
        "jobs: [{select: {name: gmail-sync, source_system: hubspot}, code: 1}]",
        "tables: [{name: nowhere, stale: 2d}]",
        "secrets: [{name: nothing, versions: []}]",
        "revisions: [{select: {name: nobody}, age: 1h}]",
        "traffic: [{select: {name: nobody}}]",
        "deploys: [{select: {name: nobody}, outcome: build}]",
        "references: [{select: {name: nobody}, secret: gmail-oauth-token}]",
        "references: [{select: {name: gmail-sync}, secret: salesforce-client-id}]",
    ],
)
def test_a_world_that_selects_nothing_is_an_error(told, said):
    with pytest.raises(BadWorld):
        story(told(said))


def test_a_clock_needs_a_zone(told):
    with pytest.raises(BadWorld, match="now"):
        load(told("", now="2026-03-11T13:30:00"))


def test_like_adds_to_lists_and_replaces_the_rest(told):
    world = load(told("like: healthy\nerrors: [{select: {}, count: 7, text: x}]"))
    assert (world.about, [e.count for e in world.errors]) == ("a test", [1, 1, 7])


# world: (runs of the team's today, errors of the last 24 h, age of the newest scoring run in the team's days)
TOLD = {
    "healthy": ({"success": 17}, 2, 0),
    "quiet_morning": ({"success": 3}, 0, 0),
    "no_etl": ({}, 26, 1),
    "many_errors": ({"success": 17, "failed": 20}, 70, 0),
    "stale_scores": ({"success": 16, "failed": 1}, 3, 2),
    "missing_function": ({"success": 16}, 3, 0),
    "unreachable_region": ({"success": 17}, 0, 0),
    "no_permission": ({"success": 17}, 0, 0),
    "least_privilege": ({"success": 17}, 2, 0),
    "bad_deploy": ({"success": 16, "failed": 1}, 3, 0),
    "pinned_traffic": ({"success": 17}, 0, 0),
    "old_secret": ({"success": 17}, 0, 0),
    "no_backup": ({"success": 17}, 0, 0),
    "outside_window": ({"success": 26}, 0, 0),
    "still_running": ({"success": 15, "running": 1}, 0, 0),
}


def test_every_shipped_world_is_told_here():
    """Outages are told in tests/generated_outages.py: what is wrong, instead of what is counted."""
    assert sorted(TOLD) == [world for world in shipped() if not world.startswith("p1_")], (
        "Add the new world to TOLD, with what test_shipped counts there: (the runs of the team's day by status, the number of "
        "errors of the last 24 h, the age of the newest scoring run in days)"
    )


@pytest.mark.parametrize("world", TOLD)
def test_shipped(world):
    told = story(world)
    today = told.now.astimezone(told.zone).date()
    runs = Counter(r.status for r in told.runs if r.started_at.astimezone(told.zone).date() == today)
    day = [e for e in told.entries if e.at > told.now - timedelta(hours=24) and e.severity == "ERROR"]
    scored = [r for r in told.runs if r.function.name == "account-scoring" and r.status == "success"][-1]
    age = (today - scored.started_at.astimezone(told.zone).date()).days
    assert (dict(runs), len(day), age) == TOLD[world]


@pytest.mark.parametrize("world", shipped())
def test_shipped_worlds_fit_the_projects_own_functions(world):
    with open(REAL, encoding="utf-8") as file:
        said = yaml.safe_load(file)
    functions, tables = said["functions"], said["tables"]["freshness"]
    functions = [
        {key: value for key, value in function.items() if key not in ("repeat", "after")} for function in functions
    ]
    assert len(functions) == 13
    tables = [{"name": t["name"], "columns": {t["column"]: "TIMESTAMP"}, "time_column": t["column"]} for t in tables]
    told = story(world, functions=functions, tables=tables)
    assert len(told.functions) == (12 if world == "missing_function" else 13)


def test_many_errors_has_every_kind_of_payload_and_a_utc_day_that_is_not_the_teams():
    told = story("many_errors")
    counted = {"text": 22, "json": 6, "proto": 2, "request": 20, "attempt": 20}
    assert Counter(e.payload for e in told.entries if e.severity == "ERROR") == counted
    assert told.now.date() != told.now.astimezone(told.zone).date()
