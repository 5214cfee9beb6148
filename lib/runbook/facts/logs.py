"""Log entries from Cloud Logging, with their text from any payload type, and changes from its audit log.

Guide: Cloud Logging, P1 Playbook.
"""

import re
import shlex
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

from runbook.cloud import Cloud
from runbook.config import Settings
from runbook.facts.base import Answer, Read, attempt, fact, readable
from runbook.facts.fields import LOGS, field, headline, items, last, mapping, number, payload_text, text, time_of
from runbook.facts.functions import called
from runbook.model import Gap, Moment, Row
from runbook.model.rows import AuditedChange, LogEntry

PAGE = 1000
PAGES = 3  # pages at most that are read without the loud functions
LOUD = PAGE // 5  # entries of one function in a full page, after which the page is read again without it

Convert = Callable[[Row], Any | None]
Finish = Callable[[list[Any]], list[Any]]
Kept = tuple[int, str]

OTHER, NOBODY = "(other)", "unknown"  # OTHER is not a function of the system; NOBODY may be one
LONG = 20_000
SLACK = timedelta(seconds=2)  # between the entries of one call


class _Call(NamedTuple):
    """An audited call, and its part in a long-running operation ("" for none)."""

    change: AuditedChange
    failed: bool
    operation: str
    first: bool


@fact
def errors(cloud: Cloud, moment: Moment, hours: float = 24, function: str = "", severity: str = "ERROR") -> Read:
    """Log entries from `severity` up, newest first; at most 1,000.

    Includes crashes that functions write to stderr without a severity. `more` is true if there may be further entries:
    then the functions that fill the page are left out in a second request, except for the platform's lines about them.
    If `severity` is below ERROR, one more request reads the other lines without a severity of functions with errors.
    Both time bounds are always sent. A gap if the period starts before the retention period. The fact is named "log
    entries" if `severity` is below ERROR, because warnings are not errors.
    """
    wanted = f"(severity>={severity} OR ({LOGS['crashed']})) {between(hours, moment)}"
    if function:
        wanted += f' resource.labels.service_name="{cloud.settings.named(function).service_name}"'
    name = "errors" if severity in LOGS["errors"] else "log entries"
    row = partial(_row, cloud.settings)
    read = entries(cloud, name, wanted, row, moment.ago(hours), LOGS["kept"]["entries"], _once)

    def see() -> Answer:
        answer = quiet()
        sick = {r.function: r for r in reversed(list(answer.rows)) if r.severity in LOGS["errors"] and r.ours}
        if name == "errors" or not sick.keys() - {NOBODY}:
            return answer
        found = _bare(cloud, between(hours, moment), sick)
        rows = sorted([*answer.rows, *found.rows], key=lambda r: r.at, reverse=True)
        return replace(answer, rows=rows, gaps=(*answer.gaps, *found.gaps))

    def quiet() -> Answer:
        answer = read.see()
        rows = list(answer.rows)
        loud = [name for name, count in Counter(r.function for r in rows).items() if count > LOUD and name != OTHER]
        if not answer.more or not loud:
            return replace(answer, rows=rows)
        services = " OR ".join(f'"{cloud.settings.named(name).service_name or name}"' for name in sorted(loud))
        rest = f"{wanted} (NOT resource.labels.service_name=({services}) OR {LOGS['system']})"
        others = entries(cloud, name, rest, row, moment.ago(hours), LOGS["kept"]["entries"], _once, PAGES)
        found = attempt(others.see, f"{name} of other functions", "")
        only = frozenset() if found.more or found.gaps else frozenset(loud)
        rows = _once(list(dict.fromkeys([*rows, *found.rows])))
        return replace(answer, rows=rows, only=only, gaps=(*answer.gaps, *found.gaps))

    return replace(read, see=see)


def _bare(cloud: Cloud, period: str, sick: dict[str, LogEntry]) -> Answer:
    """Lines without a severity of functions with their newest error; a gap for those whose newest call is cut off."""
    known, subject = [f for f in cloud.settings.functions if f.name in sick], "lines without a severity"
    services = " OR ".join(f'"{f.service_name or f.name}"' for f in known)
    wanted = f"{LOGS['bare']} AND NOT ({LOGS['crashed']}) {period} resource.labels.service_name=({services})"
    kept, finish = LOGS["kept"]["entries"], lambda rows: [replace(r, bare=True) for r in rows]
    row, now = partial(_row, cloud.settings), datetime.now(UTC)  # the first read has told what retention deleted
    read = entries(cloud, subject, wanted, row, now, kept, finish, PAGES)
    found = attempt(read.see, subject, "")
    oldest = min((r.at for r in found.rows), default=datetime.min.replace(tzinfo=UTC))
    began = ((f.name, sick[f.name].at - timedelta(seconds=f.timeout_s)) for f in known)
    cut = ", ".join(name for name, at in began if found.more and at < oldest)
    why = "only the newest 1,000 were read, which lack the newest failed call"
    return replace(found, gaps=(*found.gaps, *[Gap(f"{subject} of {cut}", why, read.line)] * bool(cut)))


