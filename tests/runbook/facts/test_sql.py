"""What each query in facts/sql answers, against the same answer computed in plain Python from the raw rows of the tables.

A comparison must notice a wrong query: each query is spoilt in every way of `SPOILT`, and its comparison must then fail.
"""

from __future__ import annotations

import re
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from hashlib import md5
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from runbook import facts
from runbook.cloud.query import select
from runbook.facts import base
from runbook.facts.base import observe, template
from runbook.facts.etl import newest_run
from runbook.model.actions import CopyTable
from tests.runbook.facts.test_facts import COPY, day, raw, world_file

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
Compare = Callable[[Any, Any], None]
# Name of a file in facts/sql → its comparison, and the moments (world, as_of) at which it is made. A world may be a text.
COMPARED: dict[str, tuple[Compare, list[tuple[str, str]]]] = {}
# What is spoilt, and how; each place in a query is spoilt alone. The result must still be valid SQL.
SPOILT: dict[str, str | Callable[[re.Match[str]], str]] = {
    r"\bMAX\(": "MIN(",
    r"\bMIN\(": "MAX(",
    r"\b(SUM|AVG)\(": "MAX(",
    r"\bCOUNT(IF)?\(": r"1 + COUNT\1(",
    r" >=? ": " < ",
    r" <=? ": " > ",
    r" = ": " != ",
    r"\bNOT IN\b": "IN",
    r" DESC\b": " ASC",
    r"\bLIMIT (\d+)": lambda found: f"LIMIT {int(found[1]) - 1}",
}
NOW = [("healthy", ""), ("many_errors", ""), ("bad_deploy", ""), ("still_running", "")]
# Runs without an end: some are outlived by a later success of the same function, or only of the same source system.
ENDLESS = """runs:
  - {select: {name: gmail-sync}, since: 4h, until: 2h, outcome: running}
  - {select: {name: salesforce-accounts-sync}, since: 4h, outcome: running}
"""


def compares(*names: str, at: list[tuple[str, str]]) -> Callable[[Compare], Compare]:
    """Registers the comparison of these queries."""

    def register(compare: Compare) -> Compare:
        COMPARED.update(dict.fromkeys(names, (compare, at)))
        return compare

    return register


def rows(ask: Any, cloud: Any, moment: Any) -> list[Any]:
    """The rows of a fact without gaps. A query that is not valid would be a gap: that is no comparison."""
    seen = observe(ask, cloud, moment)
    if seen.gaps or seen.absent:
        pytest.fail(f"the query cannot be compared: {seen.gaps} {seen.absent}")
    return list(seen.rows)


