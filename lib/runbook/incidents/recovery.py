"""Which data an outage left short, and what fills it: days, tables and rows. Pure.

A due run that did not succeed, or wrote nothing although others did, leaves its day short until a later run succeeds.
That this run caught up is shown by its rows against the usual ones; for scores, by the rows of each day.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from itertools import dropwhile, pairwise, takewhile
from statistics import median

from runbook.checks.daily import due
from runbook.config import Function, Settings
from runbook.incidents.affected import SLACK, Evidence
from runbook.incidents.severity import wrote_nothing
from runbook.model import FactRow, Moment, command
from runbook.model.rows import EtlRun

HOURS = 48  # of runs that the page reads
FILL = {"never": "wait for its next run"}  # by what params say about another run
PROVED = 0.8  # of the rows that the missed runs would have written


class Short(FactRow):
    """Data of a function that is short, or may be. `ran_again`: its first good run since then, None if there is none.

    `missed_runs` were due and gave nothing, and `rows_missing` is about what they would have written, None if unknown.
    `command` fills it once the cause is gone; where there is none, `do` says what does.
    """

    function: str
    tables: Sequence[str]
    days: Sequence[date]
    missed_runs: int
    rows_missing: int | None
    ran_again: datetime | None
    command: str
    do: str

    @property
    def said(self) -> str:
        """What is short, in words."""
        days = " and ".join(f"{day:%d %b}" for day in self.days)
        rows = f", about {self.rows_missing:,} rows missing" if self.rows_missing else ""
        return f"{days}: due runs without data: {self.missed_runs}{rows}"


def short(seen: Evidence, settings: Settings, moment: Moment, place: Mapping[str, str]) -> Iterator[Short]:
    """A row for each function whose data is short, or not shown to be whole; none if its runs could not be read.

    `place` has environment, world, function and incident for the command, in this order. Runs are known for 48 hours.
    """
    for function in () if seen.runs.gaps else settings.functions:
        good = list(_good(function, seen, moment))
        missed = list(_missed(function, good, seen, settings, moment))
        if not missed:
            continue
        since = [r for r in good if r.started_at > missed[-1] - SLACK]
        ran = since[-1] if since else None
        usual = [r.records for r in good if r is not ran and r.records]
        each, days = round(median(usual)) if usual else None, sorted({moment.local(tick).date() for tick in missed})
        rows = each and each * len(missed)
        if ran and settings.tables.scores.name in function.tables:
            days = sorted(set(days) - {r.score_date for r in seen.scores.rows})
        elif ran and each and rows and ran.records is not None:
            caught_up = ran.records >= PROVED * (rows + each)
            # The rows of one run do not tell a single miss from chance.
            rows, days = rows + each - ran.records, [] if caught_up or len(missed) == 1 else days
        if days:
            of_scores = settings.tables.scores.name in function.tables  # a run writes those of its own day
            do = _by_hand(settings) if ran and (of_scores or len(since) > 1) else FILL.get(function.repeat, "")
            fill = "" if do else command("retry", {**place, "function": function.name})
            yield Short(function.name, function.tables, days, len(missed), rows, ran and ran.started_at, fill, do)


def _by_hand(settings: Settings) -> str:
    """What to do about data that another run does not load: it was tried."""
    lead = settings.contacts.get("team-lead")
    return f"another run does not load it: ask {lead.who if lead else 'the owner of the function'} to load it by hand"


def _good(function: Function, seen: Evidence, moment: Moment) -> Iterator[EtlRun]:
    """Its successful runs, newest first, without those that wrote nothing where that cannot be chance."""
    runs = [r for r in seen.runs.rows if r.function == function.name and r.status == "success"]
    empty = wrote_nothing(function, list(dropwhile(lambda r: r.records != 0, runs)), moment)
    return (r for r in runs if not (empty and r.records == 0 and r.started_at >= empty.since))


def _missed(
    function: Function, good: list[EtlRun], seen: Evidence, settings: Settings, moment: Moment
) -> Iterator[datetime]:
    """When it was due and gave nothing: the last times that no good run followed before it was due again."""
    since = seen.runs.rows[-1].started_at if seen.runs.more and seen.runs.rows else moment.ago(HOURS)
    end = moment.at - SLACK - timedelta(seconds=function.timeout_s)
    ticks = list(takewhile(lambda tick: tick < end, due(function, since + SLACK, settings.zone)))
    starts = [r.started_at + SLACK for r in good]
    gone = [a for a, b in pairwise([*ticks, moment.at + SLACK]) if not any(a <= start < b for start in starts)]
    last = max((start for start in starts if gone and start < gone[-1]), default=since)
    return (tick for tick in gone if tick > last - SLACK)
