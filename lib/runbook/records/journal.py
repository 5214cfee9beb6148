"""The journal of a run: one JSON line for each event that must survive a crash."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from runbook.data_file import text_of
from runbook.model import Broken, NoRecord
from runbook.records.files import data_of, now, private, sync_folder
from runbook.records.store import Store


class Journal:
    """`journal.jsonl` in a run's folder. Raises NoRecord if it is not writable."""

    def __init__(self, folder: Path):
        self.path = Path(folder) / "journal.jsonl"

    def write(self, kind: str, **data: Any) -> None:
        """Append one row with the time in UTC. The row is on the disk when this returns."""
        line = json.dumps({"time": now(), "kind": kind, **data}, ensure_ascii=False, default=str) + "\n"
        try:
            is_new = not self.path.exists()
            with private(self.path, "a+b") as file:
                file.seek(0)  # an incomplete last line, after a crash, goes: nothing relied on it
                file.truncate(file.read().rfind(b"\n") + 1)
                file.write(line.encode())
                file.flush()
                os.fsync(file.fileno())
            if is_new:
                sync_folder(self.path.parent)
        except OSError as error:
            raise NoRecord(**text_of(__file__, "unwritable", kind=kind, path=self.path, why=error.strerror)) from None

    def read(self) -> list[dict[str, Any]]:
        """All rows, without an incomplete last line after a crash. Raises Broken for any other damage."""
        return rows_of(self.path.read_bytes() if self.path.exists() else b"", str(self.path))


def rows_of(content: bytes, name: str) -> list[dict[str, Any]]:
    """The rows in a journal's content, without an incomplete last line. Raises Broken for any other damage."""
    *lines, _torn = content.split(b"\n")
    return [_row(line, name) for line in lines]


def rows_in(store: Store, place: str, names: list[str] | None = None) -> list[dict[str, Any]]:
    """The rows of a journal in the record store, one a file. Raises Broken for a damaged one, and NoRecord."""
    return [_row(store.read(name) or b"", f"{store}/{name}") for name in (names or row_names(store, place))]


def row_names(store: Store, place: str) -> list[str]:
    """The rows of a journal in the record store, in order; other files there are none. Raises Broken for a gap."""
    names = [name for name in store.children(place) if re.fullmatch(r"\d{4}", name.rpartition("/")[2])]
    if names != [f"{place}/{number:04d}" for number in range(1, len(names) + 1)]:
        raise Broken(**text_of(__file__, "rows_missing", place=f"{store}/{place}"))
    return names


def progress(rows: list[dict[str, Any]]) -> Iterator[str]:
    """The status of each change that was started, from the journal, one per line."""
    said = {"new": "done"}
    ends = {row["number"]: said.get(row["state"], row["state"]) for row in rows if row["kind"] == "CONFIRM"}
    for row in rows:
        if row["kind"] == "INTENT":
            state = ends.get(row["number"], "started, not confirmed")
            yield f"{row['number']}. {row['change']['action']}, {row['change']['resource']}: {state}"


def _row(line: bytes, name: str) -> dict[str, Any]:
    try:
        row = data_of(line)
        if not isinstance(row["kind"], str) or not isinstance(row["time"], str):
            raise ValueError("kind and time must be text")
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise Broken(**text_of(__file__, "damaged", name=name, error=error)) from None
    return row
