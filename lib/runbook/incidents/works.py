"""What does not work now, for the daily check, by the same rule as the P1 page. Pure."""

from dataclasses import replace
from datetime import timedelta
from itertools import islice

from runbook.checks.base import ALERT, OK, WARN, gap_findings, one
from runbook.checks.daily import due, too_old
from runbook.config import Settings
from runbook.display import few
from runbook.incidents.affected import SLACK, Evidence, FailingFunction
from runbook.incidents.diagnosis import diagnose
from runbook.incidents.severity import OF_DATA, severity
from runbook.model import Fact, Findings, Moment, join
from runbook.model.rows import TableAge

LIMIT = "every function works"


def works_now(
    functions: Fact,
    runs: Fact,
    jobs: Fact,
    feeds: Fact,
    freshness: Fact,
    scores: Fact,
    settings: Settings,
    moment: Moment,
) -> Findings:
    """Each function that does not work now, or whose data is wrong although its runs are green, with the severity.

    An alert if the P1 page would say P1 or P2, if two due runs in a row failed or are missing, or if the next run comes
    too late for a table's limit; else a warning. A status page that could not be read is the page's business.
    """
    nothing = replace(functions, rows=(), gaps=(), absent=())
    seen = Evidence(functions, runs, nothing, nothing, nothing, jobs, feeds, freshness, scores, nothing)
    causes = diagnose(seen, settings, moment)
    level, why = severity(causes, seen, settings, moment)
    hint = "find the cause: run p1_response."
    wrong = {few(c.functions): f"{c.title}: {c.evidence[0]}" for c in causes if c.cause in OF_DATA}
    late = [f for f in causes.failing if _missed_two(f, moment) or _too_late(f, freshness, settings, moment)]
    urgent = level in ("P1", "P2") or any(f.how != "not deployed" for f in late)
    verdict = ALERT if urgent else WARN
    rows = {f.function.name: f.symptom for f in causes.failing} | wrong
    found = [one("function now", name, f"{said}; {level}", LIMIT, verdict, hint) for name, said in rows.items()]
    if found:
        found[0] = Findings((replace(found[0][0], value=f"{next(iter(rows.values()))}; {level}: {why}"),))
    elif not (runs.gaps or functions.gaps):
        found = [one("function now", "all functions", "{0} of {0}".format(len(settings.functions)), LIMIT, OK)]
    return join((*found, gap_findings("function now", runs, LIMIT)))


def _missed_two(failing: FailingFunction, moment: Moment) -> bool:
    """Whether it was due twice or more often since its last good run."""
    if failing.last_good is None:
        return True
    ticks = due(failing.function, failing.last_good + timedelta(minutes=1), moment.zone)
    return all(tick < moment.at - SLACK for tick in islice(ticks, 2))


def _too_late(failing: FailingFunction, freshness: Fact[TableAge], settings: Settings, moment: Moment) -> bool:
    """Whether one of its tables is older than its limit before its next run."""
    until = next(due(failing.function, moment.at, moment.zone)) - moment.at
    ages = {row.table_name: row.minutes_stale for row in freshness.rows}
    mine = [t for t in settings.tables.freshness if t.name in failing.function.tables and ages.get(t.name) is not None]
    return any(too_old(ages[table.name] + until.total_seconds() / 60, table) for table in mine)
