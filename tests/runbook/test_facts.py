"""What the named queries answer, against the same answer computed in plain Python from the raw rows of the tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from google.auth.credentials import AnonymousCredentials
from google.auth.transport.requests import AuthorizedSession
from google.cloud import bigquery

from runbook import facts
from runbook.facts.read import look

CHICAGO = ZoneInfo("America/Chicago")
# (world, as_of in the team's time): now; an evening whose UTC day is the next one; after midnight; around the change to
# daylight saving time, on 2026-03-08 at 02:00.
MOMENTS = [
    ("healthy", ""),
    ("no_etl", ""),
    ("healthy", "2026-03-10T20:30"),
    ("healthy", "2026-03-10T23:59:59"),
    ("healthy", "2026-03-11T00:06"),
    ("healthy", "2026-03-08T12:00"),
    ("healthy", "2026-03-07T19:00"),
]


def raw(cloud: Any, table: str) -> Iterator[dict[str, Any]]:
    """All rows of a table by tabledata.list: no SQL on the way, and past the door, which does not let it through."""
    session = AuthorizedSession(AnonymousCredentials())
    session.mount("https://", cloud.transport)
    client = bigquery.Client(cloud.settings.project, AnonymousCredentials(), _http=session)
    for row in client.list_rows(f"{cloud.settings.table(table)}"):
        yield dict(row.items())


def day(when: datetime) -> date:
    return when.astimezone(CHICAGO).date()


@pytest.mark.parametrize(("world", "as_of"), MOMENTS)
def test_etl_of_the_teams_day(sandbox: Any, world: str, as_of: str) -> None:
    cloud, moment = sandbox(world, as_of)
    runs = [
        r for r in raw(cloud, "etl_runs") if day(r["started_at"]) == day(moment.at) and r["started_at"] <= moment.at
    ]
    expected = Counter((r["source_system"], r["status"]) for r in runs)
    seen = look(facts.etl_today(), cloud, moment)
    assert {(r["source_system"], r["status"]): r["runs"] for r in seen.rows} == expected
    assert {r["latest"] for r in seen.rows} <= {r["started_at"] for r in runs}
    assert bool(expected) == (world == "healthy")


@pytest.mark.parametrize(("world", "as_of"), MOMENTS)
def test_etl_of_the_week(sandbox: Any, world: str, as_of: str) -> None:
    cloud, moment = sandbox(world, as_of)
    first = day(moment.at) - timedelta(days=6)
    runs = [r for r in raw(cloud, "etl_runs") if day(r["started_at"]) >= first and r["started_at"] <= moment.at]
    counts = Counter((day(r["started_at"]), r["status"]) for r in runs)
    seen = look(facts.etl_week(), cloud, moment)
    days = sorted({day(r["started_at"]) for r in runs})
    assert [r["date"] for r in seen.rows] == days
    assert [(r["success"], r["failed"]) for r in seen.rows] == [
        (counts[d, "success"], counts[d, "failed"]) for d in days
    ]


@pytest.mark.parametrize(("world", "as_of"), MOMENTS)
def test_scores(sandbox: Any, world: str, as_of: str) -> None:
    cloud, moment = sandbox(world, as_of)
    dates = Counter(r["score_date"] for r in raw(cloud, "account_recommendations") if r["score_date"] <= day(moment.at))
    seen = look(facts.scores(), cloud, moment)
    assert [(r["score_date"], r["accounts"]) for r in seen.rows] == sorted(dates.items(), reverse=True)[:7]


@pytest.mark.parametrize(("world", "as_of"), MOMENTS)
def test_freshness(sandbox: Any, world: str, as_of: str) -> None:
    cloud, moment = sandbox(world, as_of)
    seen = {r["table_name"]: r for r in look(facts.freshness(), cloud, moment).rows}
    assert list(seen) == sorted(t.name for t in cloud.settings.tables.freshness)
    for table in cloud.settings.tables.freshness:
        times = [r[table.column] for r in raw(cloud, table.name) if r[table.column] <= moment.at]
        newest = max(times)
        assert seen[table.name]["newest"] == newest
        assert seen[table.name]["minutes_stale"] == (moment.at - newest) // timedelta(minutes=1)


def world_file(tmp_path: Any, text: str) -> str:
    path = tmp_path / "world.yaml"
    path.write_text("about: A test.\nnow: 2026-03-11T13:30:00Z\n" + text)
    return str(path)


def test_failures_are_the_newest_and_say_why(sandbox: Any, tmp_path: Any) -> None:
    world = "runs: [{select: {source_system: gmail}, outcome: failed, error: invalid_grant}]"
    cloud, moment = sandbox(world_file(tmp_path, world))
    seen = look(facts.etl_failures(), cloud, moment)
    failed = [r for r in raw(cloud, "etl_runs") if r["status"] == "failed" and day(r["started_at"]) == day(moment.at)]
    assert [r["started_at"] for r in seen.rows] == sorted((r["started_at"] for r in failed), reverse=True)
    assert {(r["function"], r["error"]) for r in seen.rows} == {("gmail-sync", "invalid_grant")}


def test_an_optional_column_that_is_not_there_is_a_gap(sandbox: Any, tmp_path: Any) -> None:
    world = "tables: [{name: etl_runs, drop: [error_message, function_name]}]\nruns: [{select: {}, outcome: failed}]"
    cloud, moment = sandbox(world_file(tmp_path, world))
    seen = look(facts.etl_failures(), cloud, moment)
    assert {g.subject.split()[1] for g in seen.gaps} == {"error_message", "function_name"}
    assert seen.rows
    assert {(r["function"], r["error"]) for r in seen.rows} == {(None, None)}


def test_a_required_column_that_is_not_there_is_a_gap(sandbox: Any, tmp_path: Any) -> None:
    cloud, moment = sandbox(world_file(tmp_path, "tables: [{name: etl_runs, drop: [status]}]"))
    seen = look(facts.etl_today(), cloud, moment)
    assert not seen.rows
    assert "no column status" in seen.gaps[0].why


@pytest.mark.parametrize(
    ("world", "absent", "gap"),
    [
        ("{name: sf_accounts, absent: true}", ["sf_accounts"], []),
        ("{name: sf_accounts, drop: [last_modified_date]}", [], ["sf_accounts"]),
    ],
)
def test_one_bad_table_does_not_hide_the_others(
    sandbox: Any, tmp_path: Any, world: str, absent: list[str], gap: list[str]
) -> None:
    cloud, moment = sandbox(world_file(tmp_path, f"tables: [{world}]"))
    seen = look(facts.freshness(), cloud, moment)
    assert list(seen.absent) == absent
    assert [g.subject for g in seen.gaps] == gap
    assert len(seen.rows) == len(cloud.settings.tables.freshness) - 1


def test_a_table_that_is_not_there_is_absent(sandbox: Any, tmp_path: Any) -> None:
    cloud, moment = sandbox(world_file(tmp_path, "tables: [{name: etl_runs, absent: true}]"))
    seen = look(facts.etl_today(), cloud, moment)
    assert seen.absent == (cloud.settings.table("etl_runs"),)
    assert not seen.gaps


ALL = {name: getattr(facts, name) for name in facts.__all__}
NO_PAST = {"functions", "jobs", "access"}


@pytest.mark.parametrize("name", sorted(ALL))
@pytest.mark.parametrize("fault", ["status: 403", "status: 429", "status: 500", "status: 503", "lost: before"])
def test_a_read_that_fails_is_a_gap(sandbox: Any, tmp_path: Any, name: str, fault: str) -> None:
    cloud, moment = sandbox(world_file(tmp_path, f"faults: [{{{fault}}}]"))
    seen = look(ALL[name](), cloud, moment)
    assert not seen.rows
    assert seen.gaps
    assert all(g.why for g in seen.gaps)


@pytest.mark.parametrize("name", sorted(ALL))
def test_looking_back(sandbox: Any, name: str) -> None:
    cloud, moment = sandbox("healthy", "2026-03-10T08:30")
    seen = look(ALL[name](), cloud, moment)
    assert bool(seen.gaps) == (name in NO_PAST)
    assert seen.seen_at == datetime(2026, 3, 10, 13, 30, tzinfo=UTC)


def test_errors_come_from_every_kind_of_payload(sandbox: Any, tmp_path: Any) -> None:
    kinds = ["text", "json", "proto"]
    one = "{{select: {{name: gmail-sync}}, since: 2h, until: 1h, count: 2, text: kind {0} said so, payload: {0}}}"
    world = f"errors: [{', '.join(one.format(kind) for kind in kinds)}]"
    cloud, moment = sandbox(world_file(tmp_path, world))
    seen = look(facts.errors(), cloud, moment)
    assert len(seen.rows) == 6
    assert [r["at"] for r in seen.rows] == sorted((r["at"] for r in seen.rows), reverse=True)
    assert all(any(f"kind {kind} said so" in r["text"] for r in seen.rows) for kind in kinds)
    assert {r["function"] for r in seen.rows} == {"gmail-sync"}
    assert not seen.more
    assert not look(facts.errors(hours=0.5), cloud, moment).rows
    assert not look(facts.errors(function="calendar-sync"), cloud, moment).rows


@pytest.mark.parametrize(("count", "rows", "more"), [(999, 999, False), (1000, 1000, True), (1001, 1000, True)])
def test_errors_stop_at_one_page(sandbox: Any, tmp_path: Any, count: int, rows: int, more: bool) -> None:
    world = f"errors: [{{select: {{}}, since: 20h, until: 1h, count: {count}, text: x}}]"
    cloud, moment = sandbox(world_file(tmp_path, world))
    seen = look(facts.errors(), cloud, moment)
    assert (len(seen.rows), seen.more) == (rows, more)


def test_functions_say_which_location_did_not_answer(sandbox: Any) -> None:
    cloud, moment = sandbox("unreachable_region")
    seen = look(facts.functions(), cloud, moment)
    assert [g.subject for g in seen.gaps] == ["functions in us-central1"]
