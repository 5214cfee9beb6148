"""What BigQuery says about its tables and the copies of them (guide: Data Backups)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent import futures
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from runbook.cloud.connect import Cloud
from runbook.cloud.query import Absent, Value, select
from runbook.cloud.unseen import Unseen
from runbook.errors import OverCap
from runbook.facts.read import Answer, Ask, Read, attempt, bq_line, each, template
from runbook.moment import Moment
from runbook.operations import CopyTable
from runbook.rows import Row


def tables() -> Ask:
    """Rows `table, rows, mb, changed` of every table of the main dataset."""
    return _listed("tables", "main", "TABLE", _table, lambda r: r["table"])


def snapshots() -> Ask:
    """Rows `snapshot, table, rows, mb, taken, expires` of the backup dataset, newest first."""
    return _listed("snapshots", "backup", "SNAPSHOT", _snapshot, lambda r: (-r["taken"].timestamp(), r["table"]))


def _listed(name: str, which: str, kind: str, row: Callable[[Row], Row], order: Callable[[Row], Any]) -> Ask:
    def ask(cloud: Cloud, moment: Moment) -> Read:
        project, dataset = cloud.settings.project, getattr(cloud.settings.datasets, which)
        path = f"bigquery/v2/projects/{project}/datasets/{dataset}/tables"

        def see() -> Answer:
            listed = cloud.items("bigquery", path, "tables", maxResults=1000)
            names = [t["tableReference"]["tableId"] for t in listed if t["type"] == kind]
            # The whole resource of each, because a list does not tell rows and sizes.
            with futures.ThreadPoolExecutor(max_workers=10) as pool:
                found = pool.map(lambda name: row(cloud.get("bigquery", f"{path}/{name}")), names)
            return Answer(sorted(found, key=order))

        line = f"bq ls --project_id={project} --max_results=1000 {project}:{dataset}"
        return Read(name, line, see, thing=dataset, forgets="a list of tables")

    return ask


def _table(found: Row) -> Row:
    return {
        "table": found["tableReference"]["tableId"],
        "rows": int(found.get("numRows", 0)),
        "mb": round(int(found.get("numBytes", 0)) / 1e6, 1),
        "changed": _millis(found.get("lastModifiedTime")),
        "_created": _millis(found.get("creationTime")),
        "_columns": {f["name"]: (f["type"], f.get("mode", "NULLABLE")) for f in _fields(found)},
    }


def _fields(found: Row) -> list[Row]:
    return found.get("schema", {}).get("fields", [])


def _snapshot(found: Row) -> Row:
    made = found.get("snapshotDefinition", {})
    return {
        "snapshot": found["tableReference"]["tableId"],
        "table": made.get("baseTableReference", {}).get("tableId", ""),
        "rows": int(found.get("numRows", 0)),
        "mb": round(int(found.get("numBytes", 0)) / 1e6, 1),
        "taken": _taken(found),
        "expires": _millis(found.get("expirationTime")),
    }


def _taken(found: Row) -> datetime:
    """Of when a snapshot is, in UTC."""
    made = found.get("snapshotDefinition", {}).get("snapshotTime")
    return datetime.fromisoformat(made) if made else datetime.fromtimestamp(int(found["creationTime"]) / 1000, UTC)


def _millis(text: Any) -> datetime | None:
    return datetime.fromtimestamp(int(text) / 1000, UTC) if text else None


def copies(made: Sequence[CopyTable]) -> Ask:
    """Rows `copy, copy_rows, source_rows, copy_checksum, source_checksum` of copied tables beside what they come from.

    `made` are the arguments of copies. The source of a snapshot is its base table as it was at the
    snapshot's own time, the source of a restored table is the snapshot, or the table at the moment that was asked for.
    Where the checksums would read more than the cost cap there are none, and `no_checksum` says so. A copy that is not
    there is absent; what could not be compared is a gap under the copy's name.
    """

    def ask(cloud: Cloud, moment: Moment) -> Read:
        line = "\n".join(_shown(cloud, one) for one in made)
        return Read("copied tables", line, lambda: each(made, lambda one: _compared(cloud, one)))

    return ask


def _shown(cloud: Cloud, copy: CopyTable) -> str:
    return f"bq show --format=prettyjson {cloud.settings.project}:{copy.to_dataset}.{copy.to_table}"


def _compared(cloud: Cloud, copy: CopyTable) -> Answer:
    answer = attempt(lambda: _counted(cloud, copy), copy.to_table, copy.to_table)
    return answer if answer.line else replace(answer, line=_shown(cloud, copy))


def _counted(cloud: Cloud, copy: CopyTable) -> Answer:
    """One copy: when it is of, then both sides in one query; without checksums where these cost too much."""
    path = f"bigquery/v2/projects/{cloud.settings.project}/datasets/{copy.to_dataset}/tables/{copy.to_table}"
    found, why = cloud.get("bigquery", path), ""
    for checksum in (template("checksum"), "CAST(NULL AS NUMERIC)"):
        sql, values = _side_by_side(cloud, copy, found, checksum)
        try:
            rows = select(cloud, sql, values, {"query": "copies"})
        except OverCap as error:
            why = error.observed
        except Absent as error:
            raise Unseen(str(error), "its source has gone.") from None
        else:
            row = rows[0] | ({"no_checksum": why} if why else {})
            return Answer((row,), sql=sql, line=bq_line(cloud, sql, values))
    raise Unseen(why, "raise cost_cap_gib in params.")


def _side_by_side(cloud: Cloud, copy: CopyTable, found: Row, checksum: str) -> tuple[str, dict[str, Value]]:
    """The query for a copy and its source, and its values; `found` is the copy's own resource."""
    values: dict[str, Value] = {}
    if copy.is_snapshot:
        values["at"] = _taken(found)
    elif copy.at:
        values["at"] = copy.copied_at
    project = cloud.settings.project
    place = {
        "copy": f"{project}.{copy.to_dataset}.{copy.to_table}",
        "source": f"{project}.{copy.dataset}.{copy.table}",
    }
    past = "FOR SYSTEM_TIME AS OF @at" if values else ""
    return template("copies").format(name=copy.to_table, checksum=checksum, past=past, **place), values
