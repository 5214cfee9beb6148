"""Cloud Run v2: the service and the revisions behind each function.

A function's newest good revision is older than the story, so that every log entry and run is its own; a function whose
deployment failed has one more, that never became ready and gets no traffic.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from gcp_sandbox.app import Call, route
from gcp_sandbox.inventory import Function
from gcp_sandbox.story import HISTORY, number
from gcp_sandbox.wire import digest, etag, not_found, page, stamp

if TYPE_CHECKING:
    from gcp_sandbox.sandbox import Sandbox

_LATEST = "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST"
_SERVICES = "/v2/projects/{project}/locations/{location}/services"
_REVISIONS = f"{_SERVICES}/{{service}}/revisions"


class Services:
    """Every Run service by the name of its function, with its revisions, oldest first, as JSON resources."""

    def __init__(self, sandbox: Sandbox):
        self.sandbox = sandbox
        story = sandbox.story
        self.account = f"etl-runner@{story.inventory.project}.iam.gserviceaccount.com"
        self.revisions = {f.name: self._revisions(f, story.states.get(f.name)) for f in story.functions}
        self.services = {f.name: self._service(f) for f in story.functions}
        self._live = {
            name: [(datetime.fromisoformat(r["createTime"]), _id(r)) for r in revisions if _ready(r)]
            for name, revisions in self.revisions.items()
        }

    def serving(self, name: str, at: datetime) -> str:
        """The id of the revision that answered at that moment; a function that is gone had one, too."""
        live = self._live.get(name) or [(at, f"{name}-00001-{_letters(name, 1)}")]
        return next((revision for since, revision in reversed(live) if since <= at), live[0][1])

    def path(self, name: str) -> str:
        inventory = self.sandbox.inventory
        return f"projects/{inventory.project}/locations/{inventory.region}/services/{name}"

    def _revisions(self, function: Function, state: Any) -> list[dict]:
        count = 2 + number("revisions", function.name, below=2)
        first = 1 + number("first", function.name, below=60)
        ages = [HISTORY + timedelta(days=2 + 9 * (count - n), hours=n) for n in range(count)]
        made = [self._revision(function, first + n, age, "") for n, age in enumerate(ages)]
        if state and state.state == "FAILED":
            made.append(self._revision(function, first + count, timedelta(hours=3), state.message))
        return made

    def _revision(self, function: Function, n: int, age: timedelta, failure: str) -> dict:
        inventory = self.sandbox.inventory
        name = f"{function.name}-{n:05}-{_letters(function.name, n)}"
        created = stamp(self.sandbox.story.now - age)
        done = _condition("Ready", created, failure)
        image = f"{inventory.region}-docker.pkg.dev/{inventory.project}/gcf-artifacts/{function.name}:version_{n}"
        return {
            "name": f"{self.path(function.name)}/revisions/{name}",
            "uid": _uid(name),
            "generation": "1",
            "observedGeneration": "1",
            "labels": _labels(function),
            "createTime": created,
            "updateTime": created,
            "service": function.name,
            "serviceAccount": self.account,
            "timeout": f"{function.timeout_s}s",
            "maxInstanceRequestConcurrency": 1,
            "containers": [
                {
                    "name": "worker",
                    "image": image,
                    "resources": {"limits": {"cpu": "0.3333", "memory": function.memory}},
                    "env": _env(function),
                }
            ],
            "conditions": [done, _condition("ContainerHealthy", created, failure)],
            "etag": etag(name),
        }

    def _service(self, function: Function) -> dict:
        revisions = self.revisions[function.name]
        newest, ready = revisions[-1], next(r for r in reversed(revisions) if _ready(r))
        failure = newest["conditions"][0].get("message", "")
        generation = str(len(revisions))
        return {
            "name": self.path(function.name),
            "uid": _uid(function.name),
            "generation": generation,
            "observedGeneration": generation,
            "labels": _labels(function),
            "createTime": revisions[0]["createTime"],
            "updateTime": newest["createTime"],
            "ingress": "INGRESS_TRAFFIC_ALL",
            "launchStage": "GA",
            "template": {key: newest[key] for key in ("labels", "serviceAccount", "timeout", "containers")},
            "traffic": [{"type": _LATEST, "percent": 100}],
            "trafficStatuses": [{"type": _LATEST, "percent": 100}],
            "terminalCondition": _condition("Ready", newest["createTime"], failure),
            "latestReadyRevision": ready["name"],
            "latestCreatedRevision": newest["name"],
            "uri": self.uri(function.name),
            "urls": [self.uri(function.name)],
            "reconciling": False,
            "etag": etag(function.name, generation),
        }

    def uri(self, name: str) -> str:
        """The address that a call goes to: a hash of the project, and the initials of the region."""
        inventory = self.sandbox.inventory
        initials = "".join(part[0] for part in inventory.region.split("-"))
        return f"https://{name}-{_letters(inventory.project, size=10)}-{initials}.a.run.app"


def _id(resource: dict) -> str:
    return resource["name"].rsplit("/", 1)[1]


def _ready(revision: dict) -> bool:
    return revision["conditions"][0]["state"] == "CONDITION_SUCCEEDED"


def _condition(kind: str, at: str, failure: str) -> dict:
    if not failure:
        return {"type": kind, "state": "CONDITION_SUCCEEDED", "lastTransitionTime": at}
    found = {"type": kind, "state": "CONDITION_FAILED", "message": failure, "lastTransitionTime": at}
    return {**found, "severity": "ERROR", "revisionReason": "HEALTH_CHECK_CONTAINER_ERROR"}


def _labels(function: Function) -> dict[str, str]:
    return {"goog-managed-by": "cloudfunctions", "goog-cloudfunctions-runtime": function.runtime}


def _env(function: Function) -> list[dict]:
    plain = [{"name": "LOG_EXECUTION_ID", "value": "true"}]
    return plain + [
        {"name": key, "valueSource": {"secretKeyRef": {"secret": secret, "version": "latest"}}}
        for key, secret in secret_variables(function)
    ]


def secret_variables(function: Function) -> list[tuple[str, str]]:
    """The environment variables that hold a function's secrets: (variable, secret)."""
    return [(secret.upper().replace("-", "_"), secret) for secret in function.secrets]


