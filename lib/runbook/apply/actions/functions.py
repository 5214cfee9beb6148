"""Traffic and new revisions of a service, and deployments of a function.

https://cloud.google.com/run/docs/reference/rest/v2/projects.locations.services/patch and
https://cloud.google.com/functions/docs/reference/rest/v2/projects.locations.functions/patch
"""

import hashlib

from runbook.apply.actions.base import Action, Change, Cloud, Observation, Row, SecretValue, Send, side
from runbook.model import Broken


def targets(service: Row, key: str = "traffic") -> dict[str, int]:
    """Percent of the traffic by revision id; "latest" is the newest ready revision."""
    return {t.get("revision") or "latest": t.get("percent", 0) for t in service.get(key, []) if t.get("percent")}


def _observe_traffic(cloud: Cloud, change: Change) -> Observation:
    service = cloud.get("run", f"v2/{cloud.settings.resource('services', change.args.service)}")
    now = targets(service)
    if service.get("reconciling") or targets(service, "trafficStatuses") != now:
        return Observation("pending", "traffic is being routed", service)
    condition = service.get("terminalCondition", {})
    if condition.get("state") == "CONDITION_FAILED" and now == change.args.after:
        return Observation("failed", condition.get("message", ""), service)
    return side(now, change, ", ".join(f"{name} {share} %" for name, share in now.items()), service)


def _do_traffic(send: Send, cloud: Cloud, change: Change, observed: Observation, _: SecretValue) -> None:
    name = cloud.settings.resource("services", change.args.service)
    wanted = [_target(*share) for share in change.args.after.items()]
    body = {"name": name, "etag": observed.data.get("etag", ""), "traffic": wanted}
    send("PATCH", f"https://run.googleapis.com/v2/{name}?updateMask=traffic", body)


def _target(name: str, percent: int) -> Row:
    kind, revision = ("LATEST", {}) if name == "latest" else ("REVISION", {"revision": name})
    return {"type": f"TRAFFIC_TARGET_ALLOCATION_TYPE_{kind}", **revision, "percent": percent}


_MASKS = {"runtime": "buildConfig.runtime", "entry_point": "buildConfig.entryPoint"}
_MASKS |= {"memory": "serviceConfig.availableMemory", "timeout_s": "serviceConfig.timeoutSeconds"}

LABEL = "runbook-source"  # the label on a function with the digest of its source


def _now(found: Row, part: str) -> str | int:
    """What a function has now for a part of an update."""
    if part == "source":
        return found.get("labels", {}).get(LABEL, "")
    config, name = _MASKS[part].split(".")
    return found.get(config, {}).get(name, 0 if part == "timeout_s" else "")


def _observe_function(cloud: Cloud, change: Change) -> Observation:
    found = cloud.get("cloudfunctions", f"v2/{cloud.settings.resource('functions', change.args.function)}")
    state = found.get("state")
    if state == "DEPLOYING":
        return Observation("pending", "it is being deployed", found)
    now = {part: _now(found, part) for part in change.args.after}
    said = "; ".join(m.get("message", "") for m in found.get("stateMessages", []))
    if state == "FAILED" and change.args.was != "FAILED":
        return Observation("failed", said or "its deployment failed", found)
    if state == "FAILED" and now == change.args.after:
        return Observation("failed", said, found)
    return side(now, change, f"{state}, revision {found.get('serviceConfig', {}).get('revision', '?')}", found)


def _do_function(send: Send, cloud: Cloud, change: Change, observed: Observation, secret_value: SecretValue) -> None:
    to, name = change.args.after, cloud.settings.resource("functions", change.args.function)
    base = "https://cloudfunctions.googleapis.com/v2"
    mask = [_MASKS[key] for key in to if key in _MASKS]
    body: Row = {"name": name, "buildConfig": {}, "serviceConfig": {}}
    for key in (key for key in to if key in _MASKS):
        config, field = _MASKS[key].split(".")
        body[config][field] = to[key]
    if "source" in to:
        place = send("POST", f"{base}/{name.rsplit('/', 2)[0]}/functions:generateUploadUrl", {})
        archive = secret_value.archive()
        if hashlib.sha256(archive).hexdigest()[:40] != to["source"]:
            raise Broken("the source changed since it was planned", change.args.function, next="plan again.")
        send("PUT", place["uploadUrl"], archive, {"Content-Type": "application/zip"})
        mask += ["buildConfig.source.storageSource", "labels"]
        body["buildConfig"]["source"] = {"storageSource": place["storageSource"]}
        body["labels"] = {**observed.data.get("labels", {}), LABEL: to["source"]}
    send("PATCH", f"{base}/{name}?updateMask={','.join(mask)}", body)


def _observe_restart(cloud: Cloud, change: Change) -> Observation:
    """Whether the serving revision has this change's annotation: then it started after it."""
    service = cloud.get("run", f"v2/{cloud.settings.resource('services', change.args.service)}")
    condition = service.get("terminalCondition", {})
    failed, ready = condition.get("state") == "CONDITION_FAILED", service.get("latestReadyRevision")
    marked = service.get("template", {}).get("annotations", {}).get(MARK, "") == change.args.mark
    if service.get("reconciling"):
        return Observation("pending", "a new revision is starting", service)
    if failed or (marked and ready != service.get("latestCreatedRevision")):
        said = condition.get("message", "the new revision is not ready" if marked else "")
        return Observation("failed", said, service)
    if marked:
        return Observation("new", ready.rsplit("/", 1)[1], service)
    return Observation("old", change.args.unchanged, service)


MARK = "runbook/secret-version"


def _do_restart(send: Send, cloud: Cloud, change: Change, observed: Observation, _: SecretValue) -> None:
    name = cloud.settings.resource("services", change.args.service)
    marks = {**observed.data.get("template", {}).get("annotations", {}), MARK: change.args.mark}
    body = {"name": name, "etag": observed.data.get("etag", ""), "template": {"annotations": marks}}
    send("PATCH", f"https://run.googleapis.com/v2/{name}?updateMask=template.annotations", body)


ACTIONS = {
    "route traffic": Action(_observe_traffic, _do_traffic),
    "update function": Action(_observe_function, _do_function),
    "start with new secret": Action(_observe_restart, _do_restart),
    "start a new revision": Action(_observe_restart, _do_restart),
}
