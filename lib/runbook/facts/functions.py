"""Functions, the Cloud Run service behind one (code, memory, traffic, revisions), and the jobs that call them.

Guide: Safe Deployment.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from typing import Any

from runbook.cloud.answer import objects
from runbook.cloud.client import Cloud
from runbook.config.schema import Settings
from runbook.display.text import Row
from runbook.facts.base import Answer, Ask, Read, readable
from runbook.facts.fields import field, items, last, mapping, number, text, time_of
from runbook.model.facts import Gap
from runbook.model.moment import Moment
from runbook.model.rows import FunctionState, Revision, SchedulerJob, Service


def functions() -> Ask:
    """Every function of the project, in any region.

    A location that did not answer is a gap: its functions are unknown, not missing.
    """

    def ask(cloud: Cloud, moment: Moment) -> Read:
        project = cloud.settings.project
        line = f"gcloud functions list --v2 --regions=- --project={project}"

        def see() -> Answer:
            path = f"v2/projects/{project}/locations/-/functions"
            found: list[Any] = []
            away: set[str] = set()
            for page in cloud.pages("cloudfunctions", path, pageSize=1000):
                away |= {last({"at": name}, "at") or "an unnamed location" for name in objects(page, "unreachable")}
                found += objects(page, "functions")
            read = readable("functions", found, _function, f"inspect them: {line}.", lambda r: r.name)
            said = ("the location did not answer", "run again.")
            gaps = (Gap(f"functions in {place}", *said, location=place) for place in sorted(away))
            return replace(read, gaps=(*gaps, *read.gaps))

        return Read("functions", line, see, no_history_of="Cloud Functions")

    return ask


def _function(found: Any) -> FunctionState | None:
    """The row of one function; None if it has no name."""
    place = text(found, "name").split("/")
    if len(place) != 6 or not place[-1]:
        return None
    return FunctionState(
        name=place[-1],
        region=place[3],
        state=text(found, "state") or "STATE_UNSPECIFIED",
        memory=text(found, "serviceConfig", "availableMemory"),
        timeout_s=number(found, "serviceConfig", "timeoutSeconds"),
        updated=time_of(found, "updateTime"),
        message=" ".join(text(m, "message") for m in items(found, "stateMessages")),
    )


def service(function: str) -> Ask:
    """One row: the function and its Cloud Run service."""

    def ask(cloud: Cloud, moment: Moment) -> Read:
        def see() -> Answer:
            from google.api_core.exceptions import NotFound

            found = cloud.get("cloudfunctions", f"v2/{_place(cloud)}/functions/{function}")
            own = cloud.settings.named(function).service_name
            name = text(found, "serviceConfig", "service") or f"{_place(cloud)}/services/{own}"
            try:
                run = cloud.get("run", f"v2/{name}")
            except NotFound:  # a function whose first deployment failed
                run = {"name": name}
            return Answer([_service(function, found, run)])

        line = f"gcloud functions describe {function} --v2 {flags(cloud)}"
        return Read("service", line, see, thing=function, no_history_of="Cloud Functions")

    return ask


def _place(cloud: Cloud) -> str:
    return f"projects/{cloud.settings.project}/locations/{cloud.settings.region}"


def flags(cloud: Cloud) -> str:
    """The region and project as gcloud flags."""
    return f"--region={cloud.settings.region} --project={cloud.settings.project}"


def _service(function: str, found: Row, run: Row) -> Service:
    build, config = mapping(found, "buildConfig"), mapping(found, "serviceConfig")
    wanted = _shares(items(run, "traffic"))
    latest = last(run, "latestReadyRevision")
    most = max(wanted, key=lambda name: wanted[name], default="")
    place = mapping(build, "source", "storageSource")
    return Service(
        function=function,
        state=text(found, "state") or "UNKNOWN",
        runtime=text(build, "runtime"),
        entry_point=text(build, "entryPoint"),
        memory=text(config, "availableMemory"),
        timeout_s=number(config, "timeoutSeconds"),
        serving=latest if most == "latest" else most,
        traffic=", ".join(f"{name} {share} %" for name, share in wanted.items()),
        pinned=any(name != "latest" for name in wanted),
        updated=time_of(found, "updateTime"),
        targets=wanted,
        service=last(run, "name"),
        source=text(found, "labels", "runbook-source"),
        code=f"gs://{text(place, 'bucket')}/{text(place, 'object')}",
        reconciling=bool(run.get("reconciling")) or number(run, "observedGeneration") < number(run, "generation"),
    )


def _shares(targets: list[Any]) -> dict[str, int]:
    """Percent by revision id; targets without traffic, which only give a revision its own URL, are left out."""
    found: dict[str, int] = {}
    for target in targets:
        if percent := number(target, "percent"):
            name = text(target, "revision") or "latest"
            found[name] = found.get(name, 0) + percent
    return found


def revisions(function: str) -> Ask:
    """The newest 100 revisions, newest first."""

    def ask(cloud: Cloud, moment: Moment) -> Read:
        service = cloud.settings.named(function).service_name
        line = f"gcloud run revisions list --service={service} {flags(cloud)}"

        def see() -> Answer:
            name = f"{_place(cloud)}/services/{service}"
            run = cloud.get("run", f"v2/{name}")
            listed = cloud.get("run", f"v2/{name}/revisions", pageSize=100)
            shares = _shares(items(run, "trafficStatuses"))
            latest = last(run, "latestReadyRevision")
            shares[latest] = shares.get(latest, 0) + shares.pop("latest", 0)
            pinned = any(name != "latest" for name in _shares(items(run, "traffic")))
            found = objects(listed, "revisions")
            read = readable("revisions", found, lambda r: _revision(r, shares, pinned), f"inspect them: {line}.")
            rows = sorted(read.rows, key=lambda r: (r.created, r.revision), reverse=True)
            return replace(read, rows=rows, more=bool(listed.get("nextPageToken")))

        return Read("revisions", line, see, thing=function, no_history_of="Cloud Run")

    return ask


def _revision(found: Any, shares: dict[str, int], pinned: bool) -> Revision | None:
    """The row of one revision; None if it has no name or no time."""
    name, created = last(found, "name"), time_of(found, "createTime")
    ready = next((c for c in items(found, "conditions") if text(c, "type") == "Ready"), {})
    if not name or not created:
        return None
    succeeded = text(ready, "state") == "CONDITION_SUCCEEDED"
    return Revision(name, created, succeeded, shares.get(name, 0), pinned, _secrets(found))


def _secrets(revision: Any) -> tuple[tuple[str, str], ...] | None:
    """The (secret, version) of each variable and each file of a revision; None if it lists no container.

    Google's default for a version is `latest`.
    """
    containers = items(revision, "containers")
    if not containers:
        return None
    variables = [mapping(e, "valueSource", "secretKeyRef") for c in containers for e in items(c, "env")]
    volumes = [mapping(v, "secret") for v in items(revision, "volumes")]
    files = [{**v, **item} for v in volumes for item in items(v, "items") or [{}] if isinstance(item, dict)]
    return tuple((last(r, "secret"), text(r, "version") or "latest") for r in [*variables, *files] if r)


# --- the scheduler


def jobs() -> Ask:
    """The region's jobs, by name."""

    def ask(cloud: Cloud, moment: Moment) -> Read:
        project, region = cloud.settings.project, cloud.settings.region
        line = f"gcloud scheduler jobs list --location={region} --project={project}"

        def see() -> Answer:
            path = f"v1/projects/{project}/locations/{region}/jobs"
            found = cloud.items("cloudscheduler", path, "jobs", pageSize=500)
            row, look = partial(_job, cloud.settings), f"inspect them: {line}."
            return readable("scheduler jobs", found, row, look, lambda r: r.name)

        return Read("scheduler jobs", line, see, no_history_of="Cloud Scheduler")

    return ask


