"""Cloud Run v2 through Google's own clients: the services and revisions behind functions."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import pytest
from google.api_core.exceptions import BadRequest, Conflict, Forbidden, InternalServerError, NotFound
from google.cloud import run_v2
from google.cloud.functions_v2 import FunctionServiceClient
from google.cloud.run_v2 import RevisionsClient, ServicesClient

from tests.gcp_sandbox.conftest import INVENTORY, PROJECT, polled

HERE = f"projects/{PROJECT}/locations/us-central1"
GMAIL = f"{HERE}/services/gmail-sync"
PIN = run_v2.TrafficTargetAllocationType.TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION
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


@pytest.mark.parametrize(("volume", "expected"), [("false", [("1", "", "")]), ("true", [("", "1", "value")])])
def test_a_world_says_which_version_a_revision_names(cloud, told, volume, expected):
    named = f"{{select: {{name: gmail-sync}}, secret: gmail-oauth-token, version: 1, volume: {volume}}}"
    here = cloud(told(f"references: [{named}]"))
    made = next(iter(here(RevisionsClient).list_revisions(parent=GMAIL)))
    variables = [e.value_source.secret_key_ref for e in made.containers[0].env]
    found = [(r.version, "", "") for r in variables if r.secret == "gmail-oauth-token"]
    found += [("", i.version, i.path) for v in made.volumes for i in v.secret.items if v.secret.secret]
    assert found == expected
    assert [m.mount_path for m in made.containers[0].volume_mounts] == ["/secrets/gmail-oauth-token"] * len(
        made.volumes
    )
    config = here(FunctionServiceClient).get_function(name=f"{HERE}/functions/gmail-sync").service_config
    assert [v.version for v in config.secret_environment_variables] == [r[0] for r in expected if r[0]]
    assert [v.version for s in config.secret_volumes for v in s.versions] == [r[1] for r in expected if r[1]]


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


def ids(here) -> list[str]:
    """The ids of gmail-sync's revisions, newest first."""
    return [r.name.rsplit("/", 1)[1] for r in here(RevisionsClient).list_revisions(parent=GMAIL)]


def get(here):
    return here(ServicesClient).get_service(name=GMAIL)


def patch(here, mask: str, **fields):
    request = {"service": run_v2.Service(name=GMAIL, **fields), "update_mask": {"paths": mask.split(",")}}
    return here(ServicesClient).update_service(request=request, retry=None)


def pin(revision: str, percent: int = 100, **more) -> dict:
    return {"type_": PIN, "revision": revision, "percent": percent, **more}


def call(here, url: str = ""):
    return here.session.post(url or get(here).uri, headers={"Authorization": "Bearer x"})


def told_by(here) -> str:
    """The revision that logged last."""
    asked = {"resourceNames": [f"projects/{PROJECT}"], "orderBy": "timestamp desc", "pageSize": 1}
    [entry] = here.session.post("https://logging.googleapis.com/v2/entries:list", json=asked).json()["entries"]
    return entry["resource"]["labels"]["revision_name"]


def test_rollback(cloud):
    here = cloud("bad_deploy")
    bad, good = ids(here)[:2]
    assert call(here).status_code == 500
    assert told_by(here) == bad
    before = get(here)
    operation = patch(here, "traffic", traffic=[pin(good)], etag=before.etag)
    meanwhile = get(here)
    assert (meanwhile.reconciling, meanwhile.traffic[0].revision) == (True, good)
    assert meanwhile.traffic_statuses == before.traffic_statuses
    assert meanwhile.generation == meanwhile.observed_generation + 1
    assert [operation.done(), operation.done()] == [False, True], "reading the service was the first poll"
    after = operation.result(timeout=0)
    assert after == get(here)
    assert (after.reconciling, after.terminal_condition.state) == (False, GOOD)
    assert [(t.type_, t.revision, t.percent) for t in after.traffic_statuses] == [(PIN, good, 100)]
    assert len({before.etag, meanwhile.etag, after.etag}) == 3
    assert after.update_time > before.update_time
    assert after.latest_ready_revision.endswith(bad)
    assert call(here).status_code == 200
    assert told_by(here) == good
    assert ids(here)[:2] == [bad, good]
    assert polled(patch(here, "traffic", traffic=[{"type_": LATEST, "percent": 100}])).traffic[0].type_ == LATEST
    assert call(here).status_code == 500


def test_a_split_and_a_tag(cloud):
    here = cloud("bad_deploy")
    bad, good = ids(here)[:2]
    polled(patch(here, "traffic", traffic=[pin(good, 90), pin(bad, 10), pin(bad, 0, tag="next")]))
    assert call(here).status_code == 200
    tagged = get(here).traffic_statuses[2].uri
    assert tagged.startswith("https://next---gmail-sync-")
    assert call(here, tagged).status_code == 500
    assert call(here, tagged.replace("next", "other")).status_code == 404


