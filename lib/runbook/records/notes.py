"""Notes of an incident: what people did by hand, in their own words. Anyone who may write to the store can add one."""

import secrets
from datetime import UTC, datetime
from typing import Any

from runbook.config.schema import Settings
from runbook.model import canonical
from runbook.records.files import json_of, now
from runbook.records.provenance import person, user
from runbook.records.record import store_of


def add_note(system: Settings, incident: str, text: str) -> str:
    """Write a note into the record store, and return its name. Raises NoRecord."""
    name = f"notes/{incident.lower()}/{datetime.now(UTC):%Y%m%dt%H%M%S}-{secrets.token_hex(4)}"
    store_of(system).create(name, canonical({"at": now(), "who": person(), "user": user(), "text": text}))
    return name


def notes_of(system: Settings, incident: str) -> list[dict[str, Any]]:
    """The notes of an incident, oldest first; a damaged one is named. Raises NoRecord."""
    store, found = store_of(system), []
    for name in store.children(f"notes/{incident.lower()}"):
        note = json_of(store.content(name))
        good = isinstance(note, dict) and all(isinstance(note.get(key), str) for key in ("at", "who", "text"))
        found.append(note if good else {"at": "", "who": "?", "text": f"{name} cannot be read"})
    return found