def _job(settings: Settings, found: Any) -> SchedulerJob | None:
    """The row of one job; None if it has no name. An unreadable status is code 2, UNKNOWN in google.rpc.Code."""
    name = last(found, "name")
    none = field(found, "status") in (None, {}) or mapping(found, "status").get("code", "") == 0
    if not name:
        return None
    return SchedulerJob(
        name=name,
        state=text(found, "state") or "STATE_UNSPECIFIED",
        schedule=text(found, "schedule"),
        zone=text(found, "timeZone") or "UTC",
        last_attempt=time_of(found, "lastAttemptTime"),
        code=0 if none else number(found, "status", "code", default=2),
        message=text(found, "status", "message"),
        function=called(settings, text(found, "httpTarget", "uri"), name),
    )


def called(settings: Settings, url: str, job: str) -> str:
    """The function that a job calls: by `job` in params, else by its target URL, else by its name; "" if unknown."""
    own = next((f.name for f in settings.functions if job and f.job == job), "")
    target = settings.function_of(_target(url))
    return own or target or next((f.name for f in settings.functions if f.name == job), "")


def _target(url: str) -> str:
    """The function or the service that a URL calls; "" if it calls none.

    https://REGION-PROJECT.cloudfunctions.net/FUNCTION, https://SERVICE-HASH-REGION.a.run.app,
    https://SERVICE-NUMBER.REGION.run.app.
    """
    found = re.match(r"https?://(?:[^/.]+---)?([^/.:?#]+)\.([^/:?#]+)(?::\d+)?/?([^/?#]*)", url)
    if not found:
        return ""
    first, domain, path = found.groups()
    if domain == "cloudfunctions.net":
        return path
    return first.rsplit("-", 2 if domain == "a.run.app" else 1)[0] if domain.endswith("run.app") else ""
