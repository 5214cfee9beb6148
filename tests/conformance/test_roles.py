"""Roles: what params ask for suffices, and no more, by what Google published, what the library states, what the sandbox requires."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from gcp_sandbox.http import HOSTS, ROUTES
from gcp_sandbox.world.roles import published
from gcp_sandbox.world.schema import load
from runbook.cloud.guard import QUERY, READS, Listed
from runbook.config.load import ROOT
from runbook.model.actions import ACTIONS
from runbook.model.operations import OPERATIONS, needed

from .discovery import shape

READING = {read.permission for read in READS} - {""} | set(QUERY)


@pytest.fixture(params=["sandbox", "production"])
def params(request: pytest.FixtureRequest) -> Any:
    """A shipped file; that of production still has its placeholders."""
    return yaml.safe_load((ROOT / "params" / f"{request.param}.yaml").read_text(encoding="utf-8"))


def test_every_role_grants_what_params_say(params: Any) -> None:
    for role, permissions in {**params["roles"]["required"], **params["roles"]["elevated"]}.items():
        assert set(permissions) <= published()[role], role


def test_the_required_roles_are_those_of_the_listed_reads(params: Any) -> None:
    granted = [p for permissions in params["roles"]["required"].values() for p in permissions]
    assert sorted(granted) == sorted(READING), (
        "`roles.required` in params/*.yaml lists each permission of lib/runbook/cloud/reads.yaml once, under a role that has it"
    )


@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_roles_of_an_operation_suffice_and_each_is_needed(params: Any, operation: str) -> None:
    elevated, roles = params["roles"]["elevated"], params["operations"][operation].get("roles", [])
    by_role = {role: set(elevated[role]) & needed(operation) for role in roles}
    assert set().union(*by_role.values()) == needed(operation)
    for role in roles:
        others = [by_role[other] for other in roles if other != role]
        assert by_role[role] - set().union(*others), f"{role} adds nothing"


def test_every_elevated_role_is_of_an_operation(params: Any) -> None:
    used = {role for rule in params["operations"].values() for role in rule.get("roles", [])}
    assert used == set(params["roles"]["elevated"]), (
        "`roles.elevated` in params/*.yaml lists the roles of `operations` there"
    )
    stated = {p for permissions in params["roles"]["elevated"].values() for p in permissions}
    assert stated == set().union(*(needed(operation) for operation in OPERATIONS)), (
        "`roles.elevated` in params/*.yaml lists the permissions of the actions in lib/runbook/model/actions.py"
    )
    assert not READING & stated


def test_every_action_that_google_carries_out_states_its_permissions() -> None:
    assert [name for name, kind in ACTIONS.items() if not kind.permissions] == ["notify"]


@pytest.mark.parametrize("read", READS, ids=lambda read: f"{read.method} {read.path}")
def test_the_sandbox_requires_the_permission_of_a_read(read: Listed) -> None:
    found = [r for r in ROUTES if (HOSTS.get(r.api), r.method) == (read.host, read.method) and _same(r.path, read.path)]
    assert [r.permission for r in found] == [read.permission]


def _same(route: str, listed: str) -> bool:
    return shape(f"https://x{route}") == shape(f"https://x{listed.replace('*', '{x}')}")


def test_the_sandbox_requires_the_permission_of_a_query() -> None:
    ends = ("/projects/{project}/queries", "/projects/{project}/jobs")
    assert {r.permission for r in ROUTES if r.method == "POST" and r.path.endswith(ends)} == {QUERY[0]}


def test_the_world_grants_exactly_the_required_roles() -> None:
    system = yaml.safe_load((ROOT / "params" / "sandbox.yaml").read_text(encoding="utf-8"))
    assert list(load("least_privilege").roles or ()) == list(system["roles"]["required"])


def test_published_facts() -> None:
    """What the roles in params rest on, each by itself."""
    holders = {p: {role for role, found in published().items() if p in found} for p in READING}
    assert holders["secretmanager.versions.list"] >= {"roles/secretmanager.viewer"}
    assert "secretmanager.versions.access" not in published()["roles/secretmanager.secretVersionManager"]
    assert "secretmanager.versions.access" in published()["roles/secretmanager.admin"]
    assert "iam.serviceAccounts.actAs" not in published()["roles/cloudfunctions.admin"]
    assert "bigquery.tables.deleteSnapshot" not in published()["roles/bigquery.dataEditor"]
    assert "cloudscheduler.jobs.pause" not in published()["roles/cloudscheduler.jobRunner"]
    assert "bigquery.jobs.create" not in published()["roles/bigquery.dataOwner"]
