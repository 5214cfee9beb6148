"""Tables of BigQuery, their columns and their copies (guide: Data Backups)."""

import re
from collections.abc import Callable, Sequence
from concurrent import futures
from dataclasses import replace
from datetime import datetime
from typing import Any

from runbook.cloud import Absent, CannotRead, Cloud, Value, answer, select
from runbook.cloud.guard import SEGMENT
from runbook.facts.base import Answer, Ask, Read, attempt, bq_line, each, fact, readable, template
from runbook.facts.fields import items, millis, number, text, time_of, typed
from runbook.model import Gap, Moment, OverCap, Row
from runbook.model.actions import CopyTable
from runbook.model.rows import Column, Copy, Snapshot, Table


def tables() -> Ask:
    """Every table of the main dataset."""
    return _listed("tables", "main", "TABLE", _table)


def snapshots() -> Ask:
    """The snapshots of the backup dataset, newest first."""
    return _listed("snapshots", "backup", "SNAPSHOT", _snapshot)


@fact
def _listed(cloud: Cloud, moment: Moment, name: str, which: str, kind: str, row: Callable[[Any], Any]) -> Read:
    project, dataset = cloud.settings.project, getattr(cloud.settings.datasets, which)
    path = f"bigquery/v2/projects/{project}/datasets/{dataset}/tables"
    line = f"bq ls --project_id={project} --max_results=1000 {project}:{dataset}"

    def see() -> Answer:
        listed = cloud.items("bigquery", path, "tables", maxResults=1000)
        named = readable(name, listed, _typed, f"inspect them: {line}")
        wanted = [name for name, type in named.rows if type == kind]
        sent = [t for t in wanted if re.fullmatch(SEGMENT, t)]
        # One request for each table, because the list has no row counts and sizes.
        with futures.ThreadPoolExecutor(max_workers=10) as pool:
            found = list(pool.map(lambda table: cloud.get("bigquery", f"{path}/{table}"), sent))
        read = readable(name, found, row, f"inspect them: {line}", _order)
        said = ("the guard does not accept its name in a URL", f"inspect it: {line}.")
        unsent = (Gap(table, *said) for table in wanted if table not in sent)
        return replace(read, gaps=(*named.gaps, *read.gaps, *unsent))

    return Read(name, line, see, thing=dataset, no_history_of="a list of tables")


def _order(row: Table | Snapshot) -> tuple[float, str]:
    """Snapshots by time, newest first, then by table; tables by name."""
    return -row.taken.timestamp() if isinstance(row, Snapshot) else 0, row.table


def _typed(listed: Any) -> tuple[str, str] | None:
    name, kind = text(listed, "tableReference", "tableId"), text(listed, "type")
    return (name, kind) if name and kind else None


def _size(found: Row) -> tuple[int, float] | None:
    """Rows and size of a table; None if they are present but not readable."""
    rows, size = (number(found, key, default=-1 if key in found else 0) for key in ("numRows", "numBytes"))
    return (rows, round(size / 1e6, 1)) if rows >= 0 and size >= 0 else None


def _table(found: Row) -> Table | None:
    """The row of one table; None if its name, size or columns cannot be read."""
    name, size, fields = text(found, "tableReference", "tableId"), _size(found), items(found, "schema", "fields")
    columns = {text(f, "name"): (text(f, "type"), text(f, "mode") or "NULLABLE") for f in fields}
    if not name or not size or "" in columns:
        return None
    return Table(name, *size, millis(found, "lastModifiedTime"), millis(found, "creationTime"), columns)


def _snapshot(found: Row) -> Snapshot | None:
    """The row of one snapshot; None if its name, size or time cannot be read."""
    name, size, taken = text(found, "tableReference", "tableId"), _size(found), _taken(found)
    base = text(found, "snapshotDefinition", "baseTableReference", "tableId")
    return Snapshot(name, base, *size, taken, millis(found, "expirationTime")) if name and size and taken else None


