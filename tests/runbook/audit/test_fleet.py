"""Who has reported: what is missing is never fine, and a record counts only if it is whole and of this run."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

import gcp_sandbox
from gcp_sandbox.serve import serve
from runbook.audit.fleet import AHEAD, EARLIER, _due, reported
from runbook.config.load import load_settings
from runbook.records.files import rendered
from runbook.records.proof import begun, with_proof
from runbook.records.record import records_directory, store_of

START = datetime(2026, 3, 11, 6, tzinfo=UTC)


def hashed(content: bytes) -> str:
    return sha256(content).hexdigest()


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RUNBOOK_RECORDS", str(tmp_path))
    return records_directory(load_settings("sandbox")) / "runs"


def record(runs: Path, hours: float, verdict: str = "ok", findings: str = "", more: Any = (), **said_more: Any) -> Path:
    """A record of a run that began so many hours after START; `findings` such as "errors=alert etl=warn"."""
    at = START + timedelta(hours=hours)
    folder = runs / f"{at:%Y%m%dT%H%M%SZ}-daily_check-{len(list(runs.glob('*'))):04x}"
    folder.mkdir(parents=True)
    found = [dict(zip(("check", "verdict"), one.split("="), strict=True)) for one in findings.split()]
    rows = [one | {"subject": "all", "value": "1", "limit": "", "next": ""} for one in found]
    content = json.dumps(
        {"verdict": verdict, "exit": 0, "sentence": f"{verdict}.", "findings": rows, **dict(more)}
    ).encode()
    said = {"runbook": "daily_check", "parameters": {"environment": "sandbox"}, "status": "finished", "why": "all ran"}
    said |= {"name": folder.name, "sha256": {"report.json": hashed(content)}} | said_more
    (folder / "report.json").write_bytes(content)
    (folder / "record.json").write_bytes(with_proof(said))
    return folder


def judged(**why: str) -> Any:
    return reported("sandbox", "daily_check", START, None, why)


@pytest.mark.parametrize("verdict", ["ok", "warn", "unknown", "alert"])
def test_a_whole_record_counts(runs: Path, verdict: str) -> None:
    folder = record(runs, 1, verdict)
    assert (judged().verdict, judged().said, judged().record) == (verdict, f"{verdict}.", folder.name)


# What is wrong with the only record since START → what is said of the environment.
NOT_COUNTED = {
    "killed": ({"status": "running", "why": "it never ended"}, "it has no end"),
    "broken": ({"status": "failed", "why": "ValueError"}, "ValueError"),
    "of the past": ({"parameters": {"environment": "sandbox", "as_of": "2026-03-11T01:00"}}, "it shows the past"),
    "of another environment": ({"parameters": {"environment": "other"}}, "its record is of another run"),
    "of another name": ({"name": "20260311T070000Z-daily_check-ffff"}, "it is the record of another run"),
    "another report": ({"sha256": {"report.json": "0" * 64}}, "report.json was changed"),
    "no digests": ({"sha256": None}, "report.json was added"),
    "no parameters": ({"parameters": []}, "its record is of another run"),
}


@pytest.mark.parametrize("case", NOT_COUNTED)
def test_what_does_not_count_is_missing(runs: Path, case: str) -> None:
    more, said = NOT_COUNTED[case]
    folder = record(runs, 1, **more)
    found = judged()
    assert found.verdict == "missing"
    assert found.said.startswith(f"{folder.name}: {said}")


def test_damaged_files_are_missing(runs: Path) -> None:
    folder = record(runs, 1)
    (folder / "record.json").write_text("{")
    assert "its own digest does not fit" in judged().said
    (folder / "record.json").unlink()
    assert "it has no end" in judged().said


def test_a_link_or_a_pipe_hides_no_other_record(runs: Path) -> None:
    record(runs, 1, "alert")
    for hours, make in ((2, lambda path: path.symlink_to("/etc/hostname")), (3, os.mkfifo)):
        folder = record(runs, hours)
        (folder / "record.json").unlink()
        make(folder / "record.json")
    assert judged().verdict == "alert"


def test_a_bucket_is_judged_as_a_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lost machine has left only the begin of its run there."""
    with serve(gcp_sandbox.app(load_settings("sandbox").inventory())) as served:
        monkeypatch.setenv("RUNBOOK_RECORDS", "gs://acme-sales-sandbox-runbooks/fleet")
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", served.url)
        store, run = store_of(load_settings("sandbox")), "20260311T070000Z-daily_check-0000"
        assert judged().said == "no run since 2026-03-11 06:00 UTC; there is none"
        content = b'{"verdict": "warn", "exit": 0, "sentence": "Warn."}'
        said = {"runbook": "daily_check", "parameters": {"environment": "sandbox"}, "name": run}
        store.create(f"runs/{run}/begin.json", rendered(begun(said)))
        assert judged().said.startswith(f"{run}: it has no end")
        said |= {"ended_at": "", "status": "finished", "why": "", "sha256": {"report.json": hashed(content)}}
        store.create(f"runs/{run}/report.json", content)
        store.create(f"runs/{run}/record.json", with_proof(said))
        assert (judged().verdict, judged().said) == ("warn", "Warn.")


