"""Functions, the Cloud Run service behind one (code, memory, traffic, revisions), and the jobs that call them.

Guide: Safe Deployment.
"""

import re
from collections import Counter
from dataclasses import replace
from functools import partial
from typing import Any

from runbook.cloud import Cloud, objects
from runbook.config import Settings
from runbook.facts.base import Answer, Read, fact, readable
from runbook.facts.fields import field, filled, items, last, mapping, number, text, time_of
from runbook.model import Gap, Moment, Row
from runbook.model.rows import FunctionState, Revision, SchedulerJob, Service


@fact
def functions(cloud: Cloud, moment: Moment) -> Read:
    """Every function of the project, in any region.

    A location that did not answer is a gap: its functions are unknown, not missing.
    """
    line = f"gcloud functions list --v2 --regions=- --project={cloud.settings.project}"

    def see() -> Answer:
        path = f"v2/projects/{cloud.settings.project}/locations/-/functions"
        found, away = list[Any](), set[str]()
        for page in cloud.pages("cloudfunctions", path, pageSize=1000):
            away |= {last({"at": name}, "at") or "an unnamed location" for name in objects(page, "unreachable")}
            found += objects(page, "functions")
        read = readable("functions", found, _function, f"inspect them: {line}", lambda r: r.name)
        said = ("the location did not answer", "repeat this run.")
        gaps = (Gap(f"functions in {place}", *said, location=place) for place in sorted(away))
        return replace(read, gaps=(*gaps, *read.gaps))

    return Read("functions", line, see, no_history_of="Cloud Functions")


def _function(found: Any) -> FunctionState | None:
    """The row of one function; None if it has no name."""
    place = text(found, "name").split("/")
    if len(place) != 6 or not place[-1]:
        return None
    state = text(found, "state") or "STATE_UNSPECIFIED"
    message = " ".join(text(m, "message") for m in items(found, "stateMessages"))
    return filled(FunctionState, found, name=place[-1], region=place[3], state=state, message=message)


@fact
def service(cloud: Cloud, moment: Moment, function: str) -> Read:
    """One row: the function and its Cloud Run service."""
    system = cloud.settings

    def see() -> Answer:
        from google.api_core.exceptions import NotFound

        found = cloud.get("cloudfunctions", f"v2/{system.resource('functions', function)}")
        own = system.resource("services", system.named(function).service_name)
        name = text(found, "serviceConfig", "service") or own
        try:
            run = cloud.get("run", f"v2/{name}")
        except NotFound:  # a function whose first deployment failed
            run = {"name": name}
        return Answer([_service(function, found, run)])

    line = f"gcloud functions describe {function} --v2 {system.flags}"
    return Read("service", line, see, thing=function, no_history_of="Cloud Functions")


def _service(function: str, found: Row, run: Row) -> Service:
    wanted = _shares(items(run, "traffic"))
    most = max(wanted, key=wanted.__getitem__, default="")
    routed = {"serving": last(run, "latestReadyRevision") if most == "latest" else most, "targets": wanted}
    routed["traffic"] = ", ".join(f"{name} {share} %" for name, share in wanted.items())
    routed["pinned"] = any(name != "latest" for name in wanted)
    place = mapping(found, "buildConfig", "source", "storageSource")
    made = {"function": function, "state": text(found, "state") or "UNKNOWN", "service": last(run, "name")}
    made["code"] = f"gs://{text(place, 'bucket')}/{text(place, 'object')}"
    moves = bool(run.get("reconciling")) or number(run, "observedGeneration") < number(run, "generation")
    return filled(Service, found, **made, **routed, reconciling=moves)


def _shares(targets: list[Any]) -> dict[str, int]:
    """Percent by revision id; targets without traffic, which only give a revision its own URL, are left out."""
    found = Counter[str]()
    for target in targets:
        if percent := number(target, "percent"):
            found[text(target, "revision") or "latest"] += percent
    return dict(found)


