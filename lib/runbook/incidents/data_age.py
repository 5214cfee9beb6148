"""Data that is wrong although runs are green: tables older than their limit, and runs that wrote nothing. Pure."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import groupby, takewhile

from runbook.config.schema import Function, Settings
from runbook.incidents.affected import Evidence, FailingFunction
from runbook.incidents.causes import Cause
from runbook.incidents.severity import old_tables
from runbook.model.moment import Moment
from runbook.model.rows import EtlRun

ENOUGH = {1.5: 3, 4: 2}  # so many empty runs of a function that runs more often than every so many hours are no chance


def green_but_wrong(
    seen: Evidence, failing: tuple[FailingFunction, ...], settings: Settings, moment: Moment
) -> Iterator[Cause]:
    """A cause for each working function that wrote nothing or whose tables are too old, unless what feeds it fails."""
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
        elif empty := _wrote_nothing(function, good, moment):
            yield replace(empty, evidence=(*empty.evidence, *late), confidence="sure" if late else empty.confidence)
        elif late and good and not seen.runs.gaps:
            said = f"{function.name}: its run of {good[0].started_at:%H:%M} succeeded"
            yield Cause("stale_data", (function.name,), since, "sure", (*late, said), function.name)


def _wrote_nothing(function: Function, good: list[EtlRun], moment: Moment) -> Cause | None:
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
