"""Executes GoogleSQL: parsed by sqlglot, rewritten where DuckDB differs, executed by DuckDB. No result is canned."""

from __future__ import annotations

import re
from difflib import get_close_matches

import duckdb
from sqlglot import ErrorLevel, exp
from sqlglot.errors import UnsupportedError

from gcp_sandbox.http import ApiError
from gcp_sandbox.services.bigquery import define, values
from gcp_sandbox.services.bigquery.catalog import Catalog
from gcp_sandbox.services.bigquery.googlesql import names, sql
from gcp_sandbox.services.bigquery.googlesql.rewrite import Context, rewrite
from gcp_sandbox.services.bigquery.googlesql.sql import Ref, Statement, invalid, unsupported
from gcp_sandbox.services.bigquery.jobs import Job
from gcp_sandbox.services.bigquery.result import Result
from gcp_sandbox.state import State

_MEGABYTE = 1 << 20

# DuckDB's error messages and those of BigQuery; the last name in the message is located in the query.
_WORDS = {
    r'Referenced (?:column|table) "(.+?)" not found': "Unrecognized name: {0}",
    r'Table "(.+?)" does not have a column (?:named|with name) "(.+?)"': "Name {1} not found inside {0}",
    r'column "(.+?)" must appear in the GROUP BY clause': (
        "SELECT list expression references column {0} which is neither grouped nor aggregated"
    ),
    r"Unknown TimeZone '(.+?)'": "Invalid time zone: {0}",
    r"Division by zero in expression \((.+?)\)\. Use": "division by zero: {0}",
}