@fact
def revisions(cloud: Cloud, moment: Moment, function: str) -> Read:
    """The newest 100 revisions, newest first."""
    system, service = cloud.settings, cloud.settings.named(function).service_name
    line = f"gcloud run revisions list --service={service} {system.flags}"

    def see() -> Answer:
        path = f"v2/{system.resource('services', service)}"
        run, listed = cloud.get("run", path), cloud.get("run", f"{path}/revisions", pageSize=100)
        shares = _shares(items(run, "trafficStatuses"))
        latest = last(run, "latestReadyRevision")
        shares[latest] = shares.get(latest, 0) + shares.pop("latest", 0)
        pinned = any(name != "latest" for name in _shares(items(run, "traffic")))
        row = partial(_revision, shares=shares, pinned=pinned)
        read = readable("revisions", objects(listed, "revisions"), row, f"inspect them: {line}")
        rows = sorted(read.rows, key=lambda r: (r.created, r.revision), reverse=True)
        return replace(read, rows=rows, more=bool(listed.get("nextPageToken")))

    return Read("revisions", line, see, thing=function, no_history_of="Cloud Run")


def _revision(found: Any, shares: dict[str, int], pinned: bool) -> Revision | None:
    """The row of one revision; None if it has no name or no time."""
    name, created = last(found, "name"), time_of(found, "createTime")
    ready = next((text(c, "state") for c in items(found, "conditions") if text(c, "type") == "Ready"), "")
    if not name or not created:
        return None
    return Revision(name, created, ready == "CONDITION_SUCCEEDED", shares.get(name, 0), pinned, _secrets(found))


def _secrets(revision: Any) -> tuple[tuple[str, str], ...] | None:
    """The (secret, version) of each variable and each file of a revision; None if it lists no container.

    Google's default for a version is `latest`.
    """
    if not (containers := items(revision, "containers")):
        return None
    variables = [mapping(e, "valueSource", "secretKeyRef") for c in containers for e in items(c, "env")]
    volumes = [mapping(v, "secret") for v in items(revision, "volumes")]
    files = [{**v, **item} for v in volumes for item in items(v, "items") or [{}] if isinstance(item, dict)]
    return tuple((last(r, "secret"), text(r, "version") or "latest") for r in [*variables, *files] if r)


# --- the scheduler


@fact
def jobs(cloud: Cloud, moment: Moment) -> Read:
    """The region's jobs, by name."""
    system = cloud.settings
    line = f"gcloud scheduler jobs list --location={system.region} --project={system.project}"

    def see() -> Answer:
        path = f"v1/projects/{system.project}/locations/{system.region}/jobs"
        found = cloud.items("cloudscheduler", path, "jobs", pageSize=500)
        return readable("scheduler jobs", found, partial(_job, system), f"inspect them: {line}", lambda r: r.name)

    return Read("scheduler jobs", line, see, no_history_of="Cloud Scheduler")


def _job(settings: Settings, found: Any) -> SchedulerJob | None:
    """The row of one job; None if it has no name. An unreadable status is code 2, UNKNOWN in google.rpc.Code."""
    if not (name := last(found, "name")):
        return None
    none = field(found, "status") in (None, {}) or mapping(found, "status").get("code", "") == 0
    state, zone = text(found, "state") or "STATE_UNSPECIFIED", text(found, "timeZone") or "UTC"
    code = 0 if none else number(found, "status", "code", default=2)
    function = called(settings, text(found, "httpTarget", "uri"), name)
    return filled(SchedulerJob, found, name=name, state=state, zone=zone, code=code, function=function)


def called(settings: Settings, url: str, job: str) -> str:
    """The function that a job calls: by `job` in params, else by its target URL, else by its name; "" if unknown."""
    own = next((f.name for f in settings.functions if job and f.job == job), "") or settings.function_of(_target(url))
    return own or next((f.name for f in settings.functions if f.name == job), "")


def _target(url: str) -> str:
    """The function or the service that a URL calls; "" if it calls none.

    https://REGION-PROJECT.cloudfunctions.net/FUNCTION, https://SERVICE-HASH-REGION.a.run.app,
    https://SERVICE-NUMBER.REGION.run.app.
    """
    found = re.match(r"https?://(?:[^/.]+---)?([^/.:?#]+)\.([^/:?#]+)(?::\d+)?/?([^/?#]*)", url)
    first, domain, path = found.groups() if found else ("", "", "")
    if domain == "cloudfunctions.net":
        return path
    return first.rsplit("-", 2 if domain == "a.run.app" else 1)[0] if domain.endswith("run.app") else ""
