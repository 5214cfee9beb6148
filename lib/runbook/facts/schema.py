"""The existing tables and columns, which `runbook doctor` compares with params."""

from __future__ import annotations

from runbook.cloud.client import Cloud
from runbook.cloud.query import readable
from runbook.facts.base import Answer, Ask, Read, each
from runbook.model.moment import Moment
from runbook.model.rows import Column


def schema() -> Ask:
    """The columns of every table in params; a table that does not exist is absent."""

    def ask(cloud: Cloud, moment: Moment) -> Read:
        system = cloud.settings
        names = sorted(
            {system.tables.etl_runs.name, system.tables.scores.name, *(t.name for t in system.tables.freshness)}
        )
        line = f"bq show --schema --format=prettyjson {system.project}:{system.datasets.main}.{names[0]}"

        def one(name: str) -> Answer:
            with readable():
                table = cloud.bigquery.get_table(system.table(name), retry=None, timeout=20)
                return Answer([Column(name, f.name, f.field_type) for f in table.schema])

        return Read("tables and columns", line, lambda: each(names, one))

    return ask
