"""Which data an outage left short, and what fills it: days, tables and rows. Pure.

A due run that did not succeed, or that wrote nothing although others did, leaves its day short until a later run succeeds.
That this run caught up is shown by its rows against the usual ones; for scores, by the rows of each day.
"""

from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta
from itertools import dropwhile, pairwise, takewhile
from statistics import median

from runbook.config.schema import Function, Settings
from runbook.incidents.affected import SLACK, Evidence, due
from runbook.incidents.severity import wrote_nothing
from runbook.model.command import command
from runbook.model.moment import Moment
from runbook.model.rows import EtlRun, FactRow

HOURS = 48  # of runs that the page reads
PROVED = 0.8  # of the rows that the missed runs would have written


class Short(FactRow):
    """Data of a function that is short, or may be: `ran_again` is its first good run since then, None if there is none.

    `command` fills it once the cause is gone. `missed_runs` were due and gave nothing. `rows_missing` is about what they would have written; None if unknown.
    """

    function: str
    tables: tuple[str, ...]
    days: tuple[date, ...]
    missed_runs: int
    rows_missing: int | None
    ran_again: datetime | None
    command: str

    @property
    def said(self) -> str:
        """What is short, in words."""
        days = " and ".join(f"{day:%d %b}" for day in self.days)
        rows = f", about {self.rows_missing:,} rows" * bool(self.rows_missing)
        return f"{days}: {self.missed_runs} due runs gave nothing{rows}"


def short(seen: Evidence, settings: Settings, moment: Moment, place: Mapping[str, str]) -> Iterator[Short]:
    """A row for each function whose data is short, or not shown to be whole; none if its runs could not be read.

    `place` has environment, world and incident for the command. Runs are known for 48 hours.
    """
    known = [r for r in seen.runs.rows if r.function]
    since = known[-1].started_at if seen.runs.more and known else moment.ago(HOURS)
    for function in () if seen.runs.gaps else settings.functions:
        good = _good([r for r in known if r.function == function.name and r.status == "success"], function, moment)
        end = moment.at - SLACK - timedelta(seconds=function.timeout_s)
        ticks = list(takewhile(lambda tick, end=end: tick < end, due(function, since + SLACK, settings.zone)))
        starts = [r.started_at + SLACK for r in good]
        missed = [a for a, b in pairwise([*ticks, moment.at + SLACK]) if not any(a <= start < b for start in starts)]
        if missed and (row := _row(function, missed, good, seen, settings, moment)):
            again = command("retry", {**place, "function": function.name})
            fill = "the next scheduled run" if function.repeat == "never" else again
            yield Short(function.name, tuple(function.tables), *row, fill)


def _good(runs: list[EtlRun], function: Function, moment: Moment) -> list[EtlRun]:
    """The successful runs, newest first, without those that wrote nothing where that cannot be chance."""
    empty = wrote_nothing(function, list(dropwhile(lambda r: r.records != 0, runs)), moment)
    return [r for r in runs if not (empty and r.records == 0 and r.started_at >= empty.since)]


def _row(
    function: Function, missed: list[datetime], good: list[EtlRun], seen: Evidence, settings: Settings, moment: Moment
) -> tuple[tuple[date, ...], int, int | None, datetime | None] | None:
    """Days, missed runs, missing rows and the first good run since; None if nothing is short."""
    ran = next((r for r in reversed(good) if r.started_at > missed[-1] - SLACK), None)
    before = next((r.started_at for r in good if r.started_at < missed[-1] - SLACK), missed[0] - SLACK)
    lately = [tick for tick in missed if tick > before - SLACK]
    days = sorted({moment.local(tick).date() for tick in lately})
    usual = [r.records for r in good if r is not ran and r.records]
    each = round(median(usual)) if usual else 0
    rows = each * len(lately) if each else None
    if ran and settings.tables.scores.name in function.tables and not seen.scores.gaps:
        days = sorted(set(days) - {r.score_date for r in seen.scores.rows})
        return (tuple(days), len(lately), rows, ran.started_at) if days else None
    if ran and rows is not None and ran.records is not None:
        wanted = rows + each
        if len(lately) < 2 or ran.records >= PROVED * wanted:  # a single miss is not told from chance by one run's rows
            return None
        rows = wanted - ran.records
    return tuple(days), len(lately), rows, ran.started_at if ran else None
