"""Plans for BigQuery tables (guide: Data Backups, Schema Changes). Nothing here deletes, drops or overwrites."""

from __future__ import annotations

import re
from datetime import date

from runbook.errors import BadParameter, Refused
from runbook.moment import Moment
from runbook.plan import Change, Plan
from runbook.plans.parts import names_of, rows_of, tried
from runbook.request import Request
from runbook.rows import Findings, Row
from runbook.run import Seen
from runbook.settings import Settings

TYPES = (
    "STRING",
    "BYTES",
    "INT64",
    "FLOAT64",
    "NUMERIC",
    "BIGNUMERIC",
    "BOOL",
    "TIMESTAMP",
    "DATE",
    "TIME",
    "DATETIME",
    "JSON",
)
LEGACY = {"INT64": "INTEGER", "FLOAT64": "FLOAT", "BOOL": "BOOLEAN"}  # as tables.get names them
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,299}")


def backup(request: Request, seen: Seen, gates: Findings, settings: Settings, moment: Moment) -> Plan:
    """A snapshot of each table, named `table_YYYYMMDD` by the team's date; empty for those that have today's.

    Raises Refused for a table that is not there, BadParameter.
    """
    if not 1 <= request.keep_days <= 3650:
        raise BadParameter(f"keep_days={request.keep_days}", "lies outside 1 to 3650", next="give the days to keep it.")
    day = request.date or f"{moment.today:%Y%m%d}"
    if not _is_date(day):
        raise BadParameter(f"date={request.date}", "is no date like 20260311", next='give one, or "" for today.')
    known = {r["table"]: r for r in rows_of(seen.tables, "a backup")}
    there = {r["snapshot"] for r in rows_of(seen.snapshots, "a backup")}
    names = names_of(request.tables) or list(known)
    if missing := [n for n in names if n not in known]:
        raise Refused(
            f"there is no table {missing[0]}", f"tables: {', '.join(known) or 'none seen'}", next="name one of these."
        )
    changes = [
        _snapshot(n, f"{n}_{day}", request.keep_days, known[n], settings) for n in names if f"{n}_{day}" not in there
    ]
    return Plan("snapshot", request.reason, tuple(changes), {"tables": ", ".join(names)}, gates)


def _is_date(text: str) -> bool:
    try:
        return re.fullmatch(r"\d{8}", text, re.ASCII) is not None and bool(date.fromisoformat(text))
    except ValueError:
        return False


def _snapshot(table: str, to: str, keep: int, now: Row, settings: Settings) -> Change:
    data = settings.datasets
    one, other = f"{settings.project}:{data.main}.{table}", f"{settings.project}:{data.backup}.{to}"
    line = f"bq cp --snapshot --no_clobber --expiration={keep * 86400} {one} {other}"
    details = {
        **{"dataset": data.main, "table": table, "to_dataset": data.backup, "to_table": to, "operation": "SNAPSHOT"},
        **{"type": "SNAPSHOT", "keep_days": keep, "job": f"runbook_snapshot_{to}"},
    }
    undo = f"none needed: it expires after {keep} days; deleting it is not offered"
    return Change("copy table", to, "none", f"a snapshot of {table}, kept {keep} days", undo, line, details)