def between(hours: float, moment: Moment) -> str:
    """The time bounds of a filter: both, because without the end the server's clock would count."""
    return f'timestamp>="{moment.ago(hours):%FT%TZ}" timestamp<="{moment.at:%FT%TZ}"'


def entries(
    cloud: Cloud, name: str, wanted: str, row: Convert, since: datetime, kept: Kept, finish: Finish, pages: int = 0
) -> Read:
    """A read of the entries that match a filter: `row` converts each, then `finish` all; newest first, at most 1,000.

    `since` is the start of the filter's period, `kept` the retention in days and in words. If `row` returns None, the
    entry cannot be read: a gap has the number of such entries.
    """
    line = f"gcloud logging read {shlex.quote(wanted)} --project={cloud.settings.project} --limit={PAGE} --format=json"

    def see() -> Answer:
        found = cloud.entries(wanted, PAGE, pages)
        read = readable(name, found, row, "inspect them with the command of this read.")
        gaps = (*_deleted(cloud, name, since, *kept), *read.gaps)
        return Answer(finish(list(read.rows)), more=len(found) == PAGE, gaps=gaps)

    return Read(name, line, see)


def _deleted(cloud: Cloud, name: str, since: datetime, days: int, why: str) -> tuple[Gap, ...]:
    """A gap if `since` is before the retention period: retention may have deleted older entries.

    Now is the server's clock, because the time of the run may be in the past.
    """
    if since >= (cloud.guard.date or datetime.now(UTC)) - timedelta(days=days):
        return ()
    look = f"gcloud logging buckets list --project={cloud.settings.project}"
    return (Gap(name, why, f"check whether older entries are kept elsewhere; {look} shows the retention here."),)


def _row(settings: Settings, entry: Row) -> LogEntry | None:
    """The row of one entry; None if it has no time."""
    at = time_of(entry, "timestamp") or time_of(entry, "receiveTimestamp")
    function, took = _function(settings, entry), _took(entry)
    ours = function == NOBODY or function in {f.name for f in settings.functions}
    revision, call = text(entry, "resource", "labels", "revision_name"), _call(settings, entry, took)
    severity = text(entry, "severity") or "DEFAULT"
    platform = re.search(LOGS["platform"], text(entry, "logName")) is not None
    return at and LogEntry(at + took, function, severity, _text(entry), revision, ours, call, platform)


def _took(entry: Row) -> timedelta:
    """How long a request took: its timestamp is its beginning, but an error happens at its end."""
    found = re.fullmatch(r"(\d{1,6}(?:\.\d+)?)s", text(entry, "httpRequest", "latency"))
    return timedelta(seconds=float(found[1])) if found else timedelta()


def _call(settings: Settings, entry: Row, took: timedelta) -> timedelta | None:
    """How long the call took at most, if an entry only says that it failed: a request without a text, or an attempt."""
    if text(entry, "resource", "type") == "cloud_scheduler_job":
        function = settings.named(_function(settings, entry))
        return timedelta(seconds=max([f.timeout_s for f in settings.functions if f.name == function.name], default=0))
    keys = set(mapping(entry))
    return took if "httpRequest" in keys and not keys & {"textPayload", "jsonPayload", "protoPayload"} else None


def _once(rows: list[LogEntry]) -> list[LogEntry]:
    """Each failed call once, newest first: the entry that says most. A call has a line, a request, and an attempt."""
    known: dict[str, list[datetime]] = {}
    kept = []
    for row in sorted(rows, key=lambda r: (r.call is not None, r.call or timedelta())):  # lines, requests, attempts
        began = row.at - row.call - SLACK if row.call is not None else row.at
        if row.call is None or not any(began <= at <= row.at + SLACK for at in known.get(row.function, ())):
            kept.append(row)
            known.setdefault(row.function, []).append(row.at)
    return sorted(kept, key=lambda r: r.at, reverse=True)


