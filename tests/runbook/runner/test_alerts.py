"""Alerts of runs on a schedule: one message a day and cause, its end once, and few messages in a bad week."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

import gcp_sandbox
from gcp_sandbox.serve import serve
from runbook.config.load import ROOT, load_settings
from runbook.config.request import Request
from runbook.model.errors import BadSettings, NoRecord, Refused
from runbook.records.journal import Journal
from runbook.records.record import store_of
from runbook.runner import alerts
from tests.runbook.apply.test_notify import TOKEN

DAY = datetime(2026, 3, 9, 13, tzinfo=UTC)  # Monday, 8 o'clock in Chicago


class Week:
    """Runs of one environment, one after the other; `told` are the messages: contact, title, text."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch, contacts: list[str]):
        (folder / "params").mkdir(exist_ok=True)
        text = yaml.safe_load((ROOT / "params/sandbox.yaml").read_text()) | {"alert_contacts": contacts}
        (folder / "params" / "live.yaml").write_text(yaml.safe_dump(text))
        patch.setenv("RUNBOOK_PARAMS", str(folder / "params"))
        patch.setenv("RUNBOOK_RECORDS", str(folder / "records"))
        patch.setattr(alerts, "datetime", SimpleNamespace(now=lambda _zone: self.now))
        patch.setattr(alerts, "deliver", self.deliver)
        self.folder, self.now, self.told, self.down = folder, DAY, list[tuple[str, str, str]](), set[str]()

    def deliver(self, contact: str, title: str, text: str) -> None:
        if contact in self.down:
            raise Refused(f"{contact} cannot be notified", "no address")
        self.told.append((contact, title, text))

    def run(
        self, found: str = "", as_of: str = "", environment: str = "live", runbook: str = "daily_check"
    ) -> list[dict[str, Any]]:
        """A run with findings such as "errors=alert etl=ok", "-" for a run without a report; its journal."""
        run = self.folder / f"run-{len(list(self.folder.glob('run-*')))}"
        run.mkdir()
        pairs = [one.split("=") for one in found.split() if one != "-"]
        rows = [{"check": c, "subject": "all", "value": "1", "verdict": v} for c, v in pairs]
        wanted = Request(runbook, {"environment": environment, "as_of": as_of, "world": ""})
        report = None if found == "-" else {"findings": rows}
        why = "the kernel died: SIGKILL"
        alerts.notify(load_settings(environment), wanted, report, why, Journal(run).write, run.name)
        journal = run / "journal.jsonl"
        return [json.loads(line) for line in journal.read_text().splitlines()] if journal.exists() else []


