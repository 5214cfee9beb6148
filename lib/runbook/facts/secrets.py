"""Secrets, never a value, and the permissions of this run's identity (guide: Secret Management, Access Control)."""

import json
from functools import partial
from typing import Any

from runbook.cloud import CannotRead, Cloud, objects
from runbook.facts.base import Answer, Read, each, fact, readable
from runbook.facts.fields import last, number, text, time_of
from runbook.facts.functions import revisions
from runbook.model import Moment, NoCredentials
from runbook.model.operations import needed
from runbook.model.rows import Permission, Reader, Revision, SecretVersion


@fact
def versions(cloud: Cloud, moment: Moment, secret: str) -> Read:
    """The versions of a secret, newest first."""
    path = f"v1/projects/{cloud.settings.project}/secrets/{secret}/versions"
    line = f"gcloud secrets versions list {secret} --project={cloud.settings.project}"

    def see() -> Answer:
        found, row = cloud.items("secretmanager", path, "versions", pageSize=100), partial(_version, secret)
        return readable(f"versions of {secret}", found, row, f"inspect them: {line}", lambda r: -r.version)

    return Read("secret versions", line, see, thing=secret, no_history_of="Secret Manager")


def _version(secret: str, found: Any) -> SecretVersion | None:
    """The row of one version; None if it has no number or no time. Some clients encode the state as a number."""
    version, created = number({"n": last(found, "name")}, "n"), time_of(found, "createTime")
    state = text(found, "state")
    state = {"1": "ENABLED", "2": "DISABLED", "3": "DESTROYED"}.get(state, state) or "STATE_UNSPECIFIED"
    return SecretVersion(secret, version, state, created) if version > 0 and created else None


@fact
def secrets(cloud: Cloud, moment: Moment) -> Read:
    """The versions of every secret in params: one request each, in parallel."""
    project, functions = cloud.settings.project, cloud.settings.functions

    def one(name: str) -> Answer:
        from google.api_core.exceptions import NotFound

        try:
            listed = cloud.get("secretmanager", f"v1/projects/{project}/secrets/{name}/versions", pageSize=25)
        except NotFound:
            raise CannotRead("the secret does not exist", "correct `secrets` in params.") from None
        found, look = objects(listed, "versions"), "repeat this run; if it stays, report it."
        return readable(f"versions of {name}", found, partial(_version, name), look)

    names = sorted({secret for function in functions for secret in function.secrets})
    lines = (f"gcloud secrets versions list {name} --project={project}" for name in names)
    return Read("secrets", "\n".join(lines), lambda: each(names, one), no_history_of="Secret Manager")


@fact
def users(cloud: Cloud, moment: Moment, secret: str) -> Read:
    """Each serving revision of a function with the secret.

    Params list the functions that have it. The versions are `latest`, a number, or an alias. For each function, the
    revision with most traffic is first.
    """
    readers = [f for f in cloud.settings.functions if secret in f.secrets]
    lines = (f"gcloud run revisions list --service={f.service_name} {cloud.settings.flags}" for f in readers)

    def one(name: str) -> Answer:
        serving = [r for r in revisions(name)(cloud, moment).see().rows if r.traffic]
        if sum(r.traffic for r in serving) < 100:
            raise CannotRead(f"not every serving revision of {name} is among its newest 100", "deploy it again.")
        for blank in (r.revision for r in serving if r.secrets is None):
            look = f"inspect it: gcloud run revisions describe {blank} {cloud.settings.flags}"
            raise CannotRead(f"{blank} does not show which secrets it reads", look)
        return Answer([_reader(name, r, secret) for r in sorted(serving, key=lambda r: -r.traffic)])

    def see() -> Answer:
        answer = each([f.name for f in readers], one)
        if answer.gaps:  # a function that could not be read may use the secret as well
            raise CannotRead(answer.gaps[0].why, answer.gaps[0].next)
        return answer

    return Read("readers of the secret", "\n".join(lines) or "no function reads it", see, no_history_of="Cloud Run")


def _reader(function: str, at: Revision, secret: str) -> Reader:
    versions = tuple(sorted({version for found, version in at.secrets or () if found == secret}))
    return Reader(function, at.revision, at.created, at.traffic, versions, at.pinned)


@fact
def access(cloud: Cloud, moment: Moment, operation: str = "") -> Read:
    """The permissions of the guide's required roles, tested for this run's identity.

    With an operation from `operations` in params: its elevated roles, with those of their permissions that it needs.
    """
    project, roles = cloud.settings.project, cloud.settings.roles.required
    if operation:
        elevated, wants = cloud.settings.roles.elevated, needed(operation)
        roles = {r: [p for p in elevated[r] if p in wants] for r in cloud.settings.operations[operation].roles}
    body = {"permissions": sorted({p for permissions in roles.values() for p in permissions})}
    path = f"v3/projects/{project}:testIamPermissions"

    def see() -> Answer:
        try:
            answer = cloud.ask("cloudresourcemanager", path, body, as_writer=bool(operation))
        except NoCredentials as error:  # the account that applies; the reads of this run go on
            raise CannotRead(error.what, error.next) from None
        held = {p for p in objects(answer, "permissions") if isinstance(p, str)}
        return Answer(Permission(r, p, p in held) for r, ps in roles.items() for p in ps)

    line = 'curl -s -H "Authorization: Bearer $(gcloud auth print-access-token)" -H "Content-Type: application/json" '
    line += f"https://cloudresourcemanager.googleapis.com/{path} -d '{json.dumps(body, separators=(',', ':'))}'"
    return Read("access", line, see, no_history_of="IAM")
