"""Cloud Functions v2: a deployment. Upload a zip, change the function, and poll until a new revision is created.

The new revision serves only if the traffic follows the latest revision; pinned traffic does not change.
After a failed deployment the function is FAILED, and the previous revision still serves.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

from werkzeug.wrappers import Response

from gcp_sandbox.http import ApiError, Call, route
from gcp_sandbox.operations import Operation
from gcp_sandbox.services.functions.build import Code, build
from gcp_sandbox.services.functions.functions import FUNCTIONS, known
from gcp_sandbox.services.run.revisions import NOT_LISTENING, condition, environment, last, uid
from gcp_sandbox.state import State
from gcp_sandbox.wire import digest, stamp
from gcp_sandbox.world.events import Entry

_SOURCE = ("buildConfig.source.storageSource", "buildConfig.source")

# Fields that a mask may name in addition to the source, and checks of their values.
_FITS: dict[str, Callable[[Any], Any]] = {
    "buildConfig.runtime": lambda v: re.fullmatch(r"python3\d+", str(v)),
    "buildConfig.entryPoint": lambda v: str(v).isidentifier(),
    "serviceConfig.availableMemory": lambda v: re.fullmatch(r"\d+(k|K|Ki|M|Mi|G|Gi)?", str(v)),
    "serviceConfig.timeoutSeconds": lambda v: isinstance(v, int) and 1 <= v <= 3600,
    "serviceConfig.secretEnvironmentVariables": lambda _: True,
    "labels": lambda _: True,
}


@route("cloudfunctions", "POST", f"{FUNCTIONS}:generateUploadUrl", "cloudfunctions.functions.sourceCodeSet")
def generate_upload_url(sandbox: State, call: Call, project: str, location: str) -> dict:
    """Where to PUT a zip; the URL itself grants the permission."""
    number = sandbox.inventory.project_number
    bucket = f"gcf-v2-uploads-{number}.{location}.cloudfunctions.appspot.com"
    name = f"{uid('upload', len(sandbox.uploads))}.zip"
    sandbox.uploads[f"{bucket}/{name}"] = None
    root = call.origin("storage")
    expires = int(sandbox.now.timestamp()) + 1800
    signed = f"GoogleAccessId=service-{number}&Expires={expires}&Signature={digest(name)[:40]}"
    return {"uploadUrl": f"{root}/{bucket}/{name}?{signed}", "storageSource": {"bucket": bucket, "object": name}}


@route("storage", "PUT", "/{bucket}/{file}")
def upload(sandbox: State, call: Call, bucket: str, file: str) -> Response:
    """Store the bytes of a zip. The errors are those of the XML API."""
    name = f"{bucket}/{file}"
    if name not in sandbox.uploads or "Signature" not in call.args:
        return _xml(403, "AccessDenied", "Access denied.")
    if "authorization" in call.headers:
        return _xml(400, "InvalidArgument", "Invalid argument.")
    if call.headers.get("content-type") != "application/zip":
        words = "The request signature we calculated does not match the signature you provided."
        return _xml(403, "SignatureDoesNotMatch", f"{words} Check your Google secret key and signing method.")
    sandbox.tick()
    sandbox.uploads[name] = call.data
    return Response("")


def _xml(code: int, name: str, message: str) -> Response:
    body = f"<?xml version='1.0' encoding='UTF-8'?><Error><Code>{name}</Code><Message>{message}</Message></Error>"
    return Response(body, code, content_type="application/xml; charset=UTF-8")


@route("cloudfunctions", "PATCH", f"{FUNCTIONS}/{{function}}", "cloudfunctions.functions.update")
def patch_function(sandbox: State, call: Call, project: str, location: str, function: str) -> dict:
    """Deploy: only the fields in the mask change."""
    current, body = known(sandbox, location, function), call.body
    mask = [part for part in call.args.get("updateMask", "").split(",") if part]
    unknown = [part for part in mask if part not in _SOURCE and part not in _FITS]
    if not mask:
        raise ApiError(501, "UNIMPLEMENTED", "gcp_sandbox updates a function only with an updateMask")
    if unknown:
        message = (
            f"Invalid value at 'update_mask' (type.googleapis.com/google.protobuf.FieldMask), {', '.join(unknown)}"
        )
        raise ApiError(400, "INVALID_ARGUMENT", message)
    sandbox.iam.act_as("cloudfunctions")
    source = _source(sandbox, project, location, function, body) if set(mask) & set(_SOURCE) else None
    changes = {part: _at(body, part) for part in mask if part not in _SOURCE}
    for path, value in changes.items():
        if not _FITS[path](value):
            field = re.sub(r"[A-Z]", lambda m: f"_{m[0].lower()}", path)
            raise ApiError(400, "INVALID_ARGUMENT", f"Invalid value at 'function.{field}': {value!r}")
    if current["state"] == "DEPLOYING":
        raise ApiError(409, "ABORTED", "unable to queue the operation")
    current["state"] = "DEPLOYING"
    finish = partial(_deploy, sandbox, function, changes, source)
    return sandbox.operations.start(call, "cloudfunctions", current["name"], finish, _metadata)


def _at(body: dict, path: str) -> Any:
    for part in path.split("."):
        body = (body or {}).get(part)  # type: ignore[assignment]
    return body


def _source(sandbox: State, project: str, location: str, function: str, body: dict) -> bytes:
    """The zip that a request names. Raises ApiError if there is none."""
    on = {"project": project, "location": location, "function": function}
    sandbox.iam.require("cloudfunctions.functions.sourceCodeSet", "cloudfunctions", on)
    named = _at(body, _SOURCE[0]) or {}
    found = sandbox.uploads.get(f"{named.get('bucket')}/{named.get('object')}")
    if found is None:
        raise ApiError(400, "INVALID_ARGUMENT", "Failed to retrieve function source code")
    return found


def _deploy(sandbox: State, name: str, changes: dict[str, Any], source: bytes | None) -> dict:
    """Build, start and route; returns the function. Raises ApiError as the error of the operation."""
    functions, services = sandbox.functions, sandbox.services
    current = functions.functions[name]
    entry_point = changes.get("buildConfig.entryPoint") or current["buildConfig"]["entryPoint"]
    code = Code() if source is None else build(source, entry_point)
    broken, dead = code.broken, code.dead
    said = sandbox.story.last("deploys", sandbox.story.function(name))
    if said and said.outcome == "build":
        broken = said.message or "Build error details not available"
    elif said:
        dead = said.message or dead or NOT_LISTENING
    number = last(services.revisions[name][-1]) + str(len(sandbox.uploads))
    build_name = functions.build_name(name, number)
    if broken:
        url = f"https://console.cloud.google.com/cloud-build/{build_name.split('/', 4)[4]}"
        message = f"Build failed with status: FAILURE and message: {broken}. For more details see the logs at {url}."
        raise _failed(current, "CloudBuildFailed", message)
    _write(current, changes)
    if source is not None:
        current["buildConfig"] |= {"build": build_name, "source": functions.source(name, digest(source), number)}
        resolved = current["buildConfig"]["source"]["storageSource"]
        current["buildConfig"]["sourceProvenance"] = {"resolvedStorageSource": resolved}
    service = services.services[name]
    services.begin(name)
    failure = services.release(
        name, _template(current, service["template"]), None if source is None else code.defect, dead and NOT_LISTENING
    )
    services.settle(name)
    if dead not in ("", NOT_LISTENING):
        newest = last(services.revisions[name][-1])
        sandbox.log.add(Entry(sandbox.now, name, "ERROR", dead, revision=newest))
    if failure:
        service["terminalCondition"] = condition("Ready", stamp(sandbox.now), failure)
        message = f"Could not create or update Cloud Run service {name}, Container Healthcheck failed. {failure}"
        raise _failed(current, "CloudRunServiceNotReady", message)
    current |= {"state": "ACTIVE", "updateTime": stamp(sandbox.now, 9)}
    current.pop("stateMessages", None)
    return functions.draw(name)


def _write(current: dict, changes: dict[str, Any]) -> None:
    for path, value in changes.items():
        part, _, key = path.partition(".")
        current[part] = {**current[part], key: value} if key else value or {}


def _template(current: dict, template: dict) -> dict:
    """The service's template with the function's settings in it."""
    config, worker = current["serviceConfig"], template["containers"][0]
    secrets = [
        (v["key"], v["secret"], v.get("version") or "latest") for v in config["secretEnvironmentVariables"] or []
    ]
    limits = {**worker["resources"]["limits"], "memory": config["availableMemory"]}
    env = environment(secrets, config.get("environmentVariables") or {})
    worker = {**worker, "env": env, "resources": {**worker["resources"], "limits": limits}}
    labels = {**template["labels"], "goog-cloudfunctions-runtime": current["buildConfig"]["runtime"]}
    return {**template, "labels": labels, "timeout": f"{config['timeoutSeconds']}s", "containers": [worker]}


def _failed(current: dict, kind: str, message: str) -> ApiError:
    current |= {"state": "FAILED", "stateMessages": [{"severity": "ERROR", "type": kind, "message": message}]}
    return ApiError(400, "INVALID_ARGUMENT", message)


def _metadata(operation: Operation) -> dict[str, Any]:
    stages = [
        {"name": name, "state": "COMPLETE" if operation.polls > n else "IN_PROGRESS"}
        for n, name in enumerate(("BUILD", "SERVICE"))
    ]
    return {
        "createTime": stamp(operation.created),
        "target": operation.resource,
        "verb": "update",
        "apiVersion": "v2",
        "operationType": "UPDATE_FUNCTION",
        "stages": stages,
        **({"endTime": stamp(operation.ended)} if operation.ended else {}),
    }
