"""What happened lately: changes that somebody made, and incidents elsewhere (guide: P1 Playbook)."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from runbook.cloud.connect import Cloud
from runbook.cloud.unseen import Unseen
from runbook.facts.fields import field, items, mapping, number, text
from runbook.facts.fields import moment as time_of
from runbook.facts.logs import KEPT_AUDIT, between, entries
from runbook.facts.read import Answer, Ask, Read, each
from runbook.moment import Moment
from runbook.rows import Row

_ROBOT = re.compile(r"service-\d+@(gcf-admin-robot|serverless-robot-prod)\.iam\.gserviceaccount\.com")


def changes(hours: float = 24) -> Ask:
    """Rows `at, who, what, resource` of successful changes from the Admin Activity audit log, newest first.

    Made of at most 1,000 entries.

    Admin Activity is always on (https://cloud.google.com/logging/docs/audit#admin-activity). A gap where the period
    begins before what Cloud Logging keeps of it.
    """

    def ask(cloud: Cloud, moment: Moment) -> Read:
        log = f"projects/{cloud.settings.project}/logs/cloudaudit.googleapis.com%2Factivity"
        wanted = f'logName="{log}" {between(hours, moment)}'
        return entries(cloud, "changes", wanted, _change, moment.ago(hours), KEPT_AUDIT, _made)

    return ask


def _change(entry: Row) -> Row | None:
    """The row of one entry, None for one without a time, or that names neither what nor where."""
    call = mapping(entry, "protoPayload")
    at = time_of(entry, "timestamp") or time_of(entry, "receiveTimestamp")
    method, resource = text(call, "methodName"), text(call, "resourceName")
    grants = [mapping(info).get("granted") for info in items(call, "authorizationInfo")]
    if not at or not (method or resource):
        return None
    return {
        "at": at,
        "who": text(call, "authenticationInfo", "principalEmail") or "unknown",
        "what": method.rsplit(".", 1)[-1] or "unknown",
        "resource": "/".join(resource.split("/")[-4 if "/versions/" in resource else -2 :]),
        "_details": str(call.get("request") or call.get("serviceData") or ""),
        "_failed": number(call, "status", "code") != 0 or (False in grants and True not in grants),
        "_operation": text(entry, "operation", "id"),
        "_first": field(entry, "operation", "first") is True,
    }


def _made(rows: list[Row]) -> list[Row]:
    """The changes among calls: without those that failed or were denied, and each long-running operation once.

    Such an operation has an entry for its begin and one for its end; the time is that of the begin. What Google's own
    robots do follows from a call that has an entry of its own.
    """
    failed = {row["_operation"] for row in rows if row["_failed"]} - {""}
    begun = {row["_operation"] for row in rows if row["_first"]}
    return [
        row
        for row in rows
        if not row["_failed"]
        and row["_operation"] not in failed
        and (row["_first"] or row["_operation"] not in begun)
        and not _ROBOT.fullmatch(row["who"])
    ]


def feeds() -> Ask:
    """Rows `feed, title, where, since` of every incident that is open; a feed that does not answer is a gap."""

    def ask(cloud: Cloud, moment: Moment) -> Read:
        urls = cloud.settings.feeds

        def one(name: str) -> Answer:
            answer = cloud.public.get(urls[name], timeout=5)
            answer.raise_for_status()
            try:
                return Answer([{"feed": name, **row} for row in _open(answer.json())])
            except ValueError:
                raise Unseen("the answer is not as documented", "look at the page yourself.") from None

        line = "\n".join(f"curl -s {url}" for url in urls.values())
        return Read("dependencies", line, lambda: each(urls, one, "status of {}".format), forgets="a status page")

    return ask


def _open(answer: Any) -> list[Row]:
    """The open incidents of one of the three formats: Google's list, a Statuspage summary, a Salesforce instance.

    Raises ValueError for any other form, and where a list is not there that tells them.
    """
    if isinstance(answer, list):
        if not all(isinstance(i, dict) and (i.get("begin") or i.get("id")) for i in answer):
            raise ValueError("no list of incidents")
        return [_google(i) for i in answer if not i.get("end")]
    key = "incidents" if "page" in mapping(answer) or "components" in mapping(answer) else "Incidents"
    quiet = text(answer, "status", "indicator") == "none" or text(answer, "status") == "OK"
    listed = [] if quiet and field(answer, key) is None else field(answer, key)
    if not isinstance(listed, list) or not all(isinstance(i, dict) for i in listed):
        raise ValueError("no list of incidents")
    kept = [i for i in listed if text(i, "status").lower() not in ("resolved", "postmortem", "closed")]
    return [_statuspage(i) if key == "incidents" else _salesforce(answer, i) for i in kept]


def _row(title: str, where: str, since: datetime | None, products: str) -> Row:
    return {"title": title or "(no text)", "what": products, "where": where, "since": since}


def _google(found: Row) -> Row:
    where = ", ".join(text(place, "id") for place in items(found, "currently_affected_locations"))
    products = ", ".join(text(p, "title") for p in items(found, "affected_products"))
    return _row(text(found, "external_desc"), where, time_of(found, "begin"), products)


def _statuspage(found: Row) -> Row:
    parts = ", ".join(text(c, "name") for c in items(found, "components"))
    return _row(text(found, "name"), "", time_of(found, "started_at") or time_of(found, "created_at"), parts)


def _salesforce(answer: Row, found: Row) -> Row:
    impact = next(iter(items(found, "IncidentImpacts")), {})
    title = text(found, "message", "pathToResolution") or text(found, "message") or text(impact, "type")
    services = ", ".join(map(str, items(found, "serviceKeys")))
    since = time_of(impact, "startTime") or time_of(found, "createdAt")
    return _row(title or text(answer, "status"), text(answer, "key"), since, services)