def _letters(*seed: object, size: int = 3) -> str:
    return "".join(chr(ord("a") + int(d, 16)) for d in digest("letters", *seed)[:size])


def _uid(*seed: object) -> str:
    d = digest("uid", *seed)
    return f"{d[:8]}-{d[8:12]}-4{d[13:16]}-a{d[17:20]}-{d[20:32]}"


@route("run", "GET", _SERVICES, "run.services.list")
def list_services(sandbox: Sandbox, call: Call, project: str, location: str) -> dict:
    """The services of a region; "-" is every region."""
    here = location in ("-", sandbox.inventory.region)
    return page(call, "services", list(sandbox.services.services.values()) if here else [], 100)


@route("run", "GET", f"{_SERVICES}/{{service}}", "run.services.get")
def get_service(sandbox: Sandbox, _call: Call, project: str, location: str, service: str) -> dict:
    """One service with its traffic and its etag."""
    return _found(sandbox.services.services, "SERVICE", service, location, sandbox)


@route("run", "GET", _REVISIONS, "run.revisions.list")
def list_revisions(sandbox: Sandbox, call: Call, project: str, location: str, service: str) -> dict:
    """Newest first; the service "-" is every service."""
    known = sandbox.services.revisions
    names = list(known) if service == "-" else [service]
    here = location in ("-", sandbox.inventory.region)
    return page(call, "revisions", [r for n in names for r in reversed(known.get(n, []))] if here else [], 100)


@route("run", "GET", f"{_REVISIONS}/{{revision}}", "run.revisions.get")
def get_revision(sandbox: Sandbox, _call: Call, project: str, location: str, service: str, revision: str) -> dict:
    """One revision, with the environment and the image that it was made from."""
    known = {_id(r): r for r in sandbox.services.revisions.get(service, [])}
    return _found(known, "REVISION", revision, location, sandbox)


def _found(known: dict[str, dict], kind: str, name: str, location: str, sandbox: Sandbox) -> dict:
    if name not in known or location != sandbox.inventory.region:
        where = f"in region '{location}' in project '{sandbox.inventory.project}'"
        raise not_found(f"Resource '{name}' of kind '{kind}' {where} does not exist.")
    return known[name]
