"""Runs that were due, on the days when the clocks change (R15), and locations of incidents (R12)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from runbook.config.load import load_settings
from runbook.incidents.affected import _missed, find
from runbook.incidents.diagnosis import diagnose
from runbook.model.moment import Moment
from runbook.model.rows import OpenIncident
from tests.runbook.incidents.test_page import seen_in
from tests.runbook.rows import row

SYSTEM = load_settings("sandbox")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("schedule", "newest", "now", "due"),
    [
        # 2026-11-01, America/Chicago: 01:00 to 02:00 is 06:00Z to 07:00Z and again 07:00Z to 08:00Z.
        ("5 * * * *", "2026-11-01T07:05", "2026-11-01T08:05", None),
        ("5 * * * *", "2026-11-01T06:05", "2026-11-01T07:06", None),
        ("5 * * * *", "2026-11-01T06:05", "2026-11-01T07:30", "2026-11-01T07:05"),
        ("30 1 * * *", "2026-11-01T07:30", "2026-11-01T12:00", None),
        ("30 1 * * *", "2026-11-01T06:30", "2026-11-01T12:00", None),
        ("30 1 * * *", "2026-10-31T06:30", "2026-11-01T06:32", None),
        ("30 1 * * *", "2026-10-31T06:30", "2026-11-01T06:40", "2026-11-01T06:30"),
        # 2026-03-08: 02:00 to 03:00 does not exist.
        ("5 * * * *", "2026-03-08T07:05", "2026-03-08T08:06", None),
        ("5 * * * *", "2026-03-08T07:05", "2026-03-08T08:30", "2026-03-08T08:05"),
        ("5 * * * *", "2026-03-11T12:05", "2026-03-11T13:30", "2026-03-11T13:05"),
    ],
)
def test_a_run_that_was_due(schedule: str, newest: str, now: str, due: str | None) -> None:
    function = SYSTEM.functions[0].model_copy(update={"schedule": schedule})
    moment = Moment(at(now), SYSTEM.zone)
    found = _missed(function, moment.local(at(newest)), SYSTEM, moment)
    assert (found and found.astimezone(UTC)) == (at(due) if due else None)


@pytest.mark.parametrize(("severity", "counts"), [("low", False), ("medium", True), ("high", True), ("", True)])
def test_a_minor_incident_is_no_outage_of_the_region(sandbox: Any, tmp_path: Path, severity: str, counts: bool) -> None:
    world = tmp_path / "world.yaml"
    world.write_text("like: healthy\nabout: No instance.\nruns: [{select: {}, since: 9h, kind: capacity}]\n")
    seen, moment = seen_in(sandbox, str(world))
    given = {"title": "Errors", "what": "Cloud Run", "where": ("us-central1",), "since": moment.ago(9)}
    incident = row(OpenIncident, feed="google", severity=severity, **given)
    found = diagnose(seen._replace(feeds=replace(seen.feeds, rows=(incident,))), SYSTEM, moment)
    assert ("region_outage" in {c.cause for c in found}) == counts


@pytest.mark.parametrize(
    ("where", "counts"),
    [
        (("us-central1",), True),
        (("global",), True),
        (("europe-west1", "us-central1"), True),
        (("us-central12",), False),
        (("europe-west1",), False),
        ((), False),
    ],
)
def test_the_location_of_an_incident_is_a_whole_name_or_global(
    sandbox: Any, tmp_path: Path, where: tuple[str, ...], counts: bool
) -> None:
    world = tmp_path / "world.yaml"
    world.write_text("like: healthy\nabout: No instance.\nruns: [{select: {}, since: 9h, kind: capacity}]\n")
    seen, moment = seen_in(sandbox, str(world))
    incident = row(OpenIncident, feed="google", title="Errors", what="Cloud Run", where=where, since=moment.ago(9))
    feeds = replace(seen.feeds, rows=(incident,))
    found = diagnose(seen._replace(feeds=feeds), SYSTEM, moment)
    assert ("region_outage" in {c.cause for c in found}) == counts


def test_a_time_of_another_day_has_its_date(sandbox: Any) -> None:
    seen, moment = seen_in(sandbox, "healthy")
    nothing = seen._replace(runs=replace(seen.runs, rows=(), more=False))
    said = {one.function.name: one.symptom for one in find(nothing, SYSTEM, moment)}
    assert said["calendar-sync"] == "not started; due at 10 Mar 10:20 CDT"
    assert said["account-scoring"] == "not started; due at 07:30 CDT"
