"""INFORMATION_SCHEMA: a view is built from what the catalog and the jobs know when a query asks for it."""

from __future__ import annotations

from typing import Any

from gcp_sandbox.bigquery import seed, values
from gcp_sandbox.bigquery.catalog import Catalog, Table
from gcp_sandbox.bigquery.sql import Ref, unsupported

_NAMED = {"table_catalog": "STRING", "table_schema": "STRING", "table_name": "STRING"}
_JOBS = {
    "creation_time": "TIMESTAMP",
    "project_id": "STRING",
    "job_id": "STRING",
    "job_type": "STRING",
    "statement_type": "STRING",
    "state": "STRING",
    "query": "STRING",
    "total_bytes_processed": "INT64",
    "user_email": "STRING",
}
_VIEWS = {
    "TABLES": {**_NAMED, "table_type": "STRING", "is_insertable_into": "STRING", "creation_time": "TIMESTAMP"},
    "COLUMNS": {
        **_NAMED,
        "column_name": "STRING",
        "ordinal_position": "INT64",
        "is_nullable": "STRING",
        "data_type": "STRING",
    },
    "JOBS": _JOBS,
    "JOBS_BY_PROJECT": _JOBS,
}


def view(catalog: Catalog, ref: Ref, jobs: list[list[Any]]) -> str:
    """Build one view and return its name in DuckDB. `jobs` are the rows of JOBS; raises ApiError for other views."""
    name = ref.table.rpartition(".")[2]
    if name not in _VIEWS:
        raise unsupported(ref.table)
    rows = jobs
    if name in ("TABLES", "COLUMNS"):
        regional = ref.dataset.lower().startswith("region-")
        datasets = catalog.datasets if regional else [catalog.dataset(ref.project, ref.dataset)]
        rows = [row for d in datasets for t in catalog.of(d) for row in _described(t, name)]
    place = f"information_of_project.{name.lower()}"
    seed.fill(catalog.con, place, _VIEWS[name], rows)
    return place


def _described(table: Table, view: str) -> list[list[Any]]:
    if view == "TABLES":
        kind = "BASE TABLE" if table.kind == "TABLE" else table.kind
        return [[*table.ref, kind, "NO" if kind == "SNAPSHOT" else "YES", seed.micros(table.created)]]
    return [
        [*table.ref, f["name"], n, "NO" if f["mode"] == "REQUIRED" else "YES", values.sql_type(f)]
        for n, f in enumerate(table.fields, 1)
    ]
