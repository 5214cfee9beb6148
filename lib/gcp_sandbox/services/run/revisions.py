"""Cloud Run revisions as JSON, from a function's code, memory, time limit and secrets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from gcp_sandbox.wire import digest, etag, fill, stamp
from gcp_sandbox.world.inventory import Function, Inventory
from gcp_sandbox.world.schema import SecretReference

_shape = partial(fill, __file__)

# What a revision takes over from the service's template.
TEMPLATE = ("labels", "annotations", "serviceAccount", "timeout", "maxInstanceRequestConcurrency", "scaling")
TEMPLATE += ("vpcAccess", "executionEnvironment", "sessionAffinity", "containers", "volumes")

LOGGED = {"LOG_EXECUTION_ID": "true"}  # every function has it
NOT_LISTENING = (
    "The user-provided container failed to start and listen on the port defined provided by the PORT=8080 environment "
    "variable within the allocated timeout. This can happen when the container port is misconfigured or if the timeout "
    "is too short. The health check timeout can be extended. Logs for this revision might contain more information."
)


def template(function: Function, n: int, inventory: Inventory, secrets: Sequence[SecretReference]) -> dict[str, Any]:
    """The template of a revision with a function's `n`-th code."""
    files = [r for r in secrets if r.volume]
    return _shape(
        "template",
        here=inventory,
        function=function,
        labels=labels(function),
        image=image(function.name, n, inventory),
        env=environment(secret_variables(secrets)),
        mounts=[{"name": r.secret, "mountPath": f"/secrets/{r.secret}"} for r in files],
        volumes=[_shape("volume", reference=r) for r in files],
    )


def revision(path: str, n: int, made_from: dict[str, Any], created: datetime, failure: str) -> dict[str, Any]:
    """Revision `n` of the service at `path`; one with a `failure` never became ready."""
    service, at = path.rsplit("/", 1)[1], stamp(created)
    name = revision_id(service, n)
    return {
        "name": f"{path}/revisions/{name}",
        "uid": uid(name),
        "generation": "1",
        "observedGeneration": "1",
        **{key: made_from[key] for key in TEMPLATE if key in made_from},
        "createTime": at,
        "updateTime": at,
        "service": service,
        "conditions": [condition("Ready", at, failure), condition("ContainerHealthy", at, failure)],
        "etag": etag(name),
    }


def revision_id(service: str, n: int) -> str:
    """The revision name: the service, a sequence number and three letters."""
    return f"{service}-{n:05}-{letters(service, n)}"


def condition(kind: str, at: str, failure: str = "") -> dict[str, str]:
    """A condition that has succeeded, or failed with a message."""
    if not failure:
        return {"type": kind, "state": "CONDITION_SUCCEEDED", "lastTransitionTime": at}
    found = {"type": kind, "state": "CONDITION_FAILED", "message": failure, "lastTransitionTime": at}
    return {**found, "revisionReason": "HEALTH_CHECK_CONTAINER_ERROR"}


def image(name: str, n: int, inventory: Inventory) -> str:
    """The image of a function's `n`-th code."""
    return f"{inventory.region}-docker.pkg.dev/{inventory.project}/gcf-artifacts/{name}:version_{n}"


def environment(secrets: list[tuple[str, str, str]], values: Mapping[str, str] = LOGGED) -> list[dict[str, Any]]:
    """A container's environment: plain values, then the secrets, each of which is (variable, secret, version)."""
    return [{"name": name, "value": value} for name, value in values.items()] + [
        {"name": key, "valueSource": {"secretKeyRef": {"secret": secret, "version": version}}}
        for key, secret, version in secrets
    ]


def secrets_of(made_from: dict[str, Any]) -> list[tuple[str, str]]:
    """The secrets in a template's or a revision's environment and volumes: (secret, version as it is written)."""
    variables = [e.get("valueSource", {}).get("secretKeyRef") for e in made_from["containers"][0]["env"]]
    files = [{**v["secret"], **item} for v in made_from.get("volumes", []) for item in v["secret"]["items"]]
    return [(r["secret"].rsplit("/", 1)[-1], r.get("version") or "latest") for r in [*variables, *files] if r]


def secret_variables(secrets: Sequence[SecretReference]) -> list[tuple[str, str, str]]:
    """The environment variables that hold a function's secrets: (variable, secret, version)."""
    return [(r.secret.upper().replace("-", "_"), r.secret, r.version) for r in secrets if not r.volume]


def labels(function: Function) -> dict[str, str]:
    """The labels that mark the service of a function."""
    return {"goog-managed-by": "cloudfunctions", "goog-cloudfunctions-runtime": function.runtime}


def letters(*seed: object, size: int = 3) -> str:
    """Letters that are always the same for the same seed."""
    return "".join(chr(ord("a") + int(d, 16)) for d in digest("letters", *seed)[:size])


def uid(*seed: object) -> str:
    """A UUID that is always the same for the same seed."""
    d = digest("uid", *seed)
    return f"{d[:8]}-{d[8:12]}-4{d[13:16]}-a{d[17:20]}-{d[20:32]}"


def last(resource: dict[str, Any]) -> str:
    """The last part of a resource's name."""
    return resource["name"].rsplit("/", 1)[1]


def ready(made: dict[str, Any]) -> bool:
    """Whether a revision can serve."""
    return made["conditions"][0]["state"] == "CONDITION_SUCCEEDED"
