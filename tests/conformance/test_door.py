"""The door, tried with every method that Google's discovery documents know: only the listed reads pass."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import requests
from requests.adapters import BaseAdapter

from runbook.cloud.door import Door
from runbook.errors import DoorShut

from .discovery import APIS, methods

FEED = "https://status.example.com/api/v2/summary.json"
READS = {
    "bigquery.datasets.get",
    "bigquery.jobs.get",
    "bigquery.jobs.getQueryResults",
    "bigquery.tables.get",
    "cloudfunctions.projects.locations.functions.list",
    "cloudresourcemanager.projects.testIamPermissions",
    "cloudscheduler.projects.locations.jobs.list",
    "logging.entries.list",
}
METHODS = [(m, url) for names in APIS.values() for name in names for m, url in methods(name)]


class Wire(BaseAdapter):
    """Stands where the network would be: notes what arrives, and answers what it was told to."""

    def __init__(self, answer: dict[str, Any] | None = None):
        super().__init__()
        self.sent: list[str] = []
        self.answer = answer or {}

    def send(self, request: requests.PreparedRequest, **_: Any) -> requests.Response:
        self.sent.append(f"{request.method} {request.url}")
        response = requests.Response()
        response.status_code, response._content = 200, json.dumps(self.answer).encode()
        return response

    def close(self) -> None: ...


def through(door: Door, method: str, url: str, **more: Any) -> requests.Response:
    session = requests.Session()
    session.adapters.clear()
    session.mount("", door)
    return session.request(method, url, **more)


def test_only_the_listed_reads_pass() -> None:
    passed = set()
    for method, url in METHODS:
        wire = Wire()
        try:
            through(Door(wire), method["httpMethod"], re.sub(r"\{\+?\w+\}", "x1", url), json={"a": 1})
            passed.add(method["id"])
        except DoorShut:
            assert not wire.sent
    assert passed == READS, len(METHODS)


def test_there_are_hundreds_of_methods_to_refuse() -> None:
    assert len(METHODS) > 400
    assert sum(m["httpMethod"] != "GET" for m, _ in METHODS) > 150


P = "https://bigquery.googleapis.com/bigquery/v2/projects/p1"
SQL = "SELECT 1"
DRY = {"configuration": {"dryRun": True, "query": {"query": SQL, "useLegacySql": False}}}
RUN = {"query": SQL, "useLegacySql": False, "maximumBytesBilled": "10"}
SELECT = {"statistics": {"query": {"statementType": "SELECT"}}}


@pytest.mark.parametrize(
    ("method", "url", "body"),
    [
        ("POST", f"{P}/queries", RUN),
        ("POST", f"{P}/jobs", {"configuration": {"query": {"query": SQL}}}),
        ("POST", f"{P}/jobs", {"configuration": {"dryRun": True, "copy": {}}}),
        ("POST", f"{P}/jobs", {"configuration": {"dryRun": True, "query": {"query": SQL}, "load": {}}}),
        ("POST", f"{P}/jobs", {"configuration": {"dryRun": "true", "query": {"query": SQL}}}),
        ("POST", f"{P}/jobs?alt=json", DRY),
        ("POST", f"{P}/jobs/../datasets", DRY),
        ("POST", "https://bigquery.googleapis.com/upload/bigquery/v2/projects/p1/jobs", DRY),
        ("POST", "https://bigquery.googleapis.com/batch/bigquery/v2", {}),
        ("GET", "http://bigquery.googleapis.com/bigquery/v2/projects/p1/datasets/d", None),
        ("GET", "https://bigquery.googleapis.com.example.com/bigquery/v2/projects/p1/datasets/d", None),
        ("GET", "https://bigquery.googleapis.com:444/bigquery/v2/projects/p1/datasets/d", None),
        ("GET", "https://secretmanager.googleapis.com/v1/projects/p/secrets/s/versions/latest:access", None),
        ("GET", "https://logging.googleapis.com/v2/entries:list", None),
        ("GET", "https://example.com/", None),
        ("GET", f"{FEED}?x=1", None),
        ("POST", FEED, None),
    ],
)
def test_refused(method: str, url: str, body: Any) -> None:
    wire = Wire()
    with pytest.raises(DoorShut):
        through(Door(wire, [FEED]), method, url, json=body)
    assert not wire.sent


def test_a_method_override_is_refused() -> None:
    with pytest.raises(DoorShut):
        through(Door(Wire()), "GET", f"{P}/datasets/d", headers={"X-HTTP-Method-Override": "DELETE"})


def test_a_feed_passes() -> None:
    assert through(Door(Wire(), [FEED]), "GET", FEED).status_code == 200


@pytest.mark.parametrize(
    ("answer", "body", "passes"),
    [
        (SELECT, RUN, True),
        (SELECT, RUN | {"query": SQL + " "}, False),
        (SELECT, RUN | {"maximumBytesBilled": "0"}, False),
        (SELECT, {"query": SQL, "useLegacySql": False}, False),
        (SELECT, RUN | {"useLegacySql": True}, False),
        (SELECT, {"query": SQL, "maximumBytesBilled": "10"}, False),
        (SELECT, RUN | {"createSession": True}, False),
        (SELECT, RUN | {"defaultDataset": {"datasetId": "d"}}, False),
        (SELECT, RUN | {"destinationEncryptionConfiguration": {}}, False),
        ({"statistics": {"query": {"statementType": "DELETE"}}}, RUN, False),
        ({"statistics": {"query": {"statementType": "SCRIPT"}}}, RUN, False),
        ({"statistics": {}}, RUN, False),
        (
            {"statistics": {"query": {"statementType": "SELECT", "referencedRoutines": [{"routineId": "f"}]}}},
            RUN,
            False,
        ),
    ],
)
def test_a_query_passes_only_after_its_dry_run_was_a_select(answer: dict, body: dict, passes: bool) -> None:
    wire = Wire(answer)
    door = Door(wire)
    through(door, "POST", f"{P}/jobs", json=DRY)
    if passes:
        assert through(door, "POST", f"{P}/queries", json=body).status_code == 200
    else:
        with pytest.raises(DoorShut):
            through(door, "POST", f"{P}/queries", json=body)
        assert len(wire.sent) == 1
