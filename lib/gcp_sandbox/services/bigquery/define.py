"""ALTER TABLE … ADD COLUMN, the only statement other than queries that this sandbox executes."""

from __future__ import annotations

from sqlglot import exp

from gcp_sandbox.services.bigquery import values
from gcp_sandbox.services.bigquery.catalog import Catalog
from gcp_sandbox.services.bigquery.googlesql.sql import invalid, unsupported
from gcp_sandbox.services.bigquery.table import Table


def alter(catalog: Catalog, table: Table, tree: exp.Expression, dry: bool) -> None:
    """Add the columns, or with `dry` only check whether that is possible. Raises ApiError."""
    added = [column for column in tree.args.get("actions") or [tree] if _is_new(table, column)]
    if dry:
        return
    catalog.past.keep(table)
    for column in added:
        what = f"{values.quoted(column.name)} {column.args['kind'].sql('duckdb')}"
        catalog.con.execute(f"ALTER TABLE {table.name} ADD COLUMN {what}")
    catalog.wrote(table)


def _is_new(table: Table, column: exp.Expression) -> bool:
    """Whether a column of ADD COLUMN does not exist yet. Raises ApiError if it cannot be added."""
    if not isinstance(column, exp.ColumnDef):
        raise unsupported("ALTER TABLE other than ADD COLUMN")
    kinds = [constraint.kind for constraint in column.args.get("constraints") or []]
    if any(isinstance(kind, exp.NotNullColumnConstraint) for kind in kinds):
        raise invalid(f"Cannot add required fields to an existing schema. (field: {column.name})")
    taken = column.name.lower() in (name.lower() for name in table.column_names)
    if taken and not column.args.get("exists"):
        raise invalid(f"Column already exists: {column.name}")
    return not taken
