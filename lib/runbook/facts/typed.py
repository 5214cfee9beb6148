"""The rows of the named queries with typed columns, and texts with the exception first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date

from runbook.cloud.client import Cloud
from runbook.cloud.failures import CannotRead
from runbook.cloud.query import Value, select
from runbook.display.text import Row
from runbook.facts.fields import moment_of, number, text
from runbook.model.errors import Broken, RequestBlocked
from runbook.model.facts import Gap

TRACEBACK = "Traceback (most recent call last)"

# The columns of each named query.
_COLUMNS = {
    "etl_failures": {"started_at", "source_system", "function", "error"},
    "etl_today": {"source_system", "status", "runs", "latest", "_outlived"},
    "etl_week": {"date", "success", "failed"},
    "freshness": {"table_name", "newest", "minutes_stale"},
    "runs_of": {"started_at", "status", "finished_at", "error"},
    "runs_of_many": {"function", "started_at", "status"},
    "runs_recent": {"started_at", "function", "source_system", "status", "finished_at", "error"},
    "scores": {"score_date", "accounts"},
}

# Types of columns; all others are text. A row without a value in a needed column is dropped.
_KINDS: dict[str, Callable[[Row, str], object]] = {
    **dict.fromkeys(("started_at", "finished_at", "latest", "newest"), lambda row, name: moment_of(row[name])),
    **dict.fromkeys(("runs", "success", "failed", "accounts", "minutes_stale"), lambda row, name: _whole(row, name)),
    **dict.fromkeys(("date", "score_date"), lambda row, name: row[name] if type(row[name]) is date else None),
    "_outlived": lambda row, name: row[name] is True,
    "error": lambda row, name: headline(text(row, name)),
}
_CORRECT = "correct `tables` in params."
_NEEDED = ("started_at", "latest", "runs", "success", "failed", "accounts", "date", "score_date", "table_name")


def asked(
    cloud: Cloud, name: str, sql: str, values: Mapping[str, Value], label: str
) -> tuple[list[Row], tuple[Gap, ...]]:
    """The rows of a named query with typed columns, and a gap for each column with values of another type.

    Raises like `select`, but CannotRead if BigQuery does not accept or confirm the query, or if it costs too much.
    """
    try:
        found = select(cloud, sql, values, {"query": label})
    except RequestBlocked:
        raise
    except Broken as error:
        raise CannotRead(
            f"{error.what}: {' '.join(error.observed.splitlines()[:1])}", error.next or "report it."
        ) from None
    if lost := sorted({c for row in found for c in _COLUMNS[label] - set(row)}):
        raise CannotRead(f"the answer has no column {', '.join(lost)}", "run again; if it stays, report it.")
    wrong: set[str] = set()
    rows = [typed for row in found if (typed := _typed(row, wrong))]
    return rows, tuple(Gap(f"{name}: {c}", "some values are of another type", _CORRECT) for c in sorted(wrong))


def _typed(row: Row, wrong: set[str]) -> Row | None:
    """A row with typed columns; adds the names of columns with a wrong type to `wrong`."""
    made = {name: None if v is None else _KINDS.get(name, text)(row, name) for name, v in row.items()}
    wrong |= {name for name, value in row.items() if value is not None and made[name] in (None, "") and value != ""}
    wrong |= {name for name in _NEEDED if name in row and made[name] is None}
    for name in ("source_system", "status"):
        if name in made:
            made[name] = made[name] or "unknown"
    spoilt = made.get("minutes_stale") is None and row.get("minutes_stale") is not None
    return None if spoilt or any(made[name] is None for name in _NEEDED if name in row) else made


def _whole(row: Row, name: str) -> int | None:
    read = number(row, name, default=-1)
    return read if read >= 0 else None


def headline(said: str) -> str:
    """A text; for a traceback, with the line of the exception first, because the text may be cut later."""
    start = said.find(TRACEBACK)
    lines = said[start:].splitlines() if start >= 0 else []
    frames = [n for n, line in enumerate(lines) if line.startswith((" ", TRACEBACK))]
    if not frames or len(lines) <= frames[-1] + 1:
        return said
    first = frames[-1] + 1
    return "\n".join((*lines[first:], said[:start].rstrip(), *lines[:first]))
