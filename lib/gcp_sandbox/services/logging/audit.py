"""The Admin Activity audit log: the changes in a world, and the changes made by calls."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from gcp_sandbox.http import ApiError
from gcp_sandbox.wire import digest
from gcp_sandbox.world.events import Change, Entry

if TYPE_CHECKING:
    from gcp_sandbox.state import State


# Time from the request of a deployment to its revision: the duration of the build.
BUILD = timedelta(seconds=95)
_SECRETS = "google.cloud.secretmanager.v1.SecretManagerService"
_UPDATE = "google.cloud.functions.v2.FunctionService.UpdateFunction"

# google.rpc.Code of refused calls.
_CODES = {
    "INVALID_ARGUMENT": 3,
    "NOT_FOUND": 5,
    "ALREADY_EXISTS": 6,
    "PERMISSION_DENIED": 7,
    "RESOURCE_EXHAUSTED": 8,
    "FAILED_PRECONDITION": 9,
    "ABORTED": 10,
    "UNIMPLEMENTED": 12,
    "INTERNAL": 13,
    "UNAVAILABLE": 14,
}

_VERSIONS = {"ENABLED": "Enable", "DISABLED": "Disable", "DESTROYED": "Destroy"}

# Required permission of a call → its method in the audit log.
MADE = {
    "cloudfunctions.functions.update": _UPDATE,
    "run.services.update": "google.cloud.run.v2.Services.UpdateService",
    "secretmanager.versions.add": f"{_SECRETS}.AddSecretVersion",
    "secretmanager.versions.enable": f"{_SECRETS}.EnableSecretVersion",
    "secretmanager.versions.disable": f"{_SECRETS}.DisableSecretVersion",
    "secretmanager.versions.destroy": f"{_SECRETS}.DestroySecretVersion",
    "cloudscheduler.jobs.pause": "google.cloud.scheduler.v1.CloudScheduler.PauseJob",
    "cloudscheduler.jobs.enable": "google.cloud.scheduler.v1.CloudScheduler.ResumeJob",
    "bigquery.tables.update": "google.cloud.bigquery.v2.TableService.PatchTable",
}

# How long ago, the function ("" for none), and the change.
Told = tuple[timedelta, str, Change]


def entries(sandbox: State) -> Iterator[Entry]:
    """One entry for each change in the world, unordered."""
    deployer = f"deploy@{sandbox.inventory.project}.iam.gserviceaccount.com"
    for ago, function, change in (*_of_functions(sandbox), *_of_secrets(sandbox), *_of_the_project(sandbox)):
        at, by = sandbox.world.now - ago, change.by or deployer
        yield _entry(at, function, change._replace(by=by))


def _entry(at: datetime, function: str, change: Change) -> Entry:
    return Entry(at, function, "ERROR" if change.code else "NOTICE", change.method, "change", change=change)


def _operation(place: str, *seed: object) -> str:
    return f"{place}/operations/operation-{digest('operation', *seed)[:13]}"


def _of_functions(sandbox: State) -> Iterator[Told]:
    here, said = sandbox.inventory, sandbox.story.said
    for name, f in ((f.name, f) for f in here.functions):
        function = f"{here.place}/functions/{name}"
        for one in said("revisions", f):
            made = Change("cloudfunctions", _UPDATE, function, one.by, operation=_operation(here.place, name, one.age))
            yield one.age + BUILD, name, made._replace(step="first")
            failure = {"code": 3, "error": one.failure} if one.failure else {}
            yield one.age, name, made._replace(step="last", **failure)
        for one in said("denied", f):
            why = f"Permission 'cloudfunctions.functions.update' denied on resource '{function}' (or it may not exist)."
            yield one.age, name, Change("cloudfunctions", _UPDATE, function, one.by, code=7, error=why)
        for one in said("traffic", f):
            resource = f"namespaces/{here.project}/services/{name}"
            yield one.since, name, Change("run", "google.cloud.run.v1.Services.ReplaceService", resource, one.by)
        for one in (job for job in said("jobs", f) if job.changed):
            verb = "PauseJob" if one.state == "PAUSED" else "UpdateJob"
            method = f"google.cloud.scheduler.v1.CloudScheduler.{verb}"
            yield one.changed, name, Change("cloudscheduler", method, f"{here.place}/jobs/{name}", one.by)


def _of_secrets(sandbox: State) -> Iterator[Told]:
    for secret in sandbox.world.secrets:
        name = f"projects/{sandbox.inventory.project_number}/secrets/{secret.name}"
        for n, one in enumerate(secret.versions, 1):
            yield one.age, "", Change("secretmanager", f"{_SECRETS}.AddSecretVersion", name, one.by)
            if one.changed:
                method = f"{_SECRETS}.{_VERSIONS[one.state]}SecretVersion"
                yield one.changed, "", Change("secretmanager", method, f"{name}/versions/{n}", one.by)


def _of_the_project(sandbox: State) -> Iterator[Told]:
    here = sandbox.inventory
    root = f"projects/{here.project}"
    for one in sandbox.world.grants:
        member = one.member or f"serviceAccount:{here.account}"
        delta = (("action", one.action), ("role", one.role), ("member", member))
        yield one.age, "", Change("cloudresourcemanager", "SetIamPolicy", root, one.by, delta)
    for one in (table for table in sandbox.world.tables if table.changed):
        name = f"{root}/datasets/{here.dataset}/tables/{one.name}"
        yield one.changed, "", Change("bigquery", "google.cloud.bigquery.v2.TableService.PatchTable", name, one.by)


def made(sandbox: State, permission: str, api: str, path: str, answer: Any) -> Entry:
    """The entry of a change that a call made, started, or was refused; `permission` is one of MADE."""
    resource = "projects/" + path.split("/projects/", 1)[1].partition(":")[0]
    change = Change(api, MADE[permission], resource, f"caller@{sandbox.inventory.project}.iam.gserviceaccount.com")
    if isinstance(answer, ApiError):
        change = change._replace(code=_CODES.get(answer.status, 2), error=answer.message)
    elif api == "cloudfunctions" and isinstance(answer, dict):
        change = change._replace(operation=answer["name"], step="first")
    return _entry(sandbox.now, "", change)


def ended(sandbox: State, name: str, resource: str, error: ApiError | None) -> Entry:
    """The entry of the end of a function's long-running operation."""
    caller = f"caller@{sandbox.inventory.project}.iam.gserviceaccount.com"
    change = Change("cloudfunctions", _UPDATE, resource, caller, operation=name, step="last")
    if error:
        change = change._replace(code=_CODES.get(error.status, 2), error=error.message)
    return _entry(sandbox.now, "", change)