def _function(settings: Settings, entry: Row) -> str:
    """The function of an entry; a call by an administrator belongs to no function, whatever its resource."""
    kind, labels = text(entry, "resource", "type"), mapping(entry, "resource", "labels")
    if kind == "cloud_scheduler_job":
        job = last(entry, "jsonPayload", "jobName") or text(labels, "job_id")
        return called(settings, text(entry, "jsonPayload", "url"), job) or job or NOBODY
    if re.search(LOGS["audit"], text(entry, "logName")):
        return OTHER
    named = next((said for key in LOGS["names"] if (said := text(labels, key))), "")
    name = text(entry, "labels", "goog-drz-cloudfunctions-id") or named
    return settings.function_of(name) or (NOBODY if kind in ("", "cloud_run_revision", "cloud_function") else OTHER)


def _text(entry: Row) -> str:
    """One line of text from an entry's textPayload, jsonPayload, protoPayload or httpRequest."""
    call = mapping(entry, "protoPayload")
    method = f"{text(call, 'methodName')} {text(call, 'status', 'message')}".strip()
    words = text(entry, "textPayload") or ((payload := mapping(entry, "jsonPayload")) and _of_json(payload))
    found = words or method or _of_request(entry)
    return " ".join(headline(found).split())[:LONG] or "(no text)"


def _of_json(payload: Row) -> str:
    kind = text(payload, "@type").rsplit(".", 1)[-1]
    if kind.startswith("Attempt"):  # from Cloud Scheduler
        return ": ".join(t for t in (f"{kind} {text(payload, 'status')}".strip(), text(payload, "debugInfo")) if t)
    return payload_text(payload)


def _of_request(entry: Row) -> str:
    """Such as "500 POST /path, 1.2 s"."""
    request = mapping(entry, "httpRequest")
    path = re.sub(r"^https?://[^/?#]*|[?#].*", "", text(request, "requestUrl"))
    line = " ".join(part for part in (text(request, "status"), text(request, "requestMethod"), path) if part)
    return line + (f", {_took(entry).total_seconds():.1f} s" if line and "latency" in request else "")


# --- the audit log


@fact
def changes(cloud: Cloud, moment: Moment, hours: float = 24) -> Read:
    """Successful changes from the Admin Activity audit log, newest first.

    From at most 1,000 entries. Admin Activity is always on
    (https://cloud.google.com/logging/docs/audit#admin-activity). A gap if the period starts before the retention
    period.
    """
    wanted = f'logName="projects/{cloud.settings.project}/logs/cloudaudit.googleapis.com%2Factivity" '
    wanted += between(hours, moment)
    return entries(cloud, "changes", wanted, _change, moment.ago(hours), LOGS["kept"]["audit"], _made)


def _change(entry: Row) -> _Call | None:
    """The call of one entry; None if it has no time, or neither a method nor a resource."""
    call = mapping(entry, "protoPayload")
    at = time_of(entry, "timestamp") or time_of(entry, "receiveTimestamp")
    method, resource = text(call, "methodName"), text(call, "resourceName")
    grants = [mapping(info).get("granted") for info in items(call, "authorizationInfo")]
    if not at or not (method or resource):
        return None
    caller = mapping(call, "authenticationInfo")
    who = text(caller, "principalEmail") or text(caller, "principalSubject") or "unknown"
    by_job = mapping(call, "metadata") if method.endswith("InsertJob") else {}
    changed = next((kind for kind in LOGS["by_job"] if kind in by_job), "")
    place = "/".join(resource.split("/")[-4 if "/versions/" in resource else -2 :])
    change = AuditedChange(at, who, changed or method.rsplit(".", 1)[-1] or "unknown", place)
    failed = number(call, "status", "code") != 0 or (False in grants and True not in grants)
    return _Call(change, failed, text(entry, "operation", "id"), field(entry, "operation", "first") is True)


def _made(calls: list[_Call]) -> list[AuditedChange]:
    """The changes among calls, without failed and denied calls, and with each long-running operation once.

    An operation has an entry for its start and one for its end; the row has the time of the start. Calls of Google's
    own service agents are left out, because they follow from a call that has an entry of its own.
    """
    failed = {call.operation for call in calls if call.failed} - {""}
    begun = {call.operation for call in calls if call.first}
    good = (call for call in calls if not call.failed and call.operation not in failed)
    once = (call.change for call in good if call.first or call.operation not in begun)
    return [change for change in once if not re.fullmatch(LOGS["robot"], change.who)]
