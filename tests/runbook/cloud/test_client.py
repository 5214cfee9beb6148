"""Google's client for logs behind the guard: every page is seen and counted, and nothing else is asked."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest
import requests

from runbook import facts
from runbook.cloud.answer import MOST_PAGES
from runbook.cloud.client import Cloud
from runbook.cloud.connect import connect
from runbook.config.load import load_settings
from runbook.facts.base import observe
from runbook.model.moment import Moment
from tests.conformance.test_guard import Wire

SYSTEM = load_settings("sandbox")
LOGS = "POST https://logging.googleapis.com/v2/entries:list"


class Pages(Wire):
    """Answers one page after another; after the last one, the same again with a new token each time."""

    def __init__(self, *pages: Any):
        super().__init__()
        self.pages, self.bodies = pages, list[dict[str, Any]]()

    def send(self, request: requests.PreparedRequest, **more: Any) -> requests.Response:
        number = len(self.bodies)
        self.bodies.append(json.loads(request.body or "{}"))
        page = self.pages[min(number, len(self.pages) - 1)]
        response = super().send(request, **more)
        response._content = json.dumps(page(number) if callable(page) else page).encode()
        return response


@pytest.fixture
def no_socket(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every attempt to open a connection or to look up a host fails; the attempts."""
    tried: list[Any] = []

    def refused(*given: Any, **_: Any) -> Any:
        tried.append(given)
        raise OSError("no network in this test")

    for name in ("connect", "connect_ex", "bind"):
        monkeypatch.setattr(socket.socket, name, refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    return tried


def test_logs_are_read_without_a_socket_and_without_the_metadata_server(
    no_socket: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("K_SERVICE", "runs-on-cloud-run")  # where Google's client would ask the metadata server
    cloud = connect(SYSTEM, "many_errors")
    moment = Moment(cloud.now()[0], SYSTEM.zone)
    fact = observe(facts.errors(), cloud, moment)
    assert len(fact.rows) > 20
    assert not fact.gaps
    assert no_socket == []


def entry(number: int) -> dict[str, Any]:
    return {"insertId": str(number), "timestamp": "2026-03-11T12:00:00Z", "textPayload": f"no. {number}"}


def test_an_empty_page_with_a_token_is_not_the_last() -> None:
    wire = Pages({"nextPageToken": "a"}, {"entries": [entry(1)], "nextPageToken": "b"}, {"entries": [entry(2)]})
    assert Cloud(SYSTEM, "sandbox", wire).entries("severity>=ERROR", 1000) == [entry(1), entry(2)]
    assert [body.get("pageToken", "") for body in wire.bodies] == ["", "a", "b"]
    assert {url.partition("?")[0] for url in wire.sent} == {LOGS}
    assert wire.bodies[0] == {
        "resourceNames": [f"projects/{SYSTEM.project}"],
        "filter": "severity>=ERROR",
        "orderBy": "timestamp desc",
        "pageSize": 1000,
    }


def test_no_more_pages_are_asked_than_needed() -> None:
    wire = Pages(lambda n: {"entries": [entry(n), entry(n)], "nextPageToken": str(n)})
    assert len(Cloud(SYSTEM, "sandbox", wire).entries("x", 3)) == 3
    assert len(wire.sent) == 2


def test_endless_empty_pages_are_a_gap() -> None:
    wire = Pages(lambda n: {"nextPageToken": str(n)})
    moment = Moment(connect(SYSTEM).now()[0], SYSTEM.zone)
    [gap] = observe(facts.errors(), Cloud(SYSTEM, "sandbox", wire), moment).gaps
    assert "do not end" in gap.why
    assert len(wire.sent) == MOST_PAGES + 1
