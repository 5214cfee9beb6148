"""Metadata and versions of secrets from Secret Manager, never a value (guide: Secret Management)."""

from __future__ import annotations

from functools import partial
from typing import Any

from runbook.cloud.answer import objects
from runbook.cloud.client import Cloud
from runbook.cloud.failures import CannotRead
from runbook.facts.base import Answer, Ask, Read, each, readable
from runbook.facts.fields import last, number, text, time_of
from runbook.facts.functions import flags, revisions
from runbook.model.moment import Moment
from runbook.model.rows import Reader, Revision, SecretVersion


def versions(secret: str) -> Ask:
    """The versions of a secret, newest first."""

    def ask(cloud: Cloud, moment: Moment) -> Read:
        path = f"v1/projects/{cloud.settings.project}/secrets/{secret}/versions"
        line = f"gcloud secrets versions list {secret} --project={cloud.settings.project}"

        def see() -> Answer:
            found = cloud.items("secretmanager", path, "versions", pageSize=100)
            row, look = partial(_version, secret), f"inspect them: {line}."
            return readable(f"versions of {secret}", found, row, look, lambda r: -r.version)

        return Read("secret versions", line, see, thing=secret, no_history_of="Secret Manager")

    return ask


def _version(secret: str, found: Any) -> SecretVersion | None:
    """The row of one version; None if it has no number or no time. Some clients encode the state as a number."""
    version, created = number({"n": last(found, "name")}, "n"), time_of(found, "createTime")
    state = text(found, "state")
    state = {"1": "ENABLED", "2": "DISABLED", "3": "DESTROYED"}.get(state, state) or "STATE_UNSPECIFIED"
    return SecretVersion(secret, version, state, created) if version > 0 and created else None


def secrets() -> Ask:
    """The versions of every secret in params: one request each, in parallel."""

    def ask(cloud: Cloud, moment: Moment) -> Read:
        project = cloud.settings.project
        names = sorted({s for f in cloud.settings.functions for s in f.secrets})

        def one(name: str) -> Answer:
            from google.api_core.exceptions import NotFound

            try:
                listed = cloud.get("secretmanager", f"v1/projects/{project}/secrets/{name}/versions", pageSize=25)
            except NotFound:
                raise CannotRead("the secret does not exist", "correct `secrets` in params.") from None
            found = objects(listed, "versions")
            look = "run again; if it stays, report it."
            return readable(f"versions of {name}", found, partial(_version, name), look)

        lines = (f"gcloud secrets versions list {name} --project={project}" for name in names)
        return Read("secrets", "\n".join(lines), lambda: each(names, one), no_history_of="Secret Manager")

    return ask


def users(secret: str) -> Ask:
    """Each serving revision of a function with the secret.

    Params list the functions that have it. The versions are `latest`, a number, or an alias. For each function, the
    revision with most traffic is first.
    """

    def ask(cloud: Cloud, moment: Moment) -> Read:
        readers = [f for f in cloud.settings.functions if secret in f.secrets]
        names = [f.name for f in readers]
        lines = (f"gcloud run revisions list --service={f.service_name} {flags(cloud)}" for f in readers)

        def one(name: str) -> Answer:
            serving = [r for r in revisions(name)(cloud, moment).see().rows if r.traffic]
            if sum(r.traffic for r in serving) < 100:
                raise CannotRead(f"not every serving revision of {name} is among its newest 100", "deploy it again.")
            for blank in (r.revision for r in serving if r.secrets is None):
                next = f"inspect it: gcloud run revisions describe {blank} {flags(cloud)}"
                raise CannotRead(f"{blank} does not show which secrets it reads", next)
            return Answer([_reader(name, r, secret) for r in sorted(serving, key=lambda r: -r.traffic)])

        def see() -> Answer:
            answer = each(names, one)
            if answer.gaps:  # a function that could not be read may use the secret as well
                raise CannotRead(answer.gaps[0].why, answer.gaps[0].next)
            return answer

        return Read("readers of the secret", "\n".join(lines) or "no function reads it", see, no_history_of="Cloud Run")

    return ask


def _reader(function: str, at: Revision, secret: str) -> Reader:
    versions = tuple(sorted({version for found, version in at.secrets or () if found == secret}))
    return Reader(function, at.revision, at.created, at.traffic, versions, at.pinned)
