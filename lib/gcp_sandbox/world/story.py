"""The runs, log entries and table rows that follow from an inventory and a world.

Everything derives from names and times, never from random numbers, so the same world always gives the same data.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import cached_property, lru_cache
from itertools import takewhile
from typing import Any
from zoneinfo import ZoneInfo

from cronsim import CronSim

from gcp_sandbox.wire import number
from gcp_sandbox.world.events import Attempt, Entry, Run
from gcp_sandbox.world.failures import KINDS, NOT_ENDED
from gcp_sandbox.world.inventory import Function, Inventory, Table
from gcp_sandbox.world.lines import Lines
from gcp_sandbox.world.schema import FunctionState, Job, Runs, SecretReference, TableState, World
from gcp_sandbox.world.select import BadWorld, Select
from gcp_sandbox.world.words import Words

HISTORY = timedelta(days=8)
_HEALTHY = Runs(select=Select(), outcome="success")
_GONE = Runs(select=Select(), outcome="skipped", kind="gone")


@lru_cache(1024)  # the same in every world with that time
def _starts(name: str, schedule: str, now: datetime, zone: ZoneInfo) -> tuple[datetime, ...]:
    """When a job called its function in the last eight days: each tick of its schedule, plus up to 20 seconds."""
    ticks = takewhile(lambda tick: tick <= now, CronSim(schedule, (now - HISTORY).astimezone(zone)))
    starts = (tick.astimezone(now.tzinfo) + timedelta(seconds=number(name, tick, below=20)) for tick in ticks)
    return tuple(start for start in starts if start <= now)


class Story:
    """The history of the functions in one world. Raises BadWorld if the world names something that does not exist."""

    def __init__(self, inventory: Inventory, world: World):
        self.inventory, self.world, self.now = inventory, world, world.now
        self.zone = ZoneInfo(inventory.time_zone)
        self.words = Words(inventory, world)
        self.lines = Lines(self.words)
        known = {t.name for t in inventory.tables} | {inventory.runs}
        for state in world.tables:
            if state.name not in known:
                raise BadWorld(f"tables: unknown table {state.name}. Available: {', '.join(sorted(known))}")
        secrets = {s for f in inventory.functions for s in f.secrets}
        for secret in world.secrets:
            if secret.name not in secrets:
                raise BadWorld(f"secrets: unknown secret {secret.name}. Available: {', '.join(sorted(secrets))}")
        parts = (
            *world.runs,
            *world.errors,
            *world.functions,
            *world.jobs,
            *world.revisions,
            *world.traffic,
            *world.denied,
        )
        for part in (*parts, *world.deploys):
            part.select.of(inventory.functions)
        for named in world.references:
            if without := [f.name for f in named.select.of(inventory.functions) if named.secret not in f.secrets]:
                raise BadWorld(f"references: {', '.join(without)} do not have the secret {named.secret}")

    @cached_property
    def functions(self) -> list[Function]:
        """The existing functions: those of the inventory without the absent ones, then those of `bulk`."""
        here = [f for f in self.inventory.functions if self.state(f).state != "absent"]
        model = self.inventory.functions[0]
        more = [
            model.model_copy(update={"name": f"bulk-{n:04}", "tables": (), "schedule": "0 0 1 1 *"})
            for n in range(self.world.bulk.functions)
        ]
        return here + more

    def function(self, name: str) -> Function:
        """One existing function."""
        return next(f for f in self.functions if f.name == name)

    def said(self, part: str, function: Function) -> list:
        """The rules of one list of the world for one function, in order; a `kind` gets the texts of that function."""
        rules = [rule for rule in getattr(self.world, part) if function in self._selected(rule)]
        return [self._in_words(rule, function) if getattr(rule, "kind", "") else rule for rule in rules]

    def _in_words(self, rule: Any, function: Function) -> Any:
        kind = KINDS[rule.kind]
        said: dict[str, Any] = {"error": rule.error or self.words.error(rule.kind, function)}
        if isinstance(rule, Runs):
            said |= {"outcome": rule.outcome or kind.outcome, "cure": rule.cure or kind.cure}
        return rule.model_copy(update=said)

    def last(self, part: str, function: Function) -> Any:
        """The last rule of one list of the world for one function, for lists in which the last rule wins."""
        return next(reversed(self.said(part, function)), None)

    def state(self, function: Function) -> FunctionState:
        """The last rule for the state of a function."""
        return self.last("functions", function) or FunctionState(select=Select(), state="ACTIVE")

    def job(self, function: Function) -> Job:
        """The last rule for a function's job."""
        return self.last("jobs", function) or Job(select=Select())

    def references(self, function: Function) -> list[SecretReference]:
        """How a function reads each of its secrets; the last rule for a secret wins."""
        found = {secret: SecretReference(select=Select(), secret=secret) for secret in function.secrets}
        return list((found | {said.secret: said for said in self.said("references", function)}).values())

    def table(self, name: str) -> TableState:
        """The last rule for a table."""
        return next((said for said in reversed(self.world.tables) if said.name == name), TableState(name=name))

    def _selected(self, part: object) -> list[Function]:
        return part.select.of(self.inventory.functions)  # type: ignore[attr-defined]

    @cached_property
    def attempts(self) -> list[Attempt]:
        """Every call, made or missed, of a function by its job in the last eight days, by function and time."""
        gone = [f for f in self.inventory.functions if self.state(f).state == "absent"]
        return [attempt for function in [*self.functions, *gone] for attempt in self._attempts_of(function)]

    @cached_property
    def runs(self) -> list[Run]:
        """Every run of the last eight days, oldest first."""
        found = [attempt.run for attempt in self.attempts if attempt.run]
        return sorted(found, key=lambda run: (run.started_at, run.function.name))

    def _attempts_of(self, function: Function) -> Iterator[Attempt]:
        gone = [_GONE] if self.state(function).state == "absent" else []
        told = [*self._of_revisions(function), *self.said("runs", function)]
        rules = [_HEALTHY, *told, *gone, *self._of_jobs(function)]
        first: dict[int, str] = {}
        for started in _starts(function.name, function.schedule, self.now, self.zone):
            rule = next(r for r in reversed(rules) if self.now - r.since <= started <= self.now - r.until)
            if rule.outcome == "skipped" or id(rule) in first:
                if rule.kind:
                    yield Attempt(function, started, None, rule.kind, first.get(id(rule), ""))
                continue
            run = self._run(function, started, rule)
            yield Attempt(function, started, run, rule.kind)
            if rule.kind == "stuck":
                first[id(rule)] = run.id

    def _of_jobs(self, function: Function) -> list[Runs]:
        """The rules that follow from a job that was paused or disabled at a known time."""
        job = self.job(function)
        if not job.changed or job.state not in ("PAUSED", "DISABLED"):
            return []
        return [Runs(select=Select(name=function.name), outcome="skipped", since=job.changed)]

    def _of_revisions(self, function: Function) -> list[Runs]:
        """The rules that follow from revisions with an error, each while it served."""
        pinned = max((pin.since for pin in self.said("traffic", function)), default=timedelta(0))
        every, deployed = Select(name=function.name), self.said("revisions", function)
        made = []
        for one in (one for one in deployed if one.error):
            until = max((end for end in (pinned, *(d.age for d in deployed)) if end < one.age), default=timedelta(0))
            outcome = KINDS[one.kind].outcome if one.kind else "failed"
            made.append(Runs(select=every, outcome=outcome, kind=one.kind, error=one.error, since=one.age, until=until))
        return made

    def _run(self, function: Function, started: datetime, rule: Runs) -> Run:
        kind, status = rule.kind, rule.outcome
        took = timedelta(seconds=20 + number("took", function.name, started, below=70))
        if kind and KINDS[kind].whole_time:
            took = timedelta(seconds=function.timeout_s)
        if (status == "success" or kind) and started + took > self.now:
            status = "running"
        return Run(
            id=f"{function.name}-{started:%Y%m%d%H%M}",
            function=function,
            started_at=started,
            finished_at=None if status == "running" else started + took,
            status=status,
            error=_reported(kind, rule.error) if status == "failed" else "",
            records=_records(function, started, rule.rows) if status == "success" else 0,
            kind=kind,
            ended_at=started + took if kind and kind != "stuck" else None,
        )

    @cached_property
    def entries(self) -> list[Entry]:
        """Every log entry, oldest first: those of runs, of failures, and the world's own errors."""
        found = [e for attempt in self.attempts for e in self.lines.of_call(attempt, self.now)]
        for rule in self.world.errors:
            functions = self._selected(rule)
            gap = (rule.since - rule.until) / max(rule.count, 1)
            for n in range(rule.count):
                at = self.now - rule.since + gap * n + gap / 2
                function = functions[n % len(functions)]
                text = rule.text or self.words.error(rule.kind, function)
                told = list(self.lines.of_failure(rule.kind, function, at)) if rule.kind else []
                severity = "DEFAULT" if rule.payload == "stderr" else rule.severity
                sent = {"status": rule.status, "took": rule.took}
                found += told or [Entry(at, function.name, severity, text, rule.payload, **sent)]
        bulk, name = self.world.bulk.errors, self.functions[-1].name
        gap, start = timedelta(seconds=72000) / max(bulk, 1), self.now - timedelta(seconds=72000)
        found += [Entry(start + gap * n, name, "ERROR", f"bulk error {n}") for n in range(1, bulk + 1)]
        return sorted(found)

    def modified(self, name: str) -> datetime:
        """When a table was last written or changed: by the runs of its functions, or by the world."""
        ends = [
            run.finished_at or run.started_at
            for run in self.runs
            if name == self.inventory.runs or (name in run.function.tables and run.status == "success")
        ]
        said = self.table(name)
        changed = [self.now - said.changed] if said.changed else []
        return max((at for at in (*ends, *changed) if at <= self.now), default=self.now - HISTORY)

    def times(self, table: Table) -> list[datetime]:
        """The time of each row of a data table, oldest first: some rows for each successful run that writes it."""
        newest = self.now - self.table(table.name).stale
        return [
            at
            for run in self.runs
            if table.name in run.function.tables and run.status == "success" and run.started_at <= newest
            for at in self.times_of(run)
        ]

    def times_of(self, run: Run) -> list[datetime]:
        """The time of each row that one run writes to a table, oldest first."""
        if not run.records:
            return []
        return [run.started_at - timedelta(minutes=3 * n) for n in range(1 + number(run.id, below=4), 0, -1)]

    def run(self, function: Function, started: datetime, finished: datetime, error: str) -> Run:
        """One more run, which was requested and has ended."""
        status, id_ = ("failed" if error else "success"), f"{function.name}-{started:%Y%m%d%H%M%S}"
        records = 0 if error else _records(function, started)
        rules = [*self.said("runs", function), *self.said("revisions", function)]
        kind = next((r.kind for r in rules if error and r.kind and r.error == error), "")
        return Run(id_, function, started, finished, status, _reported(kind, error), records, kind, finished)


def _records(function: Function, started: datetime, said: int | None = None) -> int:
    """How many rows a successful run wrote, by its table of runs: what the world says, else some hundreds."""
    return 50 + number("records", function.name, started, below=400) if said is None else said


def _reported(kind: str, error: str) -> str:
    """The error in a run's row: a run that the platform stopped could not write one."""
    return NOT_ENDED if kind and KINDS[kind].lines else error
