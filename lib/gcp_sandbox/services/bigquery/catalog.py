"""The datasets and tables of the one project: DuckDB has their rows, this module their metadata."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import duckdb

from gcp_sandbox import wire
from gcp_sandbox.http import ApiError
from gcp_sandbox.services.bigquery import seed, values
from gcp_sandbox.services.bigquery.googlesql.sql import Ref, invalid, unsupported
from gcp_sandbox.services.bigquery.past import Past
from gcp_sandbox.services.bigquery.table import Table
from gcp_sandbox.state import State
from gcp_sandbox.world.events import Run

_AGE = timedelta(days=400)
_shape = partial(wire.fill, __file__)
_ADDED = "incoming.rows"


class Catalog:
    """Every table by dataset and name; owns the one DuckDB connection."""

    def __init__(self, sandbox: State):
        inventory = sandbox.inventory
        self.sandbox, self.project = sandbox, inventory.project
        self.location = inventory.location or inventory.region
        self.datasets = [inventory.dataset, inventory.backup_dataset]
        self.sought = f" was not found in location {self.location}"
        self.born = sandbox.now - _AGE
        self.tables: dict[tuple[str, str], Table] = {}
        # Statements of callers must not access this machine's files or network.
        self.con = duckdb.connect(":memory:", config={"enable_external_access": "false"})
        self.con.execute("SET TimeZone = 'UTC'")
        self.con.execute("CREATE SCHEMA incoming")
        for dataset in self.datasets:
            self.con.execute(f"CREATE SCHEMA {values.quoted(dataset)}")
        self.past = Past(self)
        self._seed()
        for snapshot in sandbox.world.snapshots:
            self._snapshot(snapshot)

    def _seed(self) -> None:
        story, inventory = self.sandbox.story, self.sandbox.inventory
        for table in inventory.tables:
            self._make(table.name, table.columns, seed.rows_of(table, story, story.times(table)))
        self._make(inventory.runs, *seed.runs(story, story.runs))

    def _snapshot(self, said: Any) -> None:
        """An earlier backup: a snapshot of each table, named after the day in the team's time zone."""
        moment = self.sandbox.now - said.age
        day = moment.astimezone(self.sandbox.story.zone).strftime("%Y%m%d")
        for table in self.of(self.datasets[0]):
            ref = Ref(self.project, self.datasets[1], f"{table.ref.table}_{day}")
            made = Table(ref, moment, moment, "SNAPSHOT", table.ref, moment + said.keep)
            self.con.execute(f"CREATE TABLE {made.name} AS SELECT * FROM {self.past.state(table, moment)}")
            self.keep(made)

    def _make(self, name: str, columns: dict[str, str], rows: Sequence[list[Any]]) -> None:
        story = self.sandbox.story
        said, table = story.table(name), Table(self.ref(name), self.born, story.modified(name))
        if said.absent:
            return
        seed.fill(self.con, table.name, columns, rows)
        if name == self.sandbox.inventory.runs and story.world.bulk.runs:
            seed.more_runs(self.con, table.name, story)
        for column in said.drop:
            self.con.execute(f"ALTER TABLE {table.name} DROP COLUMN IF EXISTS {values.quoted(column)}")
        self.keep(table)

    def ref(self, table: str) -> Ref:
        """A table of the main dataset."""
        return Ref(self.project, self.datasets[0], table)

    def dataset(self, project: str, dataset: str, where: str = "") -> str:
        if project != self.project or dataset not in self.datasets:
            raise ApiError(404, "NOT_FOUND", f"Not found: Dataset {project}:{dataset}{where}", "notFound")
        return dataset

    def about(self, project: str, dataset: str) -> dict:
        """The resource of a dataset, which is as old as the project's tables."""
        name, born = self.dataset(project, dataset), wire.millis(self.born)
        values = {"project": project, "name": name, "etag": wire.etag(name), "location": self.location, "born": born}
        return _shape("dataset", **values)

    def within(self, location: str, ref: Ref) -> None:
        """Raises ApiError 404 for a job in another location than the datasets."""
        if location.lower() != self.location.lower():
            missing = f"Not found: Dataset {ref.project}:{ref.dataset} was not found in location {location}"
            raise ApiError(404, "NOT_FOUND", missing, "notFound")

    def find(self, ref: Ref, located: bool = False) -> Table:
        """A table. Raises ApiError 404; with `located` the message has the location, as for queries and jobs."""
        where = self.sought if located else ""
        self.dataset(ref.project, ref.dataset, where)
        table = self.get(ref)
        if table is None:
            if "@" in ref.table or "$" in ref.table:
                raise unsupported(f"table decorators ({ref.table})")
            raise ApiError(404, "NOT_FOUND", f"Not found: Table {ref}{where}", "notFound")
        return table

    def get(self, ref: Ref) -> Table | None:
        table = self.tables.get((ref.dataset, ref.table)) if ref.project == self.project else None
        return None if table and table.expires and table.expires <= self.sandbox.now else table

    def of(self, dataset: str) -> list[Table]:
        found = [self.get(t.ref) for (d, _), t in sorted(self.tables.items()) if d == dataset]
        return [t for t in found if t]

    def writable(self, ref: Ref) -> Table:
        table = self.find(ref, located=True)
        if table.kind == "SNAPSHOT":
            raise invalid(f"Table {ref} is a snapshot and cannot be modified")
        return table

    def keep(self, table: Table) -> Table:
        """Register a table that is new or was written; replaces its earlier metadata."""
        table.fields = values.fields(self.con.table(table.name))
        table.sizes = {}
        self.tables[table.ref.dataset, table.ref.table] = table
        return table

    def wrote(self, table: Table) -> None:
        table.modified = self.sandbox.tick()
        self.keep(table)

    def add(self, run: Run) -> Run:
        """Add the rows that one more run writes to its tables, and its own row in the table of runs.

        Returns the run as recorded: failed if one of its tables does not exist.
        """
        story, inventory = self.sandbox.story, self.sandbox.inventory
        own = [t for t in inventory.tables if t.name in run.function.tables]
        missing = next((self.ref(t.name) for t in own if not self.get(self.ref(t.name))), None)
        if missing:
            run = story.run(run.function, run.started_at, run.finished_at, f"404 Not found: Table {missing}")
        columns, rows = seed.runs(story, [run])
        written = [(inventory.runs, columns, rows)]
        if run.status == "success":
            written += [(t.name, t.columns, seed.rows_of(t, story, story.times_of(run))) for t in own]
        for name, columns, rows in written:
            table = self.get(self.ref(name))
            if table:
                seed.fill(self.con, _ADDED, columns, rows)
                self.past.keep(table)
                there = ", ".join(values.quoted(c) for c in columns if c in table.column_names)
                self.con.execute(f"INSERT INTO {table.name} ({there}) SELECT {there} FROM {_ADDED}")
                self.wrote(table)
        return run

    def size(self, table: Table, columns: set[str] | None = None) -> int:
        """The logical bytes of some columns, or of all; cached until the table is written."""
        wanted = [f for f in table.fields if columns is None or f["name"] in columns]
        unknown = [f for f in wanted if f["name"] not in table.sizes]
        if unknown:
            sums = ", ".join(values.bytes_of(f) for f in unknown)
            found = self.con.execute(f"SELECT {sums} FROM {table.name}").fetchall()[0]
            table.sizes |= {f["name"]: int(size) for f, size in zip(unknown, found, strict=True)}
        return sum(table.sizes[f["name"]] for f in wanted)

    def count(self, table: Table) -> int:
        return self.con.execute(f"SELECT count(*) FROM {table.name}").fetchall()[0][0]

    def copy(self, source: Ref, at: datetime | None, to: Ref, operation: str, write: str, expires: Any) -> Table:
        """COPY, CLONE, SNAPSHOT or RESTORE of a copy job, from a table now or `at` an earlier time.

        Raises ApiError: 404 without the source, 409 where the destination has rows and may not lose them.
        """
        table = self.find(source, located=True)
        name = self.past.at(table, at) if at else table.name
        self.dataset(to.project, to.dataset, self.sought)
        if (table.kind == "SNAPSHOT") != (operation == "RESTORE"):
            raise invalid(f"{operation} is not possible from {source}, which is a {table.kind}")
        old = self.get(to)
        if old and (operation == "SNAPSHOT" or (write != "WRITE_TRUNCATE" and self.count(old))):
            raise ApiError(409, "ALREADY_EXISTS", f"Already Exists: Table {to}", "duplicate")
        if old:
            self.past.keep(old)
        moment = self.sandbox.tick()
        copied = operation in ("SNAPSHOT", "CLONE")
        made = Table(to, moment, moment, operation if copied else "TABLE", source if copied else None, expires)
        self.con.execute(f"CREATE OR REPLACE TABLE {made.name} AS SELECT * FROM {name}")
        return self.keep(made)

    def resource(self, table: Table, full: bool = True) -> dict:
        """The Table resource, or the shorter one that a list has."""
        expires = wire.millis(table.expires) if table.expires else None
        about = {"ref": table.ref, "type": "SNAPSHOT" if table.kind == "SNAPSHOT" else "TABLE"}
        about |= {"created": wire.millis(table.created), "labels": table.labels or None, "expires": expires}
        listed = _shape("listed", **about)
        if not full:
            return listed
        sizes = {"rows": str(self.count(table)), "size": str(self.size(table))}
        modified, etag = wire.millis(table.modified), wire.etag(str(table.ref), table.modified, table.fields)
        definitions: dict[str, Any] = {"SNAPSHOT": None, "CLONE": None}
        if table.base:
            # With a fraction: `bq show` cannot parse it otherwise.
            taken = wire.stamp(table.created, 3)
            definitions[table.kind] = {"baseTableReference": table.base.resource, f"{table.kind.lower()}Time": taken}
        said = {"ref": table.ref, "table": table, "etag": etag, "modified": modified, "location": self.location}
        return listed | _shape("table", **said, **sizes, **definitions)
