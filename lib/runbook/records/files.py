"""Atomic file operations: files are complete or absent, synced to the disk, and read without exceptions."""

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from pydantic_core import from_json

from runbook.model import NoRecord, Row


def private(path: Path, mode: str) -> IO[bytes]:
    """Open a file; a new one is for its owner only."""
    return open(path, mode, opener=lambda name, flags: os.open(name, flags, 0o600))


def make_folder(folder: Path) -> None:
    """Make a folder and its parents, for their owner only, so that they survive a power cut."""
    if not folder.exists():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True, mode=0o700)
        sync_folder(folder.parent)


def write_through(path: Path, content: bytes) -> None:
    """Write a file. Its content is on the disk when this returns; its name may not be yet, see `sync_folder`."""
    with private(path, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Sync the names in a folder to the disk, so that they survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def probe(folder: Path) -> None:
    """Check that a folder is writable; make it if needed. Raises NoRecord."""
    try:
        make_folder(folder)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".probe.") as file:
            file.write(bytes(65536))
    except OSError as error:
        raise unwritable(folder, error, "Nothing was run.") from None


def writable(folder: Path) -> Path:
    """A folder for what can be made again: this one, or a new temporary one if it cannot be written, as a reader's."""
    with suppress(NoRecord):
        probe(folder)
        return folder
    return Path(tempfile.mkdtemp(prefix="runbook-"))


def publish(path: Path, content: bytes) -> None:
    """Write a file atomically: readers see the old content or the new, also after a crash. Raises NoRecord."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write_through(beside, content)
        os.replace(beside, path)
        sync_folder(path.parent)
    except OSError as error:
        with suppress(OSError):
            beside.unlink()
        raise unwritable(path, error, "Earlier files are unchanged.") from None


def unwritable(path: Path, error: OSError, effect: str) -> NoRecord:
    """The error for a file that cannot be written."""
    hint = "free disk space, fix the directory's mode, or set RUNBOOK_RECORDS to another directory."
    return NoRecord("the record of this run cannot be written", f"{path}: {error.strerror}", effect, hint)


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Write data as readable JSON, atomically. Raises NoRecord."""
    publish(path, rendered(data))


def rendered(data: Any) -> bytes:
    """Data as readable JSON."""
    return (json.dumps(data, indent=1, ensure_ascii=False, default=str) + "\n").encode(errors="replace")


def data_of(content: bytes) -> Any:
    """The data in JSON text, which may be anybody's. Raises ValueError if it is damaged, or could not be written again.

    pydantic's reader takes no lone surrogate, no NaN and at most 200 levels, where `json` and its callers take others.
    """
    return from_json(content, allow_inf_nan=False)


def json_of(content: bytes | None) -> Any:
    """As `data_of`; None if there is no data, or if it is damaged."""
    with suppress(ValueError):
        return data_of(content or b"")
    return None


def mapping(value: Any) -> Row:
    """A value if it is a mapping, else {}."""
    return value if isinstance(value, dict) else {}


def listed(value: Any) -> list[Any]:
    """A value if it is a list, else []."""
    return value if isinstance(value, list) else []


def now() -> str:
    """This machine's time, in UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def digest(path: Path) -> str:
    """The SHA-256 of a file, in hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
