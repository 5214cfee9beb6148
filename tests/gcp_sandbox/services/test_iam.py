"""Permissions: enforced on every call, in each API's own words, and told by every testIamPermissions."""

from __future__ import annotations

import pytest
from google.api_core.exceptions import BadRequest, Forbidden
from google.cloud.resourcemanager_v3 import ProjectsClient

from gcp_sandbox.http import HOSTS, ROUTES
from gcp_sandbox.services.iam import _PERMISSION
from gcp_sandbox.world.roles import published
from gcp_sandbox.world.schema import BadWorld, load
from tests.gcp_sandbox.conftest import PROJECT

HERE = f"projects/{PROJECT}/locations/us-central1"

# permission, a call that needs it, Google's words
REFUSED = [
    (
        "cloudfunctions.functions.list",
        "GET",
        f"cloudfunctions.googleapis.com/v2/{HERE}/functions",
        f"Permission 'cloudfunctions.functions.list' denied on resource '{HERE}' (or it may not exist).",
    ),
    (
        "cloudfunctions.functions.get",
        "GET",
        f"cloudfunctions.googleapis.com/v2/{HERE}/functions/gmail-sync",
        f"Permission 'cloudfunctions.functions.get' denied on resource '{HERE}/functions/gmail-sync' (or it may not exist).",
    ),
    (
        "run.services.get",
        "GET",
        f"run.googleapis.com/v2/{HERE}/services/gmail-sync",
        f"Permission 'run.services.get' denied on resource '{HERE}/services/gmail-sync' (or resource may not exist).",
    ),
    (
        "run.revisions.list",
        "GET",
        f"run.googleapis.com/v2/{HERE}/services/gmail-sync/revisions",
        f"Permission 'run.revisions.list' denied on resource '{HERE}/services/gmail-sync' (or resource may not exist).",
    ),
    (
        "secretmanager.versions.list",
        "GET",
        f"secretmanager.googleapis.com/v1/projects/{PROJECT}/secrets/x/versions",
        f"Permission 'secretmanager.versions.list' denied for resource 'projects/{PROJECT}/secrets/x' (or it may not exist).",
    ),
    (
        "cloudscheduler.jobs.list",
        "GET",
        f"cloudscheduler.googleapis.com/v1/{HERE}/jobs",
        f'The principal (user or service account) lacks IAM permission "cloudscheduler.jobs.list" for the resource "{HERE}" '
        "(or the resource may not exist).",
    ),
    (
        "logging.logEntries.list",
        "POST",
        "logging.googleapis.com/v2/entries:list",
        "Permission denied for all log views",
    ),
    (
        "resourcemanager.projects.get",
        "GET",
        f"cloudresourcemanager.googleapis.com/v3/projects/{PROJECT}",
        "The caller does not have permission",
    ),
]


@pytest.mark.parametrize(("permission", "method", "url", "words"), REFUSED)
def test_refused_in_the_apis_own_words(session, told, permission, method, url, words):
    asked = {"json": {"resourceNames": [f"projects/{PROJECT}"]}} if method == "POST" else {}
    refused = session(told(f"deny: [{permission}]")).request(method, f"https://{url}", **asked)
    error = refused.json()["error"]
    assert (refused.status_code, error["status"], error["message"]) == (403, "PERMISSION_DENIED", words)
    assert error["details"][0]["reason"] == "IAM_PERMISSION_DENIED"
    assert error["details"][0]["metadata"]["permission"] == permission
    allowed = session(told("deny: [some.other.permission]")).request(method, f"https://{url}", **asked)
    assert allowed.status_code != 403


def test_bigquery_has_words_of_its_own(session, told):
    google = session(told("deny: [bigquery.jobs.create, bigquery.tables.get]"))
    url = f"https://bigquery.googleapis.com/bigquery/v2/projects/{PROJECT}"
    refused = google.post(f"{url}/queries", json={"query": "SELECT 1", "useLegacySql": False}).json()["error"]
    assert refused["errors"][0]["reason"] == "accessDenied"
    assert refused["message"] == (
        f"Access Denied: Project {PROJECT}: User does not have bigquery.jobs.create permission in project {PROJECT}."
    )
    refused = google.get(f"{url}/datasets/sales_intelligence/tables/sf_accounts").json()["error"]
    table = f"{PROJECT}:sales_intelligence.sf_accounts"
    assert refused["message"] == (
        f"Access Denied: Table {table}: Permission bigquery.tables.get denied on table {table} (or it may not exist)."
    )


def test_every_route_needs_a_permission_or_asks_for_them():
    """BigQuery aside: there, what a caller made and what a caller may list need none.

    An upload of code is permitted by its URL, a call by its token and run.routes.invoke (test_call.py); the inbox is
    nobody's API, and neither is the web app.
    """
    apart = ("feeds", "web_app", "bigquery", "call", "inbox")
    open_doors = {r.path for r in ROUTES if not r.permission and r.api not in apart}
    asks = (":testIamPermissions", "/iam/testPermissions", "/{bucket}/{file}")
    assert all(path.endswith(asks) for path in open_doors)


