"""What every test shares: records go to a folder of their own, and no environment variable of the developer leaks in."""

from __future__ import annotations

import atexit
import gc
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

for name in ("RUNBOOK_ENV", "RUNBOOK_PARAMS", "RUNBOOK_SANDBOX", "MOCK_MODE", "STORAGE_EMULATOR_HOST", "COLUMNS"):
    os.environ.pop(name, None)

# Bytecode is kept, as Python does unless it is told not to: tests start a hundred processes that import the library.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# What tests read with `yaml.safe_load` is read by libyaml, nine times as fast, as the library reads its own files.
yaml.SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # type: ignore[misc]

# Every run makes dozens of small files and forces them to the disk. In memory that costs nothing; the processes that
# pytest-xdist and the tests start find the same folder in TMPDIR.
MEMORY = Path("/dev/shm")
if "TMPDIR" not in os.environ and MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > 1 << 30:
    os.environ["TMPDIR"] = made = tempfile.mkdtemp(prefix="runbook-tests-", dir=MEMORY)
    tempfile.tempdir = None
    atexit.register(shutil.rmtree, made, ignore_errors=True)
os.environ["RUNBOOK_RECORDS"] = tempfile.mkdtemp(prefix="records-")
os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="state-")  # what a machine remembers of record stores


@pytest.fixture
def sandbox() -> Callable[..., tuple[Any, Any]]:
    """A function `sandbox(world, as_of)` → the Cloud and the Moment of a run in a sandbox of its own."""
    from runbook.cloud.connect import connect
    from runbook.config.load import load_settings
    from runbook.model.moment import moment_of

    def make(world: str = "healthy", as_of: str = "") -> tuple[Any, Any]:
        system = load_settings("sandbox")
        cloud = connect(system, world)
        return cloud, moment_of(as_of, cloud.now()[0], system.zone)

    return make


@pytest.fixture
def spawned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels are processes of their own, as in a single run; else they are forks, see kernels.py."""
    from runbook.runner.kernel import Kernel
    from tests.once import SPAWN

    monkeypatch.setattr(Kernel, "launch", SPAWN)


# A long file that begins last keeps one processor while the other waits.
LONGEST_FIRST = (
    *(
        "fault_sweep",
        "two_machines",
        "store_faults",
        "apply",
        "execution",
        "main",
        "clis",
        "bite",
        "diagnosis",
        "worlds",
        "secret_leaks",
    ),
    *("recorded_answers", "next_steps", "no_output", "total", "snapshots", "remedies"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, all others as they are; pytest-xdist keeps this order with --no-loadscope-reorder."""
    place = {f"test_{name}.py": n for n, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: place.get(item.path.name, len(place)))


def pytest_collection_finish() -> None:
    """What all tests share is made once. What is there for good, modules and tests, is not looked through again at each of thousands of collections."""
    from tests.once import install

    install()
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000)


def pytest_sessionfinish(exitstatus: int) -> None:
    """After a failure the files stay, to be looked at."""
    if exitstatus == pytest.ExitCode.TESTS_FAILED:
        atexit.unregister(shutil.rmtree)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """What a test recorded as its `summary` is printed at the end; also when it ran in another process."""
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            if name == "summary" and report.when == "call":
                terminalreporter.write_line(value)
