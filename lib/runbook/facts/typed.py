"""The rows of the named queries with typed columns, and texts with the exception first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from datetime import date
from typing import Any, TypeVar

from runbook.cloud.client import Cloud
from runbook.cloud.failures import CannotRead
from runbook.cloud.query import Value, select
from runbook.display.text import Row
from runbook.facts.fields import moment_of, number, text
from runbook.model.errors import Broken, RequestBlocked
from runbook.model.facts import Gap
from runbook.model.rows import FactRow

TRACEBACK = "Traceback (most recent call last)"
_CORRECT = "correct `tables` in params."
_NEEDED = ("datetime", "int", "date")
R = TypeVar("R", bound=FactRow)


def asked(
    cloud: Cloud, name: str, sql: str, values: Mapping[str, Value], label: str, kind: type[R]
) -> tuple[list[R], tuple[Gap, ...]]:
    """The rows of a named query, and a gap for each column with values of another type.

    Raises like `select`, but CannotRead if BigQuery does not accept or confirm the query, or if it costs too much.
    """
    try:
        found = select(cloud, sql, values, {"query": label})
    except RequestBlocked:
        raise
    except Broken as error:
        said = f"{error.what}: {' '.join(error.observed.splitlines()[:1])}"
        raise CannotRead(said, error.next or "report it.") from None
    rows, wrong = typed(found, kind)
    return rows, tuple(Gap(f"{name}: {c}", "some values are of another type", _CORRECT) for c in wrong)


def typed(found: Sequence[Row], kind: type[R]) -> tuple[list[R], list[str]]:
    """The rows of an answer by the types of their class, and the columns that have values of another type.

    A row without a needed value is left out, and so is one with a number that cannot be read: no number would mean
    something else. A needed text is "unknown". Raises CannotRead if a column is missing.
    """
    columns = {f.name: str(f.type) for f in fields(kind) if f.default in (MISSING, None)}
    if lost := sorted({c for row in found for c in columns if c not in row}):
        raise CannotRead(f"the answer has no column {', '.join(lost)}", "run again; if it stays, report it.")
    rows, wrong = [], set[str]()
    for row in found:
        made = {name: _read(row[name], type) for name, type in columns.items()}
        bad = {n for n, v in made.items() if v is None and (row[n] is not None or columns[n] in _NEEDED)}
        wrong |= bad
        if not any(columns[name] != "str" and columns[name] not in ("str | None", "datetime | None") for name in bad):
            unknown = {n: "unknown" for n, type in columns.items() if type == "str" and not made[n]}
            rows.append(kind(**made | unknown))
    return rows, sorted(wrong)


def _read(value: Any, type_: str) -> Any:
    """A value of a column; None if there is none, or if it is of another type."""
    kind = type_.removesuffix(" | None")
    if kind == "str":
        said = headline(text({"it": value}, "it"))
        return said if said or value == "" else None
    if kind == "int":
        whole = number({"it": value}, "it", default=-1)
        return whole if whole >= 0 else None
    if kind == "date":
        return value if type(value) is date else None
    return {"datetime": moment_of(value), "bool": value is True}.get(kind, value)


def headline(said: str) -> str:
    """A text; for a traceback, with the line of the exception first, because the text may be cut later."""
    start = said.find(TRACEBACK)
    lines = said[start:].splitlines() if start >= 0 else []
    frames = [n for n, line in enumerate(lines) if line.startswith((" ", TRACEBACK))]
    if not frames or len(lines) <= frames[-1] + 1:
        return said
    first = frames[-1] + 1
    return "\n".join((*lines[first:], said[:start].rstrip(), *lines[:first]))
