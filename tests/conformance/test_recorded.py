"""The sandbox against tests/real: what it sends has the keys that were recorded, and values of the recorded forms.

test_routes.py compares the same answers with Google's discovery documents, which name every key that there may be. A log's
payload, an audit entry and a status page are in none: a key of theirs is recorded, or named here with its source.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

import gcp_sandbox
from gcp_sandbox.inprocess import InProcess
from gcp_sandbox.world.failures import KINDS
from runbook.config.load import load_settings

REAL = Path(__file__).parents[1] / "real"
SYSTEM = load_settings("sandbox")
PLACE = f"projects/{SYSTEM.project}/locations/{SYSTEM.region}"
NAMES = [f.name for f in SYSTEM.functions]

FORMS = [  # the first that fits a text
    ("time", r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)"),
    ("seconds", r"\d+(\.\d+)?s"),
    ("number", r"-?\d+"),
    ("WORD", r"[A-Z][A-Z0-9_]+"),
    ("name with the number", r"projects/\d+/.*"),
    ("name with the id", r"projects/[a-z][^/]*/.*"),
]


def form(value: Any) -> str:
    """What kind of value one is; of a time the digits of its seconds and its zone, too."""
    if not isinstance(value, str):
        return "number itself" if type(value) in (int, float) else type(value).__name__
    name = next((name for name, says in FORMS if re.fullmatch(says, value, re.DOTALL)), "text")
    if name != "time":
        return name
    digits, zone = re.fullmatch(r"[^.Z+]+\.?(\d*)(Z|\+.*)", value).groups()
    return f"time, {len(digits)} digits, {zone}"


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Each path in a JSON value, with the form of its value; elements of a list share theirs."""
    if isinstance(value, dict):
        yield path, "object"
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        yield path, "list"
        for inner in value:
            yield from leaves(inner, f"{path}[]")
    else:
        yield path, form(value)


