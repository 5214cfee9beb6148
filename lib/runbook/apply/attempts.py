"""Attempts to apply a plan: the lock of an environment, and the journal of each attempt."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from runbook.model.errors import NoRecord, Refused
from runbook.records.files import publish
from runbook.records.journal import Journal
from runbook.records.provenance import here
from runbook.records.record import records_directory
from runbook.records.store import Store

if TYPE_CHECKING:
    from runbook.context import Context


def store_of(run: Context) -> Store:
    """The record store of a run's environment; it is shared only if params say so."""
    return Store(records_directory(run.settings), shared=run.settings.records_shared)


def already_applied(store: Store, wanted: str) -> Refused | None:
    """The refusal for a plan whose last attempt succeeded; None for any other plan."""
    known = attempts(store.folder / "applied" / wanted[:12])
    rows = known[-1].read() if known else []
    if not rows or rows[-1].get("result") != "applied":
        return None
    said = f"it ended at {rows[-1]['time'][:16]} UTC; its journal: {known[-1].path}"
    return Refused(f"plan {wanted[:12]} was already applied", said, next="nothing; to repeat it, plan again.")


@contextmanager
def lock(folder: Path, run: Context) -> Iterator[None]:
    """Allow one writing run per environment at a time. The operating system frees the lock when its process ends.

    Raises Refused with the name of the owner, and NoRecord.
    """
    owner, lock = folder / "lock.owner", FileLock(folder / "lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        who = owner.read_text(encoding="utf-8") if owner.exists() else "its owner is unknown"
        raise Refused("another run is changing this environment", who, next="wait until it has ended.") from None
    except OSError as error:
        raise NoRecord("the environment cannot be locked", str(error), next="set another RUNBOOK_RECORDS.") from None
    try:
        publish(owner, f"{here()['who']}, process {os.getpid()}, run {run.folder.name}".encode())
        yield
    finally:
        lock.release()


def next_attempt(folder: Path) -> Path:
    """The folder of this plan's unfinished attempt, or of a new attempt.

    The folder is made only after the approvals are marked as used: a refused plan is not an attempt.
    """
    known = attempts(folder)
    if known and not any(row["kind"] == "CLOSE" for row in known[-1].read()):
        return known[-1].path.parent
    return folder / str(len(known) + 1)


def open_journal(folder: Path) -> Journal:
    """The journal of an attempt, in a new folder if needed. Raises NoRecord."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NoRecord("the journal cannot be made", str(error), next="set another RUNBOOK_RECORDS.") from None
    return Journal(folder)


def attempts(folder: Path) -> list[Journal]:
    """The journals of a plan's attempts, oldest first."""
    return [Journal(path) for path in sorted(folder.glob("[0-9]*"), key=lambda path: int(path.name))]
