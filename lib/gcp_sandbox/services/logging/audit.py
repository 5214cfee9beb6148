"""The Admin Activity audit log: the changes in a world, and the changes made by calls."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from gcp_sandbox.http import ApiError
from gcp_sandbox.services.logging import written
from gcp_sandbox.state import State
from gcp_sandbox.wire import digest, stamp
from gcp_sandbox.world.events import Change, Entry

# Time from the request of a deployment to its revision: the duration of the build.
BUILD = timedelta(seconds=95)
_START = timedelta(seconds=20)  # of the first instance
_VERSIONS = {"ENABLED": "enable", "DISABLED": "disable", "DESTROYED": "destroy"}

# Required permission of a call → its method in the audit log; and back, with the other changes in a world.
MADE: dict[str, str] = written.TABLES["made"]
_NEEDED: dict[str, str] = {method: permission for permission, method in MADE.items()} | written.TABLES["needed"]
_CODES: dict[str, int] = written.TABLES["codes"]
_UPDATE = MADE["cloudfunctions.functions.update"]
_REPLACE = "google.cloud.serverless.internal.InternalServices.ReplaceInternalService"

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
            yield one.age + _START, name, _by_robot(sandbox, name)
            failure = {"code": one.code, "error": one.failure} if one.failure else {}
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
            yield one.changed, name, Change("cloudscheduler", method, f"{here.place}/jobs/{here.job(name)}", one.by)


def _of_secrets(sandbox: State) -> Iterator[Told]:
    for secret in sandbox.world.secrets:
        name = f"projects/{sandbox.inventory.project}/secrets/{secret.name}"
        for n, one in enumerate(secret.versions, 1):
            yield one.age, "", Change("secretmanager", MADE["secretmanager.versions.add"], name, one.by)
            if one.changed:
                method = MADE[f"secretmanager.versions.{_VERSIONS[one.state]}"]
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


def _by_robot(sandbox: State, name: str) -> Change:
    """The change of the Run service that Google's own account makes when a function is deployed."""
    robot = f"service-{sandbox.inventory.project_number}@gcf-admin-robot.iam.gserviceaccount.com"
    return Change("run", _REPLACE, f"namespaces/{sandbox.inventory.project}/services/{name}", robot)


def ended(sandbox: State, name: str, resource: str, error: ApiError | None) -> Iterator[Entry]:
    """The entries of the end of a function's long-running operation; a failed build changes no service."""
    if not error or "Build failed" not in error.message:
        yield _entry(sandbox.now, "", _by_robot(sandbox, resource.rsplit("/", 1)[1]))
    caller = f"caller@{sandbox.inventory.project}.iam.gserviceaccount.com"
    change = Change("cloudfunctions", _UPDATE, resource, caller, operation=name, step="last")
    if error:
        change = change._replace(code=_CODES.get(error.status, 2), error=error.message)
    yield _entry(sandbox.now, "", change)


def operation(change: Change) -> dict[str, Any] | None:
    """The long-running operation of an entry, and whether the entry is its first or last."""
    if not change.step:
        return None
    return {"id": change.operation, "producer": f"{change.api}.googleapis.com", change.step: True}


def payload(change: Change, at: datetime, sandbox: State) -> dict[str, Any]:
    """The protoPayload of one change, with the keys that the audit log of its API has."""
    robot, last, run = change.method == _REPLACE, change.step == "last", change.api == "run"
    code, said = change.code, {**change._asdict(), "time": stamp(at), "nanos": stamp(at, 9)}
    said |= {"verb": change.method.rsplit(".", 1)[-1], "permission": _NEEDED[change.method], "granted": code != 7}
    said |= {"region": sandbox.inventory.region, "ip": None if robot else "192.0.2.3", "delta": dict(change.delta)}
    kind = "serviceAccount" if change.by.endswith("gserviceaccount.com") else "user"
    none = {} if last or change.api == "bigquery" else None

    def given(name: str, fits: bool) -> Any:
        return written.shape(name, **said) if fits else None

    secret, first = given("secret", change.api == "secretmanager"), change.step == "first"
    return written.shape(
        "change",
        **said,
        status={"code": code, "message": change.error} if code else none,
        subject=None if robot else f"{kind}:{change.by}",
        metadata=given("no_caller" if last else "caller", True),
        asked=given("asked", not last),
        location=given("location", run),
        request=secret or given("function", first),
        response=given("begun", first) or given("done", last and not code),
        more=given("table", change.api == "bigquery"),
        data=given("policy", bool(change.delta)),
    )


def resource(change: Change, sandbox: State) -> dict[str, Any]:
    """The monitored resource of one change."""
    here, name = sandbox.inventory, change.resource.rsplit("/", 1)[1]
    values = {"project": here.project, "region": here.region, "dataset": here.dataset, "name": name}
    return written.shape(change.api, **values, method=change.method)
