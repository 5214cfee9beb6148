"""What proves a record against itself: record.json has the digests of the other files, and one of its own bytes.

It finds what was changed, swapped, added or cut. Somebody who may replace files in the store can write all digests
anew: against them, only signatures help, see approvals/proved.py and audit/verify.py.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from itertools import takewhile
from typing import Any, NamedTuple

from runbook.model import ForeignFile
from runbook.records.files import json_of, mapping, rendered
from runbook.records.store import Store

RUNNING = "running"
SIGNED = ("plan.json", "approvals.json")  # files with content that somebody signed
NO_END = "it has no end: the run is going on, or its runner was killed; nothing of it is proved"


_UNENDED = "the run never recorded its end: it is still running, or its runner was killed"


def begun(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record as it was when its run had just begun."""
    about = takewhile(lambda item: item[0] != "ended_at", record.items())
    return {**dict(about), "ended_at": None, "status": RUNNING, "why": _UNENDED}


class Examined(NamedTuple):
    """A record as it lies in the store: its files by name, the data of record.json, and what is wrong with it."""

    files: dict[str, bytes]
    record: dict[str, Any]
    faults: tuple[str, ...]

    @property
    def digest(self) -> str:
        """The SHA-256 of record.json, which covers the whole record."""
        return sha256(self.files.get("record.json", b"")).hexdigest()


def with_proof(record: Mapping[str, Any]) -> bytes:
    """The content of record.json with its own digest as the last key."""
    content = rendered(record)
    return content[:-3] + f',\n "proof": "{sha256(content).hexdigest()}"\n}}\n'.encode()


def labels_of(record: Mapping[str, Any]) -> dict[str, str]:
    """The custom metadata of record.json in a bucket: words and times, no free text. A listing shows how runs ended."""
    about = {**mapping(record.get("parameters")), **record}
    names = ("runbook", "environment", "incident", "status", "verdict", "exit", "ended_at")
    return {n: str(about[n]) for n in names if re.fullmatch(r"(?!None$)[\w.:+-]{1,64}", str(about.get(n)), re.ASCII)}


def examined(store: Store, run: str, names: Iterable[str] | None = None) -> Examined:
    """Read all files of a record and compare them with its digests. `names` are its files, if they are known.

    Raises NoRecord if the store does not answer.
    """
    place, files, faults = f"runs/{run}/", dict[str, bytes](), list[str]()
    for name in store.files.list(place[:-1]) if names is None else names:
        try:
            if not name[len(place) :].startswith("."):
                files[name[len(place) :]] = store.read(name) or b""
        except ValueError:  # a name that no record has
            files[name[len(place) :]] = b""
        except ForeignFile as error:
            faults.append(f"{name[len(place) :]}: {error.what}")
    record = mapping(json_of(files.get("record.json")))
    return Examined(files, record, (*faults, *_faults(run, files, record)))


def _faults(run: str, files: Mapping[str, bytes], record: dict[str, Any]) -> Iterator[str]:
    if "record.json" not in files or record.get("status") == RUNNING:
        yield NO_END
        return
    unproved = {key: value for key, value in record.items() if key != "proof"}
    if "proof" not in record or with_proof(unproved) != files["record.json"]:
        yield "record.json is not as it was written: its own digest does not fit"
        return
    if record.get("name") != run:
        yield f"it is the record of another run, {record.get('name')}"
    sums = mapping(record.get("sha256"))
    for name in sorted({*sums, *files} - {"record.json", "begin.json"}):
        if name not in files:
            yield f"{name} is missing"
        elif name not in sums:
            yield f"{name} was added"
        elif sha256(files[name]).hexdigest() != sums[name]:
            yield f"{name} was changed"
    if "begin.json" in files and files["begin.json"] != rendered(begun(record)):
        yield "begin.json is not of this run"
