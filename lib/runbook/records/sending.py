"""Publishes a run's local folder into a record store in a bucket: `begin.json` first, `record.json` last.

A run never fails because its record cannot be published: the folder stays, and `runbook records push` sends it later.
For a store in a directory there is nothing to send, because the folder lies in it.
"""

import os
from pathlib import Path

from runbook.config import Scan, Settings, secrets_in
from runbook.model.errors import NoRecord, Taken
from runbook.records.files import json_of, mapping
from runbook.records.proof import SIGNED, labels_of
from runbook.records.record import MEANT, parts, records_directory, store_of
from runbook.records.store import Directory, Store

SENT = ".published"  # in a folder that is complete in the store


def publish_begin(system: Settings, folder: Path) -> str:
    """Send the marker of a run that has begun, so that a run without an end is noticed; return why not, "" if sent."""
    return _tried(store_of(system), folder, [(folder / "record.json", "begin.json")])


def publish_run(system: Settings, folder: Path) -> str:
    """Send the files of a run that has ended; return why not, "" if they are in the store."""
    store = store_of(system)
    files = [(folder / name, name) for name in parts(folder)]
    why = _tried(store, folder, sorted(files, key=lambda file: file[1] == "record.json"))
    if not why and not isinstance(store.files, Directory):
        (folder / SENT).touch(0o600)
    return why


def unpublished(system: Settings) -> tuple[list[Path], list[Path]]:
    """The local folders of runs that are not in the store, oldest first: those to send, and those of other stores.

    There are none for a store in a directory. A run that was killed stays "running": the store has its begin, and no
    end. An older version of `runbook` did not write down for which store a run was.
    """
    store, found = store_of(system), (list[Path](), list[Path]())
    if isinstance(store.files, Directory):
        return found
    for path in sorted((records_directory(system) / "runs").glob("*/record.json")):
        if (json_of(path.read_bytes()) or {}).get("status") != "running" and not (path.parent / SENT).exists():
            place = path.with_name(MEANT)
            found[not place.exists() or place.read_text(encoding="utf-8") != str(store)].append(path.parent)
    return found


def _tried(store: Store, folder: Path, files: list[tuple[Path, str]]) -> str:
    if isinstance(store.files, Directory):
        return ""
    scan = Scan(secrets_in(os.environ))
    contents = [(name, path.read_bytes()) for path, name in files]
    if found := [name for name, content in contents if name not in SIGNED and scan.file(content) != content]:
        return f"{', '.join(found)} contains what looks like a secret; it stays on this machine"
    for name, content in contents:
        place = f"runs/{folder.name}/{name}"
        try:
            store.create(place, content, labels_of(mapping(json_of(content))) if name == "record.json" else None)
        except Taken:
            return f"{store}/{place} exists with another content"
        except (NoRecord, OSError) as error:
            return str(getattr(error, "observed", "") or error)
    return ""
