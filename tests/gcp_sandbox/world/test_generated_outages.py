"""Outages are fair: what is wrong shows, what is not does not, and every service tells the same times."""

from __future__ import annotations

import re
import time
from datetime import datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim

import gcp_sandbox.services  # noqa: F401  # registers every route
from gcp_sandbox.sandbox import Sandbox
from gcp_sandbox.world.failures import KINDS, mebibytes
from gcp_sandbox.world.schema import World, load, shipped
from tests.generated_outages import CAUSES, SHIPPED, Truth, inventory, vary
from tests.slices import every

SEEDS = range(25 * len(CAUSES))  # enough that each cause comes 20 times
GREEN = ("stale_data", "nothing_written")  # every run succeeds all the same
CASES = [*SHIPPED, *every(23, SEEDS)]  # each cause comes once
told = cache(vary)  # each seed once


@cache
def outage(case: str | int) -> tuple[Sandbox, tuple[Truth, ...]]:
    """The sandbox of a shipped world or a seed, with everything but BigQuery built."""
    world, truths = (load(case), SHIPPED[case]) if isinstance(case, str) else told(case)
    if isinstance(world, dict):
        world = World.model_validate(world)
    sandbox = Sandbox(inventory(), world)
    _ = sandbox.log, sandbox.functions, sandbox.jobs, sandbox.secrets
    return sandbox, truths


def due(sandbox: Sandbox, name: str) -> datetime:
    """When a function's job was due last."""
    function = next(f for f in inventory().functions if f.name == name)
    tick = next(CronSim(function.schedule, sandbox.now.astimezone(ZoneInfo(inventory().time_zone)), reverse=True))
    return tick.astimezone(sandbox.now.tzinfo)


def last_run(sandbox: Sandbox, name: str):
    return next((r for r in reversed(sandbox.story.runs) if r.function.name == name), None)


def failing(sandbox: Sandbox) -> set[str]:
    """The functions whose last call has not come to a good end, though it had the time to."""
    found = set()
    for function in sandbox.story.functions:
        run, at = last_run(sandbox, function.name), due(sandbox, function.name)
        fresh = sandbox.now - at < timedelta(minutes=2)
        missing = (run is None or run.started_at < at) and not fresh
        hanging = run and run.status == "running" and sandbox.now - run.started_at > timedelta(minutes=2)
        if missing or hanging or (run and run.status == "failed"):
            found.add(function.name)
    return found


def test_what_ships_is_told_here():
    assert sorted(SHIPPED) == [world for world in shipped() if world.startswith("p1_")], (
        "Add the new world p1_… to SHIPPED in tests/generated_outages.py, with its expected diagnosis"
    )
    untold = {t.cause for truths in SHIPPED.values() for t in truths} - set(CAUSES)
    assert untold == set(), "Add a maker of an outage with this cause to CAUSES in tests/generated_outages.py"


@pytest.mark.full
def test_the_same_seed_tells_the_same():
    assert [vary(seed) for seed in range(30)] == [told(seed) for seed in range(30)]
    assert len({str(told(seed)) for seed in SEEDS}) == len(SEEDS)


def test_every_cause_is_told_often_and_some_come_in_pairs():
    truths_of = [told(seed)[1] for seed in SEEDS]
    assert all(sum(t.cause == cause for truths in truths_of for t in truths) >= 20 for cause in CAUSES)
    assert sum(len(truths) == 2 for truths in truths_of) >= 40


@pytest.mark.full
def test_they_are_built_quickly():
    worlds = [World.model_validate(told(seed)[0]) for seed in range(40)]
    began = time.process_time()
    for world in worlds:
        sandbox = Sandbox(inventory(), world)
        _ = sandbox.log, sandbox.functions, sandbox.jobs, sandbox.secrets
    assert (time.process_time() - began) / len(worlds) < 0.05


@pytest.mark.parametrize("case", CASES)
def test_what_is_wrong_shows_and_nothing_else_does(case):
    sandbox, truths = outage(case)
    wrong = [name for truth in truths for name in truth.functions if truth.cause not in GREEN]
    assert len(wrong) == len(set(wrong)), "each function has one cause"
    assert failing(sandbox) == set(wrong)


@pytest.mark.parametrize("case", CASES)
def test_it_began_when_the_truth_says(case):
    """Before, each function ran well; since, it has not, but for a lucky call where instances are short."""
    sandbox, truths = outage(case)
    for truth in (truth for truth in truths if truth.cause not in GREEN):
        began = sandbox.now - truth.since
        for name in truth.functions:
            before = [r for r in sandbox.story.runs if r.function.name == name and r.started_at < began]
            since = [r for r in sandbox.story.runs if r.function.name == name and r.started_at >= began]
            assert before[-1].status == "success"
            assert due(sandbox, name) >= began - timedelta(seconds=20)
            assert truth.cause == "capacity" or {r.status for r in since} <= {"failed", "running"}


@pytest.mark.parametrize("case", CASES)
def test_runs_and_log_tell_the_same(case):
    sandbox, _ = outage(case)
    entries = sandbox.log.entries
    assert entries == sorted(entries)
    assert all(e.at <= sandbox.now for e in entries)
    for run in sandbox.story.runs:
        own = [e for e in entries if e.run == run.id]
        assert own[0].at == run.started_at
        if run.kind and KINDS[run.kind].lines and run.ended_at:
            assert run.ended_at <= run.started_at + timedelta(seconds=run.function.timeout_s)
            assert {e.text for e in own if e.severity == "ERROR"} or run.ended_at > sandbox.now
        elif run.finished_at:
            assert own[-1].at == run.finished_at
            assert ("failed" in own[-1].text) == (run.status == "failed")


