"""The record store: a folder with plans, approvals and nonces. Each file is created once and never changed.

    plans/<id>/<when>-….json    approvals/<plan id>/<nonce>.json    nonces/<nonce>    store (the store's own name)

It is as trustworthy as the folder's permissions. That an approval is used only once on several machines needs a store
that all of them share; see `shared`.
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
    """The name already exists: another process created it first."""


class Store:
    """The files below `folder`, by names such as `nonces/1f…`: lower case, no `..`, not absolute (ValueError).

    `shared`: every machine that may apply plans uses this same store. The caller must know; most folders are not.
    """

    def __init__(self, folder: Path, shared: bool = False):
        self.folder, self.shared = Path(folder), shared

    @property
    def name(self) -> str:
        """A random name, created when the store is first used. A copy of the folder has the same name."""
        if self.read("store") is None:
            with suppress(Taken):
                self.create("store", secrets.token_hex(16).encode())
        return (self.read("store") or b"").decode()

    def create(self, name: str, content: bytes) -> None:
        """Write a new file atomically. It is on the disk when this returns. Raises Taken, NoRecord."""
        path = self._path(name)
        beside = path.with_name(f".{secrets.token_hex(8)}")
        try:
            _make(path.parent)
            write_through(beside, content)
            os.link(beside, path)  # unlike a rename, fails if the name exists
            sync_folder(path.parent)
        except FileExistsError:
            raise Taken(name) from None
        except OSError as error:
            raise _unusable(path, error) from None
        finally:
            with suppress(OSError):
                beside.unlink()

    def read(self, name: str) -> bytes | None:
        """The content of a file; None if it does not exist. Raises NoRecord, also for more than 4 MiB."""
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
        """The names below a folder of the store, sorted, without files that a crash left incomplete."""
        files = (p for p in self._path(prefix).rglob("*") if p.is_file())
        return sorted(n for n in (p.relative_to(self.folder).as_posix() for p in files) if _NAME.fullmatch(n))

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not a valid name in a record store")
        return self.folder / name


def _make(folder: Path) -> None:
    """Make a folder and its parents, so that they survive a power cut."""
    if not folder.is_dir():
        _make(folder.parent)
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


def _unusable(path: Path, error: OSError) -> NoRecord:
    return NoRecord(
        "the record store cannot be used",
        f"{path}: {error.strerror}",
        next="free disk space or fix the directory's mode; its file system must support hard links.",
    )
