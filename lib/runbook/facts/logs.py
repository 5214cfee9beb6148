"""What Cloud Logging knows: errors, with their text wherever they carry it (guide: Cloud Logging)."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from runbook.cloud.connect import Cloud
from runbook.facts.read import Answer, Ask, Read
from runbook.moment import Moment
from runbook.rows import Gap, Row

PAGE = 1000
_BAD = ("ERROR", "CRITICAL", "ALERT", "EMERGENCY")
# What the buckets _Default and _Required keep: https://cloud.google.com/logging/quotas#logs_retention_periods
KEPT = (30, "Cloud Logging keeps entries for 30 days by default")
KEPT_AUDIT = (400, "Cloud Logging keeps Admin Activity entries for 400 days")


def errors(hours: float = 24, function: str = "", severity: str = "ERROR") -> Ask:
    """Rows `at, function, severity, text, _revision` of entries from `severity` up, newest first; at most 1,000.

    `more` is true when there may be others. Text comes from textPayload, jsonPayload or protoPayload. Both bounds of
    time are always sent. A gap where the period begins before what Cloud Logging keeps. The fact is called "log
    entries" where `severity` is below ERROR, because warnings are no errors.
    """

    def ask(cloud: Cloud, moment: Moment) -> Read:
        wanted = f"severity>={severity} {between(hours, moment)}"
        if function:
            wanted += f' resource.labels.service_name="{function}"'
        name = "errors" if severity in _BAD else "log entries"
        return entries(cloud, name, wanted, _row, moment.ago(hours), KEPT)

    return ask


def between(hours: float, moment: Moment) -> str:
    """The part of a filter that says when: both bounds, because without the second the clock of the answer counts."""
    return f'timestamp>="{moment.ago(hours):%FT%TZ}" timestamp<="{moment.at:%FT%TZ}"'


def entries(
    cloud: Cloud, name: str, wanted: str, row: Callable[[Row], Row], since: datetime, kept: tuple[int, str]
) -> Read:
    """A read of the entries that fit a filter, each made a row; newest first, at most 1,000.

    `since` is when the period of the filter begins, `kept` how many days of entries there are, and the words for that.
    """

    def see() -> Answer:
        rows = [row(entry) for entry in cloud.entries(wanted, PAGE)]
        return Answer(rows, more=len(rows) == PAGE, gaps=_deleted(cloud, name, since, *kept))

    flags = f"--project={cloud.settings.project} --limit={PAGE} --format=json"
    return Read(name, f"gcloud logging read {shlex.quote(wanted)} {flags}", see)


def _deleted(cloud: Cloud, name: str, since: datetime, days: int, why: str) -> tuple[Gap, ...]:
    """A gap where entries since then may be deleted by now, because a deleted entry is not an error that never was.

    Now is the clock of the answer just read: a run's own moment may lie in the past.
    """
    now = cloud.door.date or datetime.now(UTC)
    if since >= now - timedelta(days=days):
        return ()
    look = f"gcloud logging buckets list --project={cloud.settings.project}"
    return (Gap(name, why, f"look where older ones may be kept; {look} says for how long that is here."),)


def _row(entry: Row) -> Row:
    labels = entry.get("resource", {}).get("labels", {})
    return {
        "at": datetime.fromisoformat(entry["timestamp"]),
        "function": labels.get("service_name") or labels.get("function_name") or "(other)",
        "severity": entry.get("severity", "DEFAULT"),
        "text": _text(entry),
        "_revision": labels.get("revision_name", ""),
    }


def _text(entry: Row) -> str:
    """One line of text from an entry's textPayload (str), jsonPayload or protoPayload (dict)."""
    payload = next((entry[k] for k in ("textPayload", "jsonPayload", "protoPayload") if k in entry), None)
    if isinstance(payload, str):
        return " ".join(payload.split())
    if not isinstance(payload, dict):
        return "(no text)"
    status = payload.get("status") or {}
    said = payload.get("message") or payload.get("msg") or payload.get("error") or status.get("message")
    method = payload.get("methodName", "")
    return " ".join(str(part) for part in (method, said) if part) or "(no text)"
