"""Checks of the system's tables and columns against params, for `runbook doctor`. Pure, like all checks."""

from __future__ import annotations

from runbook.checks.base import ALERT, OK, gap_findings, one
from runbook.config.schema import Settings
from runbook.model.facts import Fact
from runbook.model.findings import Findings, join
from runbook.model.moment import Moment
from runbook.model.rows import Column


def schema(seen: Fact[Column], settings: Settings, moment: Moment) -> Findings:
    """Every table and column in params exists, and time columns have the type that the queries need."""
    columns = {(r.table, r.column): r.type for r in seen.rows}
    read = {r.table for r in seen.rows}
    found = []
    for table, wanted in _wanted(settings).items():
        if table in seen.absent:
            hint = "correct `tables` in params, or find out who deleted it."
            found.append(one("tables", table, "does not exist", "exists", ALERT, hint))
        elif table in read:
            found.append(_columns(table, wanted, columns))
    return join((*found, gap_findings("tables", seen, "exists")))


def _wanted(settings: Settings) -> dict[str, dict[str, str]]:
    """Table → column → its type, "" for any."""
    tables = settings.tables
    runs = {c: "" for c in tables.etl_runs.model_dump(exclude={"name"}).values() if c}
    wanted = {tables.etl_runs.name: runs | {tables.etl_runs.started_at: "TIMESTAMP"}}
    wanted.setdefault(tables.scores.name, {})[tables.scores.date] = "DATE"
    for table in tables.freshness:
        wanted.setdefault(table.name, {})[table.column] = "TIMESTAMP"
    return wanted


def _columns(table: str, wanted: dict[str, str], columns: dict[tuple[str, str], str]) -> Findings:
    wrong = [f"no column {c}" for c in wanted if (table, c) not in columns]
    wrong += [
        f"{c} is {columns[table, c]}, not {kind}"
        for c, kind in wanted.items()
        if kind and columns.get((table, c), kind) != kind
    ]
    value, limit = "; ".join(wrong) or "as in params", ", ".join(sorted(wanted))
    return one("tables", table, value, limit, ALERT if wrong else OK, "correct `tables` in params.")
