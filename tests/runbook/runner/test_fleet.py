"""A fleet forks its runs from one process: each has its own record, and one that dies harms no other."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import nbformat.v4 as v4
import pytest

from runbook.config.load import ROOT
from tests.runbook.runner.test_execution import NOTEBOOKS, gone, wait_for

NAMES = ["prod-1", "prod-2", "prod-3"]

# Runs the fleet, and says how many threads there were before each fork.
PROGRAM = """
import json, os, sys
from runbook.runner import fleet

class Counted(fleet.ForkProcess):
    def start(self):
        threads.append(len(os.listdir("/proc/self/task")))
        super().start()

fleet.ForkProcess, threads = Counted, []
said = fleet.run_all(sys.argv[1], sys.argv[2].split(), 2, False, True)
print(json.dumps([threads, said]))
"""


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "params").mkdir()
    for name in NAMES:
        (tmp_path / "params" / f"{name}.yaml").write_text((ROOT / "params/sandbox.yaml").read_text())
    more = {"RUNBOOK_PARAMS": str(tmp_path / "params"), "RUNBOOK_RECORDS": str(tmp_path / "records")}
    return os.environ | more | {"MOCK_MODE": "1"}


def notebook(path: Path, *cells: str) -> Path:
    """The fixture that ends well, with these cells before its verdict."""
    book = json.loads((NOTEBOOKS / "ok.ipynb").read_text())
    more = [dict(v4.new_code_cell(cell, id=f"more-{n}")) for n, cell in enumerate(cells)]
    path.write_text(json.dumps(book | {"cells": [*book["cells"][:4], *more, *book["cells"][4:]]}))
    return path


def records(tmp_path: Path) -> dict[str, dict[str, Any]]:
    found = [json.loads(p.read_text()) for p in (tmp_path / "records").glob("*/*/runs/*/record.json")]
    return {one["parameters"]["environment"]: one for one in found}


@pytest.mark.skipif(sys.platform != "linux", reason="forks are safe on Linux only")
@pytest.mark.full
def test_a_killed_kernel_harms_no_other(tmp_path: Path, env: dict[str, str]) -> None:
    """One run's kernel is killed, one has bad params; the rest end well. The process that forks has one thread."""
    (Path(env["RUNBOOK_PARAMS"]) / "bad.yaml").write_text("region: nowhere\n")
    book = notebook(tmp_path / "mine.ipynb", 'if environment == "prod-2":\n    import os\n    os.kill(os.getpid(), 9)')
    names = " ".join([*NAMES, "bad"])
    done = subprocess.run([sys.executable, "-c", PROGRAM, book, names], env=env, capture_output=True, text=True)
    *lines, last = map(json.loads, done.stdout.splitlines())
    (threads, said), ended = last, records(tmp_path)
    assert threads == [1] * 4, done.stderr
    assert {name: one["status"] for name, one in ended.items()} == {
        "prod-1": "finished",
        "prod-2": "kernel_died",
        "prod-3": "finished",
    }
    assert [c["status"] for c in ended["prod-2"]["cells"]] == [*["completed"] * 3, "failed", "pending"]
    assert list(said) == ["bad"]
    assert "bad.yaml is not valid" in said["bad"]
    levels = {one["environment"]: one["severity"] for one in lines}
    assert levels == {"prod-1": "INFO", "prod-2": "CRITICAL", "prod-3": "INFO"}
    assert len({one["pid"] for one in ended.values()}) == 3


@pytest.mark.full
@pytest.mark.skipif(sys.platform != "linux", reason="forks are safe on Linux only")
def test_a_stopped_fleet_ends_its_records(tmp_path: Path, env: dict[str, str]) -> None:
    cell = f"import os, time\n(__import__('pathlib').Path({str(tmp_path)!r}) / f'at-{{environment}}').write_text(str(os.getpid()))\ntime.sleep(600)"
    book = notebook(tmp_path / "mine.ipynb", cell)
    words = [sys.executable, "-c", PROGRAM, str(book), " ".join(NAMES)]
    fleet = subprocess.Popen(words, env=env, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        wait_for(lambda: len([p for p in tmp_path.glob("at-*") if p.read_text()]) == 2)
        fleet.send_signal(signal.SIGTERM)
        out, _ = fleet.communicate(timeout=60)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(fleet.pid, signal.SIGKILL)
    assert {name: one["status"] for name, one in records(tmp_path).items()} == dict.fromkeys(NAMES[:2], "terminated")
    _, said = json.loads(out.splitlines()[-1])
    assert said == {"prod-3": "the fleet was stopped before this run"}
    wait_for(lambda: all(gone(int(mark.read_text())) for mark in tmp_path.glob("at-*")))
