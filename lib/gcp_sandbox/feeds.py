"""The public status feeds of the systems that the functions depend on, in their own formats.

Google's list of incidents (one without an `end` is open), HubSpot's Statuspage summary, Salesforce's instance status.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

from werkzeug.wrappers import Response

from gcp_sandbox.app import Call, route
from gcp_sandbox.wire import digest, stamp

if TYPE_CHECKING:
    from gcp_sandbox.sandbox import Sandbox


@route("feeds", "GET", "/incidents.json")
def google(sandbox: Sandbox, _call: Call) -> Response:
    """One incident, long over: a healthy feed is not an empty one."""
    begin = sandbox.now - timedelta(days=12)
    end = begin + timedelta(hours=2)
    last = {
        "created": stamp(end),
        "modified": stamp(end),
        "when": stamp(end),
        "text": "Resolved.",
        "status": "AVAILABLE",
    }
    over = {
        "id": digest("incident")[:20],
        "begin": stamp(begin),
        "created": stamp(begin),
        "end": stamp(end),
        "modified": stamp(end),
        "external_desc": "Cloud Logging: queries were slow in us-east4",
        "updates": [last],
        "most_recent_update": last,
        "status_impact": "SERVICE_INFORMATION",
        "severity": "low",
        "service_name": "Google Cloud Logging",
        "affected_products": [{"title": "Google Cloud Logging", "id": "PuCJ6W2ovoDhLcyvZ1xa"}],
        "uri": f"incidents/{digest('incident')[:20]}",
        "currently_affected_locations": [],
        "previously_affected_locations": [{"title": "Northern Virginia (us-east4)", "id": "us-east4"}],
    }
    # The one answer that is a list at its top, so it is written here.
    return Response(json.dumps([over]), content_type="application/json")


@route("feeds", "GET", "/api/v2/summary.json")
def statuspage(sandbox: Sandbox, call: Call) -> dict:
    """A Statuspage summary without incidents (https://status.hubspot.com/api/v2/summary.json)."""
    now = stamp(sandbox.now)
    component = {"id": digest(call.host)[:12], "name": "APIs", "status": "operational", "updated_at": now}
    return {
        "page": {
            "id": digest("page", call.host)[:12],
            "name": "HubSpot",
            "url": f"https://{call.host}",
            "updated_at": now,
        },
        "components": [component],
        "incidents": [],
        "scheduled_maintenances": [],
        "status": {"indicator": "none", "description": "All Systems Operational"},
    }


@route("feeds", "GET", "/v1/instances/{instance}/status")
def salesforce(_sandbox: Sandbox, _call: Call, instance: str) -> dict:
    """The status of one Salesforce instance (https://api.status.salesforce.com/v1/docs/)."""
    return {
        "key": instance,
        "location": "NA",
        "environment": "production",
        "status": "OK",
        "isActive": True,
        "Incidents": [],
        "Maintenances": [],
        "GeneralMessages": [],
    }
