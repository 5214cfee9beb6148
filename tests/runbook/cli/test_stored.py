"""Plans that wait, notes of an incident, and records that could not be sent."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from click.testing import CliRunner

import gcp_sandbox
from gcp_sandbox.serve import Served, serve
from runbook.cli.main import main
from runbook.config.load import load_settings
from runbook.records.store import LIMIT
from runbook.runner.execute import RunResult
from tests.runbook.changes import GOOGLE_DOWN, KERNEL, REQUESTER, Place, failing, someone

BUCKET = "acme-sales-sandbox-runbooks"
JOB = "https://cloudscheduler.googleapis.com/v1/projects/acme-sales-sandbox/locations/us-central1/jobs/gmail-sync"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "records")


@pytest.fixture
def cli(place: Place) -> Callable[..., Any]:
    return place.cli


@pytest.fixture
def here(place: Place, monkeypatch: pytest.MonkeyPatch) -> Place:
    """What `plans` runs to compare a plan runs in this process."""

    def run(runbook: str, values: dict[str, Any], told: Any) -> RunResult:
        with patch.object(KERNEL, "told", told):
            ended = place.run(runbook, **values)
        return RunResult(0, ended.folder, {})  # type: ignore[arg-type]

    monkeypatch.setattr("runbook.runner.run.run", run)
    return place


def lines(done: Any) -> list[str]:
    assert done.exit_code == 0, done.output
    return done.output.splitlines()


def test_what_waits_is_listed_with_who_must_still_sign(here: Place, cli: Callable[..., Any]) -> None:
    assert lines(cli("plans")) == ["No plan is waiting."]
    first, other = here.plan("scheduler", jobs="gmail-sync"), here.plan("rollback", reason="why")
    before = len(here.store.list("plans"))
    listed = {line.split()[0]: line for line in lines(cli("plans"))[2:]}
    assert set(listed) == {first.id, other.id}
    assert all(line.endswith("unchanged") and "team-lead" in line for line in listed.values())
    assert len(here.store.list("plans")) == before  # comparing makes no plan
    assert here.wire.writes == []
    here.approve(other.id)
    here.wire.fault = failing(lambda sent: sent.method == "PATCH", status=403)
    assert here.go("rollback", other.id, reason="why").outcome.result == "failed"
    [line] = [line for line in lines(cli("plans"))[2:] if line.startswith(other.id)]
    assert line.endswith("begun, not finished")
    here.wire.fault = None
    assert here.go("rollback", other.id, reason="why").outcome.result == "applied"
    assert [line.split()[0] for line in lines(cli("plans"))[2:]] == [first.id]


def test_whoever_may_only_read_sees_what_waits(place: Place, cli: Callable[..., Any]) -> None:
    """Comparing a plan is a run, and a run needs a record."""
    first = place.plan("scheduler", jobs="gmail-sync")
    shutil.rmtree(place.folder / "runs")
    (place.folder / "runs").write_text("nothing can be written below this")
    said = lines(cli("plans"))
    assert said[2].split()[0] == first.id
    assert said[2].endswith("could not tell")
    assert said[3].startswith(f"{first.id}: the record of this run cannot be written: ")


def test_a_plan_that_may_not_be_applied_yet_says_from_when(here: Place, cli: Callable[..., Any]) -> None:
    first = here.plan("rotate_secret")
    for who, role, override in (("avery", "manager", "it cannot wait"), ("blake", "security", "")):
        words = ("--role", role, "--override", override, "--as", who)
        assert lines(cli("approve", first.id, *words, "--reason", "x", "--yes"))
    [line] = lines(cli("plans"))[2:]
    assert "gmail-oauth-token, gmail-sync, calendar-sync " in line
    assert line.endswith("unchanged; from Wed 2026-03-11 09:00 CDT")
    here.approve(first.id)
    [line] = lines(cli("plans"))[2:]
    assert line.endswith("unchanged")


def test_a_stale_plan_says_what_moved(here: Place, cli: Callable[..., Any]) -> None:
    first = here.plan("scheduler", jobs="gmail-sync")
    someone(here.app, "POST", f"{JOB}:pause")
    said = lines(cli("plans"))
    assert said[2].endswith("stale")
    assert f"{first.id}: changed: relies_on, gmail-sync: ENABLED → PAUSED" in said


def test_those_concerned_hear_of_a_stale_plan_once(here: Place, cli: Callable[..., Any]) -> None:
    first = here.plan("scheduler", jobs="gmail-sync")
    here.approve(first.id)
    someone(here.app, "POST", f"{JOB}:pause")
    assert lines(cli("plans"))
    assert here.app.sandbox.messages == []  # a list changes nothing
    said = lines(cli("plans", "--notify"))
    sent = [message for message in here.app.sandbox.messages if "out of date" in message["title"]]
    assert {message["to"] for message in sent} == {REQUESTER, "team-lead"}
    assert all("gmail-sync: ENABLED → PAUSED" in message["message"] for message in sent)
    assert f"{first.id}: notified: team-lead was notified by a message" in said
    assert f"{first.id}: notified: team-lead was notified before" in lines(cli("plans", "--notify"))
    assert len([m for m in here.app.sandbox.messages if "out of date" in m["title"]]) == 2


def test_a_damaged_plan_is_named(here: Place, cli: Callable[..., Any]) -> None:
    first = here.plan("scheduler", jobs="gmail-sync")
    beside = here.folder / "plans" / first.id / "20990101t000000000000-00000000.json"
    beside.write_bytes(b"{")
    alone = here.folder / "plans" / ("0" * 12) / "20990101t000000000000-00000000.json"
    alone.parent.mkdir()
    alone.write_bytes(b"{")
    said = lines(cli("plans"))
    assert any(line.startswith(first.id) and line.endswith("unchanged") for line in said)
    assert [str(p) in line for p, line in zip((alone, beside), said[-2:], strict=True)] == [True, True], said


FOREIGN: dict[str, Callable[[Path], Any]] = {
    "a link": lambda path: path.symlink_to("/etc/passwd"),
    "a link to nothing": lambda path: path.symlink_to("nothing"),
    "a large file": lambda path: (path.touch(), os.truncate(path, LIMIT + 1)),
    "a pipe": os.mkfifo,
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_what_is_no_record_is_ignored_and_named(here: Place, cli: Callable[..., Any], kind: str) -> None:
    first = here.plan("scheduler", jobs="gmail-sync", incident="INC-7")
    note = here.open("INC-7").nonce
    approval, run = (
        f"approvals/{first.names['plan'].whole_id}/" + "0" * 32 + ".json",
        "runs/20990101T000000Z-p1_response-00000000",
    )
    beside, alone = (f"plans/{plan}/20990101t000000000000-00000000.json" for plan in (first.id, "0" * 12))
    notes = [f"{folder}/{'0' * 32}" for folder in ("incidents/inc-7", "reviews", "incidents")]
    for name in (beside, alone, approval, *notes, *(f"{run}/{n}.json" for n in ("report", "record", "begin"))):
        path = here.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        FOREIGN[kind](path)
    said = lines(cli("plans"))
    assert any(line.startswith(first.id) and line.endswith("unchanged") for line in said), said
    assert [f"{name}: a record cannot be" in "\n".join(said) for name in (beside, alone)] == [True, True], said
    review = cli("review")
    assert (review.exit_code, note in here.store.list("incidents")[-1]) == (0, True), review.output
    assert "INC-7" in review.output
    assert [f"Ignored: {name}: a record cannot be" in review.output for name in notes] == [True] * 3, review.output
    assert (
        "no page of it is in the record store"
        in cli("approve", first.id, "--role", "team-lead", "--as", "avery", "--reason", "x").output
    )
    assert lines(cli("incident", "INC-7"))
    here.approve(first.id)
    assert here.go("scheduler", first.id, jobs="gmail-sync", incident="INC-7").outcome.result == "applied"


def test_a_plan_that_is_too_old_does_not_wait(here: Place, cli: Callable[..., Any]) -> None:
    here.plan("scheduler", jobs="gmail-sync")
    here.app.sandbox.now += timedelta(hours=5)
    assert lines(cli("plans")) == ["No plan is waiting."]


def test_notes_are_part_of_the_incident(here: Place, cli: Callable[..., Any]) -> None:
    here.run("p1_response", incident="INC-7")
    assert "Noted: notes/inc-7/" in "\n".join(lines(cli("note", "INC-7", "restarted the proxy | by hand")))
    for words in (("INC-7", " "), ("INC-7", "\x1b[2J"), ("INC-7", "x" * 501), ("inc", "x")):
        assert cli("note", *words).exit_code == 2
    damaged = here.folder / "notes" / "inc-7" / "20990101t000000-00000000"
    damaged.write_bytes(b"\xff")
    assert lines(cli("incident", "INC-7"))
    [draft] = here.folder.glob("incident-INC-7/post_mortem.md")
    text = draft.read_text()
    assert "restarted the proxy" in text
    assert f"{damaged.parent.name}/{damaged.name} cannot be read" in text.replace("\\", "")


@pytest.fixture
def served() -> Iterator[Served]:
    with serve(gcp_sandbox.app(load_settings("sandbox").inventory(), "healthy")) as server:
        yield server


def test_what_could_not_be_sent_is_sent_later(served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from runbook.config.request import Request
    from runbook.records import record

    def cli(*words: str) -> Any:
        return CliRunner().invoke(main, words)

    monkeypatch.setenv("RUNBOOK_RECORDS", f"gs://{BUCKET}/records")
    monkeypatch.setenv("RUNBOOK_LOCAL", str(tmp_path))
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", GOOGLE_DOWN)
    system = load_settings("sandbox")
    folder = record.new_directory(system, "daily_check")
    marker = record.begin(folder, Request("daily_check", {"environment": "sandbox"}))
    assert "no answer" in record.publish_begin(system, folder)
    ended = {"status": "finished", "why": "", "exit": 0, "cells": []}
    record.finish(folder, marker, **ended)  # type: ignore[arg-type]
    failed = cli("records", "push")
    assert (failed.exit_code, "not all records were sent" in failed.output) == (5, True)
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", served.url)
    assert lines(cli("records", "push"))[0] == f"{folder.name}: sent"
    assert lines(cli("records", "push")) == ["Every record of this machine is in the record store."]
    store = record.store_of(system)
    assert json.loads(store.read(f"runs/{folder.name}/record.json") or b"")["status"] == "finished"
    assert cli("records", "verify", folder.name).exit_code == 0
    assert cli("records", "attest", "--yes", "--as", "blake").exit_code == 0
    done = cli("records", "verify", "--all")
    assert (done.exit_code, "Compared with manifest 1" in done.output) == (0, True)
    with patch.dict(os.environ, {"RUNBOOK_RECORDS": str(tmp_path)}):  # its folder lies beside that of the bucket
        elsewhere = record.new_directory(system, "daily_check")
        record.finish(elsewhere, record.begin(elsewhere, Request("daily_check", {"environment": "sandbox"})), **ended)
    assert elsewhere.parent == folder.parent
    (said,) = lines(cli("records", "push"))
    assert said.startswith(f"Every record of this machine that was made for {store} is there. 1 that were not")
    assert store.list(f"runs/{elsewhere.name}") == []
    (folder / record.SENT).unlink()
    (folder / "notes.txt").write_text("ghp_" + "a1B2c3D4" * 5)
    leaking = cli("records", "push")
    assert (leaking.exit_code, "notes.txt contains what looks like a secret" in leaking.output) == (5, True)
    (folder / "notes.txt").unlink()
    (folder / "record.json").write_text("{}")
    changed = cli("records", "push")
    assert (changed.exit_code, "exists with another content" in changed.output) == (5, True)
