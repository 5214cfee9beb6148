"""A call of a function does what the guide's diagram says: rows in BigQuery, log entries, a status."""

from __future__ import annotations

import pytest
import requests
from google.cloud.functions_v2 import FunctionServiceClient

from tests.gcp_sandbox.conftest import PROJECT, polled

HERE = f"projects/{PROJECT}/locations/us-central1"
TOKEN = {"Authorization": "Bearer an-id-token"}
RUNS = "FROM sales_intelligence.etl_runs"


def call(here, name: str = "gmail-sync", **headers: str) -> requests.Response:
    function = here(FunctionServiceClient).get_function(name=f"{HERE}/functions/{name}")
    plain = requests.Session()  # Google's would try to refresh its token at a 401
    plain.mount("https://", here.session.get_adapter("https://"))
    return plain.post(function.service_config.uri, headers=headers or TOKEN)


def entries(here, newest: int) -> list[dict]:
    asked = {"resourceNames": [f"projects/{PROJECT}"], "orderBy": "timestamp desc", "pageSize": newest}
    return here.session.post("https://logging.googleapis.com/v2/entries:list", json=asked).json()["entries"][::-1]


def test_success(cloud):
    here = cloud()
    messages, runs = (
        here.rows(f"SELECT COUNT(*) FROM sales_intelligence.{t}")[0][0] for t in ("gmail_messages", "etl_runs")
    )
    answer = call(here)
    assert answer.status_code == 200
    [run] = here.rows(f"SELECT run_id, source_system, status, error_message {RUNS} ORDER BY started_at DESC LIMIT 1")
    assert run == (answer.json()["run_id"], "gmail", "success", None)
    assert here.rows(f"SELECT COUNT(*) {RUNS}") == [(runs + 1,)]
    added = here.rows("SELECT COUNT(*) FROM sales_intelligence.gmail_messages")[0][0] - messages
    assert 1 <= added <= 4
    assert here.rows(
        "SELECT TIMESTAMP_DIFF(CURRENT_TIMESTAMP(), MAX(sent_at), MINUTE) FROM sales_intelligence.gmail_messages"
    ) == [(3,)]
    begun, done = entries(here, 2)
    assert (begun["severity"], done["severity"]) == ("INFO", "INFO")
    assert done["textPayload"] == f"Run {run[0]} wrote {answer.json()['records']} rows."
    assert begun["labels"]["execution_id"] == done["labels"]["execution_id"]


def test_it_happens_once_a_call(cloud):
    here = cloud()
    assert len({call(here).json()["run_id"] for _ in range(3)}) == 3


def test_a_revision_that_needs_more_memory_is_cured_by_it(cloud, told):
    here = cloud(told("revisions: [{select: {name: gmail-sync}, age: 6h, kind: memory}]"))
    assert call(here).status_code != 200
    request = {
        "function": {"name": f"{HERE}/functions/gmail-sync", "service_config": {"available_memory": "1Gi"}},
        "update_mask": {"paths": ["service_config.available_memory"]},
    }
    polled(here(FunctionServiceClient).update_function(request=request))
    assert call(here).status_code == 200


def test_a_cause_that_goes_on(cloud):
    here = cloud("stale_scores")
    answer = call(here, "account-scoring")
    assert (answer.status_code, answer.text) == (500, "Internal Server Error")
    [(status, error)] = here.rows(f"SELECT status, error_message {RUNS} ORDER BY started_at DESC LIMIT 1")
    assert (status, error) == ("failed", "Memory limit of 1024 MiB exceeded with 1063 MiB used.")
    assert entries(here, 1)[0]["severity"] == "ERROR"
    name = f"{HERE}/functions/account-scoring"
    request = {
        "function": {"name": name, "service_config": {"available_memory": "2Gi"}},
        "update_mask": {"paths": ["service_config.available_memory"]},
    }
    polled(here(FunctionServiceClient).update_function(request=request))
    assert call(here, "account-scoring").status_code == 200, "more memory is the cure"


@pytest.mark.parametrize(
    ("headers", "status"),
    [({"X": "y"}, 403), ({"Authorization": "Bearer "}, 401), ({"Authorization": "Basic x"}, 401), (TOKEN, 200)],
)
def test_who_may_call(cloud, headers, status):
    here = cloud()
    answer = call(here, **headers)
    assert answer.status_code == status
    if status != 200:
        assert "Your client does not have permission" in answer.text
        assert here.rows(f"SELECT COUNT(*) {RUNS} WHERE started_at > '2026-03-11 13:30:00'") == [(0,)]


def test_without_permission(cloud, told):
    here = cloud(told("deny: [run.routes.invoke]"))
    assert call(here).status_code == 403
    [refused] = entries(here, 1)
    assert (refused["severity"], "The request was not authenticated" in refused["textPayload"]) == ("WARNING", True)


def test_one_at_a_time(cloud):
    here = cloud("still_running")
    assert here.rows(f"SELECT COUNT(*) {RUNS} WHERE status = 'running' AND finished_at IS NULL") == [(1,)]
    answer = call(here)
    assert (answer.status_code, answer.text) == (429, "Rate exceeded.")
    assert "no available instance" in entries(here, 1)[0]["textPayload"]
    assert call(here, "calendar-sync").status_code == 200


def test_a_run_past_its_time_limit_does_not_hold_the_instance(cloud, told):
    here = cloud(told("runs: [{select: {name: gmail-sync}, since: 30m, outcome: running}]"))
    assert call(here).status_code == 200


def test_a_table_that_is_gone(cloud, told):
    here = cloud(told("tables: [{name: gmail_messages, absent: true}]"))
    assert call(here).status_code == 500
    [(error,)] = here.rows(f"SELECT error_message {RUNS} ORDER BY started_at DESC LIMIT 1")
    assert error == f"404 Not found: Table {PROJECT}:sales_intelligence.gmail_messages"


def test_a_run_fits_the_columns_that_are_there(cloud, told):
    here = cloud(told("tables: [{name: etl_runs, drop: [error_message]}]"))
    assert call(here).status_code == 200
    assert here.rows(f"SELECT status {RUNS} ORDER BY started_at DESC LIMIT 1") == [("success",)]


def test_an_address_that_is_nobodys(cloud):
    assert cloud().session.post("https://nobody-abcdefghij-uc.a.run.app/", headers=TOKEN).status_code == 404


def test_the_same_calls_leave_the_same_ids(cloud):
    one, other = (call(cloud()).json() for _ in range(2))
    assert one == other
