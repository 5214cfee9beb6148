"""Output that nobody can take: the work is done, the record is complete, and the exit code stays what it was."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from runbook.cli.main import main
from runbook.model.errors import Exit
from runbook.runner.kernel import leave_deleted_directory

LINES = {
    "run daily_check --world stale_scores": Exit.ALERT,
    "list": Exit.OK,
    "doctor": Exit.OK,
    "approve ABCDEF012345 --role team-lead --reason agreed": Exit.BAD_INPUT,
    "apply abcdef012345": Exit.BAD_INPUT,
}
# How a shell takes the output away; where stderr is left, it has a message. "$@" is the command.
WAYS = {
    "stdout closed": ('"$@" >&-', True),
    "stderr closed": ('"$@" 2>&-', False),
    "both closed": ('"$@" >&- 2>&-', False),
    "stdout is full": ('"$@" >/dev/full', True),
    "stderr is full": ('"$@" 2>/dev/full', False),
    "both are full": ('"$@" >/dev/full 2>&1', False),
    "nobody reads": ('"$@" | true; exit ${PIPESTATUS[0]}', True),
    "one line is read": ('"$@" | head -n 1 >/dev/null; exit ${PIPESTATUS[0]}', False),
    "nobody reads either": ('"$@" 2>&1 | true; exit ${PIPESTATUS[0]}', False),
    "the directory is gone": ('rmdir "$PWD"; "$@"', False),
}
# What a run, a list or a refusal writes to stdout: without it, the others have no reason for a message.
WRITES = ("run", "list", "doctor")


# `make test` takes each way with one line; a run, which takes seconds, once.
HERE = dict(zip(WAYS, 2 * [*LINES], strict=True)) | dict.fromkeys(
    ("both closed", "both are full", "one line is read"), "list"
)
PAIRS = [pytest.param(way, line, marks=() if HERE[way] == line else pytest.mark.full) for way in WAYS for line in LINES]


@pytest.mark.parametrize(("way", "line"), PAIRS)
def test_output_that_cannot_be_written(tmp_path: Path, way: str, line: str) -> None:
    gone, records = tmp_path / "gone", tmp_path / "records"
    gone.mkdir()
    code, (shell, told) = LINES[line], WAYS[way]
    words = ["bash", "-c", shell, "bash", sys.executable, "-m", "runbook.cli.main", *line.split()]
    env = {**os.environ, "RUNBOOK_RECORDS": str(records), "RUNBOOK_PERSON": "avery"}
    done = subprocess.run(words, cwd=gone, env=env, capture_output=True, text=True, timeout=100)
    assert done.returncode == code, done.stderr
    said = done.stdout + done.stderr
    assert not [w for w in ("Traceback", "Exception ignored", "BrokenPipe", "OSError", "FileNotFound") if w in said], (
        said
    )
    if told and line.startswith(WRITES):
        assert done.stderr.count("the output could not be written") == 1, done.stderr
    if line.startswith("run"):
        (folder,) = (records / "rehearsal/sandbox/runs").iterdir()
        record = json.loads((folder / "record.json").read_text())
        assert (record["status"], record["exit"], record["verdict"]) == ("finished", code, "alert")
        assert set(record["sha256"]) == {"daily_check.ipynb", "journal.jsonl", "report.json"}


BAD_IDS = [
    "run rollback -p approved_plan=NotAPlan",
    "run daily_check -p approved_plan=NotAPlan",
    f"approve {'ABCDEF0123' * 10} --role team-lead --reason agreed",
    f"apply {'a' * 300}",
    "apply ../../etc/passwd",
    "apply 3F2C91D0AA47",
    "approve not-a-plan --role team-lead --reason agreed",
]


@pytest.mark.parametrize("line", BAD_IDS)
def test_what_is_no_plan_is_refused_clearly(tmp_path: Path, line: str) -> None:
    done = CliRunner().invoke(main, line.split(), env={"RUNBOOK_RECORDS": str(tmp_path)})
    assert (done.exit_code, type(done.exception)) == (Exit.BAD_INPUT, SystemExit), done.output
    assert "Next: " in done.stderr
    assert "Traceback" not in done.stderr


def test_a_directory_that_is_deleted_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    leave_deleted_directory()
    assert Path.cwd() == gone
    gone.rmdir()
    leave_deleted_directory()
    assert Path.cwd() == Path("/")
