"""The public status feeds, in their own formats."""

from __future__ import annotations

import pytest

FEEDS = {
    "google": "https://status.cloud.google.com/incidents.json",
    "hubspot": "https://status.hubspot.com/api/v2/summary.json",
    "salesforce": "https://api.status.salesforce.com/v1/instances/NA1/status",
}


@pytest.fixture
def read(session):
    return lambda name: session(feeds=FEEDS).get(FEEDS[name]).json()


def test_google_has_had_incidents_and_none_is_open(read):
    incidents = read("google")
    assert incidents
    assert all(i["begin"] < i["end"] for i in incidents)
    assert all({"status_impact", "affected_products", "external_desc"} <= set(i) for i in incidents)


def test_hubspot(read):
    summary = read("hubspot")
    assert summary["status"] == {"indicator": "none", "description": "All Systems Operational"}
    assert {c["status"] for c in summary["components"]} == {"operational"}
    assert summary["incidents"] == []


def test_salesforce(read):
    status = read("salesforce")
    assert (status["key"], status["status"], status["Incidents"]) == ("NA1", "OK", [])


INCIDENTS = """incidents:
  - {feed: google, of: [Cloud Run, Google BigQuery], locations: [us-central1], since: 40m, severity: high}
  - {feed: google, of: [Cloud Run], locations: [us-east1], since: 5h, until: 3h, severity: medium}
  - {feed: hubspot, of: [APIs, CRM], since: 30m, severity: medium}
  - {feed: hubspot, of: [Email], since: 9h, until: 8h}
  - {feed: salesforce, of: [NA1, NA2], since: 20m}
  - {feed: salesforce, of: [NA1], since: 9h, until: 8h}"""


@pytest.fixture
def troubled(session, told):
    return lambda url: session(told(INCIDENTS), feeds=FEEDS).get(url).json()


def test_google_lists_what_is_open_and_what_is_over(troubled):
    new, old, older = troubled(FEEDS["google"])
    assert "end" not in new
    assert (new["begin"], new["status_impact"], new["severity"]) == (
        "2026-03-11T12:50:00+00:00",
        "SERVICE_OUTAGE",
        "high",
    )
    assert [p["title"] for p in new["affected_products"]] == ["Cloud Run", "Google BigQuery"]
    assert [x["id"] for x in new["currently_affected_locations"]] == ["us-central1"]
    assert (old["begin"], old["end"]) == ("2026-03-11T08:30:00+00:00", "2026-03-11T10:30:00+00:00")
    assert (old["currently_affected_locations"], old["previously_affected_locations"][0]["id"]) == ([], "us-east1")
    assert old["affected_products"][0] == new["affected_products"][0]
    assert older["end"] < old["begin"]


def test_hubspot_shows_what_is_open_at_its_components(troubled):
    summary = troubled(FEEDS["hubspot"])
    assert summary["status"]["indicator"] == "major"
    assert {c["name"]: c["status"] for c in summary["components"]} == {
        "APIs": "partial_outage",
        "CRM": "partial_outage",
    }
    assert [(i["impact"], i["started_at"]) for i in summary["incidents"]] == [("major", "2026-03-11T13:00:00.000Z")]


@pytest.mark.parametrize(("instance", "status", "incidents"), [("NA1", "MAJOR_INCIDENT_CORE", 1), ("NA9", "OK", 0)])
def test_salesforce_shows_the_instance_that_is_asked_for(troubled, instance, status, incidents):
    found = troubled(FEEDS["salesforce"].replace("NA1", instance))
    assert (found["status"], len(found["Incidents"])) == (status, incidents)


@pytest.mark.parametrize(
    "url", ["https://status.cloud.google.com/other.json", "https://status.github.com/incidents.json", FEEDS["hubspot"]]
)
def test_a_feed_that_the_inventory_does_not_name_is_501(session, url):
    """The inventory of the tests names Google's feed only."""
    refused = session().get(url)
    assert refused.status_code == 501
    assert url in refused.json()["error"]["message"]