def _taken(found: Row) -> datetime | None:
    """The time of a snapshot in UTC; None if unknown."""
    return time_of(found, "snapshotDefinition", "snapshotTime") or millis(found, "creationTime")


@fact
def schema(cloud: Cloud, moment: Moment) -> Read:
    """The columns of every table in params; a table that does not exist is absent."""
    system, known = cloud.settings, cloud.settings.tables
    names = sorted({known.etl_runs.name, known.scores.name, *(t.name for t in known.freshness)})
    line = f"bq show --schema --format=prettyjson {system.project}:{system.datasets.main}.{names[0]}"

    def one(name: str) -> Answer:
        with answer.readable():
            table = cloud.bigquery.get_table(system.table(name), retry=None, timeout=20)
            return Answer([Column(name, f.name, f.field_type) for f in table.schema])

    return Read("tables and columns", line, lambda: each(names, one))


@fact
def copies(cloud: Cloud, moment: Moment, made: Sequence[CopyTable]) -> Read:
    """Copied tables beside their sources.

    `made` are the arguments of copies. The source of a snapshot is its base table at the time of the snapshot; the
    source of a restored table is the snapshot, or the table at the requested time. If the checksums would read more
    than the cost cap, they are left out, and `no_checksum` says so. A copy that does not exist is absent; a copy that
    could not be compared is a gap under its name.
    """
    line = "\n".join(_shown(cloud, one) for one in made)
    return Read("copied tables", line, lambda: each(made, lambda one: _compared(cloud, one)))


def _shown(cloud: Cloud, copy: CopyTable) -> str:
    return f"bq show --format=prettyjson {cloud.settings.project}:{copy.to_dataset}.{copy.to_table}"


def _compared(cloud: Cloud, copy: CopyTable) -> Answer:
    read = attempt(lambda: _counted(cloud, copy), copy.to_table, copy.to_table)
    return read if read.line else replace(read, line=_shown(cloud, copy))


def _counted(cloud: Cloud, copy: CopyTable) -> Answer:
    """One copy: its time, then copy and source in one query; without checksums if they cost too much."""
    path = f"bigquery/v2/projects/{cloud.settings.project}/datasets/{copy.to_dataset}/tables/{copy.to_table}"
    found, why = cloud.get("bigquery", path), ""
    for checksum in (template("checksum"), "CAST(NULL AS NUMERIC)"):
        sql, values = _side_by_side(cloud, copy, found, checksum)
        try:
            rows, wrong = typed(select(cloud, sql, values, {"query": "copies"}), Copy)
        except OverCap as error:
            why = error.observed
        except Absent as error:
            raise CannotRead(str(error), "the source no longer exists.") from None
        else:
            if wrong or len(rows) != 1:
                raise CannotRead(
                    "the answer is not one row with two counts", "repeat this run; if it stays, report it."
                )
            return Answer((replace(rows[0], no_checksum=why),), sql=sql, line=bq_line(cloud, sql, values))
    raise CannotRead(why, "raise cost_cap_gib in params.")


def _side_by_side(cloud: Cloud, copy: CopyTable, found: Row, checksum: str) -> tuple[str, dict[str, Value]]:
    """The query for a copy and its source, and its values; `found` is the copy's own resource."""
    values: dict[str, Value] = {}
    if copy.is_snapshot:
        if not (taken := _taken(found)):
            raise CannotRead("the copy has no snapshot time", "repeat this run; if it stays, report it.")
        values["at"] = taken
    elif copy.at:
        values["at"] = copy.copied_at
    project, past = cloud.settings.project, "FOR SYSTEM_TIME AS OF @at" if values else ""
    place = {"copy": f"{project}.{copy.to_dataset}.{copy.to_table}", "source": f"{project}.{copy.dataset}.{copy.table}"}
    return template("copies").format(name=copy.to_table, checksum=checksum, past=past, **place), values
