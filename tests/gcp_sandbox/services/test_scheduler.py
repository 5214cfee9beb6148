"""Cloud Scheduler v1 through Google's own client."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from google.api_core.exceptions import BadRequest, Forbidden, NotFound
from google.cloud import scheduler_v1
from google.cloud.functions_v2 import FunctionServiceClient
from google.cloud.scheduler_v1 import CloudSchedulerClient

from tests.gcp_sandbox.conftest import INVENTORY, PROJECT

HERE = f"projects/{PROJECT}/locations/us-central1"
NOW = datetime(2026, 3, 11, 13, 30, tzinfo=UTC)
State = scheduler_v1.Job.State


@pytest.fixture
def jobs(client):
    def read(world: str = "healthy") -> dict:
        return {j.name.rsplit("/", 1)[1]: j for j in client(CloudSchedulerClient, world).list_jobs(parent=HERE)}

    return read


def test_one_job_a_function(jobs, client):
    found = jobs()
    assert {n: j.schedule for n, j in found.items()} == {f["name"]: f["schedule"] for f in INVENTORY["functions"]}
    assert {(j.state, j.status.code, j.time_zone) for j in found.values()} == {(State.ENABLED, 0, "America/Chicago")}
    for name, job in found.items():
        function = client(FunctionServiceClient).get_function(name=f"{HERE}/functions/{name}")
        assert job.http_target.uri == function.service_config.uri
        assert job.http_target.oidc_token.service_account_email == function.service_config.service_account_email


@pytest.mark.parametrize(
    ("name", "last", "following"),
    [
        ("gmail-sync", (11, 13, 5), (11, 14, 5)),
        ("calendar-sync", (11, 13, 20), (11, 15, 20)),
        ("salesforce-accounts-sync", (11, 10, 0), (11, 16, 0)),
        ("account-scoring", (11, 12, 30), (12, 12, 30)),
    ],
)
def test_times_are_the_storys_and_the_schedules(jobs, name, last, following):
    job = jobs()[name]
    day, hour, minute = last
    late = job.last_attempt_time - datetime(2026, 3, day, hour, minute, tzinfo=UTC)
    assert timedelta(0) <= late < timedelta(seconds=20)
    day, hour, minute = following
    assert job.schedule_time == datetime(2026, 3, day, hour, minute, tzinfo=UTC)


def test_paused_and_failing(jobs, told):
    found = jobs(
        told("""runs: [{select: {name: gmail-sync}, since: 3h, outcome: skipped}]
