"""Cloud Logging through Google's own client: the query language as a table, pages, and entries as functions write them."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest
from google.api_core.exceptions import BadRequest, Forbidden, GoogleAPICallError
from google.cloud import logging

from gcp_sandbox.services.logging import logging as served
from gcp_sandbox.world.events import Entry
from tests.gcp_sandbox.conftest import PROJECT

# a, b, c, d are one entry each, at 10:00, 11:00, 12:00 and 13:00.
FOUR = r"""
runs: [{select: {}, since: 8d, outcome: skipped}]
errors:
  - {select: {name: gmail-sync}, since: 4h, until: 3h, count: 1, text: 'a: Token (code 401) "expired" C:\tmp'}
  - {select: {name: hubspot-contacts-sync}, since: 3h, until: 2h, count: 1, payload: json, text: "b: Rate limit"}
  - {select: {name: salesforce-accounts-sync}, since: 2h, until: 1h, count: 1, payload: proto, severity: CRITICAL,
     text: "c: Container Healthcheck failed"}
  - {select: {name: calendar-sync}, since: 1h, count: 1, text: "d: slow answer", severity: WARNING}
"""
NOW = datetime(2026, 3, 11, 13, 30, tzinfo=UTC)
SINCE = 'timestamp>="2026-01-01T00:00:00Z"'

FILTERS = [
    ("", "abcd"),
    # severity is an order
    ("severity>=ERROR", "abc"),
    ("severity>ERROR", "c"),
    ("severity=error", "ab"),
    ("severity<=WARNING", "d"),
    ("severity!=WARNING", "abc"),
    ("severity>=500", "abc"),
    ("severity=(ERROR OR WARNING)", "abd"),
    # time
    ('timestamp>="2026-03-11T11:00:00Z"', "bcd"),
    ('timestamp>"2026-03-11T11:00:00Z"', "cd"),
    ('timestamp<"2026-03-11T11:00:00Z"', "a"),
    ('timestamp="2026-03-11T06:00:00-05:00"', "b"),
    ("timestamp>=2026-03-11T12:00:00Z", "cd"),
    ('timestamp>="2026-03-11" timestamp<"2026-03-12"', "abcd"),
    ('timestamp<"2026-03-11T10:30:00Z" OR timestamp>"2026-03-11T12:30:00Z"', "ad"),
    ('NOT timestamp>="2026-03-11T11:00:00Z"', "a"),
    ('receiveTimestamp>"2026-03-11T12:00:00Z"', "cd"),
    # equals and has, which ignore case
    ('textPayload="D: SLOW ANSWER"', "d"),
    ('textPayload="slow"', ""),
    ("textPayload:SLOW", "d"),
    ('textPayload:"(code 401)"', "a"),
    (r'textPayload:"\"expired\""', "a"),
    (r'textPayload:"C:\\tmp"', "a"),
    ('jsonPayload.message:"rate"', "b"),
    ('protoPayload.status.message:"healthcheck"', "c"),
    ("protoPayload.status.code=9", "c"),
    ("protoPayload.status.code>=2", "c"),
    ("protoPayload.status.code<2", ""),
    ('protoPayload."@type":AuditLog', "c"),
    ("resource.type=cloud_run_revision", "abcd"),
    ('resource.labels.service_name="gmail-sync"', "a"),
    ('resource.labels.service_name=("gmail-sync" OR "calendar-sync")', "ad"),
    ('resource.labels.service_name:("sync" AND NOT "gmail")', "bcd"),
    ('labels."goog-managed-by"="cloudfunctions"', "abd"),  # an event of the system has no labels
    ("labels.goog-managed-by=cloudfunctions", "abd"),
    ("labels:cloudfunctions", "abd"),
    ('logName="projects/acme-test/logs/run.googleapis.com%2Fstderr"', "abd"),
    ('logName:"cloudaudit"', "c"),
    ('log_id("run.googleapis.com/stderr")', "abd"),
    # regular expressions, which do not
    ('textPayload=~"code 4\\d\\d"', "a"),
    ('textPayload=~"SLOW"', ""),
    ('textPayload=~"(?i)SLOW"', "d"),
    ('resource.labels.service_name!~"^(gmail|calendar)"', "bc"),
    # what is there, and what is not
    ("jsonPayload:*", "b"),
    ("NOT jsonPayload:*", "acd"),
    ("-textPayload:*", "bc"),
    ("jsonPayload.message!=x", "b"),
    ("NOT jsonPayload.message=x", "abcd"),
    ("jsonPayload.absent!=x", ""),
    ("labels.absent=x", ""),
    ('textPayload!="d: slow answer"', "abc"),
    ("httpRequest.status>=500", ""),
    # anywhere
    ("healthcheck", "c"),
    ('"rate limit"', "b"),
    ("gmail-sync", "a"),
    ("sync NOT gmail", "bcd"),
    ("run.googleapis.com", "abcd"),
    # NOT, then OR, then AND, which may be left out
    ("severity>=ERROR AND gmail OR hubspot", "ab"),
    ("gmail OR hubspot severity=WARNING", ""),
    ("gmail OR (hubspot severity=ERROR)", "ab"),
    ("(gmail) OR (slow)", "ad"),
    ("NOT gmail AND NOT slow", "bc"),
    ("NOT (gmail OR slow)", "bc"),
    ("-gmail -slow", "bc"),
    ("severity>=ERROR -- and a comment: OR slow\n-gmail", "bc"),
    ("textPayload:and OR textPayload:ORDER", ""),
]


@pytest.fixture
def entries(session, told, monkeypatch):
    # Reading an entry, the client asks the machine's metadata server where it runs: 5 s where the name takes that long.
    monkeypatch.setattr("google.cloud.logging_v2.logger.detect_resource", lambda _project: None)

    def read(text: str, world: str = "", **how):
        google = logging.Client(project=PROJECT, _http=session(world or told(FOUR)), _use_grpc=False)
        return list(google.list_entries(filter_=text, **how))

    return read


def letter(entry) -> str:
    payload = entry.payload
    text = payload if isinstance(payload, str) else payload.get("message") or payload["status"]["message"]
    return text[0]


@pytest.mark.parametrize(("text", "expected"), FILTERS)
def test_filter(entries, text, expected):
    # The client adds a bound of the wall clock to a filter that names no timestamp.
    bounded = text if "timestamp" in text.lower() else f"({text}\n) {SINCE}" if text else SINCE
    assert "".join(letter(e) for e in entries(bounded)) == expected


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("severity>=", "Unparseable filter: syntax error at line 1"),
        ("(severity>=ERROR", "Unparseable filter"),
        ("severity>=ERROR)", "line 1, column 16"),
        ("severity>=ERROR\nAND AND gmail", "line 2, column 5"),
        ('textPayload:"open', "Unparseable filter"),
        ("severity>=LOUD", "Invalid severity: LOUD"),
        ('timestamp>="yesterday"', "Invalid timestamp"),
        ("colour=red", "Field not found: 'colour'"),
        ('textPayload=~"("', "Invalid regular expression"),
    ],
)
def test_what_is_no_filter(entries, text, complaint):
    with pytest.raises(BadRequest, match=complaint):
        entries(f"{text} {SINCE}" if "timestamp" not in text and "(" not in text[:1] else text)


def test_a_filter_function_that_is_not_here_says_so(entries):
    with pytest.raises(GoogleAPICallError, match="gcp_sandbox has no filter function sample") as caught:
        entries(f"sample(insertId, 0.5) {SINCE}")
    assert caught.value.code == 501


def test_order_and_pages(entries):
    assert "".join(letter(e) for e in entries(SINCE, order_by=logging.DESCENDING)) == "dcba"
    assert "".join(letter(e) for e in entries(SINCE, order_by=logging.DESCENDING, page_size=1)) == "dcba"
    assert "".join(letter(e) for e in entries(SINCE, page_size=3)) == "abcd"
    assert "".join(letter(e) for e in entries(SINCE, max_results=2)) == "ab"


def test_a_page_may_be_empty_and_not_the_last(entries, session, told, monkeypatch):
    monkeypatch.setattr(served, "SCAN", 2)
    asked = {"resourceNames": [f"projects/{PROJECT}"], "filter": "textPayload:slow"}
    first = session(told(FOUR)).post("https://logging.googleapis.com/v2/entries:list", json=asked).json()
    assert sorted(first) == ["nextPageToken"]
    assert "".join(letter(e) for e in entries(f"textPayload:slow {SINCE}")) == "d"


def test_a_page_looks_at_no_entry_of_another_log(session, told, monkeypatch):
    monkeypatch.setattr(served, "SCAN", 3)
    log = f"projects/{PROJECT}/logs/cloudaudit.googleapis.com%2Factivity"
    asked = {"resourceNames": [f"projects/{PROJECT}"], "filter": f'logName="{log}"', "orderBy": "timestamp asc"}
    world = told("revisions: [{select: {name: gmail-sync}, age: 2h}]\nbulk: {errors: 40}")
    url = "https://logging.googleapis.com/v2/entries:list"
    first = session(world).post(url, json=asked).json()
    assert [e["logName"] for e in first["entries"]] == [log] * 3  # one deployment: its begin, the robot, its end
    assert "nextPageToken" not in first
    either = {**asked, "filter": f'logName="{log}" OR textPayload:"bulk error 1"'}
    assert "nextPageToken" in session(world).post(url, json=either).json()
    assert "nextPageToken" in session(world).post(url, json={**asked, "filter": f'NOT logName="{log}"'}).json()


INDEXED = [
    "severity>=ERROR",
    'resource.type="cloud_run_revision"',
    'resource.labels.service_name=("gmail-sync" OR "x")',
]
INDEXED += [f'logName="projects/{PROJECT}/logs/run.googleapis.com%2Fstderr"', 'log_id("run.googleapis.com/requests")']
INDEXED += ['resource.labels.revision_name:"00001"', "textPayload:a", 'timestamp>="2026-03-11T11:00:00Z"']


@pytest.mark.parametrize("shape", ["{0}", "NOT {0}", "{0} {1}", "{0} OR {1}", "NOT ({0} OR {1})", "{0} NOT {1}"])
def test_the_index_changes_no_answer(session, told, shape):
    world = told(FOUR + "revisions: [{select: {name: gmail-sync}, age: 2h}]\n")
    log = session(world).get_adapter("https://").app.sandbox.log
    seen = set()
    for text in {shape.format(one, other) for one in INDEXED for other in INDEXED}:
        wanted = served.compiled(text, log.fields)
        ids = [log.fields["insertId"](e) for e in log.entries if wanted.matches(e)]
        for newest_first in (True, False):
            found, more = log.read(wanted, len(log.entries), newest_first, None)
            assert [e["insertId"] for e in found] == (ids[::-1] if newest_first else ids), text
            assert more is None
        seen.add(len(ids))
    assert len(seen) > 3


def test_an_entry_of_this_moment_is_in_its_log(session):
    google = session()
    log = f"projects/{PROJECT}/logs/run.googleapis.com%2Fstderr"
    asked = {"resourceNames": [f"projects/{PROJECT}"], "filter": f'logName="{log}" textPayload:"just now"'}
    url, sandbox = "https://logging.googleapis.com/v2/entries:list", google.get_adapter("https://").app.sandbox
    assert google.post(url, json=asked).json() == {}
    sandbox.log.add(Entry(sandbox.now, "gmail-sync", "ERROR", "just now"))
    assert [e["textPayload"] for e in google.post(url, json=asked).json()["entries"]] == ["just now"]


def test_a_page_token_belongs_to_its_query(session, told):
    google = session(told(FOUR))
    asked = {"resourceNames": [f"projects/{PROJECT}"], "pageSize": 1}
    url = "https://logging.googleapis.com/v2/entries:list"
    token = google.post(url, json=asked).json()["nextPageToken"]
    refused = google.post(url, json={**asked, "pageToken": token, "filter": "gmail"})
    assert (refused.status_code, refused.json()["error"]["status"]) == (400, "INVALID_ARGUMENT")


@pytest.mark.parametrize("change", [{"resourceNames": []}, {"orderBy": "severity"}, {"pageSize": -1}])
def test_what_is_no_request(session, change):
    asked = {"resourceNames": [f"projects/{PROJECT}"], **change}
    assert session().post("https://logging.googleapis.com/v2/entries:list", json=asked).status_code == 400


def test_another_projects_logs_are_refused(session):
    google = logging.Client(project="somebody-elses", _http=session(), _use_grpc=False)
    with pytest.raises(Forbidden, match="somebody-elses"):
        list(google.list_entries(filter_=SINCE))


def test_an_entry_is_what_a_second_generation_function_writes(entries):
    run = entries(f'textPayload:"Run gmail-sync-202603111305" {SINCE}', world="healthy")
    assert [e.severity for e in run] == ["INFO", "INFO"]
    first = run[0].to_api_repr()
    labels = first["resource"]["labels"]
    assert first["resource"]["type"] == "cloud_run_revision"
    assert (labels["service_name"], labels["location"], labels["project_id"]) == ("gmail-sync", "us-central1", PROJECT)
    assert labels["revision_name"].startswith("gmail-sync-000")
    assert first["labels"]["goog-managed-by"] == "cloudfunctions"
    assert run[0].labels["execution_id"] == run[1].labels["execution_id"]
    assert run[0].received_timestamp > run[0].timestamp
    assert len({e.insert_id for e in entries(SINCE, world="healthy")}) == len(entries(SINCE, world="healthy"))


CHANGED = """
revisions: [{select: {name: gmail-sync}, age: 2h, by: ann@acme.example}]
traffic: [{select: {name: gmail-sync}, back: 1, since: 1h}]
jobs: [{select: {name: calendar-sync}, state: PAUSED, changed: 50m}]
secrets: [{name: gmail-oauth-token, versions: [{age: 300d, state: DISABLED, changed: 40m}, {age: 3d}]}]
grants: [{action: REMOVE, role: roles/run.invoker, age: 30m}]
tables: [{name: sf_accounts, changed: 20m}]
"""
CHANGES = [  # method, how long before the clock in minutes, resource, type of the monitored resource
    ("SecretManagerService.AddSecretVersion", 4320, "secrets/gmail-oauth-token", "audited_resource"),
    (
        "FunctionService.UpdateFunction",
        121,
        f"projects/{PROJECT}/locations/us-central1/functions/gmail-sync",
        "cloud_function",
    ),
    ("InternalServices.ReplaceInternalService", 120, "services/gmail-sync", "cloud_run_revision"),
    (
        "FunctionService.UpdateFunction",
        119,
        f"projects/{PROJECT}/locations/us-central1/functions/gmail-sync",
        "cloud_function",
    ),
    ("run.v1.Services.ReplaceService", 60, f"namespaces/{PROJECT}/services/gmail-sync", "cloud_run_revision"),
    ("CloudScheduler.PauseJob", 50, "jobs/calendar-sync", "cloud_scheduler_job"),
    ("SecretManagerService.DisableSecretVersion", 40, "secrets/gmail-oauth-token/versions/1", "audited_resource"),
    ("SetIamPolicy", 30, f"projects/{PROJECT}", "project"),
    ("TableService.PatchTable", 20, "tables/sf_accounts", "bigquery_dataset"),
]


def test_changes_are_in_the_audit_log(entries, told):
    found = [
        e.to_api_repr() for e in entries(f'log_id("cloudaudit.googleapis.com/activity") {SINCE}', world=told(CHANGED))
    ]
    assert len(found) == len(CHANGES)
    for entry, (method, minutes, resource, kind) in zip(found, CHANGES, strict=True):
        payload = entry["protoPayload"]
        assert (entry["severity"], entry["resource"]["type"], "labels" in entry) == ("NOTICE", kind, False)
        assert payload["methodName"].endswith(method)
        assert payload["resourceName"].endswith(resource)
        assert 0 <= (NOW - datetime.fromisoformat(entry["timestamp"])).total_seconds() + 0.001 - 60 * minutes <= 61
    assert [e["protoPayload"]["authenticationInfo"]["principalEmail"].split("@")[0] for e in found[1:5]] == [
        "ann",
        f"service-{found[2]['protoPayload']['authenticationInfo']['principalEmail'].split('@')[0].split('-')[1]}",
        "ann",
        "deploy",
    ]
    first, last = found[1]["operation"], found[3]["operation"]
    assert (first["id"], first.get("first"), last.get("last")) == (last["id"], True, True)
    assert [n for n, e in enumerate(found) if "operation" in e] == [1, 3]
    delta = found[7]["protoPayload"]["serviceData"]["policyDelta"]["bindingDeltas"][0]
    assert (delta["action"], delta["role"]) == ("REMOVE", "roles/run.invoker")


def test_a_deployment_that_was_refused(entries, told):
    world = told("denied: [{select: {name: gmail-sync}, age: 1h, by: ann@acme.example}]")
    [entry] = entries(f"severity>=ERROR {SINCE}", world=world)
    assert entry.log_name.endswith("cloudaudit.googleapis.com%2Factivity")
    assert entry.payload["status"]["code"] == 7
    assert "denied" in entry.payload["status"]["message"]


def test_a_traceback_on_stderr_has_a_group_and_no_severity(entries, told):
    lines = ["[INFO] all is well", "Traceback (most recent call last)\\nKeyError"]
    one = '{{select: {{name: gmail-sync}}, since: 2h, count: 1, payload: stderr, text: "{}"}}'
    world = told(f"errors: [{', '.join(map(one.format, lines))}]")
    drawn = [e.to_api_repr() for e in entries(f'log_id("run.googleapis.com/stderr") {SINCE}', world=world)]
    assert {e["textPayload"].split()[0] for e in drawn} == {"[INFO]", "Traceback"}
    assert len(entries(f'log_id("run.googleapis.com/stderr") severity=DEFAULT {SINCE}', world=world)) == 2
    assert len(entries(f"errorGroups.id:* {SINCE}", world=world)) == 1
    assert not entries(f'severity>=DEBUG textPayload:* log_id("run.googleapis.com/stderr") {SINCE}', world=world)


def test_a_request_that_was_refused(entries, told):
    _, entry, attempt = sorted(
        entries(
            f'httpRequest.status=403 OR log_id("cloudscheduler.googleapis.com/executions") '
            f'timestamp>="2026-03-11T13:00:00Z" gmail {SINCE}',
            world=told("runs: [{select: {name: gmail-sync}, since: 1h, kind: unauthenticated}]"),
        ),
        key=lambda e: (e.timestamp, e.severity == "ERROR", e.severity == "WARNING"),
    )
    assert attempt.payload["status"] == "PERMISSION_DENIED"
    assert (attempt.severity, attempt.http_request) == ("ERROR", {"status": 403})
    assert (entry.severity, entry.log_name.endswith("run.googleapis.com%2Frequests")) == ("WARNING", True)
    assert entry.payload.startswith("The request was not authenticated.")
    assert entry.http_request["requestUrl"].startswith("https://gmail-sync-")


def test_the_newest_thousand_of_many_are_quick(entries, told):
    world = told("bulk: {errors: 100000}")
    text = f'severity>=ERROR timestamp>="2026-03-10T13:30:00Z" timestamp<="2026-03-11T13:30:00Z" {SINCE}'
    entries(text, world=world, max_results=1)
    began = time.perf_counter()
    found = entries(text, world=world, order_by=logging.DESCENDING, page_size=1000, max_results=1000)
    assert [e.payload for e in (found[0], found[-1])] == ["bulk error 100000", "bulk error 99001"]
    assert time.perf_counter() - began < 2, "the story of 100,000 and a page of it"
