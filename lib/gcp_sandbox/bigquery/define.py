"""Data definition: CREATE, ALTER and DROP of tables and snapshots. A dry run checks what it can and changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from gcp_sandbox.bigquery import values
from gcp_sandbox.bigquery.catalog import Table, already_exists
from gcp_sandbox.bigquery.rewrite import Context, rewrite
from gcp_sandbox.bigquery.sql import Ref, Statement, invalid, unsupported

if TYPE_CHECKING:
    from gcp_sandbox.bigquery.engine import Engine, Result


@dataclass
class Step:
    """One statement on its way; `tree` is it rewritten for DuckDB, `result` says what came of it."""

    engine: Engine
    statement: Statement
    tree: exp.Expression
    context: Context
    result: Result
    dry: bool

    @property
    def ref(self) -> Ref:
        assert self.result.target
        return self.result.target


def define(step: Step) -> None:
    """Do one statement; `result.operation` becomes CREATE, REPLACE, ALTER, DROP or SKIP. Raises ApiError."""
    if isinstance(step.tree, exp.Create):
        _create(step)
        return
    catalog = step.engine.catalog
    if catalog.get(step.ref) is None and step.tree.args.get("exists"):
        step.result.operation = "SKIP"
    elif isinstance(step.tree, exp.Alter):
        _alter(step, catalog.writable(step.ref))
    else:
        _drop(step, catalog.find(step.ref, located=True))


def _drop(step: Step, table: Table) -> None:
    if (table.kind == "SNAPSHOT") != (step.result.kind == "DROP_SNAPSHOT_TABLE"):
        raise invalid(f"{step.ref} is a {table.kind}: {step.result.kind.replace('_', ' ')} does not drop it")
    step.result.operation = "DROP"
    if not step.dry:
        step.engine.catalog.drop(table)


def _create(step: Step) -> None:
    catalog, tree, result = step.engine.catalog, step.tree, step.result
    catalog.dataset(step.ref.project, step.ref.dataset, catalog.sought)
    result.operation = "CREATE"
    if catalog.get(step.ref):
        result.operation = "SKIP" if tree.args.get("exists") else "REPLACE"
        if result.operation == "SKIP":
            return
        if not tree.args.get("replace"):
            raise already_exists(step.ref)
    known, clone = _options(step), tree.args.get("clone")
    source = "" if clone else _source(step)
    if step.dry:
        return
    if not clone:
        catalog.put(step.ref, source, **known)
        return
    operation = "COPY" if clone.args.get("copy") else "CLONE"
    operation = "SNAPSHOT" if result.kind == "CREATE_SNAPSHOT_TABLE" else operation
    catalog.copy([(ref, None) for ref in result.read], step.ref, operation, "WRITE_TRUNCATE", **known)


def _source(step: Step) -> str:
    """What follows CREATE TABLE <name> in DuckDB: the columns, or the query with BigQuery's column types."""
    tree = step.tree
    if tree.expression:
        text = step.engine.duck(tree.expression)
        step.result.fields = values.fields(step.engine.catalog.con.sql(text))
        kept = [(values.quoted(f["name"]), values.stored_type(f)) for f in step.result.fields]
        picked = ", ".join(f"CAST({name} AS {kind}) AS {name}" if kind else name for name, kind in kept)
        return f"AS SELECT {picked} FROM ({text})"
    if not isinstance(tree.this, exp.Schema):
        raise unsupported("this form of CREATE TABLE")
    for constraint in list(tree.this.find_all(exp.ColumnConstraint)):
        if not isinstance(constraint.kind, exp.NotNullColumnConstraint):
            constraint.pop()
    return "(" + ", ".join(column.sql("duckdb") for column in tree.this.expressions) + ")"


def _options(step: Step) -> dict[str, Any]:
    """What OPTIONS says of the new table: when it expires, and its labels."""
    when, labels = (step.statement.options.get(name) for name in ("expiration_timestamp", "labels"))
    known: dict[str, Any] = {}
    if when is not None:
        tree = rewrite(Statement("SELECT", exp.select(when), step.statement.text), step.context)
        known["expires"] = step.engine.catalog.con.sql(tree.sql("duckdb")).fetchall()[0][0]
    if labels is not None:
        known["labels"] = {pair.expressions[0].name: pair.expressions[1].name for pair in labels.expressions}
    return known


def _alter(step: Step, table: Table) -> None:
    step.result.operation = "ALTER"
    added = [column for column in step.tree.args["actions"] if _is_new(table, column)]
    if step.dry:
        return
    step.engine.catalog.past.keep(table)
    for column in added:
        what = f"{values.quoted(column.name)} {column.args['kind'].sql('duckdb')}"
        step.engine.catalog.con.execute(f"ALTER TABLE {table.name} ADD COLUMN {what}")
    step.engine.catalog.wrote(table)


def _is_new(table: Table, column: exp.Expression) -> bool:
    """Whether a column of ADD COLUMN is still to be added. Raises ApiError for one that cannot be."""
    if not isinstance(column, exp.ColumnDef):
        raise unsupported("ALTER TABLE other than ADD COLUMN")
    kinds = [constraint.kind for constraint in column.args.get("constraints") or []]
    if any(isinstance(kind, exp.NotNullColumnConstraint) for kind in kinds):
        raise invalid(f"Cannot add required fields to an existing schema. (field: {column.name})")
    taken = column.name.lower() in (name.lower() for name in table.column_names)
    if taken and not column.args.get("exists"):
        raise invalid(f"Column already exists: {column.name}")
    return not taken
