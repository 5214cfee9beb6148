"""The checks of the daily check: facts in, findings out (guide: What to Check). Pure: no I/O, no clock, no cloud."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo

from cronsim import CronSim

from runbook.checks.base import ALERT, HINTS, OK, UNKNOWN, WARN, gap_or_missing_findings, one
from runbook.config import Function, Settings
from runbook.config.schema import Freshness
from runbook.model import Fact, Finding, Findings, Moment, join
from runbook.model.rows import EtlCount, EtlDay, FailedRun, FunctionState, LogEntry, SchedulerJob, ScoreDay, TableAge

MOST = 10  # unexpected functions that are listed one by one


def etl_today(today: Fact[EtlCount], failures: Fact[FailedRun], settings: Settings, moment: Moment) -> Findings:
    """Successful runs of the team's day against `thresholds.etl_runs`; failed runs are a warning that names them.

    A run that never ended is also a warning, unless a later run succeeded. Too few runs are ok until the first run of
    the day must have ended, by the schedule and timeout in params: they are not due yet.
    """
    limits = settings.thresholds.etl_runs
    limit = f"ok from {limits.ok_from}, alert at {limits.alert_at}"
    gone = gap_or_missing_findings("ETL runs today", today, limit)
    if gone and not today.rows:
        return gone
    good = sum(r.runs for r in today.rows if r.status == "success")
    first = first_due(settings, moment)
    early = first is None or moment.at < first
    verdict = OK if early or good >= limits.ok_from else ALERT if good <= limits.alert_at else WARN
    value = f"{good} successful"
    if early:
        value += f"; not due yet (first by {moment.local(first):%H:%M})" if first else "; none is scheduled today"
    found = one("ETL runs today", "all source systems", value, limit, verdict, HINTS["too_few_runs"])
    return join((found, gone, _failed(today, failures), _endless(today, settings, moment)))


def _endless(today: Fact[EtlCount], settings: Settings, moment: Moment) -> Findings:
    """Runs that neither succeeded nor failed although the time limit of every function of their system has passed.

    If a later run succeeded, the finding is ok: the older run is over, and its row will never change.
    """
    whose = "function" if settings.tables.etl_runs.function and not today.gaps else "source system"
    found = []
    for row in today.rows:
        system = row.source_system
        limit = max((f.timeout_s for f in settings.functions if f.source_system == system), default=3600)
        if row.status in ("success", "failed") or moment.at - row.latest <= timedelta(seconds=limit):
            continue
        verdict = OK if row.outlived else WARN
        value = f"{row.runs} without an end, status {row.status}, newest since {moment.local(row.latest):%H:%M}"
        value += f"; a later run of the {whose} succeeded" if row.outlived else ""
        wanted = f"ended within {limit} s, or a later one succeeded"
        found.append(one("ETL runs without an end", system, value, wanted, verdict, HINTS["still_running"]))
    return join(found)


def first_due(settings: Settings, moment: Moment) -> datetime | None:
    """The time by which the first run of the team's day must have ended; None if none is scheduled that day."""
    before = moment.midnight() - timedelta(minutes=1)
    ticks = ((next(due(f, before, moment.zone)), f.timeout_s) for f in settings.functions)
    ends = (tick + timedelta(seconds=limit) for tick, limit in ticks if tick < moment.midnight(days_ago=-1))
    return min(ends, default=None)


def due(function: Function, start: datetime, zone: tzinfo) -> Iterator[datetime]:
    """When a function is due after a time, in UTC."""
    ticks = (tick.astimezone(UTC) for tick in CronSim(function.schedule, start.astimezone(zone)))
    return (tick for tick in ticks if tick >= start)  # in the hour that comes twice, a tick can lie before it


def _failed(today: Fact[EtlCount], failures: Fact[FailedRun]) -> Findings:
    failed = [row for row in today.rows if row.status == "failed"]
    found = []
    for system in sorted({row.source_system for row in failed}):
        count = sum(r.runs for r in failed if r.source_system == system)
        last = next((r for r in failures.rows if r.source_system == system), None)
        said = ": ".join(filter(None, (last.function, last.error))) if last else ""
        value = f"{count} failed" + (f"; newest {said}" if said else "")
        found.append(Finding("failed ETL runs today", system, value, "none", WARN, "read the function's logs."))
    return Findings((*found, *gap_or_missing_findings("failed ETL runs today", failures, "none")))


def etl_week(week: Fact[EtlDay], settings: Settings, moment: Moment) -> Findings:
    """The success rate of seven days, for information; no run in that time is an alert."""
    limit = "some runs; the rate is for information"
    if gone := gap_or_missing_findings("ETL success rate", week, limit):
        return gone
    good, bad = sum(r.success for r in week.rows), sum(r.failed for r in week.rows)
    if not good + bad:
        return one("ETL success rate", "last 7 days", "no runs", limit, ALERT, "check the scheduler jobs.")
    value = f"{100 * good / (good + bad):.1f} % of {good + bad:,} runs"
    return one("ETL success rate", "last 7 days", value, limit, OK)


