"""Which functions are failing, with the symptom, the start time, the texts about each, and its own changes. Pure.

A function is *failing* if it does not exist, if its newest run failed or has no end, if a run that was due did not
start, or if its deployment failed. A single error between successful runs does not count.
"""

import re
from collections import namedtuple
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import dropwhile, takewhile
from typing import Any

from runbook.checks.daily import due
from runbook.config import Function, Settings
from runbook.incidents.texts.signatures import FORMS
from runbook.model import Fact, Moment
from runbook.model.rows import AuditedChange, EtlRun, FunctionState, LogEntry, SecretVersion

SLACK = timedelta(minutes=3)  # tolerance between due and start, and between a log entry and a run's record
MOST = 3  # changes shown for each function
SHORTLY = timedelta(minutes=20)  # after a change, a failure is its likely consequence
_NOT_READY = "Ready condition status changed to False for Revision"
_DEPLOY = re.compile(r"UpdateFunction|CreateFunction|ReplaceService|UpdateService")


_STATES = {"FAILED": ("not deployed", "the deployment failed"), "DELETING": ("gone", "being deleted")}

# The facts of a diagnosis.
Evidence = namedtuple("Evidence", "functions runs logs changes secrets jobs feeds freshness scores quotas")


# A text about a failing function. `newest`: of its newest failed run; `new`: not from before the failure, too.
# `place` is run (the error of its run), platform, error, attempt, warning, or bare (a line without a severity).
Line = namedtuple("Line", "text place newest new", defaults=(True, True))


@dataclass(frozen=True)
class FailingFunction:
    """A failing function: how it fails, the symptom in words, since when, when it last worked, and its failed runs.

    `how` is failed, no end, not started, gone or not deployed.
    """

    function: Function
    how: str
    symptom: str
    since: datetime
    last_good: datetime | None
    runs: tuple[EtlRun, ...] = field(default=(), repr=False)
    lines: tuple[Line, ...] = field(default=(), repr=False)

    # Texts since it began to fail that did not occur before; numbers in them are ignored.
    news = property(lambda self: [line.text for line in self.lines if line.new])


def shape(text: str = "") -> str:
    """A text without its numbers."""
    return re.sub(r"\d+", "#", text)


def find(seen: Evidence, settings: Settings, moment: Moment) -> Iterator[FailingFunction]:
    """All failing functions, in the order of params."""
    states = {r.name: r for r in seen.functions.rows if r.region == settings.region}
    for function in settings.functions:
        state = states.get(function.name)
        found = _by_runs(function, seen.runs, settings, moment)
        if not state and seen.functions.rows and not seen.functions.gaps:
            shown = f"does not exist; {found.symptom}" if found else "does not exist"
            found = replace(found or FailingFunction(function, "gone", "", moment.at, None), how="gone", symptom=shown)
        elif found is None and state and state.state in _STATES:
            found = FailingFunction(function, *_STATES[state.state], state.updated or moment.at, None)
        elif found is None and (broken := _not_ready(function, seen)):
            found = FailingFunction(function, *_STATES["FAILED"], broken.at, None)
        if found:
            yield replace(found, lines=tuple(_lines(found, seen, state)))


def _not_ready(function: Function, seen: Evidence) -> LogEntry | None:
    """The entry that its newest revision did not become ready, unless it was deployed since then."""
    mine = [r for r in seen.logs.rows if r.function == function.name and r.platform and _NOT_READY in r.text]
    names = (function.name, function.service_name)
    later = (c for c in seen.changes.rows if c.resource.rsplit("/", 1)[-1] in names and _DEPLOY.search(c.what))
    return mine[0] if mine and not any(c.at > mine[0].at for c in later) else None


def _by_runs(function: Function, fact: Fact, settings: Settings, moment: Moment) -> FailingFunction | None:
    """A failure that its runs show: the newest failed, has no end, or did not start when due."""
    runs = [r for r in fact.rows if r.function == function.name]
    early = moment.at - timedelta(seconds=function.timeout_s)
    since_good = takewhile(lambda r: r.status != "success", runs)
    bad = [r for r in since_good if r.status == "failed" or r.started_at < early]
    good = next((r.started_at for r in runs if r.status == "success"), None)
    if bad:
        unended = f"the run of {_clock(bad[0].started_at, moment)} has no recorded end"
        shown = ("failed", f"failed runs: {len(bad)}") if bad[0].status == "failed" else ("no end", unended)
        return FailingFunction(function, *shown, bad[-1].started_at, good, tuple(bad))
    if fact.gaps or (fact.more and not runs):
        return None  # without all runs, a missing one is not detectable
    late = _missed(function, runs[0].started_at if runs else None, settings, moment)
    shown = f"not started; due at {_clock(late, moment)}" if late else ""
    return FailingFunction(function, "not started", shown, late, good) if late else None


def _clock(when: datetime, moment: Moment) -> str:
    """A time of the team's day; of any other day with its date."""
    when = moment.local(when)
    return f"{when:%H:%M %Z}" if when.date() == moment.today else f"{when:%d %b %H:%M %Z}"


def _missed(function: Function, newest: datetime | None, settings: Settings, moment: Moment) -> datetime | None:
    """The first scheduled run after the newest run, if it should have started by now."""
    start = (newest or moment.ago(24)).astimezone(UTC) + timedelta(minutes=1 if newest else 0)
    first = next(due(function, start, settings.zone))
    return moment.local(first) if first < moment.at - SLACK else None