jobs:
  - {select: {name: gmail-sync}, state: PAUSED}
  - {select: {name: account-scoring}, code: 13}""")
    )
    assert (found["gmail-sync"].state, found["gmail-sync"].status.code) == (State.PAUSED, 0)
    assert NOW - found["gmail-sync"].last_attempt_time > timedelta(hours=3)
    assert (found["account-scoring"].state, found["account-scoring"].status.code) == (State.ENABLED, 13)


def test_a_job_that_was_paused_calls_nothing_since_and_says_when(jobs, told):
    found = jobs(told("jobs: [{select: {name: gmail-sync}, state: PAUSED, changed: 5h}]"))["gmail-sync"]
    assert (found.state, found.user_update_time) == (State.PAUSED, NOW - timedelta(hours=5))
    assert timedelta(hours=5) < NOW - found.last_attempt_time < timedelta(hours=6)


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("memory", 14),
        ("timeout", 4),
        ("crash", 14),
        ("stuck", 4),
        ("capacity", 8),
        ("unauthenticated", 7),
        ("silence", 14),
        ("auth", 13),
        ("secret", 13),
        ("quota_hours", 13),
    ],
)
def test_a_failure_has_the_code_that_its_caller_gets(jobs, told, kind, code):
    job = jobs(told(f"runs: [{{select: {{name: account-scoring}}, since: 2h, kind: {kind}}}]"))["account-scoring"]
    assert job.status.code == code
    assert timedelta(0) <= job.last_attempt_time - datetime(2026, 3, 11, 12, 30, tzinfo=UTC) < timedelta(seconds=20)


def test_a_job_that_could_do_its_work_again_has_no_code(jobs, told):
    found = jobs(told("runs: [{select: {name: gmail-sync}, since: 3h, until: 1h, kind: capacity}]"))["gmail-sync"]
    assert found.status.code == 0


def test_refused_attempts_are_attempts(jobs):
    job = jobs("no_etl")["gmail-sync"]
    assert job.status.code == 7
    assert timedelta(0) <= job.last_attempt_time - datetime(2026, 3, 11, 13, 5, tzinfo=UTC) < timedelta(seconds=20)


def test_a_function_that_is_gone_leaves_its_job_behind(jobs):
    job = jobs("missing_function")["hubspot-contacts-sync"]
    assert (job.state, job.status.code) == (State.ENABLED, 5)


def test_get(client):
    google = client(CloudSchedulerClient)
    assert google.get_job(name=f"{HERE}/jobs/gmail-sync").attempt_deadline == timedelta(seconds=300)
    with pytest.raises(NotFound, match="Job not found"):
        google.get_job(name=f"{HERE}/jobs/nothing")


def test_pages(client, told):
    found = client(CloudSchedulerClient, told("bulk: {functions: 600}")).list_jobs(parent=HERE)
    assert [len(page.jobs) for page in found.pages] == [500, 105]


GMAIL = f"{HERE}/jobs/gmail-sync"


def test_pause_and_resume(client):
    google = client(CloudSchedulerClient)
    before = google.get_job(name=GMAIL)
    with pytest.raises(BadRequest, match="must be PAUSED"):
        google.resume_job(name=GMAIL)
    paused = google.pause_job(name=GMAIL)
    assert (paused.state, google.get_job(name=GMAIL)) == (State.PAUSED, paused)
    assert paused.user_update_time > before.user_update_time
    with pytest.raises(BadRequest, match="must be ENABLED"):
        google.pause_job(name=GMAIL)
    assert google.resume_job(name=GMAIL).state == State.ENABLED
    with pytest.raises(NotFound):
        google.pause_job(name=f"{HERE}/jobs/nothing")


LAST = (
    "SELECT status FROM sales_intelligence.etl_runs WHERE function_name = 'gmail-sync' ORDER BY started_at DESC LIMIT 1"
)


@pytest.mark.parametrize(
    ("world", "code", "status"),
    [
        ("healthy", 0, "success"),
        ("many_errors", 13, "failed"),
        ("still_running", 8, "running"),
        ("no_etl", 7, "success"),
    ],
)
def test_run(cloud, world, code, status):
    here = cloud(world)
    google, rows = here(CloudSchedulerClient), "SELECT COUNT(*) FROM sales_intelligence.etl_runs"
    before, [(runs,)] = google.get_job(name=GMAIL), here.rows(rows)
    job = google.run_job(name=GMAIL)
    assert (job.status.code, google.get_job(name=GMAIL)) == (code, job)
    assert job.last_attempt_time > before.last_attempt_time
    assert here.rows(rows) == [(runs + (world in ("healthy", "many_errors")),)]
    assert here.rows(LAST) == [(status,)]


def test_run_without_a_function(client):
    assert (
        client(CloudSchedulerClient, "missing_function").run_job(name=f"{HERE}/jobs/hubspot-contacts-sync").status.code
        == 5
    )


@pytest.mark.parametrize(("verb", "permission"), [("pause", "pause"), ("resume", "enable"), ("run", "run")])
def test_permissions(client, told, verb, permission):
    google = client(CloudSchedulerClient, told(f"deny: [cloudscheduler.jobs.{permission}]"))
    with pytest.raises(Forbidden, match=f"cloudscheduler.jobs.{permission}"):
        getattr(google, f"{verb}_job")(name=GMAIL)


def test_a_function_whose_service_and_job_have_other_names(session):
    functions = [{**INVENTORY["functions"][0], "name": "Gmail_Sync", "job": "mail_hourly"}]
    functions += [{**f, "service": "other-service"} for f in INVENTORY["functions"][1:2]] + INVENTORY["functions"][2:]
    asked = session(functions=functions)
    found = asked.get(f"https://cloudfunctions.googleapis.com/v2/{HERE}/functions").json()["functions"]
    services = {f["name"].rpartition("/")[2]: f["serviceConfig"]["service"].rpartition("/")[2] for f in found}
    assert (services["Gmail_Sync"], services["calendar-sync"]) == ("gmail-sync", "other-service")
    for service in ("gmail-sync", "other-service"):
        run = asked.get(f"https://run.googleapis.com/v2/{HERE}/services/{service}").json()
        assert run["name"].endswith(f"/services/{service}")
        listed = asked.get(f"https://run.googleapis.com/v2/{HERE}/services/{service}/revisions").json()["revisions"]
        assert listed[0]["name"] == run["latestCreatedRevision"]
        assert f"/services/{service}/revisions/{service}-" in run["latestCreatedRevision"]
    assert asked.get(f"https://run.googleapis.com/v2/{HERE}/services/Gmail_Sync").status_code == 404
    job = f"https://cloudscheduler.googleapis.com/v1/{HERE}/jobs/mail_hourly"
    assert asked.get(job).json()["httpTarget"]["uri"].startswith("https://gmail-sync-")
    assert "status" not in asked.post(f"{job}:run").json() or not asked.post(f"{job}:run").json()["status"]
    body = {"resourceNames": [f"projects/{PROJECT}"], "filter": 'resource.labels.service_name="gmail-sync"'}
    [entry, *_] = asked.post("https://logging.googleapis.com/v2/entries:list", json=body).json()["entries"]
    assert entry["labels"]["goog-drz-cloudfunctions-id"] == "gmail_sync"  # a label is lower case