def test_a_run_before_does_not_count_and_no_run_is_missing(runs: Path) -> None:
    assert judged().said == "no run since 2026-03-11 06:00 UTC; there is none"
    before = record(runs, -1).name
    assert (judged().verdict, judged().said) == (
        "missing",
        f"no run since 2026-03-11 06:00 UTC; the newest is {before}",
    )
    assert judged(sandbox="no params").said == "no params"


def test_the_newest_counts(runs: Path) -> None:
    record(runs, 1, "alert")
    newest = record(runs, 2, "ok")
    assert (judged().verdict, judged().record) == ("ok", newest.name)


def test_a_record_of_a_time_to_come_is_never_the_newest(runs: Path) -> None:
    """A clock was ahead for one run, or somebody forged one file: until then nothing else would have been judged."""
    ahead = (datetime.now(UTC) - START) / timedelta(hours=1)
    later = [record(runs, ahead + 480 + hours) for hours in range(EARLIER + 1)]
    assert (judged().verdict, judged().said) == (
        "missing",
        f"{later[-1].name}: it is of a time to come, so a clock was wrong; no other run since 2026-03-11 06:00 UTC; "
        "there is none",
    )
    record(runs, 1, "alert", "etl=alert")
    assert judged().verdict == "alert"
    newest = record(runs, ahead + AHEAD / timedelta(hours=2), "warn")  # two clocks differ a little
    assert (judged().verdict, judged().record) == ("warn", newest.name)


@pytest.mark.parametrize(
    ("target", "at", "verdict"),
    [
        ("google", "2026-03-11T07:01:00+00:00", "ok"),
        ("google", "2026-03-11T02:01:00-05:00", "ok"),
        ("google", "2026-02-19T07:00:00+00:00", "missing"),
        ("google", "", "missing"),
        ("google", "0001-01-01T00:00:00+14:00", "missing"),
        ("sandbox", "2026-02-19T07:00:00+00:00", "ok"),  # its clock is another one
    ],
)
def test_a_record_that_googles_clock_contradicts_does_not_count(runs: Path, target: str, at: str, verdict: str) -> None:
    """Twenty days later, a clock that was twenty days ahead would have made the report of that day."""
    record(runs, 1, more={"target": target, "at": at})
    assert judged().verdict == verdict
    assert verdict == "ok" or "its machine's clock was wrong" in judged().said


def test_an_experiment_by_hand_hides_no_report(runs: Path) -> None:
    record(runs, 1)
    record(runs, 2, "alert", status="interrupted", why="Ctrl-C")
    assert judged().verdict == "ok"


def test_what_is_new_and_what_is_over_since_the_time_before(runs: Path) -> None:
    record(runs, -26, "alert", "etl=alert")  # older than the one before
    record(runs, -24, "alert", "etl=alert jobs=warn")
    record(runs, -23, "ok", "", status="failed")  # which does not count
    record(runs, 1, "alert", "errors=alert jobs=warn access=ok tables=unknown")
    found = judged()
    assert (found.new, found.over) == (["errors, all", "tables, all"], ["etl, all"])
    assert found.causes == ["errors, all", "tables, all"]


def test_the_first_report_has_nothing_new(runs: Path) -> None:
    record(runs, 1, "alert", "errors=alert")
    assert (judged().new, judged().over) == ([], [])


def test_a_store_or_params_that_cannot_be_read_are_unknown(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs.parent.mkdir(parents=True)
    monkeypatch.setenv("RUNBOOK_RECORDS", "s3://elsewhere")
    assert judged().verdict == "unknown"
    assert reported("nope", "daily_check", START, None, {}).verdict == "unknown"


# The local time, --by → the day whose report is due; in Chicago the clock goes forward on 8 March 2026.
DUE = [
    ("2026-03-11T09:00", "09:00", "2026-03-11T00:00-05:00"),
    ("2026-03-11T08:59", "09:00", "2026-03-10T00:00-05:00"),
    ("2026-03-08T12:00", "09:00", "2026-03-08T00:00-06:00"),
    ("2026-03-09T00:30", "09:00", "2026-03-08T00:00-06:00"),
]


@pytest.mark.parametrize(("now", "by", "day"), DUE)
def test_a_report_is_due_once_it_is_time(now: str, by: str, day: str) -> None:
    there = datetime.fromisoformat(now).replace(tzinfo=ZoneInfo("America/Chicago"))
    assert _due(there, datetime.strptime(by, "%H:%M")) == datetime.fromisoformat(day)  # noqa: DTZ007