def test_the_permission_of_every_route_can_be_granted():
    held = set().union(*published().values())
    for permission in {r.permission for r in ROUTES} - {""}:
        assert _PERMISSION.fullmatch(permission), f"{permission}: add its prefix to _PERMISSION in services/iam.py"
        assert permission in held, f"{permission}: add it to the roles that grant it, in world/roles.yaml"


@pytest.mark.parametrize("api", ["cloudfunctions", "run", "secretmanager", "cloudscheduler", "cloudresourcemanager"])
def test_somebody_elses_project_is_refused(session, api):
    one = next(r for r in ROUTES if r.api == api and r.method == "GET" and "{project}" in r.path)
    refused = session().get(
        f"https://{HOSTS[api]}{one.path.replace('{project}', 'elsewhere').replace('{', '').replace('}', '')}"
    )
    assert (refused.status_code, refused.json()["error"]["details"][0]["reason"]) == (403, "CONSUMER_INVALID")


PLACES = [
    f"cloudresourcemanager.googleapis.com/v3/projects/{PROJECT}",
    f"cloudresourcemanager.googleapis.com/v1/projects/{PROJECT}",
    f"cloudfunctions.googleapis.com/v2/{HERE}/functions/gmail-sync",
    f"run.googleapis.com/v2/{HERE}/services/gmail-sync",
    f"secretmanager.googleapis.com/v1/projects/{PROJECT}/secrets/gmail-oauth-token",
    f"bigquery.googleapis.com/bigquery/v2/projects/{PROJECT}/datasets/sales_intelligence/tables/sf_accounts",
]


@pytest.mark.parametrize("place", PLACES)
def test_which_permissions_are_held(session, told, place):
    asked = {"permissions": ["run.services.get", "bigquery.jobs.create", "logging.logEntries.list"]}
    url = f"https://{place}:testIamPermissions"
    assert session().post(url, json=asked).json() == asked
    some = session(told("deny: [bigquery.jobs.create]")).post(url, json=asked).json()
    assert some == {"permissions": ["run.services.get", "logging.logEntries.list"]}
    assert session(told(f"deny: [{', '.join(asked['permissions'])}]")).post(url, json=asked).json() == {}


def test_roles_grant_what_google_published_and_nothing_else(session, told):
    """Each role of the data file by itself, and what a world denies on top."""
    asked = sorted(set().union(*published().values()))
    for role, granted in published().items():
        held = session(told(f"roles: [{role}]")).post(
            f"https://{PLACES[0]}:testIamPermissions", json={"permissions": asked}
        )
        assert held.json() == {"permissions": sorted(granted)}, role
    both = told("roles: [roles/bigquery.jobUser, roles/logging.viewer]\ndeny: [logging.logEntries.list]")
    some = {"permissions": ["bigquery.jobs.create", "logging.logEntries.list", "logging.logs.list", "run.services.get"]}
    held = session(both).post(f"https://{PLACES[0]}:testIamPermissions", json=some).json()
    assert held == {"permissions": ["bigquery.jobs.create", "logging.logs.list"]}
    assert session(told("roles: []")).post(f"https://{PLACES[0]}:testIamPermissions", json=some).json() == {}


def test_a_role_that_is_not_in_the_data(told):
    with pytest.raises(BadWorld, match=r"roles: .*not in roles\.yaml: roles/owner"):
        load(told("roles: [roles/owner]"))


def test_a_caller_with_roles_is_refused_all_else(session, told):
    google = session(told("roles: [roles/logging.viewer]"))
    for permission, method, url, words in REFUSED:
        asked = {"json": {"resourceNames": [f"projects/{PROJECT}"]}} if method == "POST" else {}
        answer = google.request(method, f"https://{url}", **asked)
        if permission in published()["roles/logging.viewer"]:
            assert answer.status_code == 200
        else:
            assert (answer.status_code, answer.json()["error"]["message"]) == (403, words)


def test_through_googles_client(client):
    held = client(ProjectsClient, "no_permission").test_iam_permissions(
        resource=f"projects/{PROJECT}", permissions=["cloudscheduler.jobs.list", "cloudfunctions.functions.list"]
    )
    assert list(held.permissions) == ["cloudfunctions.functions.list"]


@pytest.mark.parametrize("permission", ["run.services", "run.services.*", "wonderland.doors.open", ""])
def test_a_permission_that_google_would_not_know(client, permission):
    with pytest.raises(BadRequest, match="is not valid for this resource"):
        client(ProjectsClient).test_iam_permissions(resource=f"projects/{PROJECT}", permissions=[permission])


def test_the_project(client, told):
    found = client(ProjectsClient).get_project(name=f"projects/{PROJECT}")
    assert (found.project_id, found.state.name) == (PROJECT, "ACTIVE")
    by_number = client(ProjectsClient).get_project(name=found.name)
    assert by_number == found
    with pytest.raises(Forbidden):
        client(ProjectsClient, told("deny: [resourcemanager.projects.get]")).get_project(name=f"projects/{PROJECT}")
