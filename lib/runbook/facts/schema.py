"""Which tables and columns there really are: what `runbook doctor` compares with params."""

from __future__ import annotations

from runbook.cloud.connect import Cloud
from runbook.cloud.unseen import gap
from runbook.facts.read import Answer, Ask, Read
from runbook.moment import Moment
from runbook.rows import Gap, Row


def schema() -> Ask:
    """Rows `table, column, type` of every table that params name; a table that is not there is absent."""

    def ask(cloud: Cloud, moment: Moment) -> Read:
        system = cloud.settings
        names = sorted(
            {system.tables.etl_runs.name, system.tables.scores.name, *(t.name for t in system.tables.freshness)}
        )
        line = f"bq show --schema --format=prettyjson {system.project}:{system.datasets.main}.{names[0]}"
        return Read("tables and columns", line, lambda: _see(cloud, names))

    return ask


def _see(cloud: Cloud, names: list[str]) -> Answer:
    from google.api_core.exceptions import NotFound

    rows: list[Row] = []
    gaps: list[Gap] = []
    absent: list[str] = []
    for name in names:
        try:
            table = cloud.bigquery.get_table(cloud.settings.table(name), retry=None, timeout=20)
            rows += [{"table": name, "column": f.name, "type": f.field_type} for f in table.schema]
        except NotFound:
            absent.append(name)
        except Exception as error:
            missing = gap(error, name)
            if not missing:
                raise
            gaps.append(missing)
    return Answer(rows, gaps=tuple(gaps), absent=tuple(absent))
