"""How close functions came to their limits: duration and memory of their runs against the deployed limits. Pure.

Covers only functions whose cause is a limit. The deployed limit counts, not the one in params; if the deployed limit
could not be read, the limit in params is used and marked as such.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import field
from datetime import datetime

from runbook.config import Function, Settings
from runbook.incidents.affected import Evidence
from runbook.incidents.causes import Causes
from runbook.incidents.texts.codes import tables
from runbook.model import INTERNAL, FactRow
from runbook.model.rows import EtlRun, LogEntry

HIT = {"memory_limit": ("memory", "out of memory"), "timeout": ("duration", "out of time")}
EACH, ALL = 6, 24  # number of runs: for each function, and in total

# https://cloud.google.com/run/docs/configuring/services/memory-limits, https://cloud.google.com/functions/quotas
MOST = {"memory": 32 * 1024, "duration": 3600}

_BYTES = {"": 1, "k": 1e3, "K": 1e3, "Ki": 2**10, "M": 1e6, "Mi": 2**20, "G": 1e9, "Gi": 2**30}

_USED = re.compile(r"limit of ([\d.]+ ?[KMG]i?)B? exceeded with ([\d.]+ ?[KMG]i?)B? used")
_Point = tuple[datetime | None, float | None, float | None, str]  # time, value, the limit at that time, how it ended


class Headroom(FactRow):
    """A run against a limit. `what` is memory (MiB, from log entries of the platform) or duration (s).

    `seen` is None if it was not logged. `then` is the limit at that time, `hit` whether the limit stopped the run.
    """

    function: str
    run: datetime | None
    what: str
    seen: float | None
    limit: int
    unit: str
    limit_by: str
    ended: str
    then: float | None = field(metadata=INTERNAL)
    hit: bool = field(metadata=INTERNAL)


def headroom_of(causes: Causes, seen: Evidence, settings: Settings) -> tuple[Headroom, ...]:
    """The newest runs of functions that hit a limit, oldest first; each limit that was hit has a row."""
    hit = [(c.cause, settings.named(name)) for c in causes if c.cause in HIT for name in c.functions]
    each = max(1, min(EACH, ALL // max(1, len(hit))))
    rows: list[Headroom] = []
    for cause, function in hit:
        runs, lines = ([r for r in fact.rows if r.function == function.name] for fact in (seen.runs, seen.logs))
        lines = [r for r in lines if not r.bare]
        points = {"duration": list(_took(runs, lines))}
        if cause == "memory_limit":
            points["memory"] = list(_used(runs, lines))
        what, ended = HIT[cause]
        points[what] = points[what] or [(None, None, None, ended)]
        for part, found in points.items():
            rows += _against(part, function, seen, found[:each])
    return tuple(rows)


def _against(what: str, function: Function, seen: Evidence, points: Sequence[_Point]) -> Iterator[Headroom]:
    """Points, given newest first, against the deployed limit."""
    mine = (r for r in seen.functions.rows if r.name == function.name)
    live = next((r for r in mine if mebibytes(r.memory) >= 1 and 0 < r.timeout_s < 1e6), None)
    held = live or function
    limit, unit = (round(mebibytes(held.memory)), "MiB") if what == "memory" else (held.timeout_s, "s")
    limits = limit, unit, "deployed" if live else "params"
    for when, value, then, ended in reversed(points):
        yield Headroom(function.name, when, what, value, *limits, ended, then, (what, ended) in HIT.values())


def _used(runs: Sequence[EtlRun], lines: Sequence[LogEntry]) -> Iterator[_Point]:
    """The memory used, from log entries, or from the rows of runs if no entry states it; newest first."""
    for said in ([(r.at, r.text) for r in lines], [(r.started_at, r.error or "") for r in runs]):
        found = [(at, match) for at, text in said if (match := _USED.search(text))]
        for at, match in ((at, m) for at, m in found if mebibytes(m[1]) and mebibytes(m[2])):
            start = max((r.started_at for r in runs if r.started_at <= at), default=at)
            yield start, round(mebibytes(match[2])), mebibytes(match[1]), HIT["memory_limit"][1]
        if found:
            return


def _took(runs: Sequence[EtlRun], lines: Sequence[LogEntry]) -> Iterator[_Point]:
    """How long runs took, newest first. A stopped run has no recorded end; the log entry about it gives the time."""
    later = None
    for run in runs:
        start, end, ended = run.started_at, run.finished_at, run.status
        during = [r for r in lines if start <= r.at and (not later or r.at < later)]
        told = ((r.at, tables().match(r.text, r.platform, "")) for r in during)
        stops = [(at, HIT[match.row.cause][1]) for at, match in told if match and match.row.cause in HIT]
        if stops and ended != "success":
            end, ended = min(stops)
        took = round((end - start).total_seconds()) if end and end >= start else None
        yield start, took, took, ended if end else "no end"
        later = start


def mebibytes(text: str) -> float:
    """1024 of "1Gi", 488.3 of "512M"; a bare number is bytes, as in the API; 0 if it is not an amount."""
    found = re.fullmatch(r"(\d{1,15}(?:\.\d{1,15})?) ?(\w*)", text)
    return float(found[1]) * _BYTES.get(found[2], 0) / 2**20 if found else 0


def more(cause: str, function: str, rows: Sequence[Headroom]) -> tuple[str, str]:
    """The new limit and the reason in words; the limit is "" if it was raised since then or is at its maximum.

    At least twice the deployed limit, and enough for the values of the runs.
    """
    what = HIT[cause][0]
    mine = [r for r in rows if (r.function, r.what) == (function, what)]
    limit, unit, by = mine[-1].limit, mine[-1].unit, mine[-1].limit_by
    hits = [r for r in mine if r.hit and r.seen]
    seen = max((r.seen for r in hits), default=0)
    described = f"stopped at {seen:,.0f} {unit}; " * bool(hits) + f"the limit is {limit:,} {unit}"
    described += " in params; the deployed limit could not be read" * (by == "params")
    if hits and hits[-1].then < 0.9 * limit:
        return "", f"{described} now"
    if limit >= MOST[what]:
        return "", f"{described}, the maximum"
    wanted = 2 * limit
    while wanted < seen:
        wanted *= 2
    wanted = min(wanted, MOST[what])
    memory = f"{wanted // 1024}Gi" if wanted % 1024 == 0 else f"{wanted}Mi"  # as gcloud writes it
    return memory if what == "memory" else str(wanted), described
