"""Whether a record is as it was written: its files against the digests in its record.json."""

from hashlib import sha256

from runbook.records.files import json_of
from runbook.records.store import Store


def faults(store: Store, name: str) -> tuple[str, ...]:
    """Why a record does not verify against itself, one text for each fault; () if it does. Raises NoRecord."""
    record = json_of(store.read(f"runs/{name}/record.json"))
    sums = record.get("sha256") if isinstance(record, dict) else None
    if not isinstance(sums, dict):
        return () if store.read(f"runs/{name}/begin.json") else ("no digests: its record.json is missing or damaged",)
    found = ((part, store.read(f"runs/{name}/{part}"), wanted) for part, wanted in sums.items())
    return tuple(f"{part} was changed" for part, raw, wanted in found if sha256(raw or b"").hexdigest() != wanted)