def _lines(failing: FailingFunction, seen: Evidence, state: FunctionState | None) -> Iterator[Line]:
    """Errors of its failed runs, newest first, and log entries since shortly before it began to fail."""
    said = [run.error or "" for run in failing.runs]
    yield from (Line(text, "run", run is failing.runs[0]) for text, run in zip(said, failing.runs, strict=True) if text)
    mine = [r for r in seen.logs.rows if r.function == failing.function.name]
    logged = [r for r in mine if not r.bare]
    before = {shape(r.text) for r in logged if r.at < failing.since - SLACK}
    newest = failing.runs[0].started_at - SLACK if failing.runs else failing.since - SLACK
    for row in (r for r in logged if r.at >= failing.since - SLACK):
        if not any(_repeats(row.text, text) for text in said):
            place = "warning" if row.severity == "WARNING" else "error"
            if row.platform:
                place = "attempt" if row.text.startswith("Attempt") else "platform"
            yield Line(row.text, place, row.at >= newest, shape(row.text) not in before)
    if state and state.message:
        yield Line(state.message, "platform")
    yield from _bare(failing, [r for r in mine if r.bare])


def _bare(failing: FailingFunction, rows: list[LogEntry]) -> Iterator[Line]:
    """What each of its newest failed runs wrote last, if it says trouble: lines without a severity, the last first.

    From the last such line back to the line before it that says anything else. If the run went on after it, nothing.
    """
    usual = {shape(r.text) for r in rows if r.at < failing.since - SLACK}
    later = 0
    for n, began in enumerate([run.started_at for run in failing.runs[:MOST]] or [failing.since]):
        since = [r for r in rows if r.at >= began - SLACK]
        said = [r.text for r in since[later:] if not FORMS["around"].search(r.text)]
        last = takewhile(_trouble, dropwhile(lambda text: _trouble(text) is None, said))
        yield from (Line(text, "bare", n == 0, shape(text) not in usual) for text in last)
        later = len(since)


def _repeats(line: str, error: str) -> bool:
    """Whether a line only repeats the error of a run: a vague error may be only the beginning of what the line says."""
    more = len(line) > 2 * len(error) + 60 and not FORMS["exception"].search(error)
    return bool(error) and error in line and not more


def _trouble(text: str) -> bool | None:
    """Whether a line says trouble; False if it says that work goes on, None if it says neither."""
    if FORMS["went_on"].search(text) or FORMS["calm"].search(text):
        return False
    return bool(FORMS["trouble"].search(text)) or None


@dataclass(frozen=True)
class OwnChanges:
    """Changes that concern one failing function."""

    one: FailingFunction
    seen: Evidence

    def before(self, fits: Callable[[AuditedChange], Any], early: datetime | None = None) -> list[AuditedChange]:
        """Matching changes since its last successful run, or since shortly before the failure; newest first."""
        since = self.one.since
        early = early or min(since - SHORTLY, self.one.last_good or since)
        return [c for c in self.seen.changes.rows if early <= c.at <= since + timedelta(minutes=1) and fits(c)][:MOST]

    def described(self, fits: Callable[[AuditedChange], Any]) -> list[str]:
        """The changes `before`, in words."""
        return [described(change) for change in self.before(fits)]

    def since_last_run(self, cause: str) -> list[AuditedChange]:
        """Its newest own change after its last run; that its job was resumed counts if the cause is unknown.

        A change of permissions counts if `cause` is permission.
        """
        name = self.one.function.name
        ran = max([self.one.since, *(r.started_at for r in self.seen.runs.rows if r.function == name)])
        later = (c for c in self.seen.changes.rows if c.at > ran)
        fits = {"permission": "IamPolicy", "unknown": "ResumeJob"}.get(cause, "nothing")

        def matters(c: AuditedChange) -> bool:
            ours = self.kind(c) or ("EnableSecretVersion" in c.what and self.of_secret(c))
            return bool(ours or (fits in c.what and (cause == "permission" or self.named(c))))

        return [c for c in later if matters(c)][:1]

    def kind(self, change: AuditedChange) -> str:
        """The cause that a change of its own code, secret or table suggests; "" for any other change."""
        if self.deploys(change):
            return "crash_after_deploy"
        if secret := self.of_secret(change):
            changed = "auth_error" if "AddSecretVersion" in change.what else ""
            return "secret" if secret in {v.secret for v in self.off()} else changed
        return "bad_data" if self.of_table(change) else ""

    def off(self) -> list[SecretVersion]:
        """The newest versions of its secrets that are not enabled."""
        mine = [r for r in self.seen.secrets.rows if r.secret in self.one.function.secrets]
        newest = {r.secret: r for r in sorted(mine, key=lambda r: r.version)}
        return [r for r in mine if r is newest[r.secret] and r.state != "ENABLED"]

    def named(self, change: AuditedChange) -> bool:
        """Whether a change concerns the function itself, its service or its job."""
        mine = self.one.function
        return change.resource.rsplit("/", 1)[-1] in (mine.name, mine.service_name, mine.job_name)

    def deploys(self, change: AuditedChange) -> bool:
        """Whether a change is a deployment of the function."""
        return self.named(change) and bool(_DEPLOY.search(change.what))

    def of_secret(self, change: AuditedChange) -> str:
        """The name of the function's secret that was changed, or ""."""
        names = change.resource.split("/") if "Secret" in change.what else ()
        return next((s for s in self.one.function.secrets if s in names), "")

    def of_table(self, change: AuditedChange) -> bool:
        """Whether a change concerns a table that the function writes."""
        return any(change.resource.endswith(f"/{table}") for table in self.one.function.tables)


def described(change: AuditedChange) -> str:
    """A change in words."""
    return f"{change.what} of {change.resource.split('/', 1)[-1]} by {change.who} at {change.at:%H:%M}"
