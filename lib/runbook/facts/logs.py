"""What Cloud Logging knows: errors, with their text wherever they carry it (guide: Cloud Logging)."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from datetime import datetime

from runbook.cloud.connect import Cloud
from runbook.facts.read import Answer, Ask, Read
from runbook.moment import Moment
from runbook.rows import Row

PAGE = 1000


def errors(hours: float = 24, function: str = "", severity: str = "ERROR") -> Ask:
    """Rows `at, function, severity, text, _revision` of entries from `severity` up, newest first; at most 1,000.

    `more` is true when there may be others. Text comes from textPayload, jsonPayload or protoPayload. Both bounds of
    time are always sent.
    """

    def ask(cloud: Cloud, moment: Moment) -> Read:
        wanted = f"severity>={severity} {between(hours, moment)}"
        if function:
            wanted += f' resource.labels.service_name="{function}"'
        return entries(cloud, "errors", wanted, _row)

    return ask


def between(hours: float, moment: Moment) -> str:
    """The part of a filter that says when: both bounds, because without the second the clock of the answer counts."""
    return f'timestamp>="{moment.ago(hours):%FT%TZ}" timestamp<="{moment.at:%FT%TZ}"'


def entries(cloud: Cloud, name: str, wanted: str, row: Callable[[Row], Row]) -> Read:
    """A read of the entries that fit a filter, each made a row; newest first, at most 1,000."""

    def see() -> Answer:
        rows = [row(entry) for entry in cloud.entries(wanted, PAGE)]
        return Answer(rows, more=len(rows) == PAGE)

    flags = f"--project={cloud.settings.project} --limit={PAGE} --format=json"
    return Read(name, f"gcloud logging read {shlex.quote(wanted)} {flags}", see)


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
