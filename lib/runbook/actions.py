"""Everything that runbooks can write, each write beside its read-back. Only `writing` imports this module.

An action has two halves. `look` reads how things are now and says which side of the change that is: `old`, `new`,
`pending` (still on its way), `failed` (Google says so) or `other`; what it read is the guard of the write. `do` sends
the write, through a `send` that the door lets pass once. Whether a write worked is never taken from its answer, only
from looking again.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal, Protocol

from runbook import notify, record
from runbook.canonical import canonical
from runbook.cloud.connect import Cloud
from runbook.errors import Broken
from runbook.facts.records import told_place
from runbook.material import Material
from runbook.plan import Change
from runbook.rows import Row
from runbook.store import Store

State = Literal["old", "new", "pending", "failed", "other", "unseen"]


@dataclass(frozen=True)
class Look:
    """How things are: `state` against the change, `said` in words, `data` as the API gave it (etags are there)."""

    state: State
    said: str = ""
    data: Row = field(default_factory=dict)


class Send(Protocol):
    """One write: method and URL, and either a JSON body or bytes. Raises Google's exceptions."""

    def __call__(self, method: str, url: str, body: Any = None, headers: Row | None = None) -> Row: ...


@dataclass(frozen=True)
class Action:
    """`look(cloud, change)` and `do(send, cloud, change, look, material)`, see above."""

    look: Callable[[Cloud, Change], Look]
    do: Callable[[Send, Cloud, Change, Look, Material], None]


def _side(now: object, change: Change, said: str, data: Row) -> Look:
    """Old or new by comparing with the change's details; anything else is `other`."""
    state: State = "new" if now == change.details["to"] else "old" if now == change.details["from"] else "other"
    return Look(state, said, data)


# --- Cloud Run traffic (https://cloud.google.com/run/docs/reference/rest/v2/projects.locations.services/patch)


def targets(service: Row, key: str = "traffic") -> dict[str, int]:
    """Percent of the traffic by revision id; "latest" is whichever is newest and ready."""
    return {t.get("revision") or "latest": t.get("percent", 0) for t in service.get(key, []) if t.get("percent")}


def _look_traffic(cloud: Cloud, change: Change) -> Look:
    service = cloud.get("run", f"v2/{_service(cloud, change.details['service'])}")
    now = targets(service)
    if service.get("reconciling") or targets(service, "trafficStatuses") != now:
        return Look("pending", "traffic is being routed", service)
    condition = service.get("terminalCondition", {})
    if condition.get("state") == "CONDITION_FAILED" and now == change.details["to"]:
        return Look("failed", condition.get("message", ""), service)
    return _side(now, change, ", ".join(f"{name} {share} %" for name, share in now.items()), service)


def _do_traffic(send: Send, cloud: Cloud, change: Change, look: Look, _: Material) -> None:
    kind = "TRAFFIC_TARGET_ALLOCATION_TYPE_"
    wanted = [
        {"type": kind + "LATEST", "percent": share}
        if name == "latest"
        else {"type": kind + "REVISION", "revision": name, "percent": share}
        for name, share in change.details["to"].items()
    ]
    name = _service(cloud, change.details["service"])
    body = {"name": name, "etag": look.data.get("etag", ""), "traffic": wanted}
    send("PATCH", f"https://run.googleapis.com/v2/{name}?updateMask=traffic", body)


def _service(cloud: Cloud, name: str) -> str:
    return f"projects/{cloud.settings.project}/locations/{cloud.settings.region}/services/{name}"


# --- Cloud Functions (https://cloud.google.com/functions/docs/reference/rest/v2/projects.locations.functions/patch)

_MASKS = {
    "runtime": "buildConfig.runtime",
    "entry_point": "buildConfig.entryPoint",
    "memory": "serviceConfig.availableMemory",
    "timeout_s": "serviceConfig.timeoutSeconds",
}
LABEL = "runbook-source"  # on a function: which source its code was built from


def _function(cloud: Cloud, name: str) -> str:
    return f"projects/{cloud.settings.project}/locations/{cloud.settings.region}/functions/{name}"


