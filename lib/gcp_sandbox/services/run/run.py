"""Cloud Run v2: services, their revisions and their traffic."""

from __future__ import annotations

from gcp_sandbox.http import ApiError, Call, route
from gcp_sandbox.services.run.revisions import last, ready
from gcp_sandbox.services.run.serving import LATEST, REVISION, Services
from gcp_sandbox.state import State
from gcp_sandbox.wire import not_found, page, sent

_SERVICES = "/v2/projects/{project}/locations/{location}/services"
_REVISIONS = f"{_SERVICES}/{{service}}/revisions"


@route("run", "GET", _SERVICES, "run.services.list")
def list_services(sandbox: State, call: Call, project: str, location: str) -> dict:
    """The services of a region; "-" is every region."""
    here = location in ("-", sandbox.inventory.region)
    return sent(page(call, "services", list(sandbox.services.services.values()) if here else [], 100))


@route("run", "GET", f"{_SERVICES}/{{service}}", "run.services.get")
def get_service(sandbox: State, _call: Call, project: str, location: str, service: str) -> dict:
    """One service with its traffic and its etag."""
    found = _service(sandbox, service, location)
    sandbox.operations.watch(found["name"])
    return sent(found)


@route("run", "GET", _REVISIONS, "run.revisions.list")
def list_revisions(sandbox: State, call: Call, project: str, location: str, service: str) -> dict:
    """Newest first; the service "-" is every service."""
    known = sandbox.services.revisions
    names = list(known) if service == "-" else [sandbox.services.function(service)]
    here = location in ("-", sandbox.inventory.region)
    return sent(page(call, "revisions", [r for n in names for r in reversed(known.get(n, []))] if here else [], 100))


@route("run", "GET", f"{_REVISIONS}/{{revision}}", "run.revisions.get")
def get_revision(sandbox: State, _call: Call, project: str, location: str, service: str, revision: str) -> dict:
    """One revision, with the environment and the image that it was made from."""
    known = {last(r): r for r in sandbox.services.revisions.get(sandbox.services.function(service), [])}
    return sent(_found(known, "REVISION", revision, location, sandbox))


def _service(sandbox: State, service: str, location: str) -> dict:
    known = {sandbox.services.named(name): found for name, found in sandbox.services.services.items()}
    return _found(known, "SERVICE", service, location, sandbox)


def _found(known: dict[str, dict], kind: str, name: str, location: str, sandbox: State) -> dict:
    if name not in known or location != sandbox.inventory.region:
        where = f"in region '{location}' in project '{sandbox.inventory.project}'"
        raise not_found(f"Resource '{name}' of kind '{kind}' {where} does not exist.")
    return known[name]


@route("run", "PATCH", f"{_SERVICES}/{{service}}", "run.services.update")
def patch_service(sandbox: State, call: Call, project: str, location: str, service: str) -> dict:
    """Change the traffic or the template; a new template creates a revision that reads its secrets again."""
    sandbox.iam.act_as("run")
    services = sandbox.services
    current = _service(sandbox, service, location)
    service = services.function(service)
    mask = [part for part in call.args.get("updateMask", "").split(",") if part]
    if call.args.get("validateOnly", "").lower() == "true":
        raise ApiError(501, "UNIMPLEMENTED", "gcp_sandbox has no validateOnly")
    if not mask or any(part.partition(".")[0] not in ("traffic", "template") for part in mask):
        raise ApiError(501, "UNIMPLEMENTED", f"gcp_sandbox changes traffic and template of a service, not {mask}")
    asked = call.body
    if asked.get("etag") not in (None, "", current["etag"]) or current["reconciling"]:
        versions = f"version '{asked.get('etag', '')}' was specified but current version is '{current['etag']}'."
        raise ApiError(409, "ABORTED", f"Conflict for resource '{service}': {versions}")
    made_from = {**current["template"]}
    for part in mask:
        given, (_, _, key) = asked.get("template", {}), part.partition(".")
        if part.startswith("template"):
            made_from = {**made_from, **given} if not key else {**made_from, key: given.get(key, {})}
    if made_from.pop("revision", ""):
        raise ApiError(501, "UNIMPLEMENTED", "gcp_sandbox names revisions itself")
    traffic = _targets(services, service, asked.get("traffic", [])) if "traffic" in mask else current["traffic"]
    services.begin(service, traffic=traffic)

    def finish() -> dict:
        failure = services.release(service, made_from) if any(p.startswith("template") for p in mask) else ""
        idle = [r for t in traffic if (r := services.find(service, t.get("revision", ""))) and not ready(r)]
        failure = failure or (f"Revision '{last(idle[0])}' is not ready and cannot serve traffic." if idle else "")
        services.settle(service, failure)
        if failure:
            raise ApiError(500, "INTERNAL", failure)
        return current

    return sandbox.operations.start(call, "run", current["name"], finish, lambda _: current)


def _targets(services: Services, service: str, asked: list[dict]) -> list[dict]:
    """The requested traffic in the API's format. Raises ApiError 400 if it does not add up to 100 %."""
    made, kinds = [], {1: LATEST, 2: REVISION, LATEST: LATEST, REVISION: REVISION}
    for n, target in enumerate(asked):
        where = f"Violation in UpdateServiceRequest.service.traffic[{n}]"
        kind, name = kinds.get(target.get("type")), target.get("revision", "").rsplit("/", 1)[-1]
        if kind is None or (kind == LATEST) == bool(name):
            raise ApiError(400, "INVALID_ARGUMENT", f"{where}: revision must be set if and only if type is REVISION.")
        if name and not services.find(service, name):
            raise ApiError(400, "INVALID_ARGUMENT", f"{where}.revision: Revision '{name}' does not exist.")
        kept = {k: target[k] for k in ("percent", "tag") if target.get(k)}
        made.append({"type": kind, **({"revision": name} if name else {}), **kept})
    total = sum(target.get("percent", 0) for target in made)
    if total != 100:
        message = f"Violation in UpdateServiceRequest.service.traffic: percents must sum to 100, got {total}."
        raise ApiError(400, "INVALID_ARGUMENT", message)
    return made
