"""ETL runs, account scores and the freshness of tables, from BigQuery (guide: Monitoring Queries)."""

from collections.abc import Mapping
from dataclasses import replace

from runbook.cloud import Absent, BadColumn, CannotRead, Cloud, Value, gap
from runbook.config.schema import Freshness
from runbook.facts.base import Answer, Ask, Query, Read, asked, bq_line, each, fact, template
from runbook.model import FactRow, Moment
from runbook.model.rows import EtlCount, EtlDay, EtlRun, FailedRun, ScoreDay, TableAge

MOST = 1000  # runs that are read at most
_OPTIONAL = {"error": "STRING", "function": "STRING", "finished_at": "TIMESTAMP", "records": "INT64"}


@fact
def _counted(cloud: Cloud, moment: Moment, name: str, sql: str, kind: type[FactRow], days: int) -> Read:
    """A query over the runs of the team's last `days` days, today included."""
    values = {"since": moment.midnight(days - 1), "until": moment.at}
    values |= {"zone": cloud.settings.time_zone} if "@zone" in template(sql) else {}
    return Query(name, sql, kind, _parts(cloud), values, _optional(sql)).read(cloud)


def _parts(cloud: Cloud) -> dict[str, str]:
    """The identifiers of the table of runs."""
    runs = cloud.settings.tables.etl_runs
    return runs.model_dump() | {"table": cloud.settings.table(runs.name)}


def _optional(sql: str) -> dict[str, str]:
    return {part: kind for part, kind in _OPTIONAL.items() if f"{{{part}}}" in template(sql)}


def etl_today() -> Ask:
    """The runs of the team's day so far, by source system and status.

    Without a column that names the function, a run is outlived by a later run of the same source system.
    """
    return _counted("ETL runs today", "etl_today", EtlCount, 1)


def etl_failures() -> Ask:
    """The newest 20 failed runs of the team's day."""
    return _counted("failed ETL runs today", "etl_failures", FailedRun, 1)


def etl_week() -> Ask:
    """Each of the team's last seven days that had runs."""
    return _counted("ETL runs of 7 days", "etl_week", EtlDay, 7)


@fact
def runs_of(cloud: Cloud, moment: Moment, function: str, hours: float = 24) -> Read:
    """A function's newest 20 runs, newest first. A gap if params name no column with the function."""
    values = {"function": function, "since": moment.ago(hours)}
    return replace(_runs(cloud, f"runs of {function}", "{function} = @function", 20, values), function=function)


@fact
def runs_of_users(cloud: Cloud, moment: Moment, secret: str) -> Read:
    """The newest 500 runs of the last 48 h, newest first, of the functions that read a secret."""
    names = [f.name for f in cloud.settings.functions if secret in f.secrets]
    values = {"functions": names, "since": moment.ago(48)}
    read = _runs(cloud, "runs of the readers", "{function} IN UNNEST(@functions)", 500, values)
    return read if names else replace(read, see=lambda: Answer(()))


@fact
def recent_runs(cloud: Cloud, moment: Moment, hours: float = 24) -> Read:
    """The newest 1,000 runs, newest first. `more` is true if there may be older runs that were not read."""
    values = {"since": moment.ago(hours), "until": moment.at}
    read = _runs(cloud, f"runs of {hours:g} h", "{started_at} <= @until", MOST, values)

    def see() -> Answer:
        answer = read.see()
        return replace(answer, more=len(list(answer.rows)) == MOST)

    return replace(read, see=see)


def _runs(cloud: Cloud, name: str, which: str, most: int, values: Mapping[str, Value]) -> Read:
    """Runs with the function of each; a gap if no column names it."""
    runs, parts = cloud.settings.tables.etl_runs, _parts(cloud)
    parts |= {"function": runs.function or "NULL"}
    parts |= {"which": which.format(**parts), "most": str(most)}
    optional = {part: kind for part, kind in _optional("runs").items() if part != "function"}
    read = Query(name, "runs", EtlRun, parts, values, optional).read(cloud)

    def no_column() -> Answer:
        raise CannotRead(f"{runs.name} has no column that names the function", "add it to params if it exists.")

    return read if runs.function else replace(read, see=no_column)


def newest_run(cloud: Cloud, function: str) -> tuple[str, dict[str, str]]:
    """The query for the newest run of a function, and its values."""
    return template("newest_run").format(**_parts(cloud)), {"function": function}


@fact
def scores(cloud: Cloud, moment: Moment) -> Read:
    """The newest seven score dates up to the team's today."""
    table = cloud.settings.tables.scores
    parts = {"date": table.date, "table": cloud.settings.table(table.name)}
    return Query("account scores", "scores", ScoreDay, parts, {"today": moment.today}).read(cloud)


@fact
def freshness(cloud: Cloud, moment: Moment) -> Read:
    """The age of every table that params list."""
    tables, values = cloud.settings.tables.freshness, {"at": moment.at}

    def rows(tables: list[Freshness]) -> Answer:
        found = asked(cloud, "data freshness", _union(cloud, tables), values, "freshness", TableAge)
        return replace(found, rows=[row for row in found.rows if row.table_name in {t.name for t in tables}])

    def one(table: Freshness) -> Answer:
        try:
            found = rows([table])
            if found.rows or found.gaps:
                return found
            raise CannotRead("the answer has no row for this table", "repeat this run.")
        except BadColumn as error:
            raise CannotRead(f"column {error.column} does not exist", "correct `tables` in params.") from None

    def see() -> Answer:
        try:
            whole = rows(tables)
            if {r.table_name for r in whole.rows} == {t.name for t in tables}:
                return whole
        except Exception as error:  # one query for each table: one failure does not hide the others
            if not isinstance(error, Absent | BadColumn) and not gap(error, "", read=True):
                raise
        return each(tables, one, lambda table: table.name)

    sql = _union(cloud, tables)
    return Read("data freshness", bq_line(cloud, sql, values), see, sql)


def _union(cloud: Cloud, tables: list[Freshness]) -> str:
    one = template("freshness")
    parts = [one.format(name=t.name, column=t.column, table=cloud.settings.table(t.name)) for t in tables]
    return "\nUNION ALL\n".join(parts) + "\nORDER BY table_name"
