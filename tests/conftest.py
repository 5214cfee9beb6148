"""What every test shares: records go to a folder of their own, and no environment variable of the developer leaks in."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from typing import Any

import pytest

for name in ("RUNBOOK_ENV", "RUNBOOK_PARAMS", "RUNBOOK_RUN", "RUNBOOK_SANDBOX", "MOCK_MODE"):
    os.environ.pop(name, None)
os.environ["RUNBOOK_RECORDS"] = tempfile.mkdtemp(prefix="records-")


@pytest.fixture
def sandbox() -> Callable[..., tuple[Any, Any]]:
    """A function `sandbox(world, as_of)` → the Cloud and the Moment of a run in a sandbox of its own."""
    from runbook import settings
    from runbook.cloud.connect import connect
    from runbook.moment import moment_of

    def make(world: str = "healthy", as_of: str = "") -> tuple[Any, Any]:
        system = settings.load("sandbox")
        cloud = connect(system, world)
        return cloud, moment_of(as_of, cloud.now()[0], system.zone)

    return make


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """What a test recorded as its `summary` is printed at the end; also when it ran in another process."""
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            if name == "summary" and report.when == "call":
                terminalreporter.write_line(value)
