"""Whether the command that P1 proposes ends the outage: planned, approved and applied, in a sample of tests/sets.

The sample is drawn once, by a fixed seed, from the outages that a command can end: in their world a rollback, a resumed
job, more memory, a longer timeout, an enabled or a new version, a retry of a stuck run, or new code makes the function
work again. Where the world says that it goes on failing whatever is done, no command could end it.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml

from gcp_sandbox.world.failures import KINDS
from runbook.config.load import YAML_LOADER
from runbook.model.findings import Verdict
from tests.runbook.changes import Place
from tests.runbook.incidents.test_remedies import steps
from tests.sets import SETS, cases
from tests.slices import every

SAMPLE, SEED, ROUNDS = 30, "ends", 8
BY_COMMAND = ("stuck_etl", "failed_deployment")  # a retry, and new code, end these in every world
# What does not end although its world could be ended, and why; held, so that it may only become less.
MISSES: dict[str, str] = {
    "fourth/w84": "the function reads version 1, which was disabled; the newest is enabled, so a retry is proposed"
}


@cache
def world_of(path: Path) -> dict[str, Any]:
    return yaml.load(path.read_text(encoding="utf-8"), Loader=YAML_LOADER)


def can_end(path: Path) -> bool:
    """Whether the world of an outage has a cure for each run that fails until now, or another state to return to."""
    world, causes = world_of(path)["world"], world_of(path)["truth"]["causes"]
    now = [r for r in world.get("runs", ()) if str(r.get("until", "0"))[0] == "0"]
    failing = [r for r in now if (r.get("outcome") or KINDS[r["kind"]].outcome) != "success"]
    cured = [r.get("cure") or (KINDS[r["kind"]].cure if r.get("kind") else "") for r in failing]
    back = any(r.get("error") or r.get("kind") for r in world.get("revisions", ()))
    back = back or any(job.get("state") == "PAUSED" for job in world.get("jobs", ()))
    main = causes[0]["cause"] if causes else "unknown"
    return main in BY_COMMAND or (main != "unknown" and all(cured) and bool(failing or back))


def sample() -> list[str]:
    every_one = [f"{name}/{path.stem}" for name in SETS for path in cases(name) if can_end(path)]
    return sorted(Random(SEED).sample(every_one, SAMPLE))


def end(place: Place, functions: set[str]) -> tuple[list[str], Any]:
    """Do what the page proposes for these functions, one command after the other, until it proposes nothing new."""
    done: list[str] = []
    for _ in range(ROUNDS):
        new = [(r, g) for r, g in steps(place) if done.count(f"{r} {g}") < (2 if r == "retry" else 1)]
        if not new:
            break
        runbook, given = new[0]
        done.append(f"{runbook} {given}")
        planned = place.run(runbook, **given)
        if planned.error is None and planned.outcome.result == "planned":
            place.approve(planned.id)
            place.go(runbook, planned.id, **given)
    return done, place.run("p1_response").names["page"]


def test_a_run_without_an_end_and_without_a_cause_is_run_again(tmp_path: Path) -> None:
    """Its container was killed, and nothing says why."""
    whole = world_of(next(path for path in cases("sixth") if path.stem == "w18"))
    world = tmp_path / "world.yaml"
    world.write_text(json.dumps(whole["world"], default=str))
    place = Place(tmp_path / "records", world=str(world))
    assert [given["function"] for name, given in steps(place) if name == "retry"] == ["account-scoring"]


@pytest.mark.parametrize("name", every(15, sample()))
def test_what_is_proposed_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    whole = world_of(next(path for path in cases(name.split("/")[0]) if path.stem == name.split("/")[1]))
    world = tmp_path / "world.yaml"
    world.write_text(json.dumps(whole["world"], default=str))
    monkeypatch.setenv("NEW_VALUE", "a-new-value")
    monkeypatch.setenv("RUNBOOK_SECRET_ENV", "NEW_VALUE")
    place = Place(tmp_path / "records", world=str(world))
    functions = {f for cause in whole["truth"]["causes"] for f in cause["functions"]}
    done, page = end(place, functions)
    still = {f for cause in page.causes for f in cause.functions} & functions
    today = [f for found in place.run("daily_check").names["run"].findings.values() for f in found]
    still |= {f.subject for f in today if f.check == "function now" and f.verdict > Verdict.ok} & functions
    short = {row.function: row.command or row.do for row in page.short.rows if row.function in functions}
    assert bool(still) == (name in MISSES), (name, sorted(still), done, page.causes.rows)
    assert all(short.values()), short
