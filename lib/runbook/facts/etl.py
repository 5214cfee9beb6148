"""What BigQuery knows: ETL runs, account scores, and how fresh the tables are (guide: Monitoring Queries)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from runbook.cloud.connect import Cloud
from runbook.cloud.query import Absent, BadColumn, Value, select
from runbook.cloud.unseen import Unseen, gap
from runbook.facts.read import Answer, Ask, Query, Read, bq_line, template
from runbook.moment import Moment
from runbook.rows import Gap, Row
from runbook.settings import Freshness

MOST = 1000  # the LIMIT of runs_recent.sql
_OPTIONAL = {"error": "STRING", "function": "STRING", "finished_at": "TIMESTAMP"}


def _runs(name: str, sql: str, days: int, zoned: bool = False) -> Ask:
    """A query over the runs of the team's last `days` days, today included."""

    def ask(cloud: Cloud, moment: Moment) -> Read:
        runs = cloud.settings.tables.etl_runs
        parts = runs.model_dump() | {"table": cloud.settings.table(runs.name)}
        values = {"since": moment.midnight(days - 1), "until": moment.at}
        if zoned:
            values["zone"] = cloud.settings.time_zone
        optional = {part: kind for part, kind in _OPTIONAL.items() if f"{{{part}}}" in template(sql)}
        return Query(name, sql, parts, values, optional).read(cloud)

    return ask


def etl_today() -> Ask:
    """Rows `source_system, status, runs, latest` of the team's day so far."""
    return _runs("ETL runs today", "etl_today", 1)


def etl_failures() -> Ask:
    """Rows `started_at, source_system, function, error` of the newest 20 runs that failed in the team's day."""
    return _runs("failed ETL runs today", "etl_failures", 1)


def etl_week() -> Ask:
    """Rows `date, success, failed` for each of the team's last seven days that had runs."""
    return _runs("ETL runs of 7 days", "etl_week", 7, zoned=True)


def runs_of(function: str, hours: float = 24) -> Ask:
    """Rows `started_at, status, finished_at, error` of a function's newest 20 runs, newest first.

    A gap where params name no column with the function.
    """
    return lambda cloud, moment: _by_function(
        cloud, f"runs of {function}", "runs_of", {"function": function, "since": moment.ago(hours)}
    )


def runs_of_users(secret: str) -> Ask:
    """Rows `function, started_at, status` of the last 48 h, of every function that reads a secret; newest first."""

    def ask(cloud: Cloud, moment: Moment) -> Read:
        names = [f.name for f in cloud.settings.functions if secret in f.secrets]
        read = _by_function(cloud, "runs of the readers", "runs_of_many", {"functions": names, "since": moment.ago(48)})
        return read if names else replace(read, see=lambda: Answer(()))

    return ask


def recent_runs(hours: float = 24) -> Ask:
    """Rows `started_at, function, source_system, status, finished_at, error` of the newest 1,000 runs, newest first.

    `more` is true when there may be others, of which nothing can be said.
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
    """A query that needs to know whose run a row is; a gap where no column tells that."""
    runs = cloud.settings.tables.etl_runs
    parts = runs.model_dump() | {"table": cloud.settings.table(runs.name), "function": runs.function or "NULL"}
    optional = {part: _OPTIONAL[part] for part in ("error", "finished_at") if f"{{{part}}}" in template(sql)}
    read = Query(name, sql, parts, values, optional).read(cloud)

    def unseen() -> Answer:
        raise Unseen(f"{runs.name} has no column that names the function", "name it in params, if there is one.")

    return read if runs.function else replace(read, see=unseen)


def newest_run(cloud: Cloud, function: str) -> tuple[str, dict[str, str]]:
    """The query for the newest run of a function, and its values."""
    runs = cloud.settings.tables.etl_runs
    parts = runs.model_dump() | {"table": cloud.settings.table(runs.name)}
    return template("newest_run").format(**parts), {"function": function}


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
        tables = cloud.settings.tables.freshness
        sql = _union(cloud, tables)
        line = bq_line(cloud, sql, {"at": moment.at})
        return Read("data freshness", line, lambda: _freshness(cloud, moment, tables), sql)

    return ask


def _union(cloud: Cloud, tables: list[Freshness]) -> str:
    one = template("freshness")
    parts = [one.format(name=t.name, column=t.column, table=cloud.settings.table(t.name)) for t in tables]
    return "\nUNION ALL\n".join(parts) + "\nORDER BY table_name"


def _freshness(cloud: Cloud, moment: Moment, tables: list[Freshness]) -> Answer:
    """Ask for all tables at once; when that fails for one of them, for each alone, so that the others are seen."""
    rows: list[Row] = []
    gaps: list[Gap] = []
    absent: list[str] = []
    try:
        return Answer(select(cloud, _union(cloud, tables), {"at": moment.at}, {"query": "freshness"}))
    except Exception as error:
        if not isinstance(error, Absent | BadColumn) and (len(tables) == 1 or not gap(error, "")):
            raise
    for table in tables:
        try:
            rows += select(cloud, _union(cloud, [table]), {"at": moment.at}, {"query": "freshness"})
        except Absent:
            absent.append(table.name)
        except BadColumn as error:
            gaps.append(Gap(table.name, f"there is no column {error.column}", "correct `tables` in params."))
        except Exception as error:
            missing = gap(error, table.name)
            if not missing:
                raise
            gaps.append(missing)
    return Answer(rows, gaps=tuple(gaps), absent=tuple(absent))
