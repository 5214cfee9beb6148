"""The journal: what was written is there, whatever came after."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from runbook.model.errors import Broken, NoRecord
from runbook.records.journal import Journal


def kinds(journal: Journal) -> list[str]:
    return [row["kind"] for row in journal.read()]


def test_rows_come_back_in_order(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    assert journal.read() == []
    journal.write("START", runbook="daily_check", at="2026-03-11", odd="né\n\u2028")
    Journal(tmp_path).write("CLOSE", verdict="ok", path=tmp_path)
    first, last = journal.read()
    assert list(first) == ["time", "kind", "runbook", "at", "odd"]
    assert (first["odd"], last["path"]) == ("né\n\u2028", str(tmp_path))
    assert first["time"] <= last["time"]
    assert first["time"].endswith("+00:00")


# What a crash may leave at the end, and what is then read. Only a whole line was acted on.
@pytest.mark.parametrize("torn", ["{", '{"kind": "CLO', '{"kind": "CLOSE"}', "né"[:1], "\x00\x00"])
def test_a_torn_last_line_is_left_out_and_cut_off(tmp_path: Path, torn: str) -> None:
    journal = Journal(tmp_path)
    journal.write("START")
    with journal.path.open("a") as file:
        file.write(torn)
    assert kinds(journal) == ["START"]
    journal.write("CLOSE")
    assert kinds(journal) == ["START", "CLOSE"]


def test_a_journal_that_is_nothing_but_a_torn_line(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.path.write_text('{"kind": "STA')
    assert kinds(journal) == []
    journal.write("START")
    assert kinds(journal) == ["START"]


def test_damage_elsewhere_is_told(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.path.write_text('{"kind": "START"}\n{"kind"\n{"kind": "CLOSE"}\n')
    with pytest.raises(Broken, match="a journal is damaged"):
        journal.read()


def test_where_it_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(NoRecord) as raised:
        Journal(tmp_path / "absent").write("START")
    assert (raised.value.what, raised.value.next) == (
        "the journal of this run cannot be written: START",
        "free disk space, or set RUNBOOK_RECORDS to another directory.",
    )
    assert raised.value.observed == f"{tmp_path / 'absent' / 'journal.jsonl'}: No such file or directory"


def test_a_full_disk_tears_no_earlier_row(tmp_path: Path) -> None:
    """A limit on the size of files: the kernel writes what fits of a row, as on a full disk, and no more."""
    code = (
        "import sys; from runbook.records.journal import Journal; journal = Journal(sys.argv[1])\n"
        "for n in range(99): journal.write('START', text='x' * 500)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)),
        capture_output=True,
        text=True,
    )
    assert "NoRecord" in ended.stderr
    assert "File too large" in ended.stderr
    journal = Journal(tmp_path)
    assert journal.path.stat().st_size == 4096
    assert kinds(journal) == ["START"] * 7
    journal.write("CLOSE")
    assert kinds(journal) == [*["START"] * 7, "CLOSE"]
