"""Checks of tables: the gates of their changes, their columns against params, and copies beside their sources. Pure."""

from datetime import timedelta

from runbook.checks.base import ALERT, HINTS, OK, WARN, gap_findings, gap_or_missing_findings, one
from runbook.checks.gates import elevated, rehearsed
from runbook.config import Settings
from runbook.model import Fact, Findings, Moment, command, join
from runbook.model.rows import Column, Copy, Permission, Rehearsed, Snapshot, Table

_SOURCE = "as the source"


def safe_to_copy(
    tables: Fact[Table], snapshots: Fact[Snapshot], access: Fact[Permission], settings: Settings, moment: Moment
) -> Findings:
    """The tables could be read, the backup dataset exists, and the roles are held.

    A table without a backup of the last day is a warning, not an alert, because the backup runbook fixes it. A table
    that is in params but not in the dataset is a warning, too: it cannot be backed up.
    """
    read = (("tables", tables), ("backups", snapshots))
    gone = join(gap_or_missing_findings(check, fact, "exists") for check, fact in read)
    found = gone or join((_backed_up(tables, snapshots, settings, moment), _known(tables, settings)))
    return join((found, elevated(access, settings)))


def _backed_up(tables: Fact[Table], snapshots: Fact[Snapshot], settings: Settings, moment: Moment) -> Findings:
    """How many tables have a backup of the last day. Ages are rounded to hours: daily jobs do not run to the second."""
    oldest_first = sorted(snapshots.rows, key=lambda r: r.taken)
    newest = {r.table: (moment.at - r.taken) / timedelta(hours=1) for r in oldest_first}
    names = [r.table for r in tables.rows]
    bare = [name for name in names if name not in newest]
    old = {name: newest[name] for name in names if name in newest and round(newest[name]) > 24}
    value = f"{len(names) - len(bare) - len(old)} of {len(names)} tables have a backup of the last day"
    value += f"; none: {', '.join(bare)}" if bare else ""
    value += f"; oldest: {max(old, key=old.__getitem__)}, {max(old.values()):.0f} h" if old else ""
    hint = command("backup", {"environment": settings.environment})
    return one("backups", settings.datasets.backup, value, "at most 24 h old", WARN if bare or old else OK, hint)


def _known(tables: Fact[Table], settings: Settings) -> Findings:
    """A warning if a table in params is not in the dataset; no finding otherwise."""
    known, there = settings.tables, {r.table for r in tables.rows}
    named = {name for f in settings.functions for name in f.tables} | {t.name for t in known.freshness}
    gone = sorted((named | {known.etl_runs.name, known.scores.name}) - there)
    value = f"do not exist, so not backed up: {', '.join(gone)}"
    found = one("tables", settings.datasets.main, value, "every table in params", WARN, HINTS["who_deleted_them"])
    return found if gone else Findings()


def safe_to_alter(
    tables: Fact[Table], access: Fact[Permission], rehearsal: Fact[Rehearsed], settings: Settings, moment: Moment
) -> Findings:
    """The table could be read, the same change was tested in staging, and the roles are held."""
    parts = (gap_or_missing_findings("tables", tables, "exists"), elevated(access, settings))
    return join((*parts, rehearsed(rehearsal, settings, moment)))


def schema(seen: Fact[Column], settings: Settings, moment: Moment) -> Findings:
    """Every table and column in params exists, and time columns have the type that the queries need."""
    columns = {(r.table, r.column): r.type for r in seen.rows}
    found = []
    for table, wanted in _wanted(settings).items():
        if table in seen.absent:
            found.append(one("tables", table, "does not exist", "exists", ALERT, HINTS["who_deleted_the_table"]))
        elif any(r.table == table for r in seen.rows):
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
    typed = ((c, columns.get((table, c), kind), kind) for c, kind in wanted.items() if kind)
    wrong += [f"{c} is {found}, not {kind}" for c, found, kind in typed if found != kind]
    value, limit = "; ".join(wrong) or "as in params", ", ".join(sorted(wanted))
    return one("tables", table, value, limit, ALERT if wrong else OK, "correct `tables` in params.")


def after_copy(copies: Fact[Copy], settings: Settings, moment: Moment) -> Findings:
    """Whether each copied table has the rows of its source: the same number, and the same checksum.

    Equal counts without a checksum are a warning, not ok, because counts alone do not prove that the rows are equal.
    The warning blocks nothing; a higher cost cap allows the checksum.
    """
    gone = [one("same rows", name, "does not exist", _SOURCE, ALERT, HINTS["copy_again"]) for name in copies.absent]
    return join((*map(_same_rows, copies.rows), *gone, gap_findings("same rows", copies, _SOURCE)))


def _same_rows(row: Copy) -> Findings:
    copied, source, verdict, hint = row.copy_rows, row.source_rows, OK, ""
    value = f"{copied:,} rows {'=' if copied == source else '≠'} {source:,} rows"
    if copied == source and row.copy_checksum is None:
        verdict, hint = WARN, HINTS["no_checksum"]
        value += f"; no checksum: {row.no_checksum}"
    elif copied == source:
        value += f", checksums {'equal' if row.copy_checksum == row.source_checksum else 'differ'}"
    if copied != source or row.copy_checksum != row.source_checksum:
        verdict, hint = ALERT, HINTS["do_not_use"]
    return one("same rows", row.copy, value, _SOURCE, verdict, hint)
