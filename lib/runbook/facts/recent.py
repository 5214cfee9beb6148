"""What happened lately: changes that somebody made, and incidents elsewhere (guide: P1 Playbook)."""

from __future__ import annotations

import shlex
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

from runbook.cloud.connect import Cloud
from runbook.cloud.unseen import gap
from runbook.facts.logs import PAGE
from runbook.facts.read import Answer, Ask, Read, no_past
from runbook.moment import Moment
from runbook.rows import Gap, Row


def changes(hours: float = 24) -> Ask:
    """Rows `at, who, what, resource` from the Admin Activity audit log, newest first, at most 1,000.

    Admin Activity is always on (https://cloud.google.com/logging/docs/audit#admin-activity).
    """

    def ask(cloud: Cloud, moment: Moment) -> Read:
        project = cloud.settings.project
        wanted = f'logName="projects/{project}/logs/cloudaudit.googleapis.com%2Factivity"'
        wanted += f' timestamp>="{moment.ago(hours):%FT%TZ}" timestamp<="{moment.at:%FT%TZ}"'
        line = f"gcloud logging read {shlex.quote(wanted)} --project={project} --limit={PAGE} --format=json"

        def see() -> Answer:
            rows = [_change(entry) for entry in cloud.entries(wanted, PAGE)]
            return Answer(rows, more=len(rows) == PAGE)

        return Read("changes", line, see)

    return ask


def _change(entry: Row) -> Row:
    payload = entry.get("protoPayload", {})
    method, resource = payload.get("methodName", ""), payload.get("resourceName", "")
    return {
        "at": datetime.fromisoformat(entry["timestamp"]),
        "who": payload.get("authenticationInfo", {}).get("principalEmail", "unknown"),
        "what": method.rsplit(".", 1)[-1],
        "resource": "/".join(resource.split("/")[-4 if "/versions/" in resource else -2 :]),
        "_details": str(payload.get("request") or payload.get("serviceData") or ""),
    }


def secrets() -> Ask:
    """Rows `secret, version, state, created` of every secret that params name: one request each, all at once."""

    def ask(cloud: Cloud, moment: Moment) -> Read:
        project = cloud.settings.project
        names = sorted({s for f in cloud.settings.functions for s in f.secrets})

        def one(name: str) -> list[Row] | Gap:
            try:
                listed = cloud.get("secretmanager", f"v1/projects/{project}/secrets/{name}/versions", pageSize=25)
            except Exception as error:
                from google.api_core.exceptions import NotFound

                if isinstance(error, NotFound):
                    return Gap(name, "there is no such secret", "correct `secrets` in params.")
                if (missing := gap(error, name)) is None:
                    raise
                return missing
            return [_version(name, v) for v in listed.get("versions", [])]

        def see() -> Answer:
            no_past(moment, "Secret Manager")
            with ThreadPoolExecutor(max_workers=8) as pool:
                found = list(pool.map(one, names))
            rows = [row for part in found if isinstance(part, list) for row in part]
            return Answer(rows, gaps=tuple(part for part in found if isinstance(part, Gap)))

        lines = (f"gcloud secrets versions list {name} --project={project}" for name in names)
        return Read("secrets", "\n".join(lines), see)

    return ask


def _version(secret: str, found: Row) -> Row:
    return {
        "secret": secret,
        "version": int(found["name"].rsplit("/", 1)[1]),
        "state": found["state"],
        "created": datetime.fromisoformat(found["createTime"]),
    }


def feeds() -> Ask:
    """Rows `feed, title, where, since` of every incident that is open; a feed that does not answer is a gap."""

    def ask(cloud: Cloud, moment: Moment) -> Read:
        urls = cloud.settings.feeds

        def one(name: str) -> list[Row] | Gap:
            try:
                answer = cloud.session.get(urls[name], timeout=5)
                answer.raise_for_status()
                return [{"feed": name, **row} for row in _open(answer.json())]
            except Exception as error:
                if (missing := gap(error, f"status of {name}")) is None and not isinstance(
                    error, KeyError | ValueError
                ):
                    raise
                return missing or Gap(
                    f"status of {name}", "the answer is not as documented", "look at the page yourself."
                )

        def see() -> Answer:
            no_past(moment, "a status page")
            with ThreadPoolExecutor(max_workers=max(len(urls), 1)) as pool:
                found = list(pool.map(one, urls))
            rows = [row for part in found if isinstance(part, list) for row in part]
            return Answer(rows, gaps=tuple(part for part in found if isinstance(part, Gap)))

        return Read("dependencies", "\n".join(f"curl -s {url}" for url in urls.values()), see)

    return ask


def _open(answer: Any) -> list[Row]:
    """The open incidents of one of the three formats: Google's list, a Statuspage summary, a Salesforce instance."""
    if isinstance(answer, list):
        return [_google(i) for i in answer if not i.get("end")]
    if "components" in answer:
        return [
            _statuspage(i) for i in answer.get("incidents", []) if i.get("status") not in ("resolved", "postmortem")
        ]
    kept = [i for i in answer.get("Incidents", []) if str(i.get("status", "")).lower() not in ("resolved", "closed")]
    return [_salesforce(answer, i) for i in kept]


def _row(title: str, where: str, since: str | None, products: str) -> Row:
    at = datetime.fromisoformat(since) if since else None
    return {"title": title, "what": products, "where": where, "since": at}


def _google(found: Row) -> Row:
    where = ", ".join(place["id"] for place in found.get("currently_affected_locations", []))
    products = ", ".join(p["title"] for p in found.get("affected_products", []))
    return _row(found.get("external_desc", ""), where, found.get("begin"), products)


def _statuspage(found: Row) -> Row:
    parts = ", ".join(c["name"] for c in found.get("components", []))
    return _row(found.get("name", ""), "", found.get("started_at") or found.get("created_at"), parts)


def _salesforce(answer: Row, found: Row) -> Row:
    impacts = found.get("IncidentImpacts") or [{}]
    said = found.get("message") or {}
    title = said.get("pathToResolution") if isinstance(said, dict) else str(said)
    title = title or impacts[0].get("type") or answer.get("status", "")
    services = ", ".join(found.get("serviceKeys", []))
    return _row(str(title), answer.get("key", ""), impacts[0].get("startTime") or found.get("createdAt"), services)
