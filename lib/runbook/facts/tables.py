"""What BigQuery says about its tables and the snapshots of them (guide: Data Backups)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from runbook.cloud.connect import Cloud
from runbook.facts.read import Answer, Ask, Read, no_past
from runbook.moment import Moment
from runbook.rows import Row


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
        "taken": datetime.fromisoformat(made["snapshotTime"])
        if "snapshotTime" in made
        else _millis(found["creationTime"]),
        "expires": _millis(found.get("expirationTime")),
    }


def _millis(text: Any) -> datetime | None:
    return datetime.fromtimestamp(int(text) / 1000, UTC) if text else None
