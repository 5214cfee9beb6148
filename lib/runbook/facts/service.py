"""One function and the Cloud Run service behind it: code, memory, traffic, revisions (guide: Safe Deployment)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from runbook.cloud.connect import Cloud
from runbook.facts.read import Answer, Ask, Read
from runbook.moment import Moment
from runbook.rows import Row


def service(function: str) -> Ask:
    """One row: `function, state, runtime, entry_point, memory, timeout_s, serving, traffic, pinned, updated`.

    `serving` is the revision with most of the traffic; `pinned` is true where new code would not get all of it.
    """

    def ask(cloud: Cloud, moment: Moment) -> Read:
        def see() -> Answer:
            from google.api_core.exceptions import NotFound

            found = cloud.get("cloudfunctions", f"v2/{_place(cloud)}/functions/{function}")
            name = found.get("serviceConfig", {}).get("service") or f"{_place(cloud)}/services/{function}"
            try:
                run = cloud.get("run", f"v2/{name}")
            except NotFound:  # a function whose first deployment failed
                run = {"name": name}
            return Answer([_service(function, found, run)])

        line = f"gcloud functions describe {function} --v2 {flags(cloud)}"
        return Read("service", line, see, thing=function, forgets="Cloud Functions")

    return ask


def _place(cloud: Cloud) -> str:
    return f"projects/{cloud.settings.project}/locations/{cloud.settings.region}"


def flags(cloud: Cloud) -> str:
    """Where the system is, as gcloud wants it."""
    return f"--region={cloud.settings.region} --project={cloud.settings.project}"


def _last(name: str) -> str:
    return name.rsplit("/", 1)[-1]


def _service(function: str, found: Row, run: Row) -> Row:
    build, config = found.get("buildConfig", {}), found.get("serviceConfig", {})
    wanted = _shares(run.get("traffic", []))
    latest = _last(run.get("latestReadyRevision", ""))
    most = max(wanted, key=lambda name: wanted[name], default="")
    env = run.get("template", {}).get("containers", [{}])[0].get("env", [])
    place = build.get("source", {}).get("storageSource", {})
    return {
        "function": function,
        "state": found.get("state", "UNKNOWN"),
        "runtime": build.get("runtime", ""),
        "entry_point": build.get("entryPoint", ""),
        "memory": config.get("availableMemory", ""),
        "timeout_s": config.get("timeoutSeconds", 0),
        "serving": latest if most == "latest" else most,
        "traffic": ", ".join(f"{name} {share} %" for name, share in wanted.items()),
        "pinned": any(name != "latest" for name in wanted),
        "updated": _time(found.get("updateTime")),
        "_latest": latest,
        "_targets": wanted,
        "_service": _last(run["name"]),
        "_source": found.get("labels", {}).get("runbook-source", ""),
        "_code": "gs://{bucket}/{object}".format(**{"bucket": "", "object": "", **place}),
        "_secrets": sorted(s["secret"] for e in env if (s := e.get("valueSource", {}).get("secretKeyRef"))),
        "_reconciling": bool(run.get("reconciling")),
    }


def _shares(targets: list[Row]) -> dict[str, int]:
    """Percent by revision id; a target without traffic only gives a revision a URL of its own."""
    found: dict[str, int] = {}
    for target in targets:
        if target.get("percent"):
            name = target.get("revision") or "latest"
            found[name] = found.get(name, 0) + target["percent"]
    return found


def _time(text: Any) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def revisions(function: str) -> Ask:
    """Rows `revision, created, ready, traffic` of the newest hundred revisions, newest first; traffic in percent."""

    def ask(cloud: Cloud, moment: Moment) -> Read:
        def see() -> Answer:
            name = f"{_place(cloud)}/services/{function}"
            run = cloud.get("run", f"v2/{name}")
            listed = cloud.get("run", f"v2/{name}/revisions", pageSize=100)
            shares = _shares(run.get("trafficStatuses", []))
            latest = _last(run.get("latestReadyRevision", ""))
            shares[latest] = shares.get(latest, 0) + shares.pop("latest", 0)
            pinned = any(name != "latest" for name in _shares(run.get("traffic", [])))
            rows = [_revision(r, shares) | {"_pinned": pinned} for r in listed.get("revisions", [])]
            rows.sort(key=lambda r: (r["created"], r["revision"]), reverse=True)
            return Answer(rows, more=bool(listed.get("nextPageToken")))

        line = f"gcloud run revisions list --service={function} {flags(cloud)}"
        return Read("revisions", line, see, thing=function, forgets="Cloud Run")

    return ask


def _revision(found: Row, shares: dict[str, int]) -> Row:
    name = _last(found["name"])
    ready = next((c for c in found.get("conditions", []) if c.get("type") == "Ready"), {})
    return {
        "revision": name,
        "created": _time(found["createTime"]),
        "ready": ready.get("state") == "CONDITION_SUCCEEDED",
        "traffic": shares.get(name, 0),
        "_secrets": _secrets(found),
    }


def _secrets(revision: Row) -> list[tuple[str, str]] | None:
    """The (secret, version) of each variable and each file of a revision; None where it shows no container.

    Google's default for a version is `latest`.
    """
    if not revision.get("containers"):
        return None
    variables = [e.get("valueSource", {}).get("secretKeyRef") for c in revision["containers"] for e in c.get("env", [])]
    volumes = [v["secret"] for v in revision.get("volumes", []) if "secret" in v]
    files = [{**volume, **item} for volume in volumes for item in volume.get("items") or [{}]]
    return [(_last(r["secret"]), r.get("version") or "latest") for r in [*variables, *files] if r]