def forms(values: list[Any]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for value in values:
        for path, kind in leaves(value):
            found[path].add(kind)
    return found


def misfits(sent: list[Any], recorded: dict[str, set[str]], *, closed: bool, documented: dict[str, str] | None = None):
    """What of `sent` is not as it was recorded, unless it is documented; if `closed`, also keys that are neither."""
    wrong = []
    for path, kinds in forms(sent).items():
        if path in (documented or {}):
            continue
        if path in recorded:
            wide = {"WORD", "number"} if "text" in recorded[path] else set()
            wrong += [f"{path} is {kind}, not {recorded[path]}" for kind in kinds - recorded[path] - wide]
        elif closed:
            wrong.append(f"{path} was never recorded")
    return sorted(wrong)


@cache
def recordings(prefix: str) -> list[Any]:
    found = [json.loads(p.read_text(encoding="utf-8")) for p in sorted(REAL.glob(f"{prefix}*.json"))]
    return [one for each in found for one in (each if isinstance(each, list) else [each])]


def recording(name: str) -> Any:
    return json.loads((REAL / f"{name}.json").read_text(encoding="utf-8"))


def session(world: str = "healthy") -> requests.Session:
    made = requests.Session()
    made.mount("https://", InProcess(gcp_sandbox.app(SYSTEM.inventory(), world)))
    return made


def log_of(entry: dict[str, Any]) -> str:
    return entry["logName"].rsplit("/", 1)[1].replace("%2F", "/") if "logName" in entry else ""


# --- logs

KIND = "{{select: {{name: {name}}}, since: {hours}, kind: {kind}}}"
HALVES = ("26h, until: 14h", "13h")  # one half of the time for each kind, as there are more kinds than functions
PLACES = [(name, half) for half in HALVES for name in NAMES[2:]]
FAILING = dict(zip(KINDS, PLACES, strict=False))
RUNS = ", ".join(KIND.format(name=name, kind=kind, hours=half) for kind, (name, half) in FAILING.items())
QUOTA = (
    "Could not create or update Cloud Run service embeddings, Container Healthcheck failed. "
    "\\nQuota exceeded for total allowable CPU per project per region."
)
EVERYTHING = f"""about: every kind of entry.
now: 2026-03-11T13:30:00Z
runs: [{RUNS}]
errors:
  - {{select: {{}}, count: 30, text: structured, payload: json}}
  - {{select: {{}}, count: 30, text: "Traceback (most recent call last):\\n  File\\nKeyError: 'id'", payload: stderr}}
revisions:
  - {{select: {{name: gmail-sync}}, age: 3h, by: ann@acme.example}}
  - {{select: {{name: gmail-sync}}, age: 2h, failure: "The user-provided container failed to start", by: ann@acme.example}}
  - {{select: {{name: embeddings}}, age: 4h, failure: "{QUOTA}", code: 8, by: ann@acme.example}}
denied: [{{select: {{name: gmail-sync}}, age: 1h, by: ann@acme.example}}]
traffic: [{{select: {{name: calendar-sync}}, back: 1, since: 1h}}]
jobs: [{{select: {{name: calendar-sync}}, state: PAUSED, changed: 50m}}]
secrets: [{{name: gmail-oauth-token, versions: [{{age: 300d, state: DISABLED, changed: 40m}}, {{age: 3d}}]}}]
grants: [{{action: REMOVE, role: roles/run.invoker, age: 30m}}]
tables: [{{name: sf_accounts, changed: 20m}}]
functions: [{{select: {{name: hubspot-engagements-sync}}, state: absent}}]
"""

AUDIT = "https://cloud.google.com/logging/docs/audit/understanding-audit-logs"
BIGQUERY = "https://cloud.google.com/bigquery/docs/reference/auditlogs/rest/Shared.Types/BigQueryAuditMetadata"
IAM = "https://github.com/googleapis/googleapis/blob/master/google/iam/v1/logging/audit_data.proto"
DOCUMENTED = {
    "protoPayload.request.name": AUDIT,
    "protoPayload.metadata.tableChange": BIGQUERY,
    "protoPayload.metadata.tableChange.reason": BIGQUERY,
    **dict.fromkeys(
        ("protoPayload.serviceData", "protoPayload.serviceData.@type", "protoPayload.serviceData.policyDelta"), IAM
    ),
    "protoPayload.serviceData.policyDelta.bindingDeltas": IAM,
    "protoPayload.serviceData.policyDelta.bindingDeltas[]": IAM,
    **{f"protoPayload.serviceData.policyDelta.bindingDeltas[].{key}": IAM for key in ("action", "role", "member")},
    "resource.labels.dataset_id": "https://cloud.google.com/monitoring/api/resources#tag_bigquery_dataset",
    "resource.labels.job_id": "https://cloud.google.com/monitoring/api/resources#tag_cloud_scheduler_job",
}
STREAMS = ("run.googleapis.com/stdout", "run.googleapis.com/stderr")
LOGS = [
    "run.googleapis.com/requests",
    "run.googleapis.com/varlog/system",
    "cloudscheduler.googleapis.com/executions",
    "cloudaudit.googleapis.com/system_event",
    "cloudaudit.googleapis.com/activity",
    *STREAMS,
]


# A recorded log entry that no world of the sandbox has, and why.
NOT_GIVEN = {
    "log_audit_activity": "somebody creates a Run service; the services here are those of functions",
    "log_audit_data": "a Data Access log, which is off in a project until somebody turns it on",
    "log_audit_policy": "a perimeter of VPC Service Controls, which is the organization's",
    "log_gen1": "a function of the first generation",
    "log_no_service": "a line without a service, which is of no function",
    "log_other_resource": "a virtual machine",
    "log_run_job": "a job of Cloud Run",
    "log_scheduler_pubsub": "a job with a topic of Pub/Sub; the jobs here call functions",
    "log_request_403": "OPTIONS of a browser; jobs send POST",
    "log_request_no_instance": "in the form of the first generation; the sandbox answers 429",
    "log_scheduler_refused": "a job that calls another API of Google's",
    "log_timeout_no_time": "trimmed, in the form of the first generation",
}


def told_by_platform() -> list[dict[str, Any]]:
    """The recorded lines that the platform writes without one of the sandbox's kinds of failures."""
    found = []
    for entry in (recording(name) for name in ("log_memory_request", "log_not_ready", "log_probe")):
        told = {"select": {"name": "calendar-sync"}, "count": 1, "severity": entry["severity"]}
        http = entry.get("httpRequest", {})
        told |= {"status": http["status"], "took": float(http["latency"][:-1])} if http else {}
        found.append(told | {"text": entry["textPayload"], "payload": "request" if http else "system"})
    return found


def told_by_functions() -> list[dict[str, Any]]:
    """The recorded lines of functions as the `errors` of a world."""
    found = []
    for entry in (e for e in recordings("log_") if log_of(e) in STREAMS):
        told = {"select": {"name": "calendar-sync"}, "count": 1, "severity": entry.get("severity", "DEFAULT")}
        plain = "stderr" if told["severity"] == "DEFAULT" else "text"
        whole = {"text": json.dumps(entry["jsonPayload"]), "payload": "json"} if "jsonPayload" in entry else {}
        found.append(told | (whole or {"text": entry["textPayload"], "payload": plain}))
    return found


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """Every entry of a world in which everything happens, by its log."""
    world = tmp_path_factory.mktemp("world") / "everything.yaml"
    said = yaml.safe_load(EVERYTHING)
    said["errors"] += [*told_by_functions(), *told_by_platform()]
    world.write_text(json.dumps(said, default=str), encoding="utf-8")
    google, found, token = session(str(world)), defaultdict(list), ""
    calls = "https://cloudscheduler.googleapis.com/v1/" + PLACE
    for name in ("gmail-sync", "hubspot-engagements-sync"):
        assert google.post(f"{calls}/jobs/{name}:run").status_code == 200
    asked = {"resourceNames": [f"projects/{SYSTEM.project}"], "pageSize": 1000}
    while token is not None:
        answer = google.post("https://logging.googleapis.com/v2/entries:list", json=asked | {"pageToken": token}).json()
        token = answer.get("nextPageToken")
        for entry in answer["entries"]:
            found[log_of(entry)].append(entry)
    return found


@pytest.mark.parametrize("log", LOGS)
def test_entries(written: dict[str, list[dict[str, Any]]], log: str) -> None:
    every = [*recordings("log_"), *recordings("audit_")]
    same = STREAMS if log in STREAMS else (log,)
    own = [e for e in every if log_of(e) in same and e["logName"].startswith("projects/lumen-crm-prod/logs/")]
    assert own
    recorded = forms(own)
    for path, kinds in forms([e for e in every if log_of(e).startswith("run.")]).items():
        if path.startswith("labels"):  # they are those of the service, whatever the log
            recorded[path] |= kinds
    assert written[log]
    assert misfits(written[log], recorded, closed=True, documented=DOCUMENTED) == []


def signature(entry: dict[str, Any]) -> tuple[Any, ...]:
    """What says of which kind an entry is; numbers and names in its words count as equal."""
    payload, status = entry.get("jsonPayload", {}), entry.get("protoPayload", {}).get("status", {})
    words = re.sub(r"\S*\d\S*", "#", entry.get("textPayload", "") + status.get("message", "")[:53])
    attempt = [payload.get(key) for key in ("@type", "status", "debugInfo")] if "jobName" in payload else payload
    http = entry.get("httpRequest", {}).get("status")
    log = "stream" if log_of(entry) in STREAMS else log_of(entry)
    kind, labels = entry["resource"]["type"], entry["resource"]["labels"]
    nobody = labels.get("service_name") == ""
    return (
        log,
        kind,
        nobody,
        entry.get("severity"),
        words,
        str(attempt),
        http,
        status.get("code"),
        "errorGroups" in entry,
    )


@pytest.mark.parametrize("name", sorted(p.stem for p in REAL.glob("log_*.json")))
def test_the_sandbox_can_give_each_one(written: dict[str, list[dict[str, Any]]], name: str) -> None:
    given = {signature(e) for entries in written.values() for e in entries}
    assert (signature(recording(name)) in given) == (name not in NOT_GIVEN), (
        "If the sandbox does not give this entry, add it to the world EVERYTHING, or to NOT_GIVEN with the reason; if it does, "
        "remove it from NOT_GIVEN"
    )


def test_every_kind_of_failure_is_in_the_world() -> None:
    assert set(FAILING) == set(KINDS), "Add the new kind of failure to FAILING"


def test_every_log_of_the_sandbox_is_compared(written: dict[str, list[dict[str, Any]]]) -> None:
    assert set(written) == set(LOGS), "Add the new log of the sandbox to LOGS"
    named = session().get(f"https://logging.googleapis.com/v2/projects/{SYSTEM.project}/logs").json()["logNames"]
    assert {log_of({"logName": name}) for name in named} == set(LOGS)


def test_a_failed_call_leaves_what_was_recorded(written: dict[str, list[dict[str, Any]]]) -> None:
    """The same call in three logs: the request with the time of its beginning, then the attempt, both with the answer."""
    name, _ = FAILING["memory"]
    request = [
        e
        for e in written[LOGS[0]]
        if e["httpRequest"]["status"] == 503 and e["resource"]["labels"]["service_name"] == name
    ][-1]
    own = [e for e in written[LOGS[2]] if e["resource"]["labels"]["job_id"] == name]
    started, finished = [e for e in own if e["timestamp"][:13] == request["timestamp"][:13]]
    assert (request["severity"], request["textPayload"][:18]) == ("ERROR", "The request failed")
    assert started["timestamp"][:23] == request["timestamp"][:23] < finished["timestamp"]
    assert (started["severity"], finished["severity"]) == ("INFO", "ERROR")
    assert finished["httpRequest"] == {"status": 503}
    assert finished["jsonPayload"]["status"] == "UNAVAILABLE"
    assert finished["jsonPayload"]["debugInfo"].endswith("Original HTTP response code number = 503")
    assert "execution_id" not in request["labels"]


def test_a_deployment_leaves_what_was_recorded(written: dict[str, list[dict[str, Any]]]) -> None:
    first, robot, last = [e for e in written["cloudaudit.googleapis.com/activity"] if "gmail-sync" in json.dumps(e)][:3]
    assert (first["operation"]["first"], last["operation"]["last"]) == (True, True)
    assert "status" not in first["protoPayload"]
    assert last["protoPayload"]["status"] == {}
    assert "authorizationInfo" not in last["protoPayload"]
    said = robot["protoPayload"]
    assert re.fullmatch(r"service-\d+@gcf-admin-robot\S+", said["authenticationInfo"]["principalEmail"])
    assert said["methodName"].endswith("InternalServices.ReplaceInternalService")
    assert first["timestamp"] < robot["timestamp"] < last["timestamp"]


def test_a_call_that_was_denied(written: dict[str, list[dict[str, Any]]]) -> None:
    activity = written["cloudaudit.googleapis.com/activity"]
    [denied] = [e for e in activity if e["protoPayload"].get("status", {}).get("code") == 7]
    assert [a["granted"] for a in denied["protoPayload"]["authorizationInfo"]] == [False]
    assert denied["severity"] == "ERROR"


# --- resources

RUN = f"https://run.googleapis.com/v2/{PLACE}/services"
SECRETS = [
    f"https://secretmanager.googleapis.com/v1/projects/{SYSTEM.project}/secrets/{secret}/versions"
    for secret in sorted({s for f in SYSTEM.functions for s in f.secrets})
]
BIGQUERY_V2 = f"https://bigquery.googleapis.com/bigquery/v2/projects/{SYSTEM.project}"
DATASETS = [f"{BIGQUERY_V2}/datasets/{name}" for name in (SYSTEM.datasets.main, SYSTEM.datasets.backup)]
SNAPSHOT = f"{DATASETS[1]}/tables/gmail_messages_20260310"
ANSWERS = {  # recording → the answers that have its shape, by world
    "function": [f"https://cloudfunctions.googleapis.com/v2/{PLACE}/functions/{name}" for name in NAMES],
    "job": [f"https://cloudscheduler.googleapis.com/v1/{PLACE}/jobs/{name}" for name in NAMES],
    "service": [f"{RUN}/{name}" for name in NAMES],
    "revision": [f"{RUN}/{name}/revisions" for name in NAMES],
    "version": [f"{versions}/{n}" for versions in SECRETS for n in (1, 2)],
    "dataset": DATASETS,
    "table": [f"{DATASETS[0]}/tables/gmail_messages", SNAPSHOT],
    "snapshot": [SNAPSHOT],
    "list_functions": [f"https://cloudfunctions.googleapis.com/v2/{PLACE.replace(SYSTEM.region, '-')}/functions"],
    "list_jobs": [f"https://cloudscheduler.googleapis.com/v1/{PLACE}/jobs"],
    "list_tables": [f"{dataset}/tables" for dataset in DATASETS],
    "list_versions": SECRETS,
}
ITEMS = {
    "list_functions": ("functions", "function"),
    "list_jobs": ("jobs", "job"),
    "list_versions": ("versions", "version"),
}
# Forms of a value that no recording has, but that the API's discovery document describes.
ANY_VERSION = {"number", "text"}  # "version number or the string 'latest'"
DESCRIBED = {
    "function": {
        "serviceConfig.secretEnvironmentVariables[].projectId": {"number", "text"},  # "can also be the project ID"
        "serviceConfig.secretEnvironmentVariables[].version": ANY_VERSION,
    },
    "service": {"template.containers[].env[].valueSource.secretKeyRef.version": ANY_VERSION},
}
WORLDS = (
    "healthy",
    "missing_function",
    "many_errors",
    "p1_paused_scheduler",
    "p1_crash_after_deploy",
    "pinned_traffic",
)


def recorded_of(kind: str) -> dict[str, set[str]]:
    """The recorded forms of an answer; an item of a list has those of the answer about it alone, too."""
    found = forms(recordings(kind))
    key, alone = ITEMS.get(kind, ("", ""))
    for path, kinds in recorded_of(alone).items() if alone else ():
        found[f"{key}[].{path}".removesuffix(".")] |= kinds
    for path, kinds in DESCRIBED.get(kind, {}).items():
        found[path] |= kinds
    return found


@pytest.mark.parametrize("kind", ANSWERS)
def test_resources(kind: str) -> None:
    replies = [reply for world in WORLDS for url in ANSWERS[kind] if (reply := session_of(world).get(url)).ok]
    assert len(replies) >= len(WORLDS)
    sent = [reply.json() for reply in replies]
    found = [one for answer in sent for one in answer.get("revisions", ())] if kind == "revision" else sent
    assert found
    assert misfits(found, recorded_of(kind), closed=False) == []


SELECT = {"query": "SELECT 1 AS n, DATE '2026-03-11' AS day", "useLegacySql": False}
COPY = {
    "sourceTable": {"projectId": SYSTEM.project, "datasetId": SYSTEM.datasets.main, "tableId": "gmail_messages"},
    "destinationTable": {"projectId": SYSTEM.project, "datasetId": SYSTEM.datasets.backup, "tableId": "trial"},
    "operationType": "SNAPSHOT",
}


def test_jobs_and_queries() -> None:
    """A dry run, a query with its job and its pages, and a copy, each as the recorded answer of its `kind`."""
    google, sent = session(), []
    for path, body in (
        ("jobs", {"configuration": {"dryRun": True, "query": SELECT}}),
        ("queries", SELECT),
        ("jobs", {"configuration": {"copy": COPY}}),
    ):
        sent.append(google.post(f"{BIGQUERY_V2}/{path}", json=body).json())
        job = sent[-1]["jobReference"].get("jobId")
        for again in ("jobs", "queries") if path == "queries" else ("jobs",) if job else ():
            sent.append(google.get(f"{BIGQUERY_V2}/{again}/{job}", params={"location": SYSTEM.region}).json())
    known = [answer for word in ("copy_", "dry_", "query_") for answer in recordings(word) if "kind" in answer]
    for kind in {answer["kind"] for answer in known}:
        same = [answer for answer in sent if answer["kind"] == kind]
        assert same, kind
        assert misfits(same, forms([answer for answer in known if answer["kind"] == kind]), closed=False) == []


def test_a_page_of_entries() -> None:
    asked = {"resourceNames": [f"projects/{SYSTEM.project}"], "pageSize": 1}
    sent = session_of("many_errors").post("https://logging.googleapis.com/v2/entries:list", json=asked).json()
    assert set(sent) == {"entries", "nextPageToken"}
    assert misfits([sent], forms(recordings("list_entries")), closed=False) == []


@cache
def session_of(world: str) -> requests.Session:
    return session(world)


@pytest.mark.parametrize("kind", ["function", "service"])
def test_nothing_is_sent_empty(kind: str) -> None:
    """Google's servers leave out what is false, zero or an empty list."""
    for url in ANSWERS[kind][:3]:
        sent = session_of("healthy").get(url).json()
        assert not re.search(r'": (false|0|""|\[\])[,}]', json.dumps(sent))


def test_a_service_that_moves() -> None:
    google, url = session(), ANSWERS["service"][0]
    traffic = {"traffic": [{"type": "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST", "percent": 100}]}
    before = google.get(url).json()
    operation = google.patch(url, json=traffic, params={"updateMask": "traffic"}).json()
    moving = operation["metadata"]
    assert (moving["reconciling"], moving["terminalCondition"]["state"]) == (True, "CONDITION_PENDING")
    assert int(moving["generation"]) == int(moving["observedGeneration"]) + 1
    for _ in range(3):
        after = google.get(url).json()
    assert "reconciling" not in before
    assert "reconciling" not in after
    assert after["generation"] == after["observedGeneration"]


FEEDS = {  # a key that no recording has, with its source
    "google": dict.fromkeys(
        [f"most_recent_update.affected_locations[]{key}" for key in ("", ".title", ".id")],
        "https://status.cloud.google.com/incidents.schema.json",
    ),
    "hubspot": {
        f"incidents[]{key}": "https://status.hubspot.com/api/v2/#summary"
        for key in [
            "",
            *(f".{k}" for k in ("id", "name", "status", "impact", "created_at", "updated_at", "started_at")),
        ]
        + [f".{k}" for k in ("monitoring_at", "resolved_at", "incident_updates", "incident_updates[]", "components")]
        + [f".incident_updates[].{k}" for k in ("id", "status", "body", "created_at")]
        + [f".components[]{k}" for k in ("", ".id", ".name", ".status", ".updated_at")]
    }
    | {"incidents": "https://status.hubspot.com/api/v2/#summary"},
    "salesforce": dict.fromkeys(  # an impact of an open incident has no end
        [f"Incidents[].{key}" for key in ("affectsAll", "isCore", "updatedAt", "instanceKeys", "instanceKeys[]")]
        + ["Incidents[].IncidentEvents", "Incidents[].IncidentEvents[]", "Incidents[].IncidentImpacts[].endTime"]
        + [f"Incidents[].IncidentEvents[].{key}" for key in ("type", "createdAt", "message")],
        "https://api.status.salesforce.com/v1/docs/",
    ),
}
TROUBLE = """about: each feed has an incident.
now: 2026-03-11T13:30:00Z
incidents:
  - {feed: google, of: [Cloud Run], locations: [us-central1], since: 40m}
  - {feed: hubspot, of: [APIs], since: 40m}
  - {feed: salesforce, of: [NA123], since: 40m}
"""


@pytest.mark.parametrize("feed", FEEDS)
def test_feeds(feed: str, tmp_path: Path) -> None:
    (tmp_path / "trouble.yaml").write_text(TROUBLE, encoding="utf-8")
    sent = session(str(tmp_path / "trouble.yaml")).get(SYSTEM.feeds[feed]).json()
    sent = sent if isinstance(sent, list) else [sent]
    kind = {"hubspot": "statuspage"}.get(feed, feed)
    assert misfits(sent, forms(recordings(f"feed_{kind}")), closed=True, documented=FEEDS[feed]) == []


STORAGE = "https://storage.googleapis.com"
ERRORS = [  # a request that fails, and how
    ("GET", f"https://cloudfunctions.googleapis.com/v2/{PLACE}/functions/nothing", 404),
    ("GET", f"https://run.googleapis.com/v2/{PLACE}/services/nothing", 404),
    ("GET", f"https://cloudscheduler.googleapis.com/v1/{PLACE}/jobs/nothing", 404),
    ("GET", f"https://secretmanager.googleapis.com/v1/projects/{SYSTEM.project}/secrets/nothing", 404),
    ("GET", ANSWERS["table"][0] + "_no", 404),
    ("POST", f"https://cloudscheduler.googleapis.com/v1/{PLACE}/jobs/gmail-sync:resume", 400),
    ("GET", "https://run.googleapis.com/v2/projects/somebody-elses/locations/us-central1/services", 403),
    ("GET", f"{STORAGE}/storage/v1/b/elsewhere/o", 404),
    ("GET", f"{STORAGE}/storage/v1/b/{SYSTEM.project}-runbooks/o/nothing", 404),
    (
        "POST",
        f"{STORAGE}/upload/storage/v1/b/{SYSTEM.project}-runbooks/o?uploadType=media&name=x&ifGenerationMatch=1",
        412,
    ),
]
RESOURCE = "https://github.com/googleapis/googleapis/blob/master/google/rpc/error_details.proto"


@pytest.mark.parametrize(("method", "url", "status"), ERRORS, ids=[f"{s} {u.split('/')[2]}" for _, u, s in ERRORS])
def test_errors(method: str, url: str, status: int) -> None:
    reply = session_of("healthy").request(method, url)
    assert reply.status_code == status
    documented = {"error.details[].resourceName": RESOURCE}
    kind = "error_storage_" if "storage.g" in url else "error_"
    assert misfits([reply.json()], forms(recordings(kind)), closed=True, documented=documented) == []


@pytest.mark.parametrize(
    ("sent", "complaint"),
    [
        ({"a": "2026-03-11T01:02:03Z"}, "a is time, 0 digits, Z"),
        ({"a": "2026-03-11T01:02:03.123+00:00"}, "a is time, 3 digits, +00:00"),
        ({"n": 3}, "n is number itself, not {'number'}"),
        ({"n": "x"}, "n is text"),
        ({"p": "projects/12/x"}, "p is name with the number"),
        ({"b": 1}, "b was never recorded"),
        ({"a": None}, "a is NoneType"),
    ],
)
def test_a_misfit_is_seen(sent: dict[str, Any], complaint: str) -> None:
    recorded = forms([{"a": "2026-03-11T01:02:03.123456Z", "n": "3", "p": "projects/acme/x"}])
    assert misfits([{"a": "2026-03-11T05:02:03.123456Z", "n": "44"}], recorded, closed=True) == []
    [found] = misfits([sent], recorded, closed=True)
    assert found.startswith(complaint)
