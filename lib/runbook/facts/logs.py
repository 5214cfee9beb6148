"""What Cloud Logging knows: errors, with their text wherever they carry it (guide: Cloud Logging)."""

from __future__ import annotations

import shlex
from datetime import datetime
from typing import Any

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
        project = cloud.settings.project
        wanted = f'severity>={severity} timestamp>="{moment.ago(hours):%FT%TZ}" timestamp<="{moment.at:%FT%TZ}"'
        if function:
            wanted += f' resource.labels.service_name="{function}"'
        line = f"gcloud logging read {shlex.quote(wanted)} --project={project} --limit={PAGE} --format=json"
        return Read("errors", line, lambda: _see(cloud, wanted))

    return ask


def _see(cloud: Cloud, wanted: str) -> Answer:
    rows = [_row(entry) for entry in cloud.entries(wanted, PAGE)]
    return Answer(rows, more=len(rows) == PAGE)


def payload_of(entry: Row) -> Any:
    """What an entry says: a textPayload (str), a jsonPayload or a protoPayload (dict), or nothing."""
    return next((entry[k] for k in ("textPayload", "jsonPayload", "protoPayload") if k in entry), None)


def _row(entry: Row) -> Row:
    labels = entry.get("resource", {}).get("labels", {})
    return {
        "at": datetime.fromisoformat(entry["timestamp"]),
        "function": labels.get("service_name") or labels.get("function_name") or "(other)",
        "severity": entry.get("severity", "DEFAULT"),
        "text": _text(payload_of(entry)),
        "_revision": labels.get("revision_name", ""),
    }


def _text(payload: Any) -> str:
    """One line of text from a textPayload (str), a jsonPayload or a protoPayload (dict)."""
    if isinstance(payload, str):
        return " ".join(payload.split())
    if not isinstance(payload, dict):
        return "(no text)"
    status = payload.get("status") or {}
    said = payload.get("message") or payload.get("msg") or payload.get("error") or status.get("message")
    method = payload.get("methodName", "")
    return " ".join(str(part) for part in (method, said) if part) or "(no text)"