@pytest.fixture
def week(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Week:
    return Week(tmp_path, monkeypatch, ["on-call"])


def test_an_alert_is_told_once_a_day_and_its_end_once(week: Week) -> None:
    [row] = week.run("errors=alert etl=ok")
    assert (row["kind"], row["contact"], row["result"]) == ("MESSAGE", "on-call", "accepted")
    [(contact, title, text)] = week.told
    assert (contact, title) == ("on-call", "live: daily_check: 1 alert")
    assert "ALERT errors, all: 1" in text
    assert "runbook run p1_response --env live" in text
    assert week.run("errors=alert") == []
    week.now += timedelta(days=1)
    assert len(week.run("errors=alert")) == 1  # a new day
    assert len(week.run("errors=ok")) == 1
    assert week.told[-1][1] == "live: daily_check: 1 over"
    assert week.told[-1][2].count("no longer an alert: errors, all: it began 2026") == 1
    assert week.run("errors=ok") == []
    assert week.run("errors=alert") == []  # again on the same day
    assert len(week.told) == 3


@pytest.mark.parametrize("found", ["errors=unknown", "etl=ok", "errors=alert", "-"])
def test_what_was_not_seen_to_end_stays_open(found: str, week: Week) -> None:
    week.run("errors=alert")
    week.run(found)
    assert not [text for _, _, text in week.told if "no longer an alert: errors" in text]


def test_a_run_without_a_verdict_is_an_alert_and_the_next_one_its_end(week: Week) -> None:
    week.run("-")
    week.run("errors=ok")
    assert ["ALERT the run of daily_check, live: the kernel died: SIGKILL" in text for _, _, text in week.told] == [
        True,
        False,
    ]
    assert "no longer an alert: the run of daily_check" in week.told[1][2]


def test_another_runbook_is_not_its_end(week: Week) -> None:
    week.run("-")
    week.run("errors=ok", runbook="hourly_check")
    assert [title for _, title, _ in week.told] == ["live: daily_check: 1 alert"]


def test_nobody_is_told_of_the_past_or_of_what_is_no_alert(week: Week) -> None:
    for found, as_of in (("errors=alert", "2026-03-01T08:00"), ("errors=warn", "")):
        assert week.run(found, as_of) == []
    assert week.told == []


def test_what_could_not_be_read_is_told_once_a_day_and_is_no_alert(week: Week) -> None:
    week.run("errors=unknown etl=alert")
    assert week.run("errors=unknown etl=alert") == []
    week.run("errors=alert etl=alert")
    assert [title for _, title, _ in week.told] == [
        "live: daily_check: 1 alert, 1 unknown",
        "live: daily_check: 1 alert, 1 over",
    ]
    assert week.told[0][2].splitlines()[:2] == ["ALERT etl, all: 1", "UNKNOWN errors, all: 1"]
    assert week.told[1][2].startswith("ALERT errors, all: 1\nno longer unknown: errors, all: it began 2026")


def test_a_contact_who_cannot_be_reached_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    week = Week(tmp_path, monkeypatch, ["on-call", "team-lead"])
    week.down = {"on-call", "team-lead"}
    assert [row["result"] for row in week.run("errors=alert")] == [
        f"{c} cannot be notified: no address" for c in ("on-call", "team-lead")
    ]
    week.down = {"on-call"}
    assert [row["result"] for row in week.run("errors=alert")] == ["on-call cannot be notified: no address", "accepted"]
    assert week.run("errors=alert") == []  # one of them knows


def test_a_rehearsal_calls_nobody_but_keeps_what_it_would_have_said(
    week: Week, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOCK_MODE", "1")
    [row] = week.run("errors=alert")
    assert (row["result"], week.told) == ("not sent: a rehearsal calls nobody", [])
    assert week.run("errors=alert") == []
    assert store_of(load_settings("live")).files.folder.parent.name == "rehearsal"


def test_a_file_that_is_no_record_silences_no_alert(week: Week) -> None:
    week.run("errors=alert")
    [note] = (week.folder / "records").rglob("alerts/*/*")
    (note.parent / "0000000000000000").symlink_to("/etc/hostname")
    [row] = week.run("etl=alert")
    assert (row["contact"], row["result"]) == ("on-call", "accepted")


def test_a_store_that_does_not_answer_ends_no_run(week: Week, monkeypatch: pytest.MonkeyPatch) -> None:
    def down(_system: Any) -> Any:
        raise NoRecord("the record store cannot be used")

    monkeypatch.setattr(alerts, "store_of", down)
    [row] = week.run("errors=alert")
    assert (row["result"], week.told) == ("failed: NoRecord('the record store cannot be used')", [])


def test_a_bad_week_of_forty_alerts_is_seventeen_messages(week: Week) -> None:
    """Checks of every hour, three causes: a night's outage, and two that come and go for two and for five days."""
    seen = 0
    for hour in range(7 * 24):
        week.now = DAY + timedelta(hours=hour)
        bad = {
            "etl": 10 <= hour < 19,
            "errors": 30 <= hour < 54 and hour % 3 == 0,
            "tables": 72 <= hour < 168 and hour % 4 == 1,
        }
        seen += sum(bad.values())
        week.run(" ".join(f"{check}={'alert' if is_bad else 'ok'}" for check, is_bad in bad.items()))
    assert seen == 41
    assert len(week.told) == 17


def test_the_message_arrives_by_apprise(week: Week, monkeypatch: pytest.MonkeyPatch) -> None:
    from runbook.apply.notify import deliver

    monkeypatch.setattr(alerts, "deliver", deliver)
    with serve(gcp_sandbox.app(load_settings("live").inventory())) as served:
        hook = f"json{served.url.removeprefix('http')}/messages/on-call?+X-Token={TOKEN}"
        monkeypatch.setenv("RUNBOOK_NOTIFY_ON_CALL", hook)
        [row] = week.run("errors=alert")
        import requests

        [found] = requests.get(f"{served.url}/messages", timeout=5).json()["messages"]
    assert (row["result"], found["title"]) == ("accepted", "live: daily_check: 1 alert")
    assert TOKEN not in json.dumps(row)


def test_a_contact_of_alerts_must_be_a_contact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Week(tmp_path, monkeypatch, ["nobody"])
    with pytest.raises(BadSettings) as error:
        load_settings("live")
    assert "alert_contacts: nobody is not under contacts" in error.value.observed
