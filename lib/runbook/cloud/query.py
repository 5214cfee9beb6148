"""Runs one SELECT: first a dry run, then the query under the cost cap."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from runbook.cloud.answer import readable, token_of
from runbook.cloud.client import Cloud
from runbook.cloud.failures import CannotRead, has_reason, is_json
from runbook.model import Broken, OverCap, Row, text_of

Value = str | int | float | bool | date | datetime | Sequence[str]

# A bool is an int, too, and a datetime a date: the first that fits counts.
_TYPES = {bool: "BOOL", int: "INT64", float: "FLOAT64", datetime: "TIMESTAMP", date: "DATE", str: "STRING"}


class Absent(Exception):
    """A table or dataset does not exist, according to the cloud."""


@dataclass(frozen=True)
class BadColumn(Exception):
    """A table has no such column, according to the cloud."""

    column: str


def select(cloud: Cloud, sql: str, values: Mapping[str, Value], labels: Mapping[str, str]) -> list[Row]:
    """The rows of one SELECT, in the order of its ORDER BY; times in UTC. `values` are sent as query parameters.

    Raises Absent, BadColumn, OverCap, CannotRead for a time that BigQuery no longer keeps, Broken for anything that is
    not a SELECT, and Google's own exceptions if there is no answer.
    """
    from google.api_core import exceptions as google

    from runbook.cloud.bigquery import bigquery

    given = {"query_parameters": [_parameter(name, value) for name, value in values.items()], "labels": dict(labels)}
    _dry_run(cloud, sql, bigquery.QueryJobConfig(dry_run=True, **given))
    config = bigquery.QueryJobConfig(maximum_bytes_billed=cloud.settings.cost_cap, use_legacy_sql=False, **given)
    try:
        with readable():
            # Without a location: BigQuery runs a query where its tables are, and the client asks for its pages there.
            once = {"retry": None, "job_retry": None, "api_timeout": 20, "wait_timeout": 60}
            result = cloud.bigquery.query_and_wait(sql, job_config=config, **once)
            rows, seen = list[Row](), set[str]()
            for page in result.pages:
                rows += [dict(row.items()) for row in page]
                token_of({"nextPageToken": result.next_page_token}, seen)
            return rows
    except TimeoutError:
        raise CannotRead("the query did not end within a minute", "repeat this run; if it stays, report it.") from None
    except google.GoogleAPICallError as error:  # a job that fails later has no status of its own
        if billed := re.search(r"limit for bytes billed: \d+\. (\d+) or higher", error.message):
            raise _over(f"it is billed as {int(billed[1]) / 2**30:,.2f} GiB", cloud.settings.cost_cap) from None
        raise


def _dry_run(cloud: Cloud, sql: str, config: Any) -> None:
    """Show the guard that this text is a SELECT, and check its size against the cap; raises as `select`."""
    from google.api_core import exceptions as google

    try:
        with readable():
            dry = cloud.bigquery.query(sql, config, retry=None, job_retry=None, timeout=20)
            kind, size = str(dry.statement_type), dry.total_bytes_processed or 0
    except google.NotFound as error:
        if not is_json(error):
            raise
        raise Absent(error.message.split(": ", 1)[-1]) from None
    except google.BadRequest as error:
        raise error if has_reason(error) else _reading(error, sql) from None
    if not cloud.guard.is_select(sql):
        what = "SELECT that calls a routine" if kind == "SELECT" else kind
        raise Broken(f"only a SELECT without routines is allowed; this is a {what}", sql)
    if size > (cap := cloud.settings.cost_cap):
        raise _over(f"it reads {size / 2**30:,.2f} GiB", cap)


def _over(what: str, cap: int) -> OverCap:
    """The error for a query over the cap. BigQuery bills whole megabytes, and at least ten for each table."""
    return OverCap(**text_of(__file__, "over_cap", what=what, cap=cap / 2**30))


def _parameter(name: str, value: Value) -> Any:
    from runbook.cloud.bigquery import bigquery

    if isinstance(value, list | tuple):
        return bigquery.ArrayQueryParameter(name, "STRING", list(value))
    return bigquery.ScalarQueryParameter(name, type_of(value), value)


def type_of(value: Value) -> str:
    """The GoogleSQL type of a value."""
    if isinstance(value, list | tuple):
        return "ARRAY<STRING>"
    return next(kind for python, kind in _TYPES.items() if isinstance(value, python))


def _reading(error: Any, sql: str) -> Exception:
    """The exception for a 400 to a dry run."""
    if match := re.search(r"Unrecognized name: `?(\w+)`?|Name (\w+) not found inside", error.message):
        return BadColumn(match[1] or match[2])
    said = error.message.split(": ", 1)[-1]
    if "that can be used for partition elimination" in error.message:
        return CannotRead(said, "add a condition on that column to the query.")
    if "Invalid snapshot time" in error.message:
        return CannotRead(said, "use a later time: BigQuery keeps a table's history for at most 7 days.")
    return Broken("BigQuery does not accept the query", f"{said}\n{sql}")
