"""The daily check alerts when something does not work now that cannot wait, and only then."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from runbook.config.load import load_settings
from runbook.incidents import works_now
from tests.runbook.incidents.test_diagnosis import seen_of
from tests.runbook.incidents.test_page import page

FAILED = {"outcome": "failed", "error": "TypeError: x"}


def said(world: str) -> Any:
    seen, moment = seen_of(world)
    asked = (seen.functions, seen.runs, seen.jobs, seen.feeds, seen.freshness, seen.scores)
    return works_now(*asked, load_settings("sandbox"), moment), page(seen, moment).severity


# now, what runs did → the verdict, and what P1 says. hubspot-companies-sync is due at 05:15, 13:15 and 21:15 (UTC-5).
CASES = {
    "healthy": ({}, "ok", "P4"),
    "one sync failed once": (
        {"runs": [{"select": {"name": "hubspot-companies-sync"}, "since": "4h", **FAILED}]},
        "warn",
        "P3",
    ),
    "twice": ({"runs": [{"select": {"name": "hubspot-companies-sync"}, "since": "17h", **FAILED}]}, "alert", "P3"),
    "twice, then not": (
        {"runs": [{"select": {"name": "hubspot-companies-sync"}, "since": "25h", "until": "10h", **FAILED}]},
        "ok",
        "P4",
    ),
    "missing twice": (
        {"jobs": [{"select": {"name": "hubspot-companies-sync"}, "state": "PAUSED", "changed": "17h"}]},
        "alert",
        "P3",
    ),
    "the next run comes too late": (
        {
            "runs": [{"select": {"name": "hubspot-contacts-sync"}, "since": "4h", **FAILED}],
            "tables": [{"name": "hubspot_contacts", "stale": "19h"}],
        },
        "alert",
        "P3",
    ),
    # On 8 March the clocks were set forward: 08:00 there was 24.5 h and half an hour ago.
    "twice over a change of the clock": (
        {
            "now": "2026-03-09T13:30:00Z",
            "runs": [{"select": {"name": "recommendations-export"}, "since": "25h", **FAILED}],
        },
        "alert",
        "P3",
    ),
    "scoring": ({"runs": [{"select": {"name": "account-scoring"}, "since": "4h", **FAILED}]}, "alert", "P2"),
    "old data behind green runs": ({"tables": [{"name": "gmail_messages", "stale": "9h"}]}, "alert", "P2"),
    "a deployment failed": (
        {"functions": [{"select": {"name": "gmail-sync"}, "state": "FAILED", "message": "no"}]},
        "warn",
        "P4",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_when_it_alerts(tmp_path: Path, name: str) -> None:
    world, verdict, level = CASES[name]
    path = tmp_path / "world.yaml"
    path.write_text(json.dumps({"about": "x", "now": "2026-03-11T13:30:00Z", **world}))  # JSON is YAML
    found, severity = said(str(path))
    assert (found.worst.name, severity) == (verdict, level), list(found)
    if verdict != "ok":
        assert f"; {level}: " in found[0].value
        assert {f.next for f in found} == {"find the cause: run p1_response."}