def _look_function(cloud: Cloud, change: Change) -> Look:
    found = cloud.get("cloudfunctions", f"v2/{_function(cloud, change.details['function'])}")
    state = found.get("state")
    if state == "DEPLOYING":
        return Look("pending", "it is being deployed", found)
    build, service = found.get("buildConfig", {}), found.get("serviceConfig", {})
    now = {
        "source": found.get("labels", {}).get(LABEL, ""),
        "runtime": build.get("runtime", ""),
        "entry_point": build.get("entryPoint", ""),
        "memory": service.get("availableMemory", ""),
        "timeout_s": service.get("timeoutSeconds", 0),
    }
    now = {key: now[key] for key in change.details["to"]}
    said = "; ".join(m.get("message", "") for m in found.get("stateMessages", []))
    if state == "FAILED" and change.details["was"] != "FAILED":
        return Look("failed", said or "its deployment failed", found)
    if state == "FAILED" and now == change.details["to"]:
        return Look("failed", said, found)
    return _side(now, change, f"{state}, revision {service.get('revision', '?')}", found)


def _do_function(send: Send, cloud: Cloud, change: Change, look: Look, material: Material) -> None:
    to, name = change.details["to"], _function(cloud, change.details["function"])
    base = "https://cloudfunctions.googleapis.com/v2"
    mask = [_MASKS[key] for key in to if key in _MASKS]
    body: Row = {"name": name, "buildConfig": {}, "serviceConfig": {}}
    for key in to:
        if key in _MASKS:
            part, field_ = _MASKS[key].split(".")
            body[part][field_] = to[key]
    if "source" in to:
        place = send("POST", f"{base}/{name.rsplit('/', 2)[0]}/functions:generateUploadUrl", {})
        archive = material.archive()
        if hashlib.sha256(archive).hexdigest()[:40] != to["source"]:
            raise Broken("the source changed since it was planned", change.details["function"], next="plan again.")
        send("PUT", place["uploadUrl"], archive, {"Content-Type": "application/zip"})
        mask += ["buildConfig.source.storageSource", "labels"]
        body["buildConfig"]["source"] = {"storageSource": place["storageSource"]}
        body["labels"] = {**look.data.get("labels", {}), LABEL: to["source"]}
    send("PATCH", f"{base}/{name}?updateMask={','.join(mask)}", body)


# --- A run of a function, by its scheduler job
# (https://cloud.google.com/scheduler/docs/reference/rest/v1/projects.locations.jobs/run)


def _job(cloud: Cloud, name: str) -> str:
    return f"projects/{cloud.settings.project}/locations/{cloud.settings.region}/jobs/{name}"


def _look_run(cloud: Cloud, change: Change) -> Look:
    from runbook.cloud.query import select
    from runbook.facts.etl import newest_run

    rows = select(cloud, *newest_run(cloud, change.details["function"]), {"query": "newest_run"})
    newest = rows[0] if rows else {}
    stamp = newest["started_at"].isoformat() if newest else ""
    data = {"newest": stamp}
    since = change.details.get("since")
    if since is None or stamp <= since:
        return Look("old", "no newer run", data)
    if newest["status"] not in ("success", "failed"):
        return Look("pending", "it is running", data)
    state: State = "new" if newest["status"] == "success" else "failed"
    return Look(state, f"a run ended with {newest['status']}", data)


def _do_run(send: Send, cloud: Cloud, change: Change, look: Look, _: Material) -> None:
    send("POST", f"https://cloudscheduler.googleapis.com/v1/{_job(cloud, change.details['function'])}:run", {})


# --- Cloud Scheduler


def _look_job(cloud: Cloud, change: Change) -> Look:
    found = cloud.get("cloudscheduler", f"v1/{_job(cloud, change.details['job'])}")
    return _side(found.get("state"), change, str(found.get("state")), found)


def _do_job(send: Send, cloud: Cloud, change: Change, look: Look, _: Material) -> None:
    verb = "pause" if change.details["to"] == "PAUSED" else "resume"
    send("POST", f"https://cloudscheduler.googleapis.com/v1/{_job(cloud, change.details['job'])}:{verb}", {})


# --- Secret Manager (https://cloud.google.com/secret-manager/docs/reference/rest)


def _secret(cloud: Cloud, name: str) -> str:
    return f"projects/{cloud.settings.project}/secrets/{name}"


def _look_version(cloud: Cloud, change: Change) -> Look:
    """Whether the version that would be added is there; a version number is given once and never again."""
    name = _secret(cloud, change.details["secret"])
    found = cloud.items("secretmanager", f"v1/{name}/versions", "versions", pageSize=100)
    newest = max((int(v["name"].rsplit("/", 1)[1]) for v in found), default=0)
    return _side(newest, change, f"newest is version {newest}", {"newest": newest})


