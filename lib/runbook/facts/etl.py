"""ETL runs, account scores and the freshness of tables, from BigQuery (guide: Monitoring Queries)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from runbook.cloud.client import Cloud
from runbook.cloud.failures import CannotRead, gap
from runbook.cloud.query import Absent, BadColumn, Value
from runbook.config.schema import Freshness
from runbook.facts.base import Answer, Ask, Query, Read, bq_line, each, template
from runbook.facts.typed import asked
from runbook.model.moment import Moment

MOST = 1000  # the LIMIT of runs_recent.sql
_OPTIONAL = {"error": "STRING", "function": "STRING", "finished_at": "TIMESTAMP"}


def _runs(name: str, sql: str, days: int, zoned: bool = False) -> Ask:
    """A query over the runs of the team's last `days` days, today included."""

    def ask(cloud: Cloud, moment: Moment) -> Read:
        values = {"since": moment.midnight(days - 1), "until": moment.at}
        if zoned:
            values["zone"] = cloud.settings.time_zone
        return Query(name, sql, _parts(cloud), values, _optional(sql)).read(cloud)

    return ask


def _parts(cloud: Cloud) -> dict[str, str]:
    """The identifiers of the table of runs."""
    runs = cloud.settings.tables.etl_runs
    return runs.model_dump() | {"table": cloud.settings.table(runs.name)}


def _optional(sql: str) -> dict[str, str]:
    return {part: kind for part, kind in _OPTIONAL.items() if f"{{{part}}}" in template(sql)}


def etl_today() -> Ask:
    """Rows `source_system, status, runs, latest, _outlived` of the team's day so far.

    `_outlived`: the runs have no end, and a later run of the same function succeeded (of the same source system if
    params name no column with the function).
    """
    return _runs("ETL runs today", "etl_today", 1)


def etl_failures() -> Ask:
    """Rows `started_at, source_system, function, error` of the newest 20 failed runs of the team's day."""
    return _runs("failed ETL runs today", "etl_failures", 1)


def etl_week() -> Ask:
    """Rows `date, success, failed` for each of the team's last seven days that had runs."""
    return _runs("ETL runs of 7 days", "etl_week", 7, zoned=True)


def runs_of(function: str, hours: float = 24) -> Ask:
    """Rows `started_at, status, finished_at, error` of a function's newest 20 runs, newest first.

    A gap if params name no column with the function.
    """

    def ask(cloud: Cloud, moment: Moment) -> Read:
        values = {"function": function, "since": moment.ago(hours)}
        return replace(_by_function(cloud, f"runs of {function}", "runs_of", values), function=function)

    return ask


def runs_of_users(secret: str) -> Ask:
    """Rows `function, started_at, status` of the last 48 h, of every function that reads a secret; newest first."""

    def ask(cloud: Cloud, moment: Moment) -> Read:
        names = [f.name for f in cloud.settings.functions if secret in f.secrets]
        read = _by_function(cloud, "runs of the readers", "runs_of_many", {"functions": names, "since": moment.ago(48)})
        return read if names else replace(read, see=lambda: Answer(()))

    return ask


def recent_runs(hours: float = 24) -> Ask:
    """Rows `started_at, function, source_system, status, finished_at, error` of the newest 1,000 runs, newest first.

    `more` is true if there may be older runs that were not read.
    """

    def ask(cloud: Cloud, moment: Moment) -> Read:
        values = {"since": moment.ago(hours), "until": moment.at}
        read = _by_function(cloud, f"runs of {hours:g} h", "runs_recent", values)

        def see() -> Answer:
            answer = read.see()
            return replace(answer, more=len(list(answer.rows)) == MOST)

        return replace(read, see=see)

    return ask


def _by_function(cloud: Cloud, name: str, sql: str, values: Mapping[str, Value]) -> Read:
    """A query that needs the function of each run; a gap if no column names it."""
    runs = cloud.settings.tables.etl_runs
    optional = {part: kind for part, kind in _optional(sql).items() if part != "function"}
    read = Query(name, sql, _parts(cloud) | {"function": runs.function or "NULL"}, values, optional).read(cloud)

    def no_column() -> Answer:
        raise CannotRead(f"{runs.name} has no column that names the function", "add it to params if it exists.")

    return read if runs.function else replace(read, see=no_column)


def newest_run(cloud: Cloud, function: str) -> tuple[str, dict[str, str]]:
    """The query for the newest run of a function, and its values."""
    return template("newest_run").format(**_parts(cloud)), {"function": function}


def scores() -> Ask:
    """Rows `score_date, accounts` for the newest seven dates up to the team's today."""

    def ask(cloud: Cloud, moment: Moment) -> Read:
        table = cloud.settings.tables.scores
        parts = {"date": table.date, "table": cloud.settings.table(table.name)}
        return Query("account scores", "scores", parts, {"today": moment.today}).read(cloud)

    return ask


def freshness() -> Ask:
    """Rows `table_name, newest, minutes_stale` for every table that params list; both None for an empty table."""

    def ask(cloud: Cloud, moment: Moment) -> Read:
        tables, values = cloud.settings.tables.freshness, {"at": moment.at}

        def rows(tables: list[Freshness]) -> Answer:
            found, gaps = asked(cloud, "data freshness", _union(cloud, tables), values, "freshness")
            names = {t.name for t in tables}
            return Answer([row for row in found if row["table_name"] in names], gaps=gaps)

        def one(table: Freshness) -> Answer:
            try:
                found = rows([table])
                if found.rows or found.gaps:
                    return found
                raise CannotRead("the answer has no row for this table", "run again.")
            except BadColumn as error:
                raise CannotRead(f"column {error.column} does not exist", "correct `tables` in params.") from None

        def see() -> Answer:
            try:
                whole = rows(tables)
                if {r["table_name"] for r in whole.rows} == {t.name for t in tables}:
                    return whole
            except Exception as error:  # one query for each table: one failure does not hide the others
                if not isinstance(error, Absent | BadColumn) and not gap(error, "", read=True):
                    raise
            return each(tables, one, lambda table: table.name)

        sql = _union(cloud, tables)
        return Read("data freshness", bq_line(cloud, sql, values), see, sql)

    return ask


def _union(cloud: Cloud, tables: list[Freshness]) -> str:
    one = template("freshness")
    parts = [one.format(name=t.name, column=t.column, table=cloud.settings.table(t.name)) for t in tables]
    return "\nUNION ALL\n".join(parts) + "\nORDER BY table_name"
