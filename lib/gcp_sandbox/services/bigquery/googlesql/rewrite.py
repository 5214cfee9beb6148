"""Constructs with different meanings in GoogleSQL and DuckDB: rewritten or refused, never approximated.

Nodes are replaced from the leaves up, so that the arguments of a node are already rewritten and none is skipped.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from itertools import count

from sqlglot import exp

from gcp_sandbox.services.bigquery.googlesql.sql import Statement, invalid, unsupported

_SAME_PARTS = {"YEAR", "QUARTER", "MONTH", "DAY", "DAYOFYEAR", "HOUR", "MINUTE", "SECOND", "ISOYEAR"}
_INTERVALS = {"MICROSECOND", "MILLISECOND", "SECOND", "MINUTE", "HOUR", "DAY"}


@dataclass
class Context:
    """Inputs for the meaning of a statement: the clock, its parameters, the tables' column types by lower-case name."""

    now: datetime
    named: dict[str, exp.Expression]
    types: dict[str, str]


def rewrite(statement: Statement, context: Context) -> exp.Expression:
    """The statement's tree, changed in place: it has the same meaning in DuckDB as the statement has in BigQuery."""
    tree = statement.tree
    for node in reversed(list(tree.walk())):
        rule = _RULES.get(type(node))
        new = rule(node, context) if rule else None
        if new is not None and new is not node:
            node.replace(new)
    return tree


def cast(node: exp.Expression, kind: str) -> exp.Cast:
    """CAST of a node to a DuckDB type."""
    return exp.Cast(this=node, to=exp.DataType.build(kind, dialect="duckdb"))


def call(name: str, *arguments: exp.Expression) -> exp.Anonymous:
    """A call of a DuckDB function."""
    return exp.Anonymous(this=name, expressions=list(arguments))


def _parameter(node: exp.Parameter, context: Context) -> exp.Expression:
    if isinstance(node.parent, exp.Parameter):
        raise unsupported(f"the system variable @@{node.name}")
    if node.name.lower() not in context.named:
        raise invalid(f"Query parameter '{node.name}' not found")
    value = context.named[node.name.lower()].copy()
    return exp.Paren(this=value) if isinstance(node.parent, exp.Interval) else value


def _now(_: exp.Expression, context: Context) -> exp.Cast:
    return cast(exp.Literal.string(context.now.isoformat()), "TIMESTAMPTZ")


def _local_now(kind: str) -> Callable[[exp.Expression, Context], exp.Expression]:
    def rule(node: exp.Expression, context: Context) -> exp.Expression:
        zone = node.this.copy() if node.this else exp.Literal.string("UTC")
        return cast(exp.AtTimeZone(this=_now(node, context), zone=zone), kind)

    return rule


def _timestamp_diff(node: exp.TimestampDiff, context: Context) -> exp.Expression:
    if any(context.types.get(column.name.lower()) == "DATETIME" for column in node.find_all(exp.Column)):
        raise invalid("No matching signature for function TIMESTAMP_DIFF for argument types with DATETIME")
    unit = node.args["unit"].name.upper()
    if unit not in _INTERVALS:
        raise invalid(f"TIMESTAMP_DIFF does not support the {unit} date part")
    ends = [cast(end.copy(), "TIMESTAMPTZ") for end in (node.expression, node.this)]
    return call("DATE_SUB", exp.Literal.string(unit.lower()), *ends)


def _date_trunc(node: exp.DateTrunc, context: Context) -> exp.Expression | None:
    inner = node.this
    kind = context.types.get(inner.name.lower(), "") if isinstance(inner, exp.Column) else ""
    return None if kind.startswith("TIMESTAMP") else cast(node.copy(), "DATE")


def _extract(node: exp.Extract, _: Context) -> exp.Expression | None:
    part, inner = node.this.name.upper(), node.expression.copy()
    if part in _SAME_PARTS:
        return call("DATE_PART", exp.Literal.string(part.lower()), inner)
    if part == "DATE":
        return cast(inner, "DATE")
    if part == "ISOWEEK":
        return call("DATE_PART", exp.Literal.string("week"), inner)
    if part == "DAYOFWEEK":
        # BigQuery counts from Sunday = 1, DuckDB from Sunday = 0.
        return exp.Paren(this=exp.Add(this=call("DAYOFWEEK", inner), expression=exp.Literal.number(1)))
    raise unsupported(f"EXTRACT({part} …)")


