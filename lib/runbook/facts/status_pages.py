"""Open incidents on the status pages of the system's dependencies, and of the web app (guide: P1 Playbook)."""

import re
from typing import Any

from runbook.cloud.client import Cloud
from runbook.cloud.failures import CannotRead
from runbook.display.text import Row
from runbook.facts.base import Answer, Read, each, fact
from runbook.facts.fields import field, items, mapping, text, time_of
from runbook.model.moment import Moment
from runbook.model.rows import OpenIncident

NO_TEXT = "(no text)"
# Of a service; one that is being changed still serves (https://cloud.google.com/run/docs/reference/rest/v2/Condition).
_READY = ("CONDITION_SUCCEEDED", "CONDITION_PENDING", "CONDITION_RECONCILING")


@fact
def feeds(cloud: Cloud, moment: Moment) -> Read:
    """Every open incident; a feed that does not answer is a gap.

    Of the web app in params, its page and its service are asked, too: a row says what does not work.
    """
    app, urls = cloud.settings.web_app, {name: url for name, url in cloud.settings.pages.items() if url}
    service = cloud.settings.resource("services", app.service) if app and app.service else ""

    def one(name: str) -> Answer:
        if name == service:
            ready = mapping(cloud.get("run", f"v2/{service}"), "terminalCondition")
            said = f"its service is not ready: {text(ready, 'message') or text(ready, 'state') or 'no state'}"
            shown = (app.name, said, "web app", (), None, "medium")
            return Answer([] if text(ready, "state") in _READY else [OpenIncident(*shown)])
        answer = cloud.public.get(urls[name], timeout=5)
        if app and name == app.name:
            shown = (name, f"its page answers {answer.status_code}", "web app", (), None, "high")
            return Answer([] if answer.ok or answer.status_code in (401, 403) else [OpenIncident(*shown)])
        answer.raise_for_status()
        try:
            return Answer(_open(name, answer.json()))
        except (ValueError, RecursionError):
            raise CannotRead("the answer is not in the documented format", "open the status page.") from None

    line = "\n".join(f"curl -s {url}" for url in urls.values())
    asked = [*urls, service]
    return Read(
        "dependencies",
        line,
        lambda: each(filter(None, asked), one, "status of {}".format),
        no_history_of="a status page",
    )


def _open(feed: str, answer: Any) -> list[OpenIncident]:
    """The open incidents of one of the three formats: Google's list, a Statuspage summary, a Salesforce instance.

    Raises ValueError for any other format, and if the list of incidents is missing.
    """
    if isinstance(answer, list):
        if not all(isinstance(i, dict) and (i.get("begin") or i.get("id")) for i in answer):
            raise ValueError("no list of incidents")
        return [_google(feed, i) for i in answer if not time_of(i, "end")]
    key = "incidents" if "page" in mapping(answer) or "components" in mapping(answer) else "Incidents"
    quiet = text(answer, "status", "indicator") == "none" or text(answer, "status") == "OK"
    listed = [] if quiet and field(answer, key) is None else field(answer, key)
    if not isinstance(listed, list) or not all(isinstance(i, dict) for i in listed):
        raise ValueError("no list of incidents")
    over = ("resolved", "postmortem", "closed")
    kept = [i for i in listed if text(i, "status").lower() not in over and not _ended(i)]
    kept += (m for m in items(answer, "scheduled_maintenances") if text(m, "status") in ("in_progress", "verifying"))
    kept += (m for m in items(answer, "Maintenances") if items(m, "MaintenanceImpacts") and not _ended(m))
    return [_statuspage(feed, i) if key == "incidents" else _salesforce(feed, answer, i) for i in kept]


def _ended(found: Any) -> bool:
    """Whether each impact of a Salesforce incident or maintenance is over; they have no status of their own."""
    impacts = [*items(found, "IncidentImpacts"), *items(found, "MaintenanceImpacts")]
    return bool(impacts) and all(time_of(impact, "endTime") for impact in impacts)


def _google(feed: str, found: Row) -> OpenIncident:
    where = tuple(text(place, "id") for place in items(found, "currently_affected_locations"))
    products = ", ".join(text(p, "title") for p in items(found, "affected_products"))
    title, since = text(found, "external_desc") or NO_TEXT, time_of(found, "begin")
    return OpenIncident(feed, title, products, where, since, _severity(found, "status_impact", "severity"))


def _statuspage(feed: str, found: Row) -> OpenIncident:
    parts = ", ".join(text(c, "name") for c in items(found, "components"))
    since = next((t for k in ("started_at", "scheduled_for", "created_at") if (t := time_of(found, k))), None)
    return OpenIncident(feed, text(found, "name") or NO_TEXT, parts, (), since, _severity(found, "impact"))


def _salesforce(feed: str, answer: Row, found: Row) -> OpenIncident:
    impact = next(iter([*items(found, "IncidentImpacts"), *items(found, "MaintenanceImpacts")]), {})
    named = (text(found, "name"), text(found, "message", "pathToResolution"), text(found, "message"))
    title = next((t for t in (*named, text(impact, "type"), text(answer, "status")) if t), NO_TEXT)
    services = ", ".join(map(str, items(found, "serviceKeys")))
    since = time_of(impact, "startTime") or time_of(found, "createdAt")
    severity = _severity(impact, "severity") or _severity(answer, "status")
    return OpenIncident(feed, title, services, (text(answer, "key"),), since, severity)


# Google: https://status.cloud.google.com/incidents.schema.json; Statuspage: https://developer.statuspage.io/#tag/incidents
_WORDS = {"low": r"information|^none|minor|^low|maintenance|available", "medium": "disruption|^major$|medium"}
_WORDS |= {"high": "outage|critical|high|major"}


def _severity(found: Any, *keys: str) -> str:
    """low, medium or high, in the words of the page's first field that has one of them; "" if none has."""
    said = (text(found, key).lower() for key in keys)
    return next((level for word in said for level, form in _WORDS.items() if re.search(form, word)), "")