def functions(seen: Fact[FunctionState], settings: Settings, moment: Moment) -> Findings:
    """Every function in params exists and is ACTIVE; a function that is not in params is a warning, many are one.

    A function that is not listed is unknown, not missing, if its location did not answer or some entry could not be
    read.
    """
    expected, region = [f.name for f in settings.functions], settings.region
    limit = f"{len(expected)} functions, ACTIVE"
    if seen.gaps and not seen.rows and not any(g.location for g in seen.gaps):
        return gap_or_missing_findings("functions", seen, limit)
    here = {r.name: r for r in seen.rows if r.region == region}
    away = any(g.location in ("", region) for g in seen.gaps)
    found = []
    for name in expected:
        if name not in here and not away:
            found.append(Finding("functions", name, "missing", limit, ALERT, HINTS["who_deleted_the_function"]))
        elif name in here and here[name].state != "ACTIVE":
            state, said = here[name].state, here[name].message
            verdict = {"DEPLOYING": WARN, "UNKNOWN": UNKNOWN, "STATE_UNSPECIFIED": UNKNOWN}.get(state, ALERT)
            value = state + (f": {said}" if said else "")
            found.append(Finding("functions", name, value, limit, verdict, "check its last deployment."))
    others = [row for row in seen.rows if row.name not in expected or row.region != region]
    said = [(row.name, f"unexpected, in {row.region}") for row in others]
    if len(others) > MOST:
        said = [("other functions", f"{len(others):,} unexpected, such as {', '.join(row.name for row in others[:3])}")]
    found += [Finding("functions", name, value, limit, WARN, HINTS["unexpected_function"]) for name, value in said]
    active = sum(here[n].state == "ACTIVE" for n in expected if n in here)
    if not away:
        verdict = OK if active == len(expected) else ALERT
        found.insert(0, Finding("functions", region, f"{active} of {len(expected)} ACTIVE", limit, verdict))
    return Findings((*found, *gap_or_missing_findings("functions", seen, limit)))


def errors(seen: Fact[LogEntry], settings: Settings, moment: Moment, works: str = "") -> Findings:
    """The number of the system's errors against `thresholds.errors`; a full page of entries counts as "at least".

    While every function works now (`works` is "ok"), too many errors are a warning: noise, which can wait for the day.
    Errors of other resources in this project are counted separately, for information.
    """
    limits = settings.thresholds.errors
    limit = f"ok below {limits.ok_below}, alert above {limits.alert_above}"
    gone = gap_or_missing_findings("errors", seen, limit)
    if gone and not seen.rows:
        return gone
    count = sum(r.ours for r in seen.rows)
    verdict = OK if count < limits.ok_below else ALERT if count > limits.alert_above else WARN
    more = seen.more and (not seen.only or any(r.ours and r.function in seen.only for r in seen.rows))
    value = f"≥ {count:,}" if more else f"{count:,}"
    if (more or gone) and verdict is not ALERT:
        verdict = UNKNOWN
    if verdict is ALERT and works == "ok":
        verdict, value = WARN, f"{value}, although every function works"
    found = one("errors", "last 24 h", value, limit, verdict, "read the newest errors first.")
    if count == len(seen.rows):
        return join((found, gone))
    names = Counter(r.function for r in seen.rows if not r.ours).most_common(3)
    value = f"{'≥ ' * seen.more}{len(seen.rows) - count:,}, most from {', '.join(name for name, _ in names)}"
    return join((found, one("errors elsewhere", "last 24 h", value, "for information", OK), gone))


def scores(seen: Fact[ScoreDay], settings: Settings, moment: Moment) -> Findings:
    """The age of the newest score in days against `thresholds.scores`, by the date in the team's time zone."""
    warn = settings.thresholds.scores.warn_days
    limit = f"today; alert when more than {warn} day{'s' if warn != 1 else ''} old"
    if gone := gap_or_missing_findings("account scores", seen, limit):
        return gone
    subject = settings.tables.scores.name
    if not seen.rows:
        return one("account scores", subject, "no scores", limit, ALERT, "read the logs of the scoring function.")
    newest = max(r.score_date for r in seen.rows)
    days = (moment.today - newest).days
    verdict = OK if days == 0 else WARN if days <= warn else ALERT
    age = "today" if days == 0 else f"{days} day{'s' if days != 1 else ''} old"
    return one("account scores", subject, f"{newest} ({age})", limit, verdict, HINTS["not_scored"])


def freshness(seen: Fact[TableAge], settings: Settings, moment: Moment) -> Findings:
    """The age of each table's newest row against the table's limit; an older, empty or absent table is an alert."""
    ages = {r.table_name: r.minutes_stale for r in seen.rows}
    found = []
    for table in (t for t in settings.tables.freshness if t.name in ages):
        limit, minutes = f"at most {table.limit_hours:g} h", ages[table.name]
        value = "no rows" if minutes is None else f"{minutes / 60:.1f} h"
        verdict = ALERT if too_old(minutes, table) else OK
        found.append(one("data freshness", table.name, value, limit, verdict, HINTS["not_written"]))
    return join((*found, gap_or_missing_findings("data freshness", seen, "fresh")))


def too_old(minutes: float | None, table: Freshness) -> bool:
    """Whether the newest row of a table, so many minutes old, is older than its limit; a table without rows is."""
    return minutes is None or minutes > table.limit_hours * 60


def jobs(seen: Fact[SchedulerJob], settings: Settings, moment: Moment) -> Findings:
    """Every scheduler job is ENABLED and its last attempt succeeded; no jobs is an alert."""
    limit = "ENABLED, last attempt ok"
    gone = gap_or_missing_findings("scheduler", seen, limit)
    if not seen.rows:
        return gone or one("scheduler", settings.region, "no jobs", limit, ALERT, "find out who deleted them.")
    found = []
    for row in seen.rows:
        if row.state != "ENABLED":
            hint = HINTS.get(f"job_{row.state}", HINTS["job_in_another_state"])
            found.append(Finding("scheduler", row.name, row.state, limit, WARN, hint))
        elif row.code:
            value = f"last attempt failed, code {row.code} {row.message}".strip()
            found.append(Finding("scheduler", row.name, value, limit, WARN, "read the function's logs."))
    value = f"{len(seen.rows) - len(found)} of {len(seen.rows)} ok"
    return Findings((Finding("scheduler", settings.region, value, limit, WARN if found else OK), *found, *gone))
