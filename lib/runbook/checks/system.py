"""Checks of the system's shape against params, for `runbook doctor`. Pure, as all checks."""

from __future__ import annotations

from runbook.moment import Moment
from runbook.rows import Fact, Finding, Findings, Verdict
from runbook.settings import Settings

_TIME = ("TIMESTAMP",)


def schema(seen: Fact, settings: Settings, moment: Moment) -> Findings:
    """Every table and column that params name exists, and time columns have the type that the queries need."""
    columns = {(r["table"], r["column"]): r["type"] for r in seen.rows}
    read = {r["table"] for r in seen.rows}
    found = []
    for table, wanted in _wanted(settings).items():
        if table in seen.absent:
            hint = "correct `tables` in params, or find out who deleted it."
            found.append(Finding("tables", table, "does not exist", "exists", Verdict.alert, hint))
        elif table in read:
            found.append(_columns(table, wanted, columns))
    unknown = (
        Finding("tables", g.subject, f"could not see: {g.why}", "exists", Verdict.unknown, g.next) for g in seen.gaps
    )
    return Findings((*found, *unknown))


def _wanted(settings: Settings) -> dict[str, dict[str, tuple[str, ...]]]:
    """Table → column → the types that will do; none given is any."""
    tables = settings.tables
    runs = {c: () for c in tables.etl_runs.model_dump(exclude={"name"}).values() if c}
    wanted: dict[str, dict[str, tuple[str, ...]]] = {tables.etl_runs.name: runs | {tables.etl_runs.started_at: _TIME}}
    wanted.setdefault(tables.scores.name, {})[tables.scores.date] = ("DATE",)
    for table in tables.freshness:
        wanted.setdefault(table.name, {})[table.column] = _TIME
    return wanted


def _columns(table: str, wanted: dict[str, tuple[str, ...]], columns: dict[tuple[str, str], str]) -> Finding:
    wrong = [f"no column {c}" for c in wanted if (table, c) not in columns]
    wrong += [
        f"{c} is {columns[table, c]}, not {types[0]}"
        for c, types in wanted.items()
        if types and (table, c) in columns and columns[table, c] not in types
    ]
    hint = "correct `tables` in params." if wrong else ""
    limit = ", ".join(sorted(wanted))
    return Finding(
        "tables", table, "; ".join(wrong) or "as in params", limit, Verdict.alert if wrong else Verdict.ok, hint
    )
