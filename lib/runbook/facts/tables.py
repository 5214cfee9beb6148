"""What BigQuery says about its tables and the copies of them (guide: Data Backups)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from runbook.cloud.connect import Cloud
from runbook.cloud.query import Absent, Value, select
from runbook.cloud.unseen import Unseen, gap
from runbook.errors import OverCap
from runbook.facts.read import Answer, Ask, Read, bq_line, no_past, template
from runbook.moment import Moment
from runbook.rows import Gap, Row


def tables() -> Ask:
    """Rows `table, rows, mb, changed` of every table of the main dataset."""
    return _listed("tables", "main", "TABLE")


def snapshots() -> Ask:
    """Rows `snapshot, table, rows, mb, taken, expires` of the backup dataset, newest first."""
    return _listed("snapshots", "backup", "SNAPSHOT")


def _listed(name: str, which: str, kind: str) -> Ask:
    def ask(cloud: Cloud, moment: Moment) -> Read:
        project, dataset = cloud.settings.project, getattr(cloud.settings.datasets, which)

        def see() -> Answer:
            from google.api_core.exceptions import NotFound

            no_past(moment, "a list of tables")
            path = f"bigquery/v2/projects/{project}/datasets/{dataset}/tables"
            try:
                listed = cloud.items("bigquery", path, "tables", maxResults=1000)
            except NotFound:
                return Answer((), absent=(dataset,))
            names = [t["tableReference"]["tableId"] for t in listed if t["type"] == kind]
            draw = _table if kind == "TABLE" else _snapshot
            return Answer(sorted((draw(r) for r in _each(cloud, path, names)), key=_order))

        return Read(name, f"bq ls --project_id={project} --max_results=1000 {project}:{dataset}", see)

    return ask


def _each(cloud: Cloud, path: str, names: list[str]) -> list[Row]:
    """The whole resource of each table, asked for ten at a time: a list does not tell rows and sizes."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(max_workers=10) as pool:
        return list(pool.map(lambda name: cloud.get("bigquery", f"{path}/{name}"), names))


def _order(row: Row) -> Any:
    return row["table"] if "changed" in row else (-row["taken"].timestamp(), row["table"])


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


def copies(made: Sequence[Row]) -> Ask:
    """Rows `copy, copy_rows, source_rows, copy_checksum, source_checksum` of copied tables beside what they come from.

    `made` are the details of `copy table` changes. The source of a snapshot is its base table as it was at the
    snapshot's own time, the source of a restored table is the snapshot, or the table at the moment that was asked for.
    Where the checksums would read more than the cost cap there are none, and `no_checksum` says so. A copy that is not
    there is absent; what could not be compared is a gap under the copy's name.
    """

    def ask(cloud: Cloud, moment: Moment) -> Read:
        def see() -> Answer:
            from concurrent.futures import ThreadPoolExecutor

            with ThreadPoolExecutor(max_workers=10) as pool:
                return _joined(list(pool.map(lambda one: _compared(cloud, one), made)))

        return Read("copied tables", "\n".join(_shown(cloud, one) for one in made), see)

    return ask


def _joined(answers: list[Answer]) -> Answer:
    return Answer(
        [row for a in answers for row in a.rows],
        gaps=tuple(g for a in answers for g in a.gaps),
        absent=tuple(name for a in answers for name in a.absent),
        sql=";\n".join(a.sql for a in answers if a.sql),
        line="\n".join(a.line for a in answers),
    )


def _shown(cloud: Cloud, copy: Row) -> str:
    return f"bq show --format=prettyjson {cloud.settings.project}:{copy['to_dataset']}.{copy['to_table']}"


def _compared(cloud: Cloud, copy: Row) -> Answer:
    """One copy: when it is of, then both sides in one query; without checksums where these cost too much."""
    from google.api_core.exceptions import NotFound

    project, name, why = cloud.settings.project, copy["to_table"], ""
    line = _shown(cloud, copy)
    try:
        found = cloud.get("bigquery", f"bigquery/v2/projects/{project}/datasets/{copy['to_dataset']}/tables/{name}")
        for checksum in (template("checksum"), "CAST(NULL AS NUMERIC)"):
            sql, values = _side_by_side(cloud, copy, found, checksum)
            try:
                rows = select(cloud, sql, values, {"query": "copies"})
            except OverCap as error:
                why = error.observed
            else:
                row = rows[0] | ({"no_checksum": why} if why else {})
                return Answer((row,), sql=sql, line=bq_line(cloud, sql, values))
        raise Unseen(why, "raise cost_cap_gib in params.")
    except NotFound:
        return Answer((), absent=(name,), line=line)
    except Exception as error:
        missing = Gap(name, str(error), "its source has gone.") if isinstance(error, Absent) else gap(error, name)
        if missing is None:
            raise
        return Answer((), gaps=(missing,), line=line)


def _side_by_side(cloud: Cloud, copy: Row, found: Row, checksum: str) -> tuple[str, dict[str, Value]]:
    """The query for a copy and its source, and its values; `found` is the copy's own resource."""
    values: dict[str, Value] = {}
    if copy["type"] == "SNAPSHOT":
        values["at"] = _taken(found)
    elif "at" in copy:
        values["at"] = datetime.fromtimestamp(int(copy["at"].removeprefix("@")) / 1000, UTC)
    project = cloud.settings.project
    place = {
        "copy": f"{project}.{copy['to_dataset']}.{copy['to_table']}",
        "source": f"{project}.{copy['dataset']}.{copy['table']}",
    }
    past = "FOR SYSTEM_TIME AS OF @at" if values else ""
    return template("copies").format(name=copy["to_table"], checksum=checksum, past=past, **place), values
