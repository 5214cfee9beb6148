"""Every shipped world, run as a person runs it: the daily check gives the verdict that the world is there for."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from gcp_sandbox.world.schema import shipped
from runbook.model.errors import Exit
from runbook.records.files import digest
from runbook.runner import execute, run
from tests.generated_outages import SHIPPED
from tests.runbook.changes import Place
from tests.slices import every

# World → the daily check's verdict, its exit code, and the checks that have this verdict. A world that ships must be here.
EXPECTED: dict[str, tuple[str, Exit, set[str]]] = {
    "bad_deploy": ("warn", Exit.OK, {"failed ETL runs today", "scheduler", "function now"}),
    "healthy": ("ok", Exit.OK, set()),
    "least_privilege": ("ok", Exit.OK, set()),
    "many_errors": ("alert", Exit.ALERT, {"data freshness", "errors", "function now"}),
    "missing_function": ("alert", Exit.ALERT, {"data freshness", "functions", "function now"}),
    "no_backup": ("ok", Exit.OK, set()),
    "no_etl": ("alert", Exit.ALERT, {"ETL runs today", "data freshness", "errors", "function now"}),
    "no_permission": ("unknown", Exit.UNKNOWN, {"errors", "scheduler"}),
    "old_secret": ("ok", Exit.OK, set()),
    "outside_window": ("ok", Exit.OK, set()),
    "p1_auth_expired": ("alert", Exit.ALERT, {"function now"}),
    "p1_bad_data": ("warn", Exit.OK, {"failed ETL runs today", "scheduler", "function now"}),
    "p1_capacity": ("alert", Exit.ALERT, {"function now"}),
    "p1_crash_after_deploy": ("alert", Exit.ALERT, {"function now"}),
    "p1_dependency_outage": ("alert", Exit.ALERT, {"function now"}),
    "p1_memory_limit": ("alert", Exit.ALERT, {"function now"}),
    "p1_paused_scheduler": ("alert", Exit.ALERT, {"data freshness", "function now"}),
    "p1_permission_changed": ("alert", Exit.ALERT, {"function now"}),
    "p1_quota_hours": ("warn", Exit.OK, {"errors", "failed ETL runs today", "scheduler", "function now"}),
    "p1_quota_seconds": ("alert", Exit.ALERT, {"function now"}),
    "p1_region_outage": ("alert", Exit.ALERT, {"function now"}),
    "p1_schema_change": ("warn", Exit.OK, {"failed ETL runs today", "scheduler", "function now"}),
    "p1_secret_disabled": ("alert", Exit.ALERT, {"function now"}),
    "p1_stuck_etl": ("alert", Exit.ALERT, {"data freshness", "function now"}),
    "p1_timeout": ("warn", Exit.OK, {"ETL runs without an end", "scheduler", "function now"}),
    "p1_two_causes": ("alert", Exit.ALERT, {"function now"}),
    "p1_two_more": ("alert", Exit.ALERT, {"function now"}),
    "p1_unauthenticated": ("alert", Exit.ALERT, {"data freshness", "errors", "function now"}),
    "p1_unknown": ("alert", Exit.ALERT, {"function now"}),
    "pinned_traffic": ("ok", Exit.OK, set()),
    "quiet_morning": ("alert", Exit.ALERT, {"function now"}),
    "stale_scores": ("alert", Exit.ALERT, {"account scores", "function now"}),
    "still_running": ("ok", Exit.OK, set()),
    "unreachable_region": ("unknown", Exit.UNKNOWN, {"functions"}),
}


RUN = ["stale_scores", "healthy", "bad_deploy", "no_permission", "unreachable_region"]  # each verdict, in a kernel
OTHERS = [world for world in EXPECTED if world not in SHIPPED]


@pytest.fixture(scope="module")
def ran() -> Callable[[str], execute.RunResult]:
    """A function `ran(world)` → how the daily check ended there; it runs once in each world."""
    return cache(lambda world: run.run("daily_check", {"world": world}))


def test_every_world_is_expected() -> None:
    assert set(EXPECTED) == set(shipped()), (
        "Add the new world to EXPECTED: the verdict of the daily check, its exit code, and the checks that have this verdict; "
        "see them with: runbook run daily_check --world NAME"
    )
    assert {EXPECTED[world][0] for world in RUN} == {verdict for verdict, *_ in EXPECTED.values()}


@pytest.mark.parametrize("world", [*every(3, OTHERS), *every(12, SHIPPED)])
def test_the_daily_check_in_every_world(world: str, tmp_path: Path) -> None:
    """The notebook's cells in this process: a kernel for each world would show nothing more."""
    verdict, exit, checks = EXPECTED[world]
    done = Place(tmp_path / "records", world=world).run("daily_check")
    assert done.error is None
    report = json.loads((done.names["run"].folder / "report.json").read_text())
    assert (report["verdict"], report["exit"]) == (verdict, int(exit))
    assert {f["check"] for f in report["findings"] if f["verdict"] == verdict != "ok"} == checks


@pytest.mark.parametrize("world", every(6, RUN))
def test_the_daily_check_in_a_world(ran: Callable[[str], execute.RunResult], world: str) -> None:
    verdict, exit, checks = EXPECTED[world]
    ended = ran(world)
    assert (ended.record["verdict"], ended.exit, ended.error) == (verdict, exit, ())
    report = json.loads((ended.folder / "report.json").read_text())
    assert (report["verdict"], report["attested"]) == (verdict, True)
    assert {f["check"] for f in report["findings"] if f["verdict"] == verdict != "ok"} == checks


@pytest.mark.parametrize("world", every(6, RUN))
def test_its_record_is_complete(ran: Callable[[str], execute.RunResult], world: str) -> None:
    ended = ran(world)
    kept = json.loads((ended.folder / "record.json").read_text())
    assert kept == ended.record
    assert (kept["status"], kept["exit"], kept["parameters"]["world"]) == ("finished", int(ended.exit), world)
    assert {c["status"] for c in kept["cells"]} == {"completed"}
    assert sorted(kept["sha256"]) == ["daily_check.ipynb", "journal.jsonl", "report.json"]
    assert kept["sha256"] == {name: digest(ended.folder / name) for name in kept["sha256"]}
