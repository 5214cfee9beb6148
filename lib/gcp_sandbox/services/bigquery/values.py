"""Conversion of values and types between BigQuery's REST API, GoogleSQL and DuckDB."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from sqlglot import exp

from gcp_sandbox.services.bigquery.googlesql.sql import invalid, unsupported

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT")

# The REST API answers with the legacy names (https://cloud.google.com/bigquery/docs/reference/rest/v2/tables).
_REST = {
    **dict.fromkeys((*_INTEGERS, '"NULL"'), "INTEGER"),
    "VARCHAR": "STRING",
    "DOUBLE": "FLOAT",
    "FLOAT": "FLOAT",
    "BOOLEAN": "BOOLEAN",
    "DATE": "DATE",
    "TIME": "TIME",
    "TIMESTAMP": "DATETIME",
    "TIMESTAMP WITH TIME ZONE": "TIMESTAMP",
    "BLOB": "BYTES",
    "JSON": "JSON",
    "INTERVAL": "INTERVAL",
    "DECIMAL": "NUMERIC",
    "STRUCT": "RECORD",
}

_WIDTHS = {"INTEGER": 8, "FLOAT": 8, "BOOLEAN": 1, "NUMERIC": 16}


def field(name: str, kind: Any) -> dict:
    """A TableFieldSchema from a DuckDB column."""
    if kind.id == "list":
        return {**field(name, kind.children[0][1]), "mode": "REPEATED"}
    known = str(kind).partition("(")[0]
    if known not in _REST:
        raise unsupported(f"values of type {kind}")
    made = {"name": name, "type": _REST[known], "mode": "NULLABLE"}
    if kind.id == "struct":
        made["fields"] = [field(child, inner) for child, inner in kind.children]
    return made


def fields(relation: Any) -> list[dict]:
    """The schema of a DuckDB relation."""
    return [field(n, k) for n, k in zip(relation.columns, relation.types, strict=True)]


def bytes_of(field: dict) -> str:
    """A DuckDB expression for the bytes that a column's values count for (https://cloud.google.com/bigquery/pricing)."""
    column = quoted(field["name"])
    if field["mode"] == "REPEATED" or field["type"] in ("STRING", "JSON", "BYTES", "RECORD"):
        return f"coalesce(sum(strlen({column}::VARCHAR) + 2), 0)"
    return f"count({column}) * {_WIDTHS.get(field['type'], 8)}"


def quoted(name: str) -> str:
    """A name in the double quotes of DuckDB, whatever characters it has."""
    return '"' + name.replace('"', '""') + '"'


def rows(fields: list[dict], raw: list[tuple], int64: bool) -> list[dict]:
    """REST rows. With `int64` a TIMESTAMP is whole microseconds, otherwise seconds with a fraction."""
    encoders = [_encoder(f, int64) for f in fields]
    return [{"f": [{"v": e(v)} for e, v in zip(encoders, row, strict=True)]} for row in raw]


def _encoder(field: dict, int64: bool) -> Callable[[Any], Any]:
    if field["mode"] == "REPEATED":
        one = _encoder({**field, "mode": "NULLABLE"}, int64)
        return lambda value: [{"v": one(v)} for v in value or []]
    if field["type"] == "RECORD":
        parts = [(f["name"], _encoder(f, int64)) for f in field["fields"]]
        return lambda value: None if value is None else {"f": [{"v": e(value[name])} for name, e in parts]}
    if field["type"] == "TIMESTAMP":
        return lambda value: None if value is None else _timestamp(value, int64)
    return lambda value: None if value is None else _text(value)


def _timestamp(value: datetime, int64: bool) -> str:
    micros = (value - _EPOCH) // _MICROSECOND
    return str(micros) if int64 else str(Decimal(micros) / 1_000_000)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    if isinstance(value, float):
        return {"inf": "Infinity", "-inf": "-Infinity", "nan": "NaN"}.get(str(value), str(value))
    return str(value)


def parameters(asked: dict) -> dict[str, exp.Expression]:
    """Query parameters as typed expressions by their lower-case names."""
    given = asked.get("queryParameters", [])
    if given and (asked.get("parameterMode") or "NAMED").upper() != "NAMED":
        raise unsupported("positional parameters")
    values = [_value(p.get("parameterType", {}), p.get("parameterValue", {})) for p in given]
    return {p.get("name", "").lower(): value for p, value in zip(given, values, strict=True)}


def _value(kind: dict, value: dict) -> exp.Expression:
    name = kind.get("type", "").upper()
    if name == "ARRAY":
        items = [_value(kind["arrayType"], item) for item in value.get("arrayValues", [])]
        return exp.Cast(this=exp.Array(expressions=items), to=_type(kind))
    if name in ("STRUCT", "RANGE"):
        raise unsupported(f"{name} parameters")
    text = value.get("value")
    if text is None:
        return exp.Cast(this=exp.Null(), to=_type(kind))
    if name in ("INT64", "INTEGER") and not str(text).lstrip("-").isdigit():
        raise invalid(f"Invalid value for INT64 parameter: {text!r}")
    return exp.Cast(this=exp.Literal.string(str(text)), to=_type(kind))


def _type(kind: dict) -> exp.DataType:
    name = kind.get("type", "").upper()
    if name == "ARRAY":
        return exp.DataType(this=exp.DataType.Type.ARRAY, expressions=[_type(kind["arrayType"])], nested=True)
    known = {"NUMERIC": "DECIMAL(38, 9)", "INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL"}
    try:
        return exp.DataType.build(known.get(name, name), dialect="bigquery")
    except ValueError:
        raise invalid(f"Invalid query parameter type: {name!r}") from None
