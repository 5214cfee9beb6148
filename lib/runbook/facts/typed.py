"""The rows of the named queries, each column as what it is, and texts with what matters first."""

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

# The columns that each named query answers.
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

# What the columns of the named queries are; any other is text. Without the needed ones a row says nothing.
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
    """The rows of a named query, each column as what it is, and a gap for each column that is sometimes another thing.

    Raises as `select`, but CannotRead where BigQuery does not accept or confirm the query, or it costs too much.
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
    """A row with each column as what it is; adds the names of those that are not to `wrong`."""
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
    """A text with the line of its exception first, where it is a traceback: it may be cut later."""
    start = said.find(TRACEBACK)
    lines = said[start:].splitlines() if start >= 0 else []
    frames = [n for n, line in enumerate(lines) if line.startswith((" ", TRACEBACK))]
    if not frames or len(lines) <= frames[-1] + 1:
        return said
    first = frames[-1] + 1
    return "\n".join((*lines[first:], said[:start].rstrip(), *lines[:first]))
