"""What Secret Manager says about a secret: metadata and versions, never a value (guide: Secret Management)."""

from __future__ import annotations

from datetime import datetime

from runbook.cloud.connect import Cloud
from runbook.facts.read import Answer, Ask, Read, no_past
from runbook.moment import Moment
from runbook.rows import Row


def versions(secret: str) -> Ask:
    """Rows `version, state, created` of a secret, newest first."""

    def ask(cloud: Cloud, moment: Moment) -> Read:
        def see() -> Answer:
            from google.api_core.exceptions import NotFound

            no_past(moment, "Secret Manager")
            path = f"v1/projects/{cloud.settings.project}/secrets/{secret}/versions"
            try:
                found = cloud.items("secretmanager", path, "versions", pageSize=100)
            except NotFound:
                return Answer((), absent=(secret,))
            rows = [
                {
                    "version": int(v["name"].rsplit("/", 1)[1]),
                    "state": v["state"],
                    "created": datetime.fromisoformat(v["createTime"]),
                }
                for v in found
            ]
            return Answer(sorted(rows, key=lambda r: -r["version"]))

        return Read("secret versions", f"gcloud secrets versions list {secret} --project={cloud.settings.project}", see)

    return ask


def users(secret: str) -> Ask:
    """Rows `function, revision, since, traffic` of each revision that serves a function that has the secret by params.

    `since` is when the revision was made: that is when it read its secrets. Of one function, most traffic comes first.
    """

    def ask(cloud: Cloud, moment: Moment) -> Read:
        names = [f.name for f in cloud.settings.functions if secret in f.secrets]
        flags = f"--region={cloud.settings.region} --project={cloud.settings.project}"
        line = "\n".join(f"gcloud run revisions list --service={name} {flags}" for name in names)

        def see() -> Answer:
            from concurrent.futures import ThreadPoolExecutor

            from runbook.facts.service import revisions

            no_past(moment, "Cloud Run")
            with ThreadPoolExecutor(max_workers=max(len(names), 1)) as pool:
                answers = list(pool.map(lambda name: revisions(name)(cloud, moment).see(), names))
            rows = []
            for name, answer in zip(names, answers, strict=True):
                serving = sorted((r for r in answer.rows if r["traffic"]), key=lambda r: -r["traffic"])
                rows += [{"function": name, **_reader(r)} for r in serving]
            gone = tuple(name for answer in answers for name in answer.absent)
            return Answer(rows, absent=gone)

        return Read("users of the secret", line or "nobody uses it", see)

    return ask


def _reader(revision: Row) -> Row:
    kept = {key: revision[key] for key in ("traffic", "_pinned")}
    return {"revision": revision["revision"], "since": revision["created"], **kept}
