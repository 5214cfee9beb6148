"""Open incidents on the status pages of the system's dependencies, and of the web app (guide: P1 Playbook)."""

import re
from typing import Any

from runbook.cloud import CannotRead, Cloud
from runbook.facts.base import Answer, Read, each, fact
from runbook.facts.fields import field, items, mapping, text, time_of
from runbook.model import Moment, Row, table
from runbook.model.rows import OpenIncident

NO_TEXT = "(no text)"
FORMATS: dict[str, dict[str, Any]] = table(__file__, "feeds.yaml")
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
    asked = [*urls, *filter(None, [service])]
    return Read("dependencies", line, lambda: each(asked, one, "status of {}".format), no_history_of="a status page")


def _open(feed: str, answer: Any) -> list[OpenIncident]:
    """The open incidents of one of the three formats: Google's list, a Statuspage summary, a Salesforce instance.

    Raises ValueError for any other format, and if the list of incidents is missing.
    """
    if isinstance(answer, list):
        if not all(isinstance(i, dict) and (i.get("begin") or i.get("id")) for i in answer):
            raise ValueError("no list of incidents")
        return [_incident(feed, "google", i) for i in answer if not time_of(i, "end")]
    key = "incidents" if "page" in mapping(answer) or "components" in mapping(answer) else "Incidents"
    quiet = text(answer, "status", "indicator") == "none" or text(answer, "status") == "OK"
    listed = [] if quiet and field(answer, key) is None else field(answer, key)
    if not isinstance(listed, list) or not all(isinstance(i, dict) for i in listed):
        raise ValueError("no list of incidents")
    over = ("resolved", "postmortem", "closed")
    kept = [i for i in listed if text(i, "status").lower() not in over and not _ended(i)]
    kept += (m for m in items(answer, "scheduled_maintenances") if text(m, "status") in ("in_progress", "verifying"))
    kept += (m for m in items(answer, "Maintenances") if items(m, "MaintenanceImpacts") and not _ended(m))
    return [_incident(feed, "statuspage" if key == "incidents" else "salesforce", i, answer) for i in kept]


def _impacts(found: Any) -> list[Any]:
    """What a Salesforce incident or maintenance affects."""
    return [*items(found, "IncidentImpacts"), *items(found, "MaintenanceImpacts")]


def _ended(found: Any) -> bool:
    """Whether each impact of a Salesforce incident or maintenance is over; they have no status of their own."""
    return bool(impacts := _impacts(found)) and all(time_of(impact, "endTime") for impact in impacts)


def _incident(feed: str, form: str, found: Row, answer: Any = None) -> OpenIncident:
    """An incident by the paths of its format in feeds.yaml."""
    paths, impact = FORMATS[form], next(iter(_impacts(found)), {})
    whole = {"incident": found, "impact": impact, "answer": answer, "answers": [answer]}
    title = next((said for path in paths["title"] if (said := text(whole, *path))), NO_TEXT)
    what = ", ".join(text(part, *paths["named"]) for part in items(whole, *paths["affected"]))
    where = tuple(text(place, *paths["placed"]) for place in items(whole, *paths["places"]))
    since = next((at for path in paths["since"] if (at := time_of(whole, *path))), None)
    words = [text(whole, *path).lower() for path in paths["severity"]]
    known = FORMATS["severities"].items()
    severity = next((level for word in words for level, pattern in known if re.search(pattern, word)), "")
    return OpenIncident(feed, title, what, where, since, severity)