def _do_version(send: Send, cloud: Cloud, change: Change, look: Look, material: Material) -> None:
    import google_crc32c

    value = material.secret()
    payload = {"data": base64.b64encode(value).decode(), "dataCrc32c": str(google_crc32c.value(value))}
    name = _secret(cloud, change.details["secret"])
    send("POST", f"https://secretmanager.googleapis.com/v1/{name}:addVersion", {"payload": payload})


def _look_state(cloud: Cloud, change: Change) -> Look:
    name = f"{_secret(cloud, change.details['secret'])}/versions/{change.details['version']}"
    found = cloud.get("secretmanager", f"v1/{name}")
    return _side(found.get("state"), change, str(found.get("state")), found)


def _do_state(send: Send, cloud: Cloud, change: Change, look: Look, _: Material) -> None:
    verb = "disable" if change.details["to"] == "DISABLED" else "enable"
    name = f"{_secret(cloud, change.details['secret'])}/versions/{change.details['version']}"
    url = f"https://secretmanager.googleapis.com/v1/{name}:{verb}"
    send("POST", url, {"etag": look.data.get("etag", "")})


def _look_restart(cloud: Cloud, change: Change) -> Look:
    """Whether the revision that serves was made with this rotation's mark: then it has read the secret anew."""
    service = cloud.get("run", f"v2/{_service(cloud, change.details['service'])}")
    condition = service.get("terminalCondition", {})
    if service.get("reconciling"):
        return Look("pending", "a new revision is starting", service)
    mark = service.get("template", {}).get("annotations", {}).get(MARK, "")
    if mark == change.details["to"]:
        ready = service.get("latestReadyRevision") == service.get("latestCreatedRevision")
        if not ready or condition.get("state") == "CONDITION_FAILED":
            return Look("failed", condition.get("message", "the new revision is not ready"), service)
        return Look("new", service["latestReadyRevision"].rsplit("/", 1)[1], service)
    if condition.get("state") == "CONDITION_FAILED":
        return Look("failed", condition.get("message", ""), service)
    return Look("old", "it runs with the secret that it read before", service)


MARK = "runbook/secret-version"


def _do_restart(send: Send, cloud: Cloud, change: Change, look: Look, _: Material) -> None:
    name = _service(cloud, change.details["service"])
    marks = {**look.data.get("template", {}).get("annotations", {}), MARK: change.details["to"]}
    body = {"name": name, "etag": look.data.get("etag", ""), "template": {"annotations": marks}}
    send("PATCH", f"https://run.googleapis.com/v2/{name}?updateMask=template.annotations", body)


# --- BigQuery (https://cloud.google.com/bigquery/docs/reference/rest/v2/jobs/insert)


def _table(cloud: Cloud, dataset: str, table: str) -> Row:
    return {"projectId": cloud.settings.project, "datasetId": dataset, "tableId": table}


def _get_table(cloud: Cloud, dataset: str, table: str) -> Row | None:
    from google.api_core.exceptions import NotFound

    try:
        path = f"bigquery/v2/projects/{cloud.settings.project}/datasets/{dataset}/tables/{table}"
        return cloud.get("bigquery", path)
    except NotFound as error:
        if "dataset" in str(error.message).lower().partition("not found: ")[2][:10]:
            raise
        return None


def _look_copy(cloud: Cloud, change: Change) -> Look:
    at = change.details
    found, job = _get_table(cloud, at["to_dataset"], at["to_table"]), _newest_job(cloud, change)
    if found is None:
        return _without(job, "it is not there")
    base = found.get("snapshotDefinition", {}).get("baseTableReference", {}).get("tableId")
    mine = base == at["table"] if at["type"] == "SNAPSHOT" else job is not None
    if found.get("type", "TABLE") != at["type"] or not mine:
        return Look("other", f"there is another {found.get('type')} of that name", found)
    return Look("new", f"{int(found.get('numRows', 0)):,} rows", found)


def _without(job: Row | None, said: str) -> Look:
    """What the last job says while its effect is not there."""
    status = job["status"] if job else {}
    if job and status.get("state") != "DONE":
        return Look("pending", "the job is running", job)
    if error := status.get("errorResult"):
        return Look("failed", error.get("message", "the job failed"), job or {})
    return Look("old", said)