def restore(request: Request, seen: Seen, gates: Findings, settings: Settings, moment: Moment) -> Plan:
    """A new table from a snapshot, empty if it is there; the live one is not touched. Raises Refused, BadParameter.

    Putting it in the live table's place is critical and not offered: the note says its line and who must approve.
    """
    rows = {r["snapshot"]: r for r in rows_of(seen.snapshots, request.snapshot)}
    if request.snapshot not in rows:
        raise Refused(
            f"there is no snapshot {request.snapshot!r}",
            f"newest: {', '.join(list(rows)[:5]) or 'none'}",
            next="name one.",
        )
    table, to = rows[request.snapshot]["table"], request.into or f"{request.snapshot}_restored"
    if not _NAME.fullmatch(to):
        raise BadParameter(f"into={to}", "is no name of a table", next="letters, digits and _ only.")
    data = settings.datasets
    live = {r["table"]: r for r in rows_of(seen.tables, request.snapshot)}
    if to in live and (to == table or live[to]["rows"] != rows[request.snapshot]["rows"]):
        raise Refused(
            f"there is a table {to} already, with other rows", "nothing is overwritten", next="give another `into`."
        )
    details = {
        **{"dataset": data.backup, "table": request.snapshot, "to_dataset": data.main, "to_table": to},
        **{"operation": "RESTORE", "type": "TABLE", "job": f"runbook_restore_{to}"},
    }
    where = f"{settings.project}:{data.main}"
    line = f"bq cp --restore --no_clobber {settings.project}:{data.backup}.{request.snapshot} {where}.{to}"
    undo = f"none: bq rm -t {where}.{to} deletes a table, which is not offered"
    changes = (
        ()
        if to in live
        else (Change("copy table", to, "none", f"the rows of {request.snapshot}", undo, line, details),)
    )
    signers = " and ".join(settings.operations["destructive"].signers)
    notes = (
        f"not offered: bq cp -f {where}.{to} {where}.{table} puts it in place of the live table; {signers} must "
        "approve.",
    )
    return Plan("restore", request.reason, changes, {"snapshot": request.snapshot}, gates, notes=notes)


def schema_change(request: Request, seen: Seen, gates: Findings, settings: Settings, moment: Moment) -> Plan:
    """ADD COLUMN, NULLABLE or REPEATED; empty if it is there. Raises BadParameter and Refused for anything else."""
    if request.operation != "add column":
        signers = " and ".join(settings.operations["destructive"].signers)
        today = f"{request.table}_{moment.today:%Y%m%d}"
        raise Refused(
            f"{request.operation!r} is not offered: it can lose data",
            f"{signers} must approve it; a verified backup of today must exist first: {today}",
            next=f"runbook run backup -p tables={request.table}; then ask them.",
        )
    known = {r["table"]: r for r in rows_of(seen.tables, request.table)}
    if request.table not in known:
        raise Refused(
            f"there is no table {request.table!r}", f"tables: {', '.join(known) or 'none seen'}", next="name one."
        )
    if not _NAME.fullmatch(request.column):
        raise BadParameter(f"column={request.column}", "is no name of a column", next="letters, digits and _ only.")
    if request.type not in TYPES or request.mode not in ("NULLABLE", "REPEATED"):
        raise BadParameter(
            f"type={request.type}, mode={request.mode}",
            f"types: {', '.join(TYPES)}; NULLABLE or REPEATED",
            next="give one of each.",
        )
    columns = known[request.table]["_columns"]
    relies = {"columns": ", ".join(columns), **tried(seen.rehearsal, settings)}
    wanted = (LEGACY.get(request.type, request.type), request.mode)
    there = next((kind for name, kind in columns.items() if name.lower() == request.column.lower()), None)
    if there and there != wanted:
        raise Refused(
            f"{request.table} has a column {request.column} already, {' '.join(there)}",
            "changing it can lose data and is not offered",
            next="give another name.",
        )
    if there:
        return Plan("add_column", request.reason, (), relies, gates)
    kind = f"ARRAY<{request.type}>" if request.mode == "REPEATED" else request.type
    sql = f"ALTER TABLE `{settings.table(request.table)}` ADD COLUMN {request.column} {kind}"
    details = {
        **{"dataset": settings.datasets.main, "table": request.table, "column": request.column, "mode": request.mode},
        **{
            "type": LEGACY.get(request.type, request.type),
            "sql": sql,
            "job": f"runbook_add_{request.table}_{request.column}",
        },
    }
    line = f"bq query --project_id={settings.project} --use_legacy_sql=false '{sql}'"
    undo = "none: dropping a column is not offered; an empty one does no harm"
    change = Change("add column", f"{request.table}.{request.column}", "none", f"{kind}, empty", undo, line, details)
    return Plan("add_column", request.reason, (change,), relies, gates)
