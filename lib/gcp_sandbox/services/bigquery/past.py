"""Time travel: what a table held at an earlier moment, for FOR SYSTEM_TIME AS OF, table@TIME and the world's snapshots.

From the start of the world, each state is kept when a write replaces it. Before that, a table has its initial rows
without those of a later time, as the functions of the story wrote them.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from gcp_sandbox.services.bigquery import values
from gcp_sandbox.services.bigquery.googlesql.sql import Ref, invalid
from gcp_sandbox.services.bigquery.table import Table
from gcp_sandbox.wire import millis

WINDOW = timedelta(days=7)


class Past:
    """The earlier states of the tables, as tables of the schema `past` in the catalog's DuckDB."""

    def __init__(self, catalog: Any):
        self.catalog, self.sandbox = catalog, catalog.sandbox
        self.kept: dict[Ref, list[tuple[datetime, str]]] = {}
        inventory = self.sandbox.inventory
        self.times = {t.name: t.time_column for t in inventory.tables}
        self.times[inventory.runs] = inventory.columns_of_runs["started_at"]
        catalog.con.execute("CREATE SCHEMA past")

    def keep(self, table: Table) -> None:
        """Keep the state of a table before a change."""
        states = self.kept.setdefault(table.ref, [])
        states.append((self.sandbox.now, self._copy(table.ref, len(states), f"SELECT * FROM {table.name}")))

    def at(self, table: Table, moment: datetime) -> str:
        """The DuckDB name of an earlier state of a table. Raises ApiError 400 with BigQuery's message if not kept."""
        born = self.catalog.born if self.kept.get(table.ref) else table.created
        oldest = max(born, self.sandbox.now - WINDOW)
        if not oldest <= moment <= self.sandbox.now:
            words = f"Invalid snapshot time {millis(moment)} for table {table.ref}@{millis(moment)}"
            why = f". Cannot read before {millis(oldest)}." if moment < oldest else ": it is in the future."
            raise invalid(words + why)
        return self.state(table, moment)

    def state(self, table: Table, moment: datetime) -> str:
        """Like `at`, for any time."""
        states = self.kept.get(table.ref, [])
        found = next((name for until, name in states if moment <= until), table.name)
        began, column = self.sandbox.world.now, self.times.get(table.ref.table, "")
        if moment >= began or table.ref.dataset != self.catalog.datasets[0] or column not in table.column_names:
            return found
        dated = next(f["type"] for f in table.fields if f["name"] == column) == "DATE"
        until = moment.astimezone(self.sandbox.story.zone).date() if dated else moment
        select = f"SELECT * FROM {found} WHERE {values.quoted(column)} <= '{until.isoformat()}'"
        return self._copy(table.ref, until.isoformat(), select)

    def _copy(self, ref: Ref, state: object, select: str) -> str:
        name = f"past.{values.quoted(f'{ref}@{state}')}"
        self.catalog.con.execute(f"CREATE TABLE IF NOT EXISTS {name} AS {select}")
        return name