@pytest.mark.parametrize("case", CASES)
def test_the_log_names_the_revision_that_served(case):
    sandbox, truths = outage(case)
    broken = {name for t in truths if t.cause == "crash_after_deploy" for name in t.functions}
    for name in {name for t in truths for name in t.functions}:
        made = {
            r["name"].rsplit("/", 1)[1]: datetime.fromisoformat(r["createTime"])
            for r in sandbox.services.revisions[name]
        }
        own = (e for e in sandbox.log.entries if e.function == name and not e.change and e.payload != "attempt")
        for entry in own:
            labels = sandbox.log.draw(entry)["resource"]["labels"]
            assert made[labels["revision_name"]] <= entry.at
    for name in broken:
        newest = sandbox.services.revisions[name][-1]
        failed = [r for r in sandbox.story.runs if r.function.name == name and r.status in ("failed", "running")]
        assert datetime.fromisoformat(newest["createTime"]) <= failed[0].started_at


@pytest.mark.parametrize("case", CASES)
def test_jobs_know_how_their_last_call_ended(case):
    sandbox, truths = outage(case)
    causes = {name: truth.cause for truth in truths for name in truth.functions}
    for name, job in sandbox.jobs.jobs.items():
        code, cause = job.get("status", {}).get("code", 0), causes.get(name)
        if cause == "paused_scheduler":
            assert job["state"] == "PAUSED"
            assert datetime.fromisoformat(job["lastAttemptTime"]) < datetime.fromisoformat(job["userUpdateTime"])
        elif cause and cause != "stuck_etl" and cause not in GREEN:
            assert (job["state"], bool(code)) == ("ENABLED", True)
        elif not cause or cause in GREEN:
            assert (job["state"], code) == ("ENABLED", 0)


@pytest.mark.parametrize("case", CASES)
def test_changes_are_in_the_audit_log_before_what_they_brought(case):
    sandbox, truths = outage(case)
    changes = [e for e in sandbox.log.entries if e.change]
    looked_for = {
        "crash_after_deploy": "UpdateFunction",
        "paused_scheduler": "PauseJob",
        "permission": "SetIamPolicy",
        "secret": "SecretVersion",
    }
    for truth in truths:
        first = min(
            (r.started_at for r in sandbox.story.runs if r.function.name in truth.functions and r.status != "success"),
            default=sandbox.now,
        )
        if word := looked_for.get(truth.cause):
            assert any(
                word in e.text and sandbox.now - truth.since - timedelta(minutes=3) <= e.at <= first for e in changes
            )


@pytest.mark.parametrize("case", CASES)
def test_decoys_touch_nothing_that_is_wrong(case):
    """A deployment, a job or a secret of what is wrong is changed about then only where that is the cause."""
    sandbox, truths = outage(case)
    for truth in truths:
        about_then = sandbox.now - truth.since - timedelta(hours=2)
        for entry in (
            e for e in sandbox.log.entries if e.change and e.function in truth.functions and e.at > about_then
        ):
            assert truth.cause in ("crash_after_deploy", "paused_scheduler"), entry
        secrets = {s for f in inventory().functions if f.name in truth.functions for s in f.secrets}
        off = [
            s.name for s in sandbox.world.secrets for v in s.versions[-1:] if v.state != "ENABLED" and s.name in secrets
        ]
        assert bool(off) == (truth.cause == "secret")
        systems = {f.source_system for f in inventory().functions if f.name in truth.functions}
        headroom = [i for i in sandbox.world.incidents if not i.until and _near(i, systems)]
        assert not headroom or truth.cause in ("dependency_outage", "region_outage")


def _near(incident, systems: set[str]) -> bool:
    """Whether an incident is about something that these systems stand on."""
    if incident.feed == "google":
        return inventory().region in incident.locations and ("Vertex" not in incident.of[0] or "vertex_ai" in systems)
    of = {"hubspot": {"APIs", "CRM"}, "salesforce": {"NA123"}}[incident.feed]
    return bool(of & set(incident.of)) and incident.feed in systems


@pytest.mark.parametrize("case", CASES)
def test_numbers_and_names_in_the_words_are_the_resources_own(case):
    sandbox, _ = outage(case)
    memory = {f.name: mebibytes(f.memory) for f in inventory().functions}
    for entry in sandbox.log.entries:
        if found := re.match(r"Memory limit of (\d+) MiB exceeded with (\d+) MiB used", entry.text):
            assert int(found[1]) == memory[entry.function] < int(found[2])
        if found := re.search(r"Secret Version \[(\S+)\] is in (\w+) state", entry.text):
            name, _, version = found[1].split("/secrets/")[1].split("/")
            assert sandbox.secrets.version(name, version)["state"] == found[2]
            assert sandbox.secrets.version(name, "latest")["name"] == found[1]
        if found := re.search(r"No such field: (\w+)", entry.text):
            assert "{" not in found[1]
        assert not re.search(r"[{][a-z_]+[}]", entry.text)


def test_what_people_read_of_a_world_does_not_name_its_cause():
    words = re.compile(
        r"stuck|auth|token|secret|disabled|permission|quota|limit|memory|timeout|timed|crash|deploy|schema|column|outage|"
        r"paused|scheduler|instance|capacity|region|unreachable|exceeded|revision",
        re.IGNORECASE,
    )
    for world in SHIPPED:
        assert not words.search(load(world).about), world
