"""Records are found again: by each field, by time, by words; forged ones are marked, and stop nobody."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from runbook.audit.index import find_record, missing, names_in, not_ok, read_run, row_of, search, since_of
from runbook.audit.pages import record_page, record_text
from runbook.config.load import load_settings
from runbook.model.errors import BadInput
from runbook.records.record import store_of
from tests.runbook.audit.made import NOW, made, many, rewritten

SYSTEM = load_settings("sandbox")


@pytest.fixture
def records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Four records: a good day, an incident, a bad day, and a run that died."""
    monkeypatch.setenv("RUNBOOK_RECORDS", str(tmp_path / "records"))
    return [
        made(NOW - timedelta(days=9)),
        made(NOW - timedelta(days=3), "p1_response", ("cause",), incident="INC-7"),
        made(NOW - timedelta(hours=30), wrong=("errors", "data freshness")),
        made(NOW - timedelta(hours=2), status="kernel_died"),
    ]


def found(since: str = "", until: str = "", **words: str) -> list[str]:
    times = (since_of(text, SYSTEM, "since") for text in (since, until))
    return [row["id"] for row in search(SYSTEM, *times, words)]


@pytest.mark.parametrize(
    ("asked", "which"),
    [
        ({}, [3, 2, 1, 0]),
        ({"since": "7d"}, [3, 2, 1]),
        ({"since": "36h", "until": "3h"}, [2]),
        ({"runbook": "p1"}, [1]),
        ({"verdict": "ok"}, [0]),
        ({"verdict": "none"}, [3]),
        ({"causes": "MEMORY"}, [1]),
        ({"incident": "inc-7"}, [1]),
        ({"incident": "INC"}, []),
        ({"any field": "gmail_messages"}, [2]),
        ({"any field": "the kernel died"}, [3]),
        ({"environment": "sandbox", "verdict": "alert"}, [2, 1]),
        ({"person": "nobody here"}, []),
    ],
)
def test_a_search_finds(records: list[str], asked: dict[str, str], which: list[int]) -> None:
    assert found(**asked) == [records[number] for number in which]


def test_what_was_not_ok_and_why(records: list[str]) -> None:
    rows = not_ok(search(SYSTEM, None, None, {}))
    assert [row["verdict"] for row in rows] == ["alert", "alert", "alert", "unknown"]
    assert {row["finding"]: row["times"] for row in rows} == {
        "data freshness, gmail_messages": 1,
        "errors, last 24 h": 1,
        "cause, account-scoring": 1,
        "run, daily_check": 1,
    }
    assert {row["finding"]: row["newest value"] for row in rows}["run, daily_check"] == "the kernel died"


def test_the_newest_reason_counts_and_the_worst_verdict() -> None:
    one = {"check": "errors", "subject": "last 24 h"}
    rows = [
        {
            "at": f"2026-03-{day}T09:00:00Z",
            "id": str(day),
            "environment": "x",
            "bad": [one | {"verdict": verdict, "value": str(day)}],
        }
        for day, verdict in ((12, "warn"), (11, "alert"), (10, "warn"))
    ]
    [found] = not_ok(rows)
    assert (found["verdict"], found["times"], found["last"]) == ("alert", 3, "2026-03-12")
    assert found["newest value"] == "12"


def test_how_often_counts_runs_and_each_cause_is_named() -> None:
    causes = [
        {"check": "cause", "subject": subject, "verdict": "alert", "value": value}
        for subject, value in (("gmail-sync", "crash (likely)"), ("gmail-sync", "bad data (possible)"), ("x", "quota"))
    ]
    twice = [{"check": "errors", "subject": "all", "verdict": "alert", "value": value} for value in ("1", "2")]
    rows = [
        {"at": f"2026-03-{day}T09:00:00Z", "id": str(day), "environment": "x", "bad": causes + twice}
        for day in (13, 12)
    ]
    found = not_ok(rows)
    assert [row["times"] for row in found] == [2, 2, 2, 2]
    assert {(row["finding"], row["newest value"]) for row in found} == {
        ("cause, gmail-sync", "crash (likely)"),
        ("cause, gmail-sync", "bad data (possible)"),
        ("cause, x", "quota"),
        ("errors, all", "1; 2"),
    }


DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("had", "since", "until", "gone"),
    [
        ([5, 4, 3, 2, 1], 9, 0, []),
        ([5, 2, 1], 9, 0, [4, 3]),
        ([5, 2], 9, 0, [4, 3, 1]),
        ([9, 1], 4, 0, [4, 3, 2]),
        ([9, 1], 4, 2, [4, 3]),
        ([9], 0, 0, []),
    ],
)
def test_a_day_without_a_daily_check_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, had: list[int], since: int, until: int, gone: list[int]
) -> None:
    """Days before now; that of today may still come."""
    monkeypatch.setenv("RUNBOOK_RECORDS", str(tmp_path / "records"))
    noon = datetime.now(SYSTEM.zone).replace(hour=12)
    for days in had:
        name = f"{(noon - days * DAY).astimezone(UTC):%Y%m%dT%H%M%SZ}-daily_check-00000000"
        store_of(SYSTEM).create(f"runs/{name}/begin.json", b"{}")
    found = missing(SYSTEM, noon - since * DAY, noon - until * DAY if until else None)
    assert [row["times"] for row in found] == [len(gone)] * bool(gone)
    assert [row["newest value"] for row in found] == [
        f"no record on {', '.join(str((noon - day * DAY).date()) for day in gone)}"
    ] * bool(gone)


def test_an_environment_without_any_run_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNBOOK_RECORDS", str(tmp_path / "records"))
    [row] = missing(SYSTEM, None, None)
    assert (row["verdict"], row["last"]) == ("unknown", "never")
    assert str(tmp_path) in row["newest value"]


def test_a_changed_record_is_marked_and_its_words_do_not_count(records: list[str]) -> None:
    rewritten(store_of(SYSTEM), records[0])
    rows = {row["id"]: row for row in search(SYSTEM, None, None, {})}
    assert rows[records[0]]["verdict"] == "unverified"
    assert "report.json" in rows[records[0]]["headline"]
    assert rows[records[1]]["verdict"] == "alert"


HOSTILE: list[Any] = [None, [], "x", 7, {"findings": 3}, {"findings": [3, {"verdict": "ok"}, {"verdict": []}]}]
HOSTILE += [
    {"outcome": value, "answer": value, "next": value, "findings": value}
    for value in (None, 7, "x", [7], {"changes": 7})
]


@pytest.mark.parametrize("hostile", HOSTILE, ids=str)
def test_whatever_a_record_contains_it_is_listed(records: list[str], hostile: Any) -> None:
    """A forged record may have any form; what comes of it is one row, and one page (T13)."""
    store = store_of(SYSTEM)
    name = f"{NOW:%Y%m%dT%H%M%SZ}-daily_check-00000000"
    report = {"verdict": "ok", "exit": 0} | hostile if isinstance(hostile, dict) else hostile
    store.create(f"runs/{name}/report.json", json.dumps(report).encode())
    record = {"parameters": hostile, "status": hostile, "cells": hostile, "versions": hostile, "person": hostile}
    store.create(f"runs/{name}/record.json", json.dumps(record | {"sha256": hostile, "ended_at": hostile}).encode())
    store.create(f"runs/{name}/daily_check.ipynb", json.dumps({"cells": hostile, "nbformat": 4}).encode())
    store.create("runs/20260311T133000Z/x", b"not the name of a record")
    assert found()[0] == name
    run = read_run(store, name)
    assert json.dumps(row_of(run, SYSTEM))
    assert "cannot be shown" in record_page(run, row_of(run, SYSTEM))
    assert record_text(run) is not None


def test_a_record_is_named_by_its_end(records: list[str]) -> None:
    store = store_of(SYSTEM)
    assert find_record(store, records[2][-8:]) == find_record(store, records[2]) == records[2]
    assert find_record(store, "newest") == records[3]
    with pytest.raises(BadInput, match="3 records are named 'daily'"):
        find_record(store, "daily")
    with pytest.raises(BadInput, match="0 records"):
        find_record(store, "nothing")
    assert names_in(store) == records[::-1]
    store.create("runs/29990101T000000Z-daily_check-00000001/record.json", b"{}")
    assert find_record(store, "newest") == records[3]


def test_one_page_over_300_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNBOOK_RECORDS", str(tmp_path / "records"))
    assert len(set(many(300, days=20))) == 300
    rows = not_ok(search(SYSTEM, since_of("7d", SYSTEM, "since"), None, {}))
    assert 4 <= len(rows) <= 20
    assert all(row["newest value"] for row in rows)
    assert max(row["times"] for row in rows) > 1