def operation(change: Change) -> dict[str, Any] | None:
    """The long-running operation of an entry, and whether the entry is its first or last."""
    if not change.step:
        return None
    return {"id": change.operation, "producer": f"{change.api}.googleapis.com", change.step: True}


def payload(change: Change) -> dict[str, Any]:
    """The protoPayload of one change."""
    drawn: dict[str, Any] = {
        "@type": "type.googleapis.com/google.cloud.audit.AuditLog",
        "status": {"code": change.code, "message": change.error} if change.code else {},
        "authenticationInfo": {"principalEmail": change.by},
        "requestMetadata": {"callerIp": "private"},
        "serviceName": f"{change.api}.googleapis.com",
        "methodName": change.method,
        "resourceName": change.resource,
    }
    if change.delta:
        policy = {"policyDelta": {"bindingDeltas": [dict(change.delta)]}}
        drawn["serviceData"] = {"@type": "type.googleapis.com/google.iam.v1.logging.AuditData", **policy}
    return drawn


def resource(change: Change, sandbox: State) -> dict[str, Any]:
    """The monitored resource of one change."""
    here, name = sandbox.inventory, change.resource.rsplit("/", 1)[1]
    run = {"service_name": name, "location": here.region, "configuration_name": "", "revision_name": ""}
    kinds: dict[str, tuple[str, dict[str, str]]] = {
        "cloudfunctions": ("cloud_function", {"function_name": name, "region": here.region}),
        "run": ("cloud_run_revision", run),
        "cloudscheduler": ("cloud_scheduler_job", {"job_id": name, "location": here.region}),
        "bigquery": ("bigquery_dataset", {"dataset_id": here.dataset}),
        "secretmanager": ("audited_resource", {"service": f"{change.api}.googleapis.com", "method": change.method}),
        "cloudresourcemanager": ("project", {}),
    }
    kind, labels = kinds[change.api]
    return {"type": kind, "labels": {"project_id": here.project, **labels}}