@pytest.mark.parametrize(
    ("traffic", "words"),
    [
        ([], "sum to 100, got 0"),
        ([{"type_": LATEST, "percent": 99}], "sum to 100, got 99"),
        ([{"type_": LATEST, "percent": 100}, {"type_": LATEST, "percent": 1}], "sum to 100, got 101"),
        ([pin("gmail-sync-09999-xyz")], r"traffic\[0\].revision: Revision 'gmail-sync-09999-xyz' does not exist"),
        ([{"type_": PIN, "percent": 100}], "revision must be set"),
        ([{"percent": 100}], "revision must be set"),
    ],
)
def test_traffic_that_does_not_add_up(cloud, traffic, words):
    here = cloud()
    before = get(here)
    with pytest.raises(BadRequest, match=words):
        patch(here, "traffic", traffic=traffic)
    assert get(here) == before


def test_an_etag_that_is_no_longer_true(cloud):
    here = cloud()
    stale, latest = get(here).etag, [{"type_": LATEST, "percent": 100}]
    polled(patch(here, "traffic", traffic=latest, etag=stale))
    with pytest.raises(Conflict, match="Conflict for resource 'gmail-sync'"):
        patch(here, "traffic", traffic=latest, etag=stale)
    polled(patch(here, "traffic", traffic=latest, etag=get(here).etag))
    patch(here, "traffic", traffic=latest)
    with pytest.raises(Conflict, match="Conflict for resource"):
        patch(here, "traffic", traffic=latest)


def test_a_revision_that_never_became_ready_gets_no_traffic(cloud):
    here = cloud("missing_function")
    name = f"{HERE}/services/account-scoring"
    bad = next(iter(here(RevisionsClient).list_revisions(parent=name))).name.rsplit("/", 1)[1]
    service = run_v2.Service(name=name, traffic=[pin(bad)])
    operation = here(ServicesClient).update_service(
        request={"service": service, "update_mask": {"paths": ["traffic"]}}, retry=None
    )
    with pytest.raises(InternalServerError, match=f"Revision '{bad}' is not ready and cannot serve traffic"):
        polled(operation)
    found = here(ServicesClient).get_service(name=name)
    assert (found.terminal_condition.state, found.traffic_statuses[0].type_) == (BAD, LATEST)


def test_a_new_template_is_a_new_revision_of_the_same_code(cloud):
    here = cloud()
    old, before = here(RevisionsClient).get_revision(name=f"{GMAIL}/revisions/{ids(here)[0]}"), get(here)
    operation = patch(
        here, "template.annotations", template={"annotations": {"rotated": "2026-03-11"}}, etag=before.etag
    )
    after = polled(operation)
    new = here(RevisionsClient).get_revision(name=after.latest_ready_revision)
    assert new.name != old.name
    assert (new.containers, dict(new.annotations)) == (old.containers, {"rotated": "2026-03-11"})
    assert new.create_time > old.create_time
    assert call(here).status_code == 200
    assert told_by(here) == ids(here)[0]


@pytest.mark.parametrize("permission", ["run.services.update", "iam.serviceAccounts.actAs"])
def test_permissions(cloud, told, permission):
    here = cloud(told(f"deny: [{permission}]"))
    with pytest.raises(Forbidden, match=f"(?i){permission}"):
        patch(here, "template.annotations", template={"annotations": {"a": "b"}})
    with pytest.raises(Forbidden, match=f"(?i){permission}"):
        patch(here, "traffic", traffic=[{"type_": LATEST, "percent": 100}])


def test_pinned_since_yesterday(cloud):
    """The bad revision served from 30 to 26 hours ago, the one before it ever since."""
    here = cloud("pinned_traffic")
    bad, good = ids(here)[:2]
    assert get(here).traffic[0].revision == good
    rows = here.rows("SELECT started_at, status FROM sales_intelligence.etl_runs WHERE function_name = 'gmail-sync'")
    hours = {
        int((here.rows("SELECT CURRENT_TIMESTAMP()")[0][0] - at).total_seconds() // 3600)
        for at, s in rows
        if s == "failed"
    }
    assert hours == {26, 27, 28, 29}
    assert call(here).status_code == 200
    assert told_by(here) == good
    polled(patch(here, "traffic", traffic=[pin(bad)]))
    assert call(here).status_code == 500


@pytest.mark.parametrize("args", ["validateOnly=true&updateMask=traffic", "", "updateMask=ingress"])
def test_what_is_not_understood_is_not_done(cloud, args):
    here = cloud()
    before = get(here)
    body = {"traffic": [{"type": "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION", "revision": ids(here)[1], "percent": 100}]}
    assert here.session.patch(f"https://run.googleapis.com/v2/{GMAIL}?{args}", json=body).status_code == 501
    assert get(here) == before


def test_a_change_that_never_ends(cloud, told):
    here = cloud(told('faults: [{route: "PATCH run", nth: 1, stuck: true}]'))
    operation = patch(here, "traffic", traffic=[pin(ids(here)[1])])
    assert not any(operation.done() for _ in range(10))
    assert (get(here).reconciling, get(here).traffic_statuses[0].type_) == (True, LATEST)
