"""Messages to people: kept as they came, in order, and told to everybody who asks."""

from __future__ import annotations

import pytest
import requests

import gcp_sandbox
from gcp_sandbox.inprocess import InProcess
from runbook.config.load import load_settings

INBOX = "https://inbox.example.com/messages"


@pytest.fixture
def session() -> requests.Session:
    made = requests.Session()
    made.mount("https://", InProcess(gcp_sandbox.app(load_settings("sandbox").inventory())))
    return made


def test_what_is_sent_is_kept_in_order(session: requests.Session) -> None:
    assert session.get(INBOX).json() == {"messages": []}
    for contact in ("on-call", "security"):
        sent = {"title": "a title", "message": "line one\nline two", "type": "info", "version": "1.0"}
        assert session.post(f"{INBOX}/{contact}", json=sent).ok
    first, second = session.get(INBOX).json()["messages"]
    assert (first["to"], second["to"]) == ("on-call", "security")
    assert {k: first[k] for k in ("title", "message", "type")} == {k: sent[k] for k in ("title", "message", "type")}
    assert first["at"] < second["at"]


@pytest.mark.parametrize("body", [{}, {"title": "alone"}, {"message": ""}])
def test_a_message_says_something(session: requests.Session, body: dict[str, str]) -> None:
    answer = session.post(f"{INBOX}/on-call", json=body)
    assert (answer.status_code, answer.json()["error"]["message"]) == (400, "message is missing")
    assert session.get(INBOX).json() == {"messages": []}
