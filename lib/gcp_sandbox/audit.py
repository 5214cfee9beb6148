"""Who changed what: the Admin Activity audit log of the changes that a world tells."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from gcp_sandbox.iam import project_number
from gcp_sandbox.revisions import account
from gcp_sandbox.story import Change, Entry

if TYPE_CHECKING:
    from gcp_sandbox.sandbox import Sandbox

# A deployment is asked for this long before its revision is there: that is what its build takes.
BUILD = timedelta(seconds=95)
_TYPE = "type.googleapis.com/google.cloud.audit.AuditLog"
_VERSIONS = {"ENABLED": "Enable", "DISABLED": "Disable", "DESTROYED": "Destroy"}
_JOBS = {"PAUSED": "PauseJob"}


def entries(sandbox: Sandbox) -> Iterator[Entry]:
    """One entry for each change that the world tells, in no order."""
    told = [*_of_functions(sandbox), *_of_secrets(sandbox), *_of_the_project(sandbox)]
    for ago, function, method, name, by, *delta in told:
        change = Change(method, name, by or f"deploy@{sandbox.inventory.project}.iam.gserviceaccount.com", tuple(delta))
        yield Entry(sandbox.world.clock - ago, function, "NOTICE", method, "change", change=change)


# How long ago, whose function it is ("": none's), method, resource, by whom, and what of an IAM policy.
Told = tuple[Any, ...]


def _of_functions(sandbox: Sandbox) -> Iterator[Told]:
    here, said = sandbox.inventory, sandbox.story.said
    place = f"projects/{here.project}/locations/{here.region}"
    for name, f in ((f.name, f) for f in here.functions):
        for one in said("revisions", f):
            method = "google.cloud.functions.v2.FunctionService.UpdateFunction"
            yield one.age + BUILD, name, method, f"{place}/functions/{name}", one.by
        for one in said("traffic", f):
            method = "google.cloud.run.v1.Services.ReplaceService"
            yield one.since, name, method, f"namespaces/{here.project}/services/{name}", one.by
        for one in (job for job in said("jobs", f) if job.changed):
            method = f"google.cloud.scheduler.v1.CloudScheduler.{_JOBS.get(one.state, 'UpdateJob')}"
            yield one.changed, name, method, f"{place}/jobs/{name}", one.by


def _of_secrets(sandbox: Sandbox) -> Iterator[Told]:
    root, service = f"projects/{project_number(sandbox)}/secrets", "google.cloud.secretmanager.v1.SecretManagerService"
    for secret in sandbox.world.secrets:
        for n, one in enumerate(secret.versions, 1):
            yield one.age, "", f"{service}.AddSecretVersion", f"{root}/{secret.name}", one.by
            if one.changed:
                method = f"{service}.{_VERSIONS[one.state]}SecretVersion"
                yield one.changed, "", method, f"{root}/{secret.name}/versions/{n}", one.by


def _of_the_project(sandbox: Sandbox) -> Iterator[Told]:
    here = sandbox.inventory
    root = f"projects/{here.project}"
    for one in sandbox.world.grants:
        member = one.member or f"serviceAccount:{account(here)}"
        delta = (("action", one.action), ("role", one.role), ("member", member))
        yield one.age, "", "SetIamPolicy", root, one.by, *delta
    for one in (table for table in sandbox.world.tables if table.changed):
        name = f"{root}/datasets/{here.dataset}/tables/{one.name}"
        yield one.changed, "", "google.cloud.bigquery.v2.TableService.PatchTable", name, one.by


def service(change: Change) -> str:
    """The API that a change was made through."""
    found = {
        "run": "run",
        "functions": "cloudfunctions",
        "scheduler": "cloudscheduler",
        "secretmanager": "secretmanager",
    }
    part = change.method.split(".")[2] if change.method.count(".") > 2 else "cloudresourcemanager"
    return f"{found.get(part, part)}.googleapis.com"


def payload(change: Change) -> dict[str, Any]:
    """The protoPayload of one change."""
    made: dict[str, Any] = {
        "@type": _TYPE,
        "status": {},
        "authenticationInfo": {"principalEmail": change.by},
        "requestMetadata": {"callerIp": "private"},
        "serviceName": service(change),
        "methodName": change.method,
        "resourceName": change.resource,
    }
    if change.delta:
        policy = {"policyDelta": {"bindingDeltas": [dict(change.delta)]}}
        made["serviceData"] = {"@type": "type.googleapis.com/google.iam.v1.logging.AuditData", **policy}
    return made


def resource(change: Change, sandbox: Sandbox) -> dict[str, Any]:
    """The monitored resource of one change."""
    project, region = sandbox.inventory.project, sandbox.inventory.region
    name, labels = change.resource.rsplit("/", 1)[1], {"project_id": project}
    api = service(change).split(".")[0]
    if api == "cloudfunctions":
        return {"type": "cloud_function", "labels": {**labels, "function_name": name, "region": region}}
    if api == "run":
        more = {"service_name": name, "location": region, "configuration_name": "", "revision_name": ""}
        return {"type": "cloud_run_revision", "labels": {**labels, **more}}
    if api == "cloudscheduler":
        return {"type": "cloud_scheduler_job", "labels": {**labels, "job_id": name, "location": region}}
    if api == "bigquery":
        return {"type": "bigquery_dataset", "labels": {**labels, "dataset_id": sandbox.inventory.dataset}}
    if api == "secretmanager":
        return {
            "type": "audited_resource",
            "labels": {**labels, "service": f"{api}.googleapis.com", "method": change.method},
        }
    return {"type": "project", "labels": labels}
