"""The record store as a folder: plans, approvals and nonces, each a file that is created once and never changed.

    plans/<id>/<when>-….json    approvals/<plan id>/<nonce>.json    nonces/<nonce>    store (the store's own name)

It is as trustworthy as the folder's permissions. What must hold for several machines (an approval is used once) needs a
store that all of them share, see `shared`.
"""

from __future__ import annotations

import os
import re
import secrets
from contextlib import suppress
from pathlib import Path

from runbook.model.errors import NoRecord
from runbook.records.files import sync_folder, write_through

_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,99}(/[a-z0-9][a-z0-9_.-]{0,99}){0,4}")
LIMIT = 4 * 2**20


class Taken(Exception):
    """The name is there already; whoever created it was first."""


class Store:
    """The files below `folder`, by names such as `nonces/1f…`: lower case, no `..`, not absolute (ValueError).

    `shared`: every machine that may apply sees this same store. Only the caller can know; a folder mostly is not.
    """

    def __init__(self, folder: Path, shared: bool = False):
        self.folder, self.shared = Path(folder), shared

    @property
    def name(self) -> str:
        """A random name that the store gave itself when it was first used; a copy of the folder has it too."""
        if self.read("store") is None:
            with suppress(Taken):
                self.create("store", secrets.token_hex(16).encode())
        return (self.read("store") or b"").decode()

    def create(self, name: str, content: bytes) -> None:
        """Write a new file, whole or not at all; on the disk when this returns. Raises Taken, NoRecord."""
        path = self._path(name)
        beside = path.with_name(f".{secrets.token_hex(8)}")
        try:
            _make(path.parent)
            write_through(beside, content)
            os.link(beside, path)  # fails where the name exists, unlike a rename
            sync_folder(path.parent)
        except FileExistsError:
            raise Taken(name) from None
        except OSError as error:
            raise _unusable(path, error) from None
        finally:
            with suppress(OSError):
                beside.unlink()

    def read(self, name: str) -> bytes | None:
        """The content of a file, None where there is none. Raises NoRecord, also for more than 4 MiB."""
        path = self._path(name)
        try:
            with path.open("rb") as file:
                content = file.read(LIMIT + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unusable(path, error) from None
        if len(content) > LIMIT:
            raise _unusable(path, OSError(0, "larger than 4 MiB"))
        return content

    def list(self, prefix: str) -> list[str]:
        """The names below a folder of the store, sorted; what a crash left half written is not among them."""
        files = (p for p in self._path(prefix).rglob("*") if p.is_file())
        return sorted(n for n in (p.relative_to(self.folder).as_posix() for p in files) if _NAME.fullmatch(n))

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name in a record store")
        return self.folder / name


def _make(folder: Path) -> None:
    """Make a folder and those above it, so that a power cut keeps them."""
    if not folder.is_dir():
        _make(folder.parent)
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


def _unusable(path: Path, error: OSError) -> NoRecord:
    return NoRecord(
        "the record store cannot be used",
        f"{path}: {error.strerror}",
        next="make room or fix the folder's mode; it must be on a disk that knows hard links.",
    )