def _format(node: exp.TimeToStr, _: Context) -> exp.Expression | None:
    layout = node.args["format"]
    if not layout.is_string or any(part in layout.name for part in ("%E", "%-", "%k", "%l", "%Q", "%s")):
        raise unsupported(f"the format {layout.name or layout.sql()!r}")
    zone = node.args.get("zone")
    if zone:
        local = exp.AtTimeZone(this=cast(node.this.this.copy(), "TIMESTAMPTZ"), zone=zone.copy())
        return exp.TimeToStr(this=cast(local, "TIMESTAMP"), format=layout.copy())
    return None


def _divide(node: exp.Div, _: Context) -> exp.Expression:
    above, below = node.this, node.expression
    if below.is_int and below.name != "0":
        return node
    text = [cast(side.copy(), "VARCHAR") for side in (above, below)]
    words = [exp.Literal.string("division by zero: "), text[0], exp.Literal.string(" / "), text[1]]
    zero = exp.EQ(this=exp.Paren(this=below.copy()), expression=exp.Literal.number(0))
    return exp.Case(ifs=[exp.If(this=zero, true=call("ERROR", call("CONCAT", *words)))], default=node.copy())


def _unix_seconds(node: exp.UnixSeconds, _: Context) -> exp.Expression:
    return cast(call("FLOOR", call("EPOCH", node.this.copy())), "BIGINT")


def _literal(node: exp.Literal, _: Context) -> exp.Expression | None:
    if node.is_string or isinstance(node.parent, exp.Cast | exp.DataTypeParam | exp.Interval):
        return None
    if not node.is_int:
        return cast(node.copy(), "DOUBLE")
    # DuckDB multiplies two small literals as 32 bits.
    return cast(node.copy(), "BIGINT") if isinstance(node.parent, exp.Mul) else None


def _data_type(node: exp.DataType, _: Context) -> exp.Expression | None:
    if node.this == exp.DataType.Type.DECIMAL and not node.expressions:
        return exp.DataType.build("DECIMAL(38, 9)", dialect="duckdb")
    return None


def _select(node: exp.Select, _: Context) -> exp.Expression | None:
    """Name unnamed columns as BigQuery does: f0_, f1_ …"""
    if node.args.get("kind"):
        return None
    numbers = count()
    for part in list(node.expressions):
        named = isinstance(part, exp.Alias | exp.Column | exp.Star | exp.Dot | exp.Aliases)
        if not named:
            part.replace(exp.alias_(part.copy(), f"f{next(numbers)}_", copy=False))
    return None


def _refuse(what: str) -> Callable[[exp.Expression, Context], exp.Expression]:
    def rule(_node: exp.Expression, _context: Context) -> exp.Expression:
        raise unsupported(what)

    return rule


def _without_zone(what: str, kind: str = "") -> Callable[[exp.Expression, Context], exp.Expression | None]:
    def rule(node: exp.Expression, _: Context) -> exp.Expression | None:
        if node.args.get("zone"):
            raise unsupported(f"{what} with a time zone")
        return cast(node.copy(), kind) if kind else None

    return rule


def _as(kind: str) -> Callable[[exp.Expression, Context], exp.Expression]:
    return lambda node, _: cast(node.copy(), kind)


_RULES: dict[type, Callable[..., exp.Expression | None]] = {
    exp.Placeholder: _refuse("positional parameters"),
    exp.Parameter: _parameter,
    exp.CurrentTimestamp: _now,
    exp.CurrentDate: _local_now("DATE"),
    exp.CurrentDatetime: _local_now("TIMESTAMP"),
    exp.CurrentTime: _local_now("TIME"),
    exp.TimestampDiff: _timestamp_diff,
    exp.DateAdd: _as("DATE"),
    exp.DateSub: _as("DATE"),
    exp.DateTrunc: _date_trunc,
    exp.Extract: _extract,
    exp.TimeToStr: _format,
    exp.StrToTime: _without_zone("PARSE_TIMESTAMP", "TIMESTAMPTZ"),
    exp.UnixSeconds: _unix_seconds,
    exp.UnixToTime: _as("TIMESTAMPTZ"),
    exp.String: _without_zone("STRING"),
    exp.Format: _refuse("FORMAT"),
    exp.SafeFunc: _refuse("SAFE. functions"),
    exp.NetFunc: _refuse("NET. functions"),
    exp.SessionUser: _refuse("SESSION_USER"),
    exp.Div: _divide,
    exp.Literal: _literal,
    exp.DataType: _data_type,
    exp.Select: _select,
}
