"""ALTER TABLE … ADD COLUMN, the only statement other than queries that this sandbox executes."""

from __future__ import annotations

import re

from sqlglot import exp
from sqlglot.dialects.bigquery import BigQuery

from gcp_sandbox.services.bigquery import values
from gcp_sandbox.services.bigquery.catalog import Catalog
from gcp_sandbox.services.bigquery.googlesql.sql import invalid, unsupported
from gcp_sandbox.services.bigquery.table import Table

# https://cloud.google.com/bigquery/docs/schemas#column_names. Google's words for a refusal are unconfirmed.
_RESERVED = re.compile(
    "_TABLE_|_FILE_|_PARTITION|_ROW_TIMESTAMP|__ROOT__|_COLIDENTIFIER|_CHANGE_(SEQUENCE_NUMBER|TYPE|TIMESTAMP)", re.I
)


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
    if not column.this.quoted and column.name.lower() in BigQuery.Generator.RESERVED_KEYWORDS:
        raise invalid(f"Syntax error: Unexpected keyword {column.name.upper()}")
    if _RESERVED.match(column.name):
        raise invalid(f"Invalid field name {column.name}. Field names are not allowed to start with a reserved prefix.")
    kinds = [constraint.kind for constraint in column.args.get("constraints") or []]
    if any(isinstance(kind, exp.NotNullColumnConstraint) for kind in kinds):
        raise invalid(f"Cannot add required fields to an existing schema. (field: {column.name})")
    taken = column.name.lower() in (name.lower() for name in table.column_names)
    if taken and not column.args.get("exists"):
        raise invalid(f"Column already exists: {column.name}")
    return not taken
