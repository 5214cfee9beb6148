"""The public status feeds of the systems that the functions depend on, in their own formats.

Google's list of incidents (one without an `end` is open), HubSpot's Statuspage summary, Salesforce's instance status:
without incidents, except for the world's `incidents`.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from werkzeug.wrappers import Response

from gcp_sandbox.http import Call, route
from gcp_sandbox.state import State
from gcp_sandbox.wire import digest, fill, shapes, stamp
from gcp_sandbox.world.schema import Incident

_SHAPES, _shape = shapes(__file__), partial(fill, __file__)

# The feed of a healthy Google Cloud is not empty.
_LONG_OVER = Incident(
    feed="google", of=("Google Cloud Logging",), locations=("us-east4",), since="12d", until="286h", severity="low"
)


def _told(sandbox: State, feed: str, open_only: bool = False) -> list[Incident]:
    """The incidents of one feed, the newest first."""
    found = [i for i in sandbox.world.incidents if i.feed == feed and not (open_only and i.until)]
    return sorted(found, key=lambda i: i.since)


@route("feeds", "GET", "/incidents.json")
def google(sandbox: State, _call: Call) -> Response:
    """The incidents of the world, newest first, and one old, closed incident."""
    found = [_incident(said, sandbox.world.now) for said in (*_told(sandbox, "google"), _LONG_OVER)]
    # The only answer with a list at the top level, so it is built here.
    return Response(json.dumps(found), content_type="application/json")


def _utc(moment: datetime) -> str:
    """The form of a time in Google's feed."""
    return moment.astimezone(UTC).isoformat(timespec="seconds")


def _incident(said: Incident, clock: datetime) -> dict[str, Any]:
    """One incident as Google lists it."""
    begin, end = _utc(clock - said.since), _utc(clock - said.until) if said.until else None
    last = end or _utc(clock - said.since + timedelta(minutes=6))
    words = f"{' and '.join(said.of)}: elevated error rates in {', '.join(said.locations) or 'several regions'}"
    impact = _SHAPES["impacts"][said.severity]
    places = [{"title": _SHAPES["titles"].get(name, name), "id": name} for name in said.locations]
    now, before = ([], places) if end else (places, [])
    text = "Resolved." if end else "Our engineering team continues to investigate the issue."
    update = _shape("google_update", last=last, now=now, text=text, status="AVAILABLE" if end else impact)
    service = said.of[0] if len(said.of) == 1 else "Multiple Products"
    products = [{"title": name, "id": digest("product", name)[:20]} for name in said.of]
    named = {"id": digest(words, begin)[:20], "service": service, "words": words, "impact": impact, "said": said}
    times = {"begin": begin, "end": end, "last": last, "update": update}
    return _shape("google", **named, **times, products=products, now=now, before=before)


@route("web_app", "GET", "/")
@route("web_app", "GET", "/{page}")
def web_app(sandbox: State, _call: Call, page: str = "") -> Response:
    """A page of the web app that shows the data: a few words, with the world's status."""
    status = sandbox.world.web_app
    return Response("Sales intelligence" if status == 200 else "Service Unavailable", status, content_type="text/html")


@route("feeds", "GET", "/api/v2/summary.json")
def statuspage(sandbox: State, call: Call) -> dict:
    """A Statuspage summary with the incidents that are open (https://status.hubspot.com/api/v2/summary.json)."""
    now, told = stamp(sandbox.now, 3), _told(sandbox, "hubspot", open_only=True)
    components: dict[str, dict[str, Any]] = {
        "APIs": {"id": digest(call.host)[:12], "name": "APIs", "status": "operational", "updated_at": now}
    }
    incidents = []
    for said in told:
        impact, status, _ = _SHAPES["statuses"][said.severity]
        begin = stamp(sandbox.world.now - said.since, 3)
        for name in said.of:
            id_ = components.get(name, {}).get("id") or digest(call.host, name)[:12]
            components[name] = {"id": id_, "name": name, "status": status, "updated_at": begin}
        incidents.append(_open(said, impact, begin, [components[name] for name in said.of]))
    worst = max(told, key=lambda i: list(_SHAPES["statuses"]).index(i.severity), default=None)
    status = _SHAPES["statuses"][worst.severity] if worst else ("none", "", "All Systems Operational")
    about = {"id": digest("page", call.host)[:12], "host": call.host, "now": now}
    about |= {"indicator": status[0], "description": status[2]}
    return _shape("statuspage", **about, components=list(components.values()), incidents=incidents)


def _open(said: Incident, impact: str, begin: str, components: list[dict[str, Any]]) -> dict[str, Any]:
    """One open incident as a Statuspage shows it."""
    words, id_ = f"Issues with {' and '.join(said.of)}", digest("hubspot", begin, said.of)[:12]
    about = {"id": id_, "words": words, "impact": impact, "begin": begin, "update": digest("update", id_)[:12]}
    return _shape("statuspage_incident", **about, components=components)


@route("feeds", "GET", "/v1/instances/{instance}/status")
def salesforce(sandbox: State, _call: Call, instance: str) -> dict:
    """The status of one Salesforce instance (https://api.status.salesforce.com/v1/docs/)."""
    told = [i for i in _told(sandbox, "salesforce", open_only=True) if instance in i.of]
    major = any(i.severity == "high" for i in told)
    status = ("MAJOR" if major else "MINOR") + "_INCIDENT_CORE" if told else "OK"
    incidents = [_disruption(sandbox, said) for said in told]
    return _shape("salesforce", instance=instance, status=status, incidents=incidents)


def _disruption(sandbox: State, said: Incident) -> dict[str, Any]:
    """One open incident of a Salesforce instance."""
    begin = stamp(sandbox.world.now - said.since, 3)
    severity = "major" if said.severity == "high" else "minor"
    id_ = str(20_000_000 + int(digest("salesforce", begin)[:5], 16))
    return _shape("salesforce_incident", id=id_, begin=begin, severity=severity, instances=list(said.of))
