"""The journal of a run: one JSON line for each event that must survive a crash."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from runbook.model.errors import Broken, NoRecord
from runbook.records.files import sync_folder


class Journal:
    """`journal.jsonl` in a run's folder. Raises NoRecord if it is not writable."""

    def __init__(self, folder: Path):
        self.path = Path(folder) / "journal.jsonl"

    def write(self, kind: str, **data: Any) -> None:
        """Append one row with the time in UTC. The row is on the disk when this returns."""
        row = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "kind": kind, **data}
        line = json.dumps(row, ensure_ascii=False, default=str) + "\n"
        try:
            is_new = not self.path.exists()
            with self.path.open("a+b") as file:
                _drop_torn_line(file)
                file.write(line.encode())
                file.flush()
                os.fsync(file.fileno())
            if is_new:
                sync_folder(self.path.parent)
        except OSError as error:
            raise NoRecord(
                f"the journal of this run cannot be written: {kind}",
                f"{self.path}: {error.strerror}",
                next="free disk space, or set RUNBOOK_RECORDS to another directory.",
            ) from None

    def read(self) -> list[dict[str, Any]]:
        """All rows, without an incomplete last line after a crash. Raises Broken for any other damage."""
        if not self.path.exists():
            return []
        *lines, _torn = self.path.read_bytes().split(b"\n")
        try:
            return [json.loads(line) for line in lines]
        except ValueError as error:
            raise Broken(
                "a journal is damaged", f"{self.path}: {error}", next="do not trust this journal; read the notebook."
            ) from None


def _drop_torn_line(file: BinaryIO) -> None:
    """Remove an incomplete last line after a crash. Its write did not return, so no later step relied on it."""
    file.seek(0)
    text = file.read()
    if text and not text.endswith(b"\n"):
        file.truncate(text.rfind(b"\n") + 1)
