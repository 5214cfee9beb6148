"""What happened lately: changes that somebody made, and incidents elsewhere (guide: P1 Playbook)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from runbook.cloud.connect import Cloud
from runbook.cloud.unseen import Unseen
from runbook.facts.logs import KEPT_AUDIT, between, entries
from runbook.facts.read import Answer, Ask, Read, each
from runbook.moment import Moment
from runbook.rows import Row


def changes(hours: float = 24) -> Ask:
    """Rows `at, who, what, resource` from the Admin Activity audit log, newest first, at most 1,000.

    Admin Activity is always on (https://cloud.google.com/logging/docs/audit#admin-activity). A gap where the period
    begins before what Cloud Logging keeps of it.
    """

    def ask(cloud: Cloud, moment: Moment) -> Read:
        log = f"projects/{cloud.settings.project}/logs/cloudaudit.googleapis.com%2Factivity"
        wanted = f'logName="{log}" {between(hours, moment)}'
        return entries(cloud, "changes", wanted, _change, moment.ago(hours), KEPT_AUDIT)

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


def feeds() -> Ask:
    """Rows `feed, title, where, since` of every incident that is open; a feed that does not answer is a gap."""

    def ask(cloud: Cloud, moment: Moment) -> Read:
        urls = cloud.settings.feeds

        def one(name: str) -> Answer:
            answer = cloud.public.get(urls[name], timeout=5)
            answer.raise_for_status()
            try:
                return Answer([{"feed": name, **row} for row in _open(answer.json())])
            except (KeyError, ValueError):
                raise Unseen("the answer is not as documented", "look at the page yourself.") from None

        line = "\n".join(f"curl -s {url}" for url in urls.values())
        return Read("dependencies", line, lambda: each(urls, one, "status of {}".format), forgets="a status page")

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
