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


@pytest.mark.parametrize(
    "url", ["https://status.cloud.google.com/other.json", "https://status.github.com/incidents.json", FEEDS["hubspot"]]
)
def test_a_feed_that_the_inventory_does_not_name_is_501(session, url):
    """The inventory of the tests names Google's feed only."""
    refused = session().get(url)
    assert refused.status_code == 501
    assert url in refused.json()["error"]["message"]
