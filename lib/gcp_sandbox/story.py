"""What happened: the runs, log entries and table rows that follow from an inventory and a world.

Everything derives from names and times, never from chance, so the same world always tells the same story.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import NamedTuple
from zlib import crc32
from zoneinfo import ZoneInfo

from cronsim import CronSim

from gcp_sandbox.inventory import Function, Inventory, Table
from gcp_sandbox.world import BadWorld, FunctionState, Job, Runs, Select, World

HISTORY = timedelta(days=8)


@dataclass(frozen=True)
class Run:
    """One execution of a function; `finished_at` is None while it is still running."""

    id: str
    function: Function
    started_at: datetime
    finished_at: datetime | None
    status: str
    error: str
    records: int


class Entry(NamedTuple):
    """One log entry before it is drawn as JSON; `payload` is text, json or proto, `run` the id of its run.

    `revision` "" is the one that served at that moment.
    """

    at: datetime
    function: str
    severity: str
    text: str
    payload: str = "text"
    run: str = ""
    revision: str = ""


def number(*seed: object, below: int) -> int:
    """A number that looks random and always is the same for the same seed."""
    return crc32(repr(seed).encode()) % below


class Story:
    """What the inventory's functions did in one world. Raises BadWorld where the world names what is not there."""

    def __init__(self, inventory: Inventory, world: World):
        self.inventory, self.world, self.now = inventory, world, world.clock
        self.zone = ZoneInfo(inventory.time_zone)
        known = {t.name for t in inventory.tables} | {inventory.runs}
        for state in world.tables:
            if state.name not in known:
                raise BadWorld(f"tables: {state.name} is none of {', '.join(sorted(known))}")
        secrets = {s for f in inventory.functions for s in f.secrets}
        for secret in world.secrets:
            if secret.name not in secrets:
                raise BadWorld(f"secrets: {secret.name} is none of {', '.join(sorted(secrets))}")
        parts = (*world.runs, *world.errors, *world.functions, *world.jobs, *world.revisions, *world.traffic)
        for part in (*parts, *world.deploys):
            part.select.of(inventory.functions)

    @cached_property
    def functions(self) -> list[Function]:
        """The functions that exist: the inventory's without the absent ones, then those of `bulk`."""
        absent = {name for name, said in self.states.items() if said.state == "absent"}
        model = self.inventory.functions[0]
        more = [
            model.model_copy(update={"name": f"bulk-{n:04}", "tables": (), "schedule": "0 0 1 1 *"})
            for n in range(self.world.bulk.functions)
        ]
        return [f for f in self.inventory.functions if f.name not in absent] + more

    @cached_property
    def states(self) -> dict[str, FunctionState]:
        """What the world says about functions, by name; the last word wins."""
        return {f.name: said for said in self.world.functions for f in self._selected(said)}

    def said(self, part: str, function: Function) -> list:
        """What one list of the world says about one function, in its order."""
        return [rule for rule in getattr(self.world, part) if function in self._selected(rule)]

    @cached_property
    def jobs(self) -> dict[str, Job]:
        """What the world says about scheduler jobs, by the name of the function; the last word wins."""
        return {f.name: said for said in self.world.jobs for f in self._selected(said)}

    def _selected(self, part: object) -> list[Function]:
        return part.select.of(self.inventory.functions)  # type: ignore[attr-defined]

    @cached_property
    def runs(self) -> list[Run]:
        """Every run of the last eight days, oldest first."""
        found = [run for function in self.functions for run in self._runs_of(function)]
        return sorted(found, key=lambda run: (run.started_at, run.function.name))

    def _runs_of(self, function: Function) -> Iterator[Run]:
        rules = [*self._of_revisions(function), *self.said("runs", function)]
        ticks = CronSim(function.schedule, (self.now - HISTORY).astimezone(self.zone))
        for tick in ticks:
            started = tick.astimezone(self.now.tzinfo) + timedelta(seconds=number(function.name, tick, below=20))
            if started > self.now:
                return
            rule = next((r for r in reversed(rules) if self.now - r.since <= started <= self.now - r.until), None)
            if not rule or rule.outcome != "skipped":
                yield self._run(function, started, rule)

    def _of_revisions(self, function: Function) -> list[Runs]:
        """The rules that follow from revisions with an error, each while it served."""
        pinned = max((pin.since for pin in self.said("traffic", function)), default=timedelta(0))
        every, deployed = Select(name=function.name), self.said("revisions", function)
        ages = sorted((one.age for one in deployed), reverse=True)
        made = []
        for one in deployed:
            ends = [age for age in ages if age < one.age] + [pinned] * (pinned < one.age)
            until = f"{round(max(ends, default=timedelta(0)).total_seconds())}s"
            if one.error:
                since = f"{round(one.age.total_seconds())}s"
                made.append(Runs(select=every, outcome="failed", since=since, until=until, error=one.error))
        return made

    def _run(self, function: Function, started: datetime, rule: Runs | None) -> Run:
        took = timedelta(seconds=20 + number("took", function.name, started, below=70))
        status = rule.outcome if rule else "success"
        if status == "success" and started + took > self.now:
            status = "running"
        return Run(
            id=f"{function.name}-{started:%Y%m%d%H%M}",
            function=function,
            started_at=started,
            finished_at=None if status == "running" else started + took,
            status=status,
            error=(rule.error if rule else "") if status == "failed" else "",
            records=50 + number("records", function.name, started, below=400) if status == "success" else 0,
        )

    @cached_property
    def entries(self) -> list[Entry]:
        """Every log entry, oldest first: what runs say, what failed, and the world's own errors."""
        found = [e for run in self.runs for e in self.entries_of(run)]
        for rule in self.world.errors:
            names = [f.name for f in self._selected(rule)]
            gap = (rule.since - rule.until) / max(rule.count, 1)
            for n in range(rule.count):
                at = self.now - rule.since + gap * n + gap / 2
                found.append(Entry(at, names[n % len(names)], rule.severity, rule.text, rule.payload))
        bulk, name = self.world.bulk.errors, self.functions[-1].name
        gap, start = timedelta(seconds=72000) / max(bulk, 1), self.now - timedelta(seconds=72000)
        found += [Entry(start + gap * n, name, "ERROR", f"bulk error {n}") for n in range(1, bulk + 1)]
        return sorted(found)

    def entries_of(self, run: Run) -> Iterator[Entry]:
        """What one run says: that it started, and how it ended."""
        said = [(run.started_at, "INFO", f"Run {run.id} started.")]
        if run.finished_at:
            ok = run.status == "success"
            words = f"wrote {run.records} rows." if ok else f"failed: {run.error}"
            said.append((run.finished_at, "INFO" if ok else "ERROR", f"Run {run.id} {words}"))
        for at, severity, text in said:
            yield Entry(at, run.function.name, severity, text, run=run.id)

    def times(self, table: Table) -> list[datetime]:
        """When each row of a data table says it is from, oldest first: some for each successful run that writes it."""
        state = next((s for s in self.world.tables if s.name == table.name), None)
        newest = self.now - (state.stale if state else timedelta(0))
        return [
            at
            for run in self.runs
            if table.name in run.function.tables and run.status == "success" and run.started_at <= newest
            for at in self.times_of(run)
        ]

    def times_of(self, run: Run) -> list[datetime]:
        """When each row that one run writes to a table says it is from, oldest first."""
        return [run.started_at - timedelta(minutes=3 * n) for n in range(1 + number(run.id, below=4), 0, -1)]

    def run(self, function: Function, started: datetime, finished: datetime, error: str) -> Run:
        """One more run, that was asked for and is over."""
        status, id_ = ("failed" if error else "success"), f"{function.name}-{started:%Y%m%d%H%M%S}"
        records = 0 if error else 50 + number("records", function.name, started, below=400)
        return Run(id_, function, started, finished, status, error, records)