class Engine:
    """BigQuery for one project: the catalog, the jobs and the answered requests."""

    def __init__(self, sandbox: State):
        self.sandbox = sandbox
        self.catalog = Catalog(sandbox)
        self.jobs: dict[str, Job] = {}
        self.requests: dict[str, Job] = {}

    def query(self, asked: dict, dry: bool, location: str) -> Result:
        """Execute one JobConfigurationQuery, or with `dry` only report what it would do. Raises ApiError."""
        if asked.get("useLegacySql", True):
            raise invalid("gcp_sandbox has no legacy SQL: set useLegacySql to false (left out, it means true)")
        statement = sql.parse(asked.get("query", ""))
        if statement.tree is None:
            # The caller needs to know first that this is not a SELECT.
            if dry:
                return Result(statement.kind)
            raise unsupported(f"a statement of type {statement.kind}")
        return self._one(statement, asked, dry, location)

    def _one(self, statement: Statement, asked: dict, dry: bool, location: str) -> Result:
        default, project = asked.get("defaultDataset", {}), self.catalog.project
        if not isinstance(statement.tree, exp.Query | exp.Alter):
            raise unsupported(f"this form of {statement.kind.replace('_', ' ')}")
        nodes = names.tables(statement, default.get("projectId") or project, default.get("datasetId", ""))
        for ref in nodes:
            self.catalog.within(location, ref)
        result = Result(statement.kind, routines=names.routines(statement, project))
        if statement.kind == "ALTER_TABLE":
            result.target = statement.tree.this.meta["ref"]
        result.read = [ref for ref in nodes if ref != result.target]
        self._may_touch(result, nodes)
        self._weigh(statement, nodes, result, int(asked.get("maximumBytesBilled") or 0))
        if result.routines and dry:
            return result
        if result.routines:
            missing = "{projectId}:{datasetId}.{routineId}".format(**result.routines[0])
            raise ApiError(404, "NOT_FOUND", f"Not found: Routine {missing}", "notFound")
        types = {f["name"].lower(): f["type"] for ref in nodes for f in self.catalog.find(ref).fields}
        context = Context(self.sandbox.now, values.parameters(asked), types)
        names.hidden_aliases(statement, set(types))
        try:
            self._execute(statement, context, result, dry)
        except (duckdb.Error, UnsupportedError) as error:
            raise _google(error, statement, context) from None
        return result

    def _may_touch(self, result: Result, nodes: dict[Ref, exp.Table]) -> None:
        """Raises ApiError 403 for tables that the caller may not read or write, 404 for tables that do not exist.

        And 400 for a table that requires a filter on its partitioning column, if the query has none
        (https://cloud.google.com/bigquery/docs/querying-partitioned-tables#use_a_filter_that_lets_partitions_be_pruned).
        """
        for ref in result.read:
            if not self.sandbox.iam.holds("bigquery.tables.getData"):
                why = f"User does not have permission to query table {ref}, or perhaps it does not exist."
                raise ApiError(403, "PERMISSION_DENIED", f"Access Denied: Table {ref}: {why}", "accessDenied")
            self.catalog.find(ref, located=True)
            column = self.sandbox.story.table(ref.table).filter if ref.dataset == self.catalog.datasets[0] else ""
            if column and not names.bounded(nodes[ref], column):
                said = f"without a filter over column(s) '{column}' that can be used for partition elimination"
                raise invalid(f"Cannot query over table '{str(ref).replace(':', '.')}' {said}")
        if result.target:  # https://cloud.google.com/bigquery/docs/managing-table-schemas
            self.require("bigquery.tables.get", result.target)
            self.require("bigquery.tables.update", result.target)
            self.catalog.writable(result.target)

    def require(self, permission: str, ref: Ref) -> None:
        """Raises ApiError 403 unless the caller holds a permission on a table."""
        on = {"project": ref.project, "dataset": ref.dataset, "table": ref.table}
        self.sandbox.iam.require(permission, "bigquery", on)

    def _weigh(self, statement: Statement, nodes: dict[Ref, exp.Table], result: Result, cap: int) -> None:
        """Bytes processed and billed; each table that is read costs at least 10 MB. Raises ApiError above the cap."""
        for ref in result.read:
            table = self.catalog.find(ref)
            size = self.catalog.size(table, names.columns_read(statement, nodes[ref], table.column_names))
            result.processed += size
            result.billed += max(10 * _MEGABYTE, -(-size // _MEGABYTE) * _MEGABYTE) if size else 0
        if cap and result.billed > cap:
            message = f"Query exceeded limit for bytes billed: {cap}. {result.billed} or higher required."
            raise ApiError(400, "INVALID_ARGUMENT", message, "bytesBilledLimitExceeded")

    def _execute(self, statement: Statement, context: Context, result: Result, dry: bool) -> None:
        tree = rewrite(statement, context)
        if result.target:
            define.alter(self.catalog, self.catalog.writable(result.target), tree, dry)
            return
        columns = [name for name in tree.named_selects if name != "*"]
        twice = next((name for name in columns if columns.count(name) > 1), None)
        if twice:
            raise invalid(f"Duplicate column names in the result are not supported. Found duplicate(s): {twice}")
        relation = self.catalog.con.sql(self.duck(tree))
        result.fields = values.fields(relation)
        result.rows = [] if dry else relation.fetchall()

    def duck(self, tree: exp.Expression) -> str:
        """The statement in DuckDB's SQL, with the DuckDB names of its tables. Raises UnsupportedError."""
        for node in list(tree.find_all(exp.Table)):
            ref = node.meta.get("ref")
            if not ref:
                continue
            name, alias = f"{values.quoted(ref.dataset)}.{values.quoted(ref.table)}", node.alias
            if version := node.args.get("version"):
                moment = self.catalog.con.sql(f"SELECT ({version.expression.sql('duckdb')})::TIMESTAMPTZ").fetchall()
                name = self.catalog.past.at(self.catalog.find(ref), moment[0][0])
            place = exp.to_table(name, dialect="duckdb")
            if alias:
                place.set("alias", exp.TableAlias(this=exp.to_identifier(alias, quoted=True)))
            place.set("joins", node.args.get("joins"))
            node.replace(place)
        return tree.sql("duckdb", copy=False, unsupported_level=ErrorLevel.RAISE)


def _google(error: Exception, statement: Statement, context: Context) -> ApiError:
    """DuckDB's error as BigQuery's message, with the position in the caller's text."""
    said = str(error)
    if isinstance(error, UnsupportedError):
        return unsupported(said)
    if match := re.search(r"Function with name \"?(\w+)\"? does not exist", said):
        return unsupported(f"the function {match[1].upper()}")
    for pattern, words in _WORDS.items():
        if match := re.search(pattern, said):
            *_, name = match.groups()
            known = context.types if words.startswith("Unrecognized") else ()
            near = "".join(f"; Did you mean {n}?" for n in get_close_matches(name.lower(), known, 1))
            return invalid(words.format(*match.groups()) + near + _place(statement, name))
    if isinstance(error, duckdb.ParserException | duckdb.NotImplementedException | duckdb.InternalException):
        return unsupported(f"this statement: {said.splitlines()[0]}")
    return invalid(re.sub(r"^[\w ]+ Error: ", "", said.splitlines()[0]))


def _place(statement: Statement, name: str) -> str:
    nodes = sql.parse(statement.text).tree.find_all(exp.Identifier)  # the statement's own tree is DuckDB's by now
    same = [n for n in nodes if n.name.lower() == name.lower() and isinstance(n.parent, exp.Column)]
    return statement.at(same[-1] if same else None)