def newest_first(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(runs, key=lambda r: r["started_at"], reverse=True)


def runs_of_days(cloud: Any, moment: Any, days: int) -> list[dict[str, Any]]:
    """The rows of runs in the team's last days, today included."""
    first = day(moment.at) - timedelta(days=days - 1)
    return [r for r in raw(cloud, "etl_runs") if day(r["started_at"]) >= first and r["started_at"] <= moment.at]


# --- the comparisons


@compares("etl_today", at=[*MOMENTS, *NOW, (ENDLESS, "")])
def _etl_today(cloud: Any, moment: Any) -> None:
    runs = runs_of_days(cloud, moment, 1)
    good: dict[tuple[str, str], list[datetime]] = defaultdict(list)
    for run in runs:
        if run["status"] == "success":
            good[run["source_system"], run["function_name"]].append(run["started_at"])
    expected: dict[tuple[str, str, bool], list[datetime]] = defaultdict(list)
    for run in runs:
        later = [at for at in good[run["source_system"], run["function_name"]] if at > run["started_at"]]
        outlived = run["status"] not in ("success", "failed") and bool(later)
        expected[run["source_system"], run["status"], outlived].append(run["started_at"])
    seen = [(r.source_system, r.status, r.outlived, r.runs, r.latest) for r in rows(facts.etl_today(), cloud, moment)]
    assert seen == [(*key, len(times), max(times)) for key, times in sorted(expected.items())]


@compares("etl_week", at=[*MOMENTS, *NOW])
def _etl_week(cloud: Any, moment: Any) -> None:
    runs = runs_of_days(cloud, moment, 7)
    counts = Counter((day(r["started_at"]), r["status"]) for r in runs)
    days = sorted({day(r["started_at"]) for r in runs})
    seen = [(r.date, r.success, r.failed) for r in rows(facts.etl_week(), cloud, moment)]
    assert seen == [(d, counts[d, "success"], counts[d, "failed"]) for d in days]


@compares("etl_failures", at=[*MOMENTS, *NOW])
def _etl_failures(cloud: Any, moment: Any) -> None:
    failed = [r for r in runs_of_days(cloud, moment, 1) if r["status"] == "failed"]
    ordered = newest_first(sorted(failed, key=lambda r: r["source_system"]))[:20]
    keys = ("started_at", "source_system", "function_name", "error_message")
    seen = rows(facts.etl_failures(), cloud, moment)
    assert [tuple(vars(r).values()) for r in seen] == [tuple(r[key] for key in keys) for r in ordered]


@compares("runs", at=[*MOMENTS, *NOW])
def _runs(cloud: Any, moment: Any) -> None:
    runs = [r for r in raw(cloud, "etl_runs") if moment.ago(24) <= r["started_at"] <= moment.at]
    keys = ("started_at", "function_name", "source_system", "status", "finished_at", "error_message", "records_written")
    seen = rows(facts.recent_runs(), cloud, moment)
    assert [r.started_at for r in seen] == [r["started_at"] for r in newest_first(runs)]
    assert Counter(tuple(vars(r).values()) for r in seen) == Counter(tuple(r[key] for key in keys) for r in runs)


@compares("newest_run", at=NOW)
def _newest_run(cloud: Any, moment: Any) -> None:
    runs = newest_first([r for r in raw(cloud, "etl_runs") if r["started_at"] >= moment.ago(7 * 24)])
    for function in cloud.settings.functions:
        own = [r for r in runs if r["function_name"] == function.name][:1]
        seen = select(cloud, *newest_run(cloud, function.name), {})
        assert seen == [{"started_at": r["started_at"], "status": r["status"]} for r in own]


@compares("scores", at=MOMENTS)
def _scores(cloud: Any, moment: Any) -> None:
    dates = Counter(r["score_date"] for r in raw(cloud, "account_recommendations") if r["score_date"] <= day(moment.at))
    seen = [(r.score_date, r.accounts) for r in rows(facts.scores(), cloud, moment)]
    assert seen == sorted(dates.items(), reverse=True)[:7]


@compares("freshness", at=MOMENTS)
def _freshness(cloud: Any, moment: Any) -> None:
    expected = []
    for table in sorted(cloud.settings.tables.freshness, key=lambda table: table.name):
        newest = max(r[table.column] for r in raw(cloud, table.name) if r[table.column] <= moment.at)
        expected.append((table.name, newest, (moment.at - newest) // timedelta(minutes=1)))
    assert [(r.table_name, r.newest, r.minutes_stale) for r in rows(facts.freshness(), cloud, moment)] == expected


@compares("copies", "checksum", at=[("healthy", "")])
def _copies(cloud: Any, moment: Any) -> None:
    """A snapshot beside its source, as it was then. The rows as JSON are DuckDB's, whose form the sandbox has."""
    [seen] = rows(facts.copies([CopyTable(**COPY)]), cloud, moment)
    source = [r for r in raw(cloud, "gmail_messages") if r["sent_at"] <= moment.ago(24)]
    copied = f"SELECT to_json(t)::VARCHAR FROM {COPY['to_dataset']}.{COPY['to_table']} t"
    texts = [text for (text,) in cloud.transport.app.sandbox.bigquery.catalog.con.execute(copied).fetchall()]
    total = sum(int(md5(text.encode()).hexdigest()[:15], 16) for text in texts)
    assert (seen.copy_rows, seen.source_rows) == (len(texts), len(source))
    assert seen.copy_checksum == seen.source_checksum == total


# --- that they are made, and that they notice a wrong query


def compared(name: str, sandbox: Any, folder: Path) -> None:
    compare, moments = COMPARED[name]
    for world, as_of in moments:
        compare(*sandbox(world_file(folder, world) if ":" in world else world, as_of))


@pytest.mark.parametrize("name", COMPARED)
def test_a_query_says_what_the_rows_say(sandbox: Any, tmp_path: Path, name: str) -> None:
    compared(name, sandbox, tmp_path)


def test_every_query_is_compared() -> None:
    assert sorted(COMPARED) == sorted(path.stem for path in base.SQL.glob("*.sql")), (
        "Each file in lib/runbook/facts/sql needs a comparison here: a function with @compares(NAME, at=…) that computes "
        "the same answer in plain Python from the rows of `raw`, and asserts that the fact has it"
    )


def spoilt() -> Iterator[Any]:
    """Each query with one place spoilt; `make test` takes every eighth."""
    turn = count()
    for name in sorted(path.stem for path in base.SQL.glob("*.sql")):
        for pattern, instead in SPOILT.items():
            for number, found in enumerate(re.finditer(pattern, template(name)), 1):
                said = found.expand(instead) if isinstance(instead, str) else instead(found)
                sql = template(name)[: found.start()] + said + template(name)[found.end() :]
                marks = pytest.mark.full if next(turn) % 8 else ()
                yield pytest.param(name, sql, id=f"{name}: {found[0].strip()} {number}", marks=marks)


@pytest.mark.parametrize(("name", "sql"), list(spoilt()))
def test_a_wrong_query_is_noticed(
    sandbox: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, sql: str
) -> None:
    if name not in COMPARED:
        pytest.fail(f"{name}.sql has no comparison: see test_every_query_is_compared")
    shutil.copytree(base.SQL, tmp_path / "sql")
    (tmp_path / "sql" / f"{name}.sql").write_text(sql, encoding="utf-8")
    monkeypatch.setattr(base, "SQL", tmp_path / "sql")
    template.cache_clear()
    noticed = False
    try:
        compared(name, sandbox, tmp_path)
    except AssertionError:
        noticed = True
    finally:
        template.cache_clear()
    assert noticed, (
        f"the comparison of {name}.sql passes although the query is wrong: compare every column, and add a moment or a "
        f"world to `at` whose rows show the difference\n{sql}"
    )


def test_every_query_is_spoilt() -> None:
    wrong = {param.values[0] for param in spoilt()}
    assert wrong == {path.stem for path in base.SQL.glob("*.sql")}, "add to SPOILT what can be wrong in the query"
