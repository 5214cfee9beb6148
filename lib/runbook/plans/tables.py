"""Plans for BigQuery tables (guide: Data Backups, Schema Changes). No plan deletes, drops or overwrites."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from runbook.config import Request, Settings, names_of
from runbook.model import BadParameter, Findings, Moment, Refused, Row, Seen, moment_of
from runbook.model.actions import EPOCH, LEGACY, AddColumn, CopyTable
from runbook.model.plan import Change, Plan
from runbook.model.rows import Table
from runbook.plans.base import again, note, refused, rows_of, tried

PAST = timedelta(days=7)  # a dataset may keep less; then Google refuses the copy


def backup(request: Request, seen: Seen, gates: Findings, settings: Settings, moment: Moment) -> Plan:
    """A snapshot of each table, named `table_YYYYMMDD` by the team's date, except for tables that already have it.

    Raises Refused for a table that does not exist, BadParameter for a new snapshot of another date.
    """
    today = f"{moment.today:%Y%m%d}"
    day = request.date or today
    known = [r.table for r in rows_of(seen.tables, "a backup")]
    there = [r.snapshot for r in rows_of(seen.snapshots, "a backup")]
    names = names_of(request.tables) or known
    if missing := [n for n in names if n not in known]:
        raise Refused(f"there is no table {missing[0]}", next=f"use one of: {', '.join(known) or 'no table found'}.")
    wanted = [_snapshot(n, f"{n}_{day}", request.keep_days, settings) for n in names]
    changes = tuple(c for c in wanted if c.resource not in there)
    made = tuple(c for c in wanted if c.resource in there)
    if changes and day != today:
        why = f"a new snapshot has the rows of today, {today}: that name would mislead"
        raise BadParameter(f"date={day}", why, next="leave it empty; restore reads a table as it was.")
    return Plan("snapshot", request.reason, changes, {"tables": ", ".join(names)}, gates, already_applied=made)


def _snapshot(table: str, to: str, keep: int, settings: Settings) -> Change:
    data = settings.datasets
    one, other = f"{settings.project}:{data.main}.{table}", f"{settings.project}:{data.backup}.{to}"
    line = f"bq cp --snapshot --no_clobber --expiration={keep * 86400} {one} {other}"
    place = {"dataset": data.main, "table": table, "to_dataset": data.backup, "to_table": to}
    args = CopyTable(**place, operation="SNAPSHOT", keep_days=keep)
    return Change(args, "", line, no_undo=f"Not offered: the snapshot expires after {keep} days.")


def restore(request: Request, seen: Seen, gates: Findings, settings: Settings, moment: Moment) -> Plan:
    """A new table from a snapshot, or from an earlier state of a live table. Empty if the new table already exists.

    Either `snapshot` is given, or `table` and `at`. The live table is not changed: replacing it is critical and not
    offered, so a note gives the command and who must approve. Raises Refused, and BadParameter for a time in the
    future.
    """
    live = {r.table: r for r in rows_of(seen.tables, request.snapshot or request.table)}
    old = _of_snapshot(request, seen, settings) if request.snapshot else _of_past(request, live, settings, moment)
    to, table = request.into or old.name, old.base
    if to in live and (to == table or live[to].rows != old.rows):
        other = "" if old.rows is None else ", with other rows"
        raise Refused(f"a table {to} already exists{other}", "no table is overwritten", next="use another `into`.")
    where = f"{settings.project}:{settings.datasets.main}"
    args = CopyTable(**old.args, to_dataset=settings.datasets.main, to_table=to)
    no_undo = f"Not offered: it would delete the table {where}.{to}."
    change = (Change(args, "", f"{old.line} {where}.{to}", no_undo=no_undo),)
    swap = note("live_table", swap=f"bq cp -f {where}.{to} {where}.{table}", signers=_signers(settings))
    changes, there = ((), change) if to in live else (change, ())
    return Plan("restore", request.reason, changes, old.relies, gates, notes=(swap, *old.notes), already_applied=there)


@dataclass(frozen=True)
class _Old:
    """The source of a restore: `base` is the live table, `rows` the number of rows, `name` that of the new table."""

    base: str
    rows: int | None
    name: str
    line: str
    relies: Row
    args: Row
    notes: tuple[str, ...] = ()


def _of_snapshot(request: Request, seen: Seen, settings: Settings) -> _Old:
    name, backup = request.snapshot, settings.datasets.backup
    rows = {r.snapshot: r for r in rows_of(seen.snapshots, name)}
    if name not in rows:
        known = ", ".join(list(rows)[:5]) or "none"
        raise Refused(f"there is no snapshot {name!r}", next=f"use another; the newest are: {known}.")
    line = f"bq cp --restore --no_clobber {settings.project}:{backup}.{name}"
    args = {"dataset": backup, "table": name, "operation": "RESTORE"}
    return _Old(rows[name].table, rows[name].rows, f"{name}_restored", line, {"snapshot": name}, args)


def _of_past(request: Request, live: Mapping[str, Table], settings: Settings, moment: Moment) -> _Old:
    """A table at an earlier time, to the millisecond
    (https://cloud.google.com/bigquery/docs/access-historical-data)."""
    table, main = request.table, settings.datasets.main
    if table not in live:
        known = ", ".join(live) or "no table found"
        raise refused("deleted_table", table=table, project=settings.project, dataset=main, known=known)
    at = moment_of(request.at, moment.at, settings.zone, "at").at
    at, created = at.replace(microsecond=at.microsecond // 1000 * 1000), live[table].created
    oldest = max(moment.at - PAST, created or at)
    if at < oldest:
        why = f"BigQuery keeps {PAST.days} days" if oldest == moment.at - PAST else "the table was created then"
        begins = f"{moment.local(oldest):%Y-%m-%d %H:%M:%S %Z}"
        raise refused("before_its_history", table=table, at=request.at, oldest=begins, why=why)
    millis, shown = (at - EPOCH) // timedelta(milliseconds=1), moment.local(at)
    stamp = f"{shown:%Y%m%dT%H%M}" + (f"{shown:%S}" if at.second or at.microsecond else "")
    stamp += f"_{at.microsecond // 1000:03}" if at.microsecond else ""
    to, line = f"{table}_{stamp}_restored", f"bq cp --no_clobber '{settings.project}:{main}.{table}@{millis}'"
    relies = {"table": table, "at": at.isoformat()}
    args = {"dataset": main, "table": table, "at": f"@{millis}", "operation": "COPY"}
    # The row count is unknown before the copy, so an existing table of that name is never accepted as it.
    return _Old(table, None, re.sub(r"[^A-Za-z0-9_]", "_", to), line, relies, args, (note("copy_of_past"),))


def schema_change(request: Request, seen: Seen, gates: Findings, settings: Settings, moment: Moment) -> Plan:
    """ADD COLUMN, NULLABLE or REPEATED; empty if the column exists. Raises Refused for anything else."""
    table, column = request.table, request.column
    if request.operation != "add column":  # who must approve, and which backup must exist first
        name, made = f"{table}_{moment.today:%Y%m%d}", again(request, "backup", tables=table)
        given = {"signers": _signers(settings), "snapshot": name, "backup": made}
        raise refused("loses_data", operation=request.operation, **given)
    known = {r.table: r.columns for r in rows_of(seen.tables, table)}
    if table not in known:
        raise Refused(f"there is no table {table!r}", next=f"use one of: {', '.join(known) or 'no table found'}.")
    columns = known[table]
    relies = {"columns": ", ".join(columns), **tried(seen.rehearsal, settings)}
    there = next((kind for name, kind in columns.items() if name.lower() == column.lower()), None)
    if there and there != (LEGACY.get(request.type, request.type), request.mode):
        raise refused("another_column", table=table, column=column, kind=" ".join(there))
    if there:
        return Plan("add_column", request.reason, (), relies, gates)
    name = {"dataset": settings.datasets.main, "table": table, "column": column}
    args = AddColumn(**name, type=request.type, mode=request.mode)
    line = f"bq query --project_id={settings.project} --use_legacy_sql=false '{args.sql(settings.project)}'"
    change = Change(args, "", line, no_undo="Not offered: dropping a column. An empty column does no harm.")
    return Plan("add_column", request.reason, (change,), relies, gates)


def _signers(settings: Settings) -> str:
    """Who must approve what can lose data."""
    return " and ".join(settings.operations["destructive"].signers)
