"""Deletes old records. Those of an incident or a change are evidence: they are kept for years, whatever is asked."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from secrets import token_hex

from runbook.audit.index import Run, names_in, read_run, time_in
from runbook.config.schema import Settings
from runbook.model import NoRecord, canonical
from runbook.records import mapping, now, person, store_of

KEEP_DAYS = 1096  # three years


def old_records(system: Settings, days: int) -> tuple[list[str], Counter[str]]:
    """The names of records that are older and may be deleted, and how many older ones are kept, by reason.

    Raises NoRecord.
    """
    store, kept, old = store_of(system), Counter[str](), list[str]()
    for name in names_in(store):
        if (age := (datetime.now(UTC) - time_in(name)).days) >= days:
            reason = kept_as(read_run(store, name)) if age <= KEEP_DAYS else ""
            kept[reason] += 1
            old += [name] * (not reason)
    del kept[""]
    return old, kept


def kept_as(run: Run) -> str:
    """Why a record must be kept for its term: it belongs to an incident, or to a change that was planned or made."""
    outcome = mapping(run.report.get("outcome")).get("result", "nothing to do")
    changed = outcome != "nothing to do" or run.wrote
    reasons = {"incident": run.given.get("incident"), "change": changed, "does not verify": run.faults}
    return next((name for name, holds in reasons.items() if holds), "")


def remove(system: Settings, names: Sequence[str]) -> None:
    """Delete these records, each with its record.json last; a note in the store says who did. Raises NoRecord."""
    store, note = store_of(system), {"at": now(), "who": person(), "records": list(names)}
    store.create(f"pruned/{datetime.now(UTC):%Y%m%dt%H%M%S}-{token_hex(4)}", canonical(note))
    try:
        for name in names:
            for file in sorted(store.list(f"runs/{name}"), key=lambda file: file.endswith("/record.json")):
                store.delete(file)
    except NoRecord as error:
        if str(store).startswith("gs://"):
            error.next = f"get a role that may delete, for some hours: {system.for_hours('roles/storage.objectAdmin')}"
        raise
