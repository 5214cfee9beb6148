"""The initial rows in BigQuery, from a story: the runs of the ETL, and the tables that they write."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
from sqlglot import exp

from gcp_sandbox.services.bigquery.values import quoted
from gcp_sandbox.wire import number
from gcp_sandbox.world.events import Run
from gcp_sandbox.world.inventory import Table
from gcp_sandbox.world.story import HISTORY, Story

_MEANINGS = {"started_at": "TIMESTAMP", "finished_at": "TIMESTAMP", "records": "INT64"}
_ROWS_A_DATE = 40
_YEAR = 357 * 86_400_000_000


def fill(con: duckdb.DuckDBPyConnection, name: str, columns: dict[str, str], rows: list[list[Any]]) -> None:
    """Create or replace a table, with rows of JSON values: a TIMESTAMP is whole microseconds since 1970.

    All rows are passed as one JSON text: DuckDB reads 1,500 rows in 5 ms, but needs a second for single inserts.
    """
    kinds = [exp.DataType.build(kind, dialect="bigquery").sql("duckdb") for kind in columns.values()]
    typed = ", ".join(f"{quoted(column)} {kind}" for column, kind in zip(columns, kinds, strict=True))
    con.execute(f"CREATE OR REPLACE TABLE {name} ({typed})")
    shape = json.dumps([{f"c{n}": "BIGINT" if k == "TIMESTAMPTZ" else k for n, k in enumerate(kinds)}])
    picked = ", ".join(f"make_timestamptz(r.c{n})" if k == "TIMESTAMPTZ" else f"r.c{n}" for n, k in enumerate(kinds))
    data = json.dumps([{f"c{n}": value for n, value in enumerate(row)} for row in rows])
    con.execute(f"INSERT INTO {name} SELECT {picked} FROM (SELECT unnest(from_json(?, '{shape}')) AS r)", [data])


def micros(moment: datetime | None) -> int | None:
    """Whole microseconds since 1970, the form in which `fill` takes a TIMESTAMP."""
    return None if moment is None else round(moment.astimezone(UTC).timestamp() * 1_000_000)


def runs(story: Story, told: list[Run]) -> tuple[dict[str, str], list[list[Any]]]:
    """Columns and rows of the table of runs, with the inventory's own column names, for some runs."""
    named = story.inventory.columns_of_runs
    meanings = ["run_id", *named]
    columns = {named.get(m, m): _MEANINGS.get(m, "STRING") for m in meanings}
    rows = []
    for run in told:
        values = {
            "run_id": run.id,
            "source_system": run.function.source_system,
            "function": run.function.name,
            "status": run.status,
            "started_at": micros(run.started_at),
            "finished_at": micros(run.finished_at),
            "error": run.error or None,
            "records": run.records,
        }
        rows.append([values.get(m) for m in meanings])
    return columns, rows


def more_runs(con: duckdb.DuckDBPyConnection, name: str, story: Story) -> None:
    """Add the world's bulk of runs: spread over the year before the story's own, one in thirty failed."""
    named, functions = story.inventory.columns_of_runs, story.inventory.functions
    systems = "[" + ", ".join(f"'{f.source_system}'" for f in functions) + "]"
    names = "[" + ", ".join(f"'{f.name}'" for f in functions) + "]"
    which = f"[i % {len(functions)} + 1]"
    values = {
        "run_id": f"{names}{which} || '-' || i",
        "source_system": f"{systems}{which}",
        "function": f"{names}{which}",
        "status": "if(i % 30 = 7, 'failed', 'success')",
        "started_at": "begun",
        "finished_at": "begun + to_seconds(20 + i % 70)",
        "error": "if(i % 30 = 7, 'The upstream system did not answer.', NULL)",
        "records": "if(i % 30 = 7, 0, 50 + i * 7919 % 400)",
    }
    picked = [m for m in ["run_id", *named] if m in values]
    columns = ", ".join(quoted(named.get(m, m)) for m in picked)
    amount, newest = story.world.bulk.runs, micros(story.now - HISTORY)
    con.execute(
        f"INSERT INTO {name} ({columns}) SELECT {', '.join(values[m] for m in picked)} FROM (SELECT i, "
        f"make_timestamptz({newest} - (i + 1) * {_YEAR // amount}) AS begun FROM range({amount}) t(i))"
    )


def rows_of(table: Table, story: Story, times: list[datetime]) -> Sequence[list[Any]]:
    """The rows of one data table: one for each of its times, or one day of rows if the time is only a date."""
    return _rows(table.name, tuple(table.columns.items()), table.time_column, tuple(times), story.zone)


@lru_cache(256)  # the same in every world whose runs are the same
def _rows(
    name: str, columns: tuple[tuple[str, str], ...], dating: str, times: tuple[datetime, ...], zone: ZoneInfo
) -> tuple[list[Any], ...]:
    dated = dict(columns).get(dating) == "DATE"
    return tuple(
        [
            _value(column, kind.upper(), at if column == dating else None, (name, at, n), zone)
            for column, kind in columns
        ]
        for at in times
        for n in range(_ROWS_A_DATE if dated else 1)
    )


def _value(column: str, kind: str, at: datetime | None, seed: tuple, zone: ZoneInfo) -> Any:
    moment = at or seed[1]
    if kind == "TIMESTAMP":
        return micros(moment)
    if kind == "DATE":
        return moment.astimezone(zone).date().isoformat()
    some = number(column, *seed, below=100_000)
    plain = {"INT64": some % 1000, "FLOAT64": some / 1000, "BOOL": some % 2 == 0}
    return f"{column.removesuffix('_id')}-{some:05}" if kind == "STRING" else plain.get(kind)
