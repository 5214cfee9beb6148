"""The severity, from the guide's table: what does not work now, and how old the data is. Pure."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import groupby, takewhile

from runbook.checks.daily import too_old
from runbook.config import Function, Settings
from runbook.display import few
from runbook.incidents.affected import Evidence, FailingFunction
from runbook.incidents.causes import Cause, Causes
from runbook.model import Moment
from runbook.model.rows import EtlRun

ENOUGH = {1.5: 3, 4: 2}  # so many empty runs of a function that runs more often than every so many hours are no chance
OF_DATA = ("stale_data", "nothing_written")


def severity(causes: Causes, seen: Evidence, settings: Settings, moment: Moment) -> tuple[str, str]:
    """P1 to P4 or unknown, and why in words.

    P1: at least half of the functions do not work, or the region is down. P2: account scoring does not work, or no
    function of a source system with several functions, or data is older than its limit because of it. P3: something
    else does not work. P4: every function works.
    """
    down = {s.function.name for s in causes.failing if s.how != "not deployed"}  # the previous revision still serves
    total, names = len(settings.functions), few(sorted(down))
    if any(c.cause == "region_outage" for c in causes):
        return "P1", f"{settings.region} is down: at least {len(down)} of {total} functions do not work"
    if down and len(down) * 2 >= total:
        return "P1", f"{len(down)} of {total} functions do not work"
    if not down and (seen.functions.gaps or seen.runs.gaps):
        return "unknown", "no failing function found, but functions or runs could not be read"
    if down & {f.name for f in settings.functions if settings.tables.scores.name in f.tables}:
        return "P2", f"account scoring does not work ({names})"
    if dead := [c for c in causes if (c.cause, c.detail) == ("web_app", "down")]:
        return "P2", f"{dead[0].functions[0]} does not work: {dead[0].evidence[0]}"
    if systems := _whole_systems(down, settings):
        return "P2", f"no function of {' and '.join(systems)} works: {names}"
    late = old_tables(seen, settings, moment)
    blamed = down.union(*(c.functions for c in causes if c.cause in OF_DATA))
    fed = {t: {f.name for f in settings.functions if t in f.tables} & blamed for t in late}
    if reason := [f"{t}: {why}" for t, why in late.items() if fed[t]]:
        return "P2", f"{'; '.join(reason)} ({few(sorted(set().union(*fed.values())))})"
    if down:
        return "P3", f"{len(down)} of {total} functions down: {names}; no table is older than its limit"
    if causes:
        said = {"a deployment failed" if c.cause == "failed_deployment" else c.title for c in causes}
        return "P4", "every function works; " + few(sorted(said))
    return "P4", "no failing function found" + ", but not everything could be read" * bool(causes.unknowns)


def old_tables(seen: Evidence, settings: Settings, moment: Moment) -> dict[str, str]:
    """The tables whose newest row is older than their limit, and how old it is in words; an empty table is too old."""
    ages = {r.table_name: r.minutes_stale for r in seen.freshness.rows}
    found = {}
    for table in (t for t in settings.tables.freshness if t.name in ages):
        minutes = ages[table.name]
        if too_old(minutes, table):
            age = "it has no rows" if minutes is None else f"its newest row is {minutes / 60:.0f} h old"
            found[table.name] = f"{age}, the limit is {table.limit_hours:g} h"
    limit = settings.thresholds.scores.warn_days
    age = min(((moment.today - r.score_date).days for r in seen.scores.rows), default=0)
    if age > limit:
        found[settings.tables.scores.name] = f"its newest score is {age} days old, the limit is {limit}"
    return found


def _whole_systems(down: set[str], settings: Settings) -> list[str]:
    """The source systems with several functions of which none works."""
    count = Counter(f.source_system for f in settings.functions)
    works = {f.source_system for f in settings.functions if f.name not in down}
    return sorted(system for system, n in count.items() if n > 1 and system not in works)


# --- data that is wrong although runs are green: tables older than their limit, and runs that wrote nothing


def green_but_wrong(
    seen: Evidence, failing: tuple[FailingFunction, ...], settings: Settings, moment: Moment
) -> Iterator[Cause]:
    """A cause for each working function that wrote nothing or whose tables are too old, unless what feeds it fails."""
    yield from _web_app(seen, settings, moment)
    down = {f.function.name for f in failing}
    old = old_tables(seen, settings, moment)
    gone = {name.rsplit(".", 1)[-1] for name in seen.freshness.absent}
    for function in settings.functions:
        if {function.name, *upstream(function, settings)} & down:
            continue
        late = [f"{table}: {old[table]}" for table in function.tables if table in old]
        good = [r for r in seen.runs.rows if r.function == function.name and r.status == "success"]
        newest = [r.newest for r in seen.freshness.rows if r.table_name in function.tables and r.newest]
        since = min([*newest, good[0].started_at if good else moment.at])
        if missing := [table for table in function.tables if table in gone]:
            said = f"BigQuery answers that {missing[0]} does not exist"
            yield Cause("table_missing", (function.name,), since, "sure", (said,), missing[0])
        elif empty := wrote_nothing(function, good, moment):
            yield replace(empty, evidence=(*empty.evidence, *late), confidence="sure" if late else empty.confidence)
        elif late and good and not seen.runs.gaps:
            said = f"{function.name}: its run of {good[0].started_at:%H:%M} succeeded"
            yield Cause("stale_data", (function.name,), since, "sure", (*late, said), function.name)


def _web_app(seen: Evidence, settings: Settings, moment: Moment) -> Iterator[Cause]:
    """The web app as a symptom, after all causes: it does not work, or a table that it shows is too old."""
    if app := settings.web_app:
        bad = [row for row in seen.feeds.rows if row.feed == app.name]
        old = [f"it shows {t}: {why}" for t, why in old_tables(seen, settings, moment).items() if t in app.reads]
        detail = "down" if any(row.severity == "high" for row in bad) else ""
        gone = ["its service does not exist"] * bool(seen.feeds.absent)
        if said := (*(row.title for row in bad), *gone, *old):
            yield Cause("web_app", (app.name,), moment.at, "sure", said, app.name, detail=detail, second=not detail)


def wrote_nothing(function: Function, good: list[EtlRun], moment: Moment) -> Cause | None:
    """Its newest runs wrote no row, nearly all earlier ones did, and that cannot be chance."""
    runs = [r for r in good if r.records is not None]
    empty = list(takewhile(lambda r: r.records == 0, runs))
    before = runs[len(empty) :]
    longest = max((len(list(group)) for none, group in groupby(before, lambda r: r.records == 0) if none), default=0)
    if not empty or not before or len(empty) < 2 * longest or sum(r.records == 0 for r in before) * 4 > len(before):
        return None
    between = empty[-1].started_at - before[0].started_at
    enough = next((count for often, count in ENOUGH.items() if between < timedelta(hours=often)), 1)
    if len(empty) < enough and moment.at - empty[-1].started_at < timedelta(hours=4):
        return None
    usual = sorted(r.records or 0 for r in before)[len(before) // 2]
    said = f"{function.name}: {len(empty)} successful runs wrote 0 rows; usual are about {usual:,}"
    since, sure = empty[-1].started_at, "sure" if len(empty) > 2 else "likely"
    return Cause("nothing_written", (function.name,), since, sure, (said,), function.name)


def upstream(function: Function, settings: Settings) -> list[str]:
    """The functions whose data a function reads, directly or through others."""
    found, wanted = list[str](), list(function.after)
    while wanted:
        if (name := wanted.pop(0)) not in found:
            found.append(name)
            wanted += settings.named(name).after
    return found
