"""With exactly the roles and permissions that are stated every operation applies; without one of them it is stopped.

The gate names the role. The sandbox refuses each request by itself, whatever the gate says.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from gcp_sandbox.world.roles import published
from runbook.config.load import load_settings
from runbook.facts.checkout import source_code
from runbook.model.operations import needed
from tests.runbook.changes import CHANGING, LOOKED_AT_ONCE, Next, Place, Sent, Wire
from tests.slices import every, first_of_each

SYSTEM = load_settings("sandbox")
OPERATION = {"backup": "snapshot", "retire_secret": "secret", "rotate_secret": "secret", "schema_change": "add_column"}
# The role and the runbook that needs it; retiring a version needs only one of the roles of a secret's operation.
CASES = [
    (role, name)
    for name in CHANGING
    for role in SYSTEM.operations[OPERATION.get(name, name)].roles
    if name != "retire_secret" or "secretmanager" in role
]
WORLDS = {"retire_secret": "old_secret", "deploy": "pinned_traffic"}  # there a deployment routes the traffic, too
# Each permission likewise. What goes the other way, resume and enable, is tested in tests/gcp_sandbox/services/, and
# so is updateData: restoring a snapshot does not need it, copying an earlier state does.
PERMISSIONS = [
    (permission, name)
    for name in CHANGING
    for permission in sorted(needed(OPERATION.get(name, name)))
    if not permission.endswith(".enable")
    and (permission, name) != ("bigquery.tables.updateData", "restore")
    and (permission == "secretmanager.versions.disable") == (name == "retire_secret")
]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The source is looked at once: its own tests take a second."""
    for name, look in LOOKED_AT_ONCE.items():
        monkeypatch.setattr(source_code, name, look)
    monkeypatch.setenv("RUNBOOK_SECRET_ENV", "NEW_VALUE")
    monkeypatch.setenv("NEW_VALUE", "a new value")


def place(records: Path, name: str, without: str = "") -> Place:
    """Where the caller has exactly the roles for reading and for this runbook's operation, `without` one of them."""
    here = Place(records, WORLDS.get(name, "healthy"))
    grant(here, name, without)
    return here


def grant(here: Place, name: str, without: str = "") -> None:
    roles = [*SYSTEM.roles.required, *SYSTEM.operations[OPERATION.get(name, name)].roles]
    here.app.sandbox.iam.roles = tuple(role for role in roles if role != without)


@pytest.mark.parametrize("name", every(2, CHANGING))
def test_its_roles_suffice(tmp_path: Path, name: str) -> None:
    here = place(tmp_path / "records", name)
    stated = needed(OPERATION.get(name, name)).union(*SYSTEM.roles.required.values())
    here.app.sandbox.iam.denied = set().union(*published().values()) - stated  # what else the roles grant is not needed
    here.applied(name, **CHANGING[name])


@pytest.mark.parametrize(("role", "name"), first_of_each(lambda case: case[0], CASES))
def test_a_missing_role_is_named_before_anything_is_signed(tmp_path: Path, role: str, name: str) -> None:
    here = place(tmp_path / "records", name, without=role)
    first = here.run(name, **CHANGING[name])
    assert first.error is None
    [found] = [f for f in first.names["gates"] if f.verdict.name == "alert"]
    hint = f"ask Security team for {role} on acme-sales-sandbox. For some hours: {SYSTEM.for_hours(role)}"
    assert (found.subject, found.next) == (role, hint)
    assert not [step for step in first.outcome.next if "runbook approve" in step or "runbook apply" in step]
    assert here.wire.writes == []


@pytest.mark.parametrize(("role", "name"), first_of_each(lambda case: case[0], CASES))
def test_a_role_that_is_lost_after_the_gate_is_refused(tmp_path: Path, role: str, name: str) -> None:
    here = place(tmp_path / "records", name)
    refused = applied(here, name, lambda: grant(here, name, without=role))
    lost = [p.lower() for p in SYSTEM.roles.elevated[role]]
    assert all(any(p in error.lower() for p in lost) for error in refused), refused


@pytest.mark.parametrize(("permission", "name"), first_of_each(lambda case: case[0], PERMISSIONS))
def test_a_permission_that_is_lost_after_the_gate_is_refused(tmp_path: Path, permission: str, name: str) -> None:
    here = place(tmp_path / "records", name)
    refused = applied(here, name, lambda: here.app.sandbox.iam.denied.add(permission))
    assert all(permission.lower() in error.lower() for error in refused), refused


def applied(here: Place, name: str, lose: Callable[[], None]) -> list[str]:
    """Apply, and `lose` something before the first write: the refusals."""
    refused: list[str] = []
    first = here.plan(name, **CHANGING[name])
    here.approve(first.id)

    def loses(wire: Wire, number: int, sent: Sent, go: Next) -> requests.Response:
        if sent.write:
            lose()
        answer = go()
        body = answer.json() if sent.write and answer.content else {}
        error = body.get("error") or body.get("status", {}).get("errorResult") or {}
        refused.extend([json.dumps(error)] if error else [])
        return answer

    here.wire.fault = loses
    assert here.go(name, first.id, **CHANGING[name]).outcome.result in ("failed", "unknown")
    assert refused
    return refused
