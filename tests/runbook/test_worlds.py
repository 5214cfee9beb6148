"""Every shipped world, run as a person runs it: the daily check gives the verdict that the world is there for."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from gcp_sandbox.world import shipped
from runbook import record, runner
from runbook.errors import Exit

# World → the daily check's verdict, its exit code, and the checks that have this verdict. A world that ships must be here.
EXPECTED: dict[str, tuple[str, Exit, set[str]]] = {
    "bad_deploy": ("warn", Exit.OK, {"failed ETL runs today", "scheduler"}),
    "healthy": ("ok", Exit.OK, set()),
    "many_errors": ("alert", Exit.ALERT, {"errors", "data freshness"}),
    "missing_function": ("alert", Exit.ALERT, {"functions", "data freshness"}),
    "no_backup": ("ok", Exit.OK, set()),
    "no_etl": ("alert", Exit.ALERT, {"ETL runs today", "data freshness"}),
    "no_permission": ("unknown", Exit.UNKNOWN, {"errors", "scheduler"}),
    "old_secret": ("ok", Exit.OK, set()),
    "outside_window": ("ok", Exit.OK, set()),
    "pinned_traffic": ("ok", Exit.OK, set()),
    "quiet_morning": ("warn", Exit.OK, {"ETL runs today"}),
    "stale_scores": ("alert", Exit.ALERT, {"account scores"}),
    "still_running": ("ok", Exit.OK, set()),
    "unreachable_region": ("unknown", Exit.UNKNOWN, {"functions"}),
}


@pytest.fixture(scope="module")
def ran() -> dict[str, runner.Ended]:
    """How the daily check ended in each world; two at a time, because each run keeps more than one core busy."""

    def one(world: str) -> runner.Ended:
        return runner.run("daily_check", {"world": world})

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(shipped(), pool.map(one, shipped()), strict=True))


def test_every_world_is_expected() -> None:
    assert set(EXPECTED) == set(shipped())


@pytest.mark.parametrize("world", EXPECTED)
def test_the_daily_check_in_a_world(ran: dict[str, runner.Ended], world: str) -> None:
    verdict, exit, checks = EXPECTED[world]
    ended = ran[world]
    assert (ended.record["verdict"], ended.exit, ended.error) == (verdict, exit, ())
    report = json.loads((ended.folder / "report.json").read_text())
    assert (report["verdict"], report["attested"]) == (verdict, True)
    assert {f["check"] for f in report["findings"] if f["verdict"] == verdict != "ok"} == checks


@pytest.mark.parametrize("world", EXPECTED)
def test_its_record_is_complete(ran: dict[str, runner.Ended], world: str) -> None:
    ended = ran[world]
    kept = json.loads((ended.folder / "record.json").read_text())
    assert kept == ended.record
    assert (kept["status"], kept["exit"], kept["parameters"]["world"]) == ("finished", int(ended.exit), world)
    assert {c["status"] for c in kept["cells"]} == {"completed"}
    assert sorted(kept["sha256"]) == ["daily_check.ipynb", "journal.jsonl", "report.json"]
    assert kept["sha256"] == {name: record.digest(ended.folder / name) for name in kept["sha256"]}
