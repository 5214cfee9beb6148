"""Open P1 incidents: the record store notes when a P1 was found; it stays open for a day.

Only while one is open may the on-call engineer alone approve what the settings allow.
"""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import datetime, timedelta

from runbook.config.validation import checked_incident
from runbook.records.store import Store, Taken

LASTS = timedelta(hours=24)


def open_p1(store: Store, incident: str, now: datetime) -> None:
    """Note in the record store that a P1 was found; the first note counts. Raises BadParameter, NoRecord."""
    with suppress(Taken):
        store.create(_place(incident), json.dumps({"incident": incident, "opened_at": now.isoformat()}).encode())


def is_open(store: Store, incident: str, now: datetime) -> bool:
    """Whether a P1 with this incident name was opened within the last day."""
    raw = store.read(_place(incident))
    return raw is not None and now - datetime.fromisoformat(json.loads(raw)["opened_at"]) < LASTS


def _place(incident: str) -> str:
    return f"incidents/{checked_incident(incident).lower()}.json"
