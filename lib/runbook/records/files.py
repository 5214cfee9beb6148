"""Files that are whole or not there: written through, replaced at once, and read without an exception."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from runbook.model.errors import NoRecord


def write_through(path: Path, content: bytes) -> None:
    """Write a file whose content is on the disk when this returns; its name may not be, see `sync_folder`."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def probe(folder: Path) -> None:
    """Try whether a record could be kept in a folder, which is made if need be. Raises NoRecord."""
    file = folder / f".probe.{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            file.write_bytes(b"\0" * 65536)
        finally:
            file.unlink(missing_ok=True)
    except OSError as error:
        raise unwritable(folder, error, "Nothing was run.") from None


def publish(path: Path, content: bytes) -> None:
    """Write a file so that a reader, or a crash, finds the old content or the new, never a part. Raises NoRecord."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write_through(beside, content)
        os.replace(beside, path)
        sync_folder(path.parent)
    except OSError as error:
        with suppress(OSError):
            beside.unlink()
        raise unwritable(path, error, "What was written before is still there.") from None


def unwritable(path: Path, error: OSError, effect: str) -> NoRecord:
    """The error for a file that cannot be written."""
    return NoRecord(
        "the record of this run cannot be written",
        f"{path}: {error.strerror}",
        effect,
        "make room or fix the folder's mode, or give another folder with RUNBOOK_RECORDS.",
    )


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Publish data as JSON that people can read. Raises NoRecord."""
    publish(path, (json.dumps(data, indent=1, ensure_ascii=False, default=str) + "\n").encode())


def read_json(path: Path) -> Any:
    """What a file of a record says; None when it is not there or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def now() -> str:
    """The time of this machine, in UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def digest(path: Path) -> str:
    """The SHA-256 of a file, in hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
