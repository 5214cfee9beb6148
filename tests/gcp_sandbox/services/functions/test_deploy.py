"""A deployment through Google's own clients: upload, update, poll; what then serves, and what a failure leaves."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import requests
from google.api_core.exceptions import BadRequest, Conflict, Forbidden, GoogleAPICallError
from google.cloud import functions_v2
from google.cloud.functions_v2 import FunctionServiceClient
from google.cloud.run_v2 import RevisionsClient, ServicesClient

import gcp_sandbox
from tests.gcp_sandbox.conftest import PROJECT, polled

HERE = f"projects/{PROJECT}/locations/us-central1"
GMAIL = f"{HERE}/functions/gmail-sync"
SAMPLE = Path(gcp_sandbox.__file__).parent / "sample"
GOOD = {name: (SAMPLE / name).read_text() for name in ("main.py", "requirements.txt")}
SOURCE = "build_config.source.storage_source"
State = functions_v2.Function.State
TABLES = "sales_intelligence"


def zipped(files: dict[str, str]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return made.getvalue()


def put(cloud, url: str, data: bytes, **headers: str) -> requests.Response:
    return cloud.session.put(url, data=data, headers={"content-type": "application/zip", **headers})


def uploaded(cloud, files: dict[str, str]) -> functions_v2.StorageSource:
    made = cloud(FunctionServiceClient).generate_upload_url(request={"parent": HERE})
    assert put(cloud, made.upload_url, zipped(files)).status_code == 200
    return made.storage_source


def update(cloud, *paths: str, **fields):
    function = functions_v2.Function(name=GMAIL, **fields)
    return cloud(FunctionServiceClient).update_function(
        function=function, update_mask={"paths": list(paths)}, retry=None
    )


def deploy(cloud, files: dict[str, str] = GOOD):
    source = functions_v2.Source(storage_source=uploaded(cloud, files))
    return update(cloud, SOURCE, build_config={"source": source})


def get(cloud, name: str = GMAIL):
    return cloud(FunctionServiceClient).get_function(name=name)


def revisions(cloud) -> list:
    return list(cloud(RevisionsClient).list_revisions(parent=f"{HERE}/services/gmail-sync"))


def call(cloud, **headers: str) -> requests.Response:
    url = get(cloud).service_config.uri
    return cloud.session.post(url, headers={"Authorization": "Bearer an-id-token", **headers})


def test_a_new_revision_serves(cloud):
    here = cloud()
    before, old = get(here), revisions(here)
    operation = deploy(here)
    assert operation.metadata.target == GMAIL
    assert get(here).state == State.DEPLOYING, "and this was the first poll"
    assert [operation.done(), operation.done()] == [False, True]
    after = get(here)
    assert operation.result(timeout=0) == after
    assert (after.state, after.service_config.all_traffic_on_latest_revision) == (State.ACTIVE, True)
    assert after.update_time > before.update_time
    assert after.build_config.source != before.build_config.source
    new = revisions(here)
    assert new[1:] == old
    assert after.service_config.revision == new[0].name.rsplit("/", 1)[1] != before.service_config.revision
    assert new[0].containers[0].image != old[0].containers[0].image
    assert call(here).status_code == 200


def test_until_it_is_done_the_old_revision_serves(cloud):
    here = cloud()
    operation = deploy(here)
    assert not operation.done()
    assert len({r.name for r in revisions(here)}) in (2, 3)
    assert revisions(here)[0].name.endswith(get(here).service_config.revision)


def test_only_what_the_mask_names_changes(cloud):
    here = cloud()
    before = get(here)
    fields = {"service_config": {"available_memory": "1Gi", "timeout_seconds": 600}, "labels": {"commit": "abc"}}
    polled(update(here, "service_config.available_memory", "service_config.timeout_seconds", **fields))
    after = get(here)
    assert (after.service_config.available_memory, after.service_config.timeout_seconds) == ("1Gi", 600)
    assert after.labels == before.labels
    assert after.build_config == before.build_config
    new, old = revisions(here)[:2]
    assert (new.containers[0].resources.limits["memory"], new.timeout.total_seconds()) == ("1Gi", 600)
    assert new.containers[0].image == old.containers[0].image
    polled(update(here, "labels", **fields))
    assert dict(get(here).labels) == {"commit": "abc"}


FAILS = {
    "no main.py": ({"app.py": "def main(request): ..."}, "Build failed with status: FAILURE.*missing main.py"),
    "no Python": ({"main.py": "def main(request:\n"}, r"Build failed.*Error compiling './main.py'"),
    "no Python beside": ({**GOOD, "lib/x.py": "1 +"}, r"Error compiling './lib/x.py'"),
    "no entry point": ({"main.py": "def handle(request): ..."}, "Could not create or update Cloud Run service"),
    "no requirements": ({"main.py": "import requests\ndef main(request): ..."}, "Container Healthcheck failed"),
    "no zip": (None, "Build failed"),
}


@pytest.mark.parametrize(("files", "words"), FAILS.values(), ids=list(FAILS))
def test_a_failure_leaves_the_old_revision_serving(cloud, files, words):
    here = cloud()
    before, old = get(here), revisions(here)
    if files is None:
        made = here(FunctionServiceClient).generate_upload_url(request={"parent": HERE})
        put(here, made.upload_url, b"no zip")
        operation = update(here, SOURCE, build_config={"source": {"storage_source": made.storage_source}})
    else:
        operation = deploy(here, files)
    with pytest.raises(GoogleAPICallError, match=f"(?s){words}"):
        polled(operation)
    after = get(here)
    assert (after.state, after.update_time) == (State.FAILED, before.update_time)
    assert after.state_messages[0].message == operation.exception().message
    service = here(ServicesClient).get_service(name=f"{HERE}/services/gmail-sync")
    assert service.latest_ready_revision == old[0].name
    assert len(revisions(here)) - len(old) == ("Build" not in operation.exception().message)
    assert call(here).status_code == 200
    assert polled(deploy(here)).state == State.ACTIVE, "and the next one repairs it"
    assert not get(here).state_messages


def test_what_a_dead_instance_logs(cloud):
    here = cloud()
    operation = deploy(here, {"main.py": "import numpy\ndef main(request): ..."})
    with pytest.raises(GoogleAPICallError):
        polled(operation)
    asked = {"resourceNames": [f"projects/{PROJECT}"], "orderBy": "timestamp desc", "pageSize": 3}
    asked["filter"] = 'resource.type=cloud_run_revision NOT log_id("cloudaudit.googleapis.com/activity")'
    found = here.session.post("https://logging.googleapis.com/v2/entries:list", json=asked).json()["entries"]
    assert {e["resource"]["labels"]["revision_name"] for e in found} == {revisions(here)[0].name.rsplit("/", 1)[1]}
    code, event, probe = found
    assert code["textPayload"] == "ModuleNotFoundError: No module named 'numpy'"
    assert "STARTUP TCP probe failed" in probe["textPayload"]
    assert event["protoPayload"]["status"]["code"] == 9


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        ("build", "Build failed with status: FAILURE and message: quota"),
        ("healthcheck", "Container Healthcheck failed"),
    ],
)
def test_a_world_in_which_deployments_fail(cloud, told, outcome, words):
    here = cloud(told(f"deploys: [{{select: {{name: gmail-sync}}, outcome: {outcome}, message: quota}}]"))
    with pytest.raises(GoogleAPICallError, match=words):
        polled(deploy(here))
    assert get(here).state == State.FAILED


def test_the_code_decides_whether_it_works(cloud):
    here = cloud()
    old = revisions(here)[0].name.rsplit("/", 1)[1]
    polled(deploy(here, {**GOOD, "main.py": GOOD["main.py"] + '\nSANDBOX_OUTCOME = "failed"\n'}))
    assert call(here).status_code == 500
    last = f"SELECT status, error_message FROM {TABLES}.etl_runs ORDER BY started_at DESC LIMIT 1"
    [(status, error)] = here.rows(last)
    assert (status, "SANDBOX_OUTCOME" in error) == ("failed", True)
    assert revisions(here)[1].name.endswith(old)


def test_new_code_gets_nothing_where_traffic_is_pinned(cloud):
    here = cloud("pinned_traffic")
    before = here(ServicesClient).get_service(name=f"{HERE}/services/gmail-sync")
    assert not get(here).service_config.all_traffic_on_latest_revision
    polled(deploy(here, {**GOOD, "main.py": GOOD["main.py"] + '\nSANDBOX_OUTCOME = "failed"\n'}))
    after = here(ServicesClient).get_service(name=f"{HERE}/services/gmail-sync")
    assert after.traffic == before.traffic
    assert after.traffic_statuses == before.traffic_statuses
    assert after.latest_ready_revision == revisions(here)[0].name != before.latest_ready_revision
    assert call(here).status_code == 200, "the pinned revision answers"


@pytest.mark.parametrize(
    ("paths", "fields", "words"),
    [
        (["service_config.vpc_connector"], {}, "update_mask"),
        (["service_config.timeout_seconds"], {"service_config": {"timeout_seconds": 3601}}, "timeout_seconds"),
        (["service_config.timeout_seconds"], {}, "timeout_seconds"),
        (["service_config.available_memory"], {"service_config": {"available_memory": "much"}}, "available_memory"),
        (["build_config.runtime"], {"build_config": {"runtime": "cobol85"}}, "runtime"),
        ([SOURCE], {}, "Failed to retrieve function source code"),
    ],
)
def test_refused_before_anything_happens(cloud, paths, fields, words):
    here = cloud()
    before = get(here)
    with pytest.raises(BadRequest, match=words):
        update(here, *paths, **fields)
    assert get(here) == before


def test_one_deployment_at_a_time(cloud):
    here = cloud()
    first = deploy(here)
    with pytest.raises(Conflict, match="unable to queue the operation"):
        update(here, "labels", labels={})
    polled(first)
    polled(update(here, "labels", labels={}))


def test_what_an_upload_needs(cloud):
    here = cloud()
    url = here(FunctionServiceClient).generate_upload_url(request={"parent": HERE}).upload_url
    other = here(FunctionServiceClient).generate_upload_url(request={"parent": HERE}).upload_url
    assert url.startswith("https://storage.googleapis.com/")
    assert url != other
    assert put(here, url, b"x", Authorization="Bearer token").status_code == 400
    assert put(here, url, b"x", **{"content-type": "text/plain"}).status_code == 403
    assert put(here, url.replace("Signature", "x"), b"x").status_code == 403
    assert put(here, "https://storage.googleapis.com/somebody/else?Signature=1", b"x").status_code == 403
    assert put(here, url, b"x").status_code == 200


@pytest.mark.parametrize(
    "permission",
    ["cloudfunctions.functions.update", "cloudfunctions.functions.sourceCodeSet", "iam.serviceAccounts.actAs"],
)
def test_permissions(cloud, told, permission):
    here = cloud(told(f"deny: [{permission}]"))
    attempt = deploy if permission.endswith("sourceCodeSet") else lambda here: update(here, "labels", labels={})
    with pytest.raises(Forbidden, match=r"(?i)" + permission):
        attempt(here)


def test_a_source_that_may_be_uploaded_and_not_deployed(cloud, told):
    here = cloud(told('faults: [{route: "PATCH cloudfunctions", status: 403}]'))
    with pytest.raises(Forbidden):
        deploy(here)
    assert get(here).state == State.ACTIVE


def test_an_operation_that_never_ends(cloud, told):
    here = cloud(told('faults: [{route: "PATCH cloudfunctions", stuck: true}]'))
    operation = update(here, "labels", labels={})
    assert not any(operation.done() for _ in range(20))
    assert get(here).state == State.DEPLOYING


def test_after_a_lost_answer_the_operation_is_listed_and_the_function_shows_its_end(cloud, told):
    here = cloud(told('faults: [{route: "PATCH cloudfunctions", nth: 1, lost: after}]'))
    with pytest.raises(requests.ConnectionError):
        update(here, "labels", labels={"a": "b"})
    url = f"https://cloudfunctions.googleapis.com/v2/{HERE}/operations"
    [lost] = here.session.get(url).json()["operations"]
    assert lost["metadata"]["target"] == GMAIL
    assert [get(here).state for _ in range(3)] == [State.DEPLOYING, State.DEPLOYING, State.ACTIVE]
    assert dict(get(here).labels) == {"a": "b"}
    [done] = here.session.get(url).json()["operations"]
    assert done["done"]
    assert not here.session.get("https://run.googleapis.com/v2/" + done["name"]).ok, "it is no operation of Run"


def test_the_sample_passes_its_own_tests(tmp_path):
    for name in ("main.py", "test_main.py"):
        (tmp_path / name).write_text((SAMPLE / name).read_text())
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "-p", "no:cacheprovider", "--rootdir", tmp_path],
        cwd=tmp_path,
        env={**os.environ, "MOCK_MODE": "1"},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout
    assert "3 passed" in ran.stdout
