"""An alert of Cloud Monitoring starts the page: from a file or its text, as a webhook or a message of Pub/Sub."""

from __future__ import annotations

import json
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

from runbook.cli.alert import incident_of
from runbook.model.errors import BadInput

# The fields of a payload of version 1.2, with names of ours.
ALERT = {
    "incident_id": "0.nrwotmyokd9n",
    "started_at": 1773205200,
    "state": "open",
    "scoping_project_id": "acme-sales-sandbox",
    "summary": "Log match condition fulfilled.",
}


def payload(**more: Any) -> str:
    return json.dumps({"incident": ALERT | more, "version": "1.2"})


def pubsub(text: str) -> str:
    return json.dumps({"message": {"data": b64encode(text.encode()).decode(), "messageId": "1"}})


@pytest.mark.parametrize(
    "text", [payload(), pubsub(payload()), payload(state="OPEN"), payload(started_at="1773205200")]
)
def test_an_open_alert_is_an_incident(text: str, tmp_path: Path) -> None:
    (file := tmp_path / "alert.json").write_text(text)
    wanted = {"incident": "INC-0-nrwotmyokd9n", "detected_at": "2026-03-11T00:00"}  # the team's time
    assert incident_of(str(file), "sandbox") == incident_of(text, "sandbox") == wanted


WRONG = {
    "closed": (payload(state="closed"), "this alert is over"),
    "another project": (payload(scoping_project_id="other"), "of another project"),
    "no time": (payload(started_at=None), "no alert of Cloud Monitoring"),
    "no such time": (payload(started_at=10**20), "no alert of Cloud Monitoring"),
    "no JSON": ("{", "no alert of Cloud Monitoring"),
    "a list": ('{"incident": []}', "no alert of Cloud Monitoring"),
    "not base64": ('{"message": {"data": "?"}}', "no alert of Cloud Monitoring"),
    "no file": ("nope.json", "no alert of Cloud Monitoring"),
}


@pytest.mark.parametrize("case", WRONG)
def test_anything_else_is_refused(case: str) -> None:
    text, what = WRONG[case]
    with pytest.raises(BadInput, match=what):
        incident_of(text, "sandbox")


def test_an_id_cannot_become_a_word_of_the_command_line() -> None:
    assert incident_of(payload(incident_id="0.a; rm -rf é/"), "sandbox")["incident"] == "INC-0-a--rm--rf---"
