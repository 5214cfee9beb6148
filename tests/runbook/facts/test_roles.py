"""With exactly the required roles everything can be read; without one of them the gap names it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests

from runbook import facts
from runbook.cloud.client import Cloud
from runbook.config.load import load_settings
from runbook.facts.base import Ask, observe
from runbook.model.moment import Moment
from tests.runbook.changes import Next, Place, Sent, Wire
from tests.runbook.cloud.test_failures import Answers
from tests.slices import rotating

SYSTEM = load_settings("sandbox")
REQUIRED = SYSTEM.roles.required


def read(here: Place, runbook: str) -> list[Any]:
    """The gaps of a run that only reads."""
    ran = here.run(runbook)
    assert ran.error is None
    return [gap for fact in ran.names["run"].facts for gap in fact.gaps]


@pytest.mark.parametrize("runbook", ["daily_check", "p1_response"])
def test_the_required_roles_suffice(tmp_path: Path, runbook: str) -> None:
    here = Place(tmp_path / "records", world="least_privilege")
    assert read(here, runbook) == []


@pytest.mark.parametrize(("role", "runbook"), rotating([*REQUIRED], ["p1_response", "daily_check"]))
def test_a_missing_role_is_named(tmp_path: Path, role: str, runbook: str) -> None:
    here, refused = Place(tmp_path / "records", world="least_privilege"), list[int]()
    here.app.sandbox.iam.roles = tuple(other for other in REQUIRED if other != role)

    def watch(wire: Wire, number: int, sent: Sent, go: Next) -> requests.Response:
        answer = go()
        refused.extend([answer.status_code] if answer.status_code == 403 else [])
        return answer

    here.wire.fault = watch
    gaps = read(here, runbook)
    if runbook == "daily_check" and role in (
        "roles/secretmanager.viewer",
        "roles/monitoring.viewer",
    ):  # no secret, no quota
        assert (refused, gaps) == ([], [])
        return
    assert refused
    assert {gap.next for gap in gaps} == {f"ask Security team for {role} on acme-sales-sandbox."}
    assert {gap.permission for gap in gaps} <= set(REQUIRED[role])


# --- Google does not always name the permission: then it is that of the request

UNNAMED = {"error": {"code": 403, "message": "The caller does not have permission", "status": "PERMISSION_DENIED"}}


@pytest.mark.parametrize(
    ("ask", "role"),
    [
        (facts.errors(), "roles/logging.viewer"),
        (facts.jobs(), "roles/cloudscheduler.viewer"),
        (facts.functions(), "roles/cloudfunctions.viewer"),
        (facts.tables(), "roles/bigquery.dataViewer"),
        (facts.secrets(), "roles/secretmanager.viewer"),
    ],
)
@pytest.mark.parametrize("named", [True, False])
def test_a_refusal_without_a_permission(ask: Ask, role: str, named: bool) -> None:
    """Only an API can refuse: the page of a proxy says nothing about roles."""
    kind, body = ("application/json", json.dumps(UNNAMED)) if named else ("text/html", "<title>Blocked</title>")
    cloud = Cloud(SYSTEM, "sandbox", Answers(403, body.encode(), kind))
    gaps = observe(ask, cloud, Moment(datetime(2026, 3, 11, tzinfo=UTC), SYSTEM.zone)).gaps
    said = f"ask Security team for {role} on acme-sales-sandbox." if named else "ask for the roles under roles.required"
    assert gaps
    assert all(gap.next.startswith(said) for gap in gaps), gaps
