"""Cloud Run v2 through Google's own clients: the services and revisions behind functions."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import pytest
from google.api_core.exceptions import NotFound
from google.cloud import run_v2
from google.cloud.run_v2 import RevisionsClient, ServicesClient

from tests.gcp_sandbox.conftest import INVENTORY, PROJECT

HERE = f"projects/{PROJECT}/locations/us-central1"
LATEST = run_v2.TrafficTargetAllocationType.TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST
GOOD = run_v2.Condition.State.CONDITION_SUCCEEDED
BAD = run_v2.Condition.State.CONDITION_FAILED


def revisions(client, name: str, world: str = "healthy") -> list:
    return list(client(RevisionsClient, world).list_revisions(parent=f"{HERE}/services/{name}"))


def test_every_function_has_its_service(client):
    found = list(client(ServicesClient).list_services(parent=HERE))
    assert [s.name for s in found] == [f"{HERE}/services/{f['name']}" for f in INVENTORY["functions"]]
    assert {s.labels["goog-managed-by"] for s in found} == {"cloudfunctions"}
    assert len({s.etag for s in found}) == len(found)


def test_a_service_serves_its_newest_revision(client):
    service = client(ServicesClient).get_service(name=f"{HERE}/services/gmail-sync")
    newest = revisions(client, "gmail-sync")[0]
    assert service.latest_ready_revision == service.latest_created_revision == newest.name
    assert [(t.type_, t.percent) for t in service.traffic] == [(LATEST, 100)]
    assert [(t.type_, t.percent) for t in service.traffic_statuses] == [(LATEST, 100)]
    assert (service.terminal_condition.state, service.reconciling) == (GOOD, False)
    assert service.etag.startswith('"')
    assert service.uri.startswith("https://gmail-sync-")


@pytest.mark.parametrize("name", [f["name"] for f in INVENTORY["functions"]])
def test_revisions_are_days_apart_newest_first_and_older_than_the_story(client, name):
    found = revisions(client, name)
    created = [r.create_time for r in found]
    assert len(found) in (2, 3)
    assert all(one - other > timedelta(days=3) for one, other in pairwise(created))
    assert found[0].create_time.timestamp() < 1773235800 - 8 * 86400, "now is 1773235800"
    assert {r.conditions[0].state for r in found} == {GOOD}


def test_a_revision_runs_what_the_inventory_says(client):
    found = revisions(client, "account-scoring")[0]
    again = client(RevisionsClient).get_revision(name=found.name)
    assert again == found
    assert (found.containers[0].resources.limits["memory"], found.timeout) == ("1Gi", timedelta(seconds=540))


def test_a_failed_deployment_leaves_a_revision_without_traffic(client):
    service = client(ServicesClient, "missing_function").get_service(name=f"{HERE}/services/account-scoring")
    newest, before = revisions(client, "account-scoring", "missing_function")[:2]
    assert service.latest_created_revision == newest.name
    assert service.latest_ready_revision == before.name
    assert service.terminal_condition.state == newest.conditions[0].state == BAD
    assert "Container Healthcheck failed" in newest.conditions[0].message


def test_all_revisions_of_all_services(client):
    count = sum(len(revisions(client, f["name"])) for f in INVENTORY["functions"])
    assert len(revisions(client, "-")) == count


@pytest.mark.parametrize("name", ["services/nothing", "services/gmail-sync/revisions/nothing"])
def test_what_is_not_there(client, name):
    get = client(RevisionsClient).get_revision if "revisions" in name else client(ServicesClient).get_service
    with pytest.raises(NotFound, match=r"Resource 'nothing' of kind '\w+' in region 'us-central1'"):
        get(name=f"{HERE}/{name}")


def test_an_absent_function_has_no_service(client):
    with pytest.raises(NotFound):
        client(ServicesClient, "missing_function").get_service(name=f"{HERE}/services/hubspot-contacts-sync")