def _newest_job(cloud: Cloud, change: Change) -> Row | None:
    """The last job that was inserted for a change; each is named after it and numbered."""
    from google.api_core.exceptions import NotFound

    found = None
    for number in range(1, TRIES + 1):
        path = f"bigquery/v2/projects/{cloud.settings.project}/jobs/{change.details['job']}_{number}"
        try:
            found = cloud.get("bigquery", path, location=cloud.settings.region) | {"_number": number}
        except NotFound:
            return found
    return found


TRIES = 20  # jobs for one change; Google keeps them for months, and an id is good for one only


def _do_copy(send: Send, cloud: Cloud, change: Change, look: Look, _: Material) -> None:
    at = change.details
    copy: Row = {
        "sourceTable": _table(cloud, at["dataset"], at["table"] + at.get("at", "")),
        "destinationTable": _table(cloud, at["to_dataset"], at["to_table"]),
        "operationType": at["operation"],
        "writeDisposition": "WRITE_EMPTY",
    }
    if at.get("keep_days"):
        copy["destinationExpirationTime"] = f"{cloud.now()[0] + timedelta(days=at['keep_days']):%FT%TZ}"
    _insert(send, cloud, change, {"copy": copy})


def _insert(send: Send, cloud: Cloud, change: Change, configuration: Row) -> None:
    """Insert a job whose id follows from the change, so that of two at the same time Google refuses one."""
    from google.api_core.exceptions import BadRequest

    project, last = cloud.settings.project, _newest_job(cloud, change)
    name = f"{change.details['job']}_{last['_number'] + 1 if last else 1}"
    job = {"jobReference": {"projectId": project, "jobId": name, "location": cloud.settings.region}}
    url = f"https://bigquery.googleapis.com/bigquery/v2/projects/{project}/jobs"
    answer = send("POST", url, {**job, "configuration": configuration})
    if error := answer.get("status", {}).get("errorResult"):
        raise BadRequest(error.get("message", "the job failed"))


def _look_column(cloud: Cloud, change: Change) -> Look:
    at = change.details
    found = _get_table(cloud, at["dataset"], at["table"]) or {}
    fields = {f["name"]: (f["type"], f.get("mode", "NULLABLE")) for f in found.get("schema", {}).get("fields", [])}
    if at["column"] not in fields:
        return Look("old", "there is no such column", found)
    return Look(
        "new" if fields[at["column"]] == (at["type"], at["mode"]) else "other", str(fields[at["column"]]), found
    )


def _do_column(send: Send, cloud: Cloud, change: Change, look: Look, _: Material) -> None:
    _insert(send, cloud, change, {"query": {"query": change.details["sql"], "useLegacySql": False}})


# --- A message to people. No service tells whether it was read, so the record store notes that it was accepted; should
# that note be lost in a crash, the message is sent again: better twice than never.


def _look_message(cloud: Cloud, change: Change) -> Look:
    raw = _told(cloud).read(told_place(change.details["once"], change.details["contact"]))
    return Look("old", "not told yet") if raw is None else Look("new", "the message was accepted")


def _told(cloud: Cloud) -> Store:
    return Store(record.folder_of(cloud.settings))


def _do_message(send: Send, cloud: Cloud, change: Change, look: Look, _: Material) -> None:
    contact, title, text = (change.details[name] for name in ("contact", "title", "text"))
    if cloud.target == "sandbox":  # nobody may be called by a rehearsal
        body = {"title": title, "message": text, "type": "info"}
        send("POST", f"https://inbox.example.com/messages/{contact}", body)
    else:
        notify.deliver(contact, title, text)
    note = {"contact": contact, "at": record.now()}
    _told(cloud).create(told_place(change.details["once"], contact), canonical(note))


ACTIONS: dict[str, Action] = {
    "tell": Action(_look_message, _do_message),
    "route traffic": Action(_look_traffic, _do_traffic),
    "update function": Action(_look_function, _do_function),
    "run once": Action(_look_run, _do_run),
    "set job state": Action(_look_job, _do_job),
    "add secret version": Action(_look_version, _do_version),
    "set version state": Action(_look_state, _do_state),
    "start with new secret": Action(_look_restart, _do_restart),
    "copy table": Action(_look_copy, _do_copy),
    "add column": Action(_look_column, _do_column),
}
