"""The journal of a run: one JSON line for each thing that must be known even if the next instant never comes."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from runbook.model.errors import Broken, NoRecord
from runbook.records.files import sync_folder


class Journal:
    """`journal.jsonl` in a run's folder. Raises NoRecord when it cannot be written."""

    def __init__(self, folder: Path):
        self.path = Path(folder) / "journal.jsonl"

    def write(self, kind: str, **data: Any) -> None:
        """Append one row with the time in UTC; when this returns it is on the disk."""
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
                next="make room, or give another folder with RUNBOOK_RECORDS.",
            ) from None

    def read(self) -> list[dict[str, Any]]:
        """All rows; a last line that was torn by a crash is left out. Raises Broken for damage anywhere else."""
        if not self.path.exists():
            return []
        *lines, _torn = self.path.read_bytes().split(b"\n")
        try:
            return [json.loads(line) for line in lines]
        except ValueError as error:
            raise Broken(
                "a journal is damaged", f"{self.path}: {error}", next="do not rely on this run; read its notebook."
            ) from None


def _drop_torn_line(file: BinaryIO) -> None:
    """Cut off what a crash left of a line: its write never returned, so nobody acted on it."""
    file.seek(0)
    text = file.read()
    if text and not text.endswith(b"\n"):
        file.truncate(text.rfind(b"\n") + 1)
