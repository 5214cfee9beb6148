"""The record store: plans, approvals, journals and the files of runs. Each file is created once and never changed.

    plans/<id>/<when>-….json   approvals/<plan id>/<nonce>.json   nonces/<nonce>   store (the store's own name)
    applied/<plan>/<attempt>/<row>   lock/<number>   runs/<run>/…   notified/…   alerts/…   incidents/…

It is a directory or a prefix in Cloud Storage, and as trustworthy as their permissions: whoever may delete there can
make an approval valid again that was used; see docs/security.md for what prevents it.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from hashlib import sha256
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runbook.model import ForeignFile, NoRecord, Taken
from runbook.records.files import make_folder, sync_folder, write_through

if TYPE_CHECKING:
    from runbook.cloud.bucket import Bucket

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}(/[A-Za-z0-9][A-Za-z0-9_.-]{0,99}){0,4}")
LIMIT = 32 * 2**20


class Store:
    """A store in a directory or a bucket: files by names such as `nonces/1f…`; no `..`, not absolute (ValueError).

    `shared`: every machine that may apply plans uses this same store. The caller must know; most directories are not.
    """

    def __init__(self, files: Directory | Bucket | Path, shared: bool = False):
        self.files = Directory(files) if isinstance(files, Path) else files
        self.shared = shared

    def __str__(self) -> str:
        return str(self.files)

    @cached_property
    def name(self) -> str:
        """The own name of a store: random, and another one for a copy of it and for one that was restored from a copy.

        A disk that was restored by its blocks has the same files, so the same name: see docs/security.md.
        """
        content = self.files.read("store")
        if content is None:
            with suppress(Taken):
                self.files.create("store", secrets.token_hex(16).encode())
            content = self.files.read("store") or b""
        return sha256(content + self.files.identity("store").encode()).hexdigest()[:32]

    def create(self, name: str, content: bytes, labels: Mapping[str, str] | None = None) -> None:
        """Write a new file atomically. It is there for good when this returns. Raises NoRecord.

        In a bucket, `labels` are the object's custom metadata. Raises Taken if there is one with another content.
        """
        self.files.create(_valid(name), content, labels)

    def read(self, name: str) -> bytes | None:
        """The content of a file; None if it does not exist. Raises NoRecord, and ForeignFile for what is no record."""
        content = self.files.read(_valid(name))
        if len(content or b"") > LIMIT:
            raise _foreign(f"{self}/{name}", "a record cannot be larger than 32 MiB")
        return content

    def content(self, name: str) -> bytes:
        """As `read`, but b"" for a file that does not exist or is no record: whoever reads on ignores it."""
        with suppress(ForeignFile):
            return self.read(name) or b""
        return b""

    def delete(self, name: str) -> None:
        """Delete a file of an old record; only `runbook records prune` does. Raises NoRecord."""
        self.files.delete(_valid(name))

    def list(self, prefix: str) -> list[str]:
        """The names of all files below a folder of the store, sorted."""
        return sorted(name for name in self.files.list(_valid(prefix)) if NAME.fullmatch(name))

    def children(self, prefix: str) -> list[str]:
        """The files and folders directly below a folder of the store, sorted."""
        return sorted(name for name in self.files.list(_valid(prefix), "/") if NAME.fullmatch(name))


def broken_promise(store: Store) -> str:
    """What a store does not do, though approvals rely on it; tried with a small new file. Raises NoRecord."""
    name, content = f"probes/{secrets.token_hex(8)}", secrets.token_hex(8).encode()
    store.create(name, content)
    with suppress(Taken):
        store.create(name, b"another")
        return "a name can be created twice"
    if store.read(name) != content:
        return "a file is not read as it was written"
    return "" if name in store.children("probes") else "a new file is not listed"


class Directory:
    """The files below a directory; its file system must support hard links."""

    def __init__(self, folder: Path):
        self.folder = Path(folder)

    def __str__(self) -> str:
        return str(self.folder)

    def _path(self, name: str) -> Path:
        """The path of a name. Raises ForeignFile for a link, which leads elsewhere, and a pipe, which has no end."""
        steps = list(accumulate(name.split("/"), os.path.join, initial=str(self.folder)))
        if any(map(os.path.islink, steps[1:])) or (os.path.exists(steps[-1]) and not os.path.isfile(steps[-1])):
            raise _foreign(steps[-1], "a record cannot be a link, a pipe or a folder")
        return Path(steps[-1])

    def create(self, name: str, content: bytes, labels: Mapping[str, str] | None = None) -> None:
        path = self._path(name)
        beside = path.with_name(f".{secrets.token_hex(8)}")
        try:
            make_folder(path.parent)
            write_through(beside, content)
            os.link(beside, path)  # unlike a rename, fails if the name exists
            sync_folder(path.parent)
        except FileExistsError:
            if self.read(name) != content:  # else it may be ours: NFS repeats a link whose answer was lost
                raise Taken(name) from None
        except OSError as error:
            raise _unusable(path, error.strerror) from None
        finally:
            with suppress(OSError):
                beside.unlink()

    def read(self, name: str) -> bytes | None:
        path = self._path(name)
        try:
            with path.open("rb") as file:  # a limit makes Python reserve as much memory for each file
                return file.read() if os.fstat(file.fileno()).st_size <= LIMIT else file.read(LIMIT + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unusable(path, error.strerror) from None

    def delete(self, name: str) -> None:
        """Delete a file of a run, and its folder with the last one."""
        path = self._path(name)
        try:
            path.unlink(missing_ok=True)
            if all(one.name[0] == "." for one in path.parent.iterdir()):  # what a crash left incomplete
                shutil.rmtree(path.parent)
        except OSError as error:
            raise _unusable(path, error.strerror) from None

    def identity(self, name: str) -> str:
        """What tells this very file from a copy, on every machine that mounts it: also from one with its old number."""
        try:
            found = (self.folder / name).stat()
            return f"{found.st_ino} {found.st_ctime_ns} {found.st_nlink}"
        except OSError as error:
            raise _unusable(self.folder / name, error.strerror) from None

    def list(self, prefix: str, delimiter: str = "") -> Iterator[str]:
        """The names below a folder; files that a crash left incomplete begin with a dot. Raises NoRecord."""
        top = self.folder / prefix

        def fail(error: OSError) -> None:
            if not isinstance(error, FileNotFoundError | NotADirectoryError):  # then nothing is there
                raise _unusable(top, error.strerror) from None

        if delimiter:
            try:
                return iter([f"{prefix}/{one.name}" for one in os.scandir(top)])
            except OSError as error:
                return iter(fail(error) or ())
        found, start = os.walk(top, onerror=fail), len(str(self.folder)) + 1
        paths = ((os.path.join(at, name), name in below) for at, below, names in found for name in (*below, *names))
        return (path[start:] for path, is_folder in paths if not is_folder or os.path.islink(path))

    def labels(self, prefix: str) -> dict[str, Any]:
        """As in a bucket; no file has any."""
        return dict.fromkeys(self.list(prefix))


def _valid(name: str) -> str:
    if not NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not a valid name in a record store")
    return name


def _foreign(path: Path | str, what: str) -> ForeignFile:
    return ForeignFile(what, str(path), next="find out who put it there, and move it away.")


def _unusable(path: Path | str, why: str | None) -> NoRecord:
    hint = "free disk space or fix the directory's mode; its file system must support hard links."
    return NoRecord("the record store cannot be used", f"{path}: {why}", next=hint)
