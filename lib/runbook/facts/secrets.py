"""What Secret Manager says about a secret: metadata and versions, never a value (guide: Secret Management)."""

from __future__ import annotations

from typing import Any

from runbook.cloud.answer import objects
from runbook.cloud.client import Cloud
from runbook.cloud.failures import CannotRead
from runbook.display.text import Row
from runbook.facts.base import Answer, Ask, Read, each, readable
from runbook.facts.fields import last, number, text, time_of
from runbook.facts.function import flags, revisions
from runbook.model.moment import Moment


def versions(secret: str) -> Ask:
    """Rows `version, state, created` of a secret, newest first."""

    def ask(cloud: Cloud, moment: Moment) -> Read:
        path = f"v1/projects/{cloud.settings.project}/secrets/{secret}/versions"
        line = f"gcloud secrets versions list {secret} --project={cloud.settings.project}"

        def see() -> Answer:
            found = cloud.items("secretmanager", path, "versions", pageSize=100)
            rows, lost = readable(f"versions of {secret}", found, _version, f"look at them: {line}.")
            return Answer(sorted(rows, key=lambda r: -r["version"]), gaps=tuple(lost))

        return Read("secret versions", line, see, thing=secret, no_history_of="Secret Manager")

    return ask


def _version(found: Any) -> Row | None:
    """The row of one version, None for one without a number or a time; some clients write the state as a number."""
    version, created, state = (
        number({"n": last(found, "name")}, "n"),
        time_of(found, "createTime"),
        text(found, "state"),
    )
    state = {"1": "ENABLED", "2": "DISABLED", "3": "DESTROYED"}.get(state, state) or "STATE_UNSPECIFIED"
    return {"version": version, "state": state, "created": created} if version > 0 and created else None


def secrets() -> Ask:
    """Rows `secret, version, state, created` of every secret that params name: one request each, all at once."""

    def ask(cloud: Cloud, moment: Moment) -> Read:
        project = cloud.settings.project
        names = sorted({s for f in cloud.settings.functions for s in f.secrets})

        def one(name: str) -> Answer:
            from google.api_core.exceptions import NotFound

            try:
                listed = cloud.get("secretmanager", f"v1/projects/{project}/secrets/{name}/versions", pageSize=25)
            except NotFound:
                raise CannotRead("there is no such secret", "correct `secrets` in params.") from None
            found = objects(listed, "versions")
            rows, lost = readable(f"versions of {name}", found, _version, "run again; if it stays, report it.")
            return Answer([{"secret": name, **row} for row in rows], gaps=tuple(lost))

        lines = (f"gcloud secrets versions list {name} --project={project}" for name in names)
        return Read("secrets", "\n".join(lines), lambda: each(names, one), no_history_of="Secret Manager")

    return ask


def users(secret: str) -> Ask:
    """Rows `function, revision, since, traffic, versions` of each revision that serves a function with the secret.

    Params say which functions have it. `since` is when the revision was made: that is when it read its secrets.
    `versions` are those that it names: `latest`, a number, or an alias. Of one function, most traffic comes first.
    """

    def ask(cloud: Cloud, moment: Moment) -> Read:
        names = [f.name for f in cloud.settings.functions if secret in f.secrets]
        line = "\n".join(f"gcloud run revisions list --service={name} {flags(cloud)}" for name in names)

        def one(name: str) -> Answer:
            serving = [r for r in revisions(name)(cloud, moment).see().rows if r["traffic"]]
            if sum(r["traffic"] for r in serving) < 100:
                raise CannotRead(
                    f"not every serving revision of {name} is among its newest hundred", "deploy it again."
                )
            for blank in (r["revision"] for r in serving if r["_secrets"] is None):
                next = f"look at it: gcloud run revisions describe {blank} {flags(cloud)}"
                raise CannotRead(f"{blank} does not show which secrets it reads", next)
            ordered = sorted(serving, key=lambda r: -r["traffic"])
            return Answer([{"function": name, **_reader(r, secret)} for r in ordered])

        def see() -> Answer:
            answer = each(names, one)
            if answer.gaps:  # whoever could not be seen may read it as well
                raise CannotRead(answer.gaps[0].why, answer.gaps[0].next)
            return answer

        return Read("users of the secret", line or "nobody uses it", see, no_history_of="Cloud Run")

    return ask


def _reader(revision: Row, secret: str) -> Row:
    kept = {key: revision[key] for key in ("traffic", "_pinned")}
    versions = sorted({version for found, version in revision["_secrets"] if found == secret})
    return {"revision": revision["revision"], "since": revision["created"], **kept, "versions": versions}
