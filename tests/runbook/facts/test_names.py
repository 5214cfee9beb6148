"""Functions, services and jobs with names that differ, as in real projects (R7, R8, R16)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runbook import facts
from runbook.cloud.connect import connect
from runbook.config.load import load_settings
from runbook.config.schema import Function, Settings
from runbook.facts.base import observe
from runbook.facts.functions import called
from runbook.incidents.affected import Evidence
from runbook.incidents.diagnosis import diagnose
from runbook.model.moment import Moment, moment_of
from runbook.plans.base import run_once
from tests.runbook.incidents.test_page import ASKS

REAL = {"name": "Gmail_Sync", "job": "mail-every-hour"}
WORLD = """
about: a test
now: 2026-03-11T13:30:00Z
"""


def settings(**more: Any) -> Settings:
    """The sandbox's settings, where gmail-sync has names of another form."""
    system = load_settings("sandbox")
    first, *rest = system.functions
    mine = Function(**{**first.model_dump(), **REAL, **more})
    return system.model_copy(update={"functions": [mine, *rest]})


def seen(tmp_path: Path, text: str, **more: Any) -> tuple[Any, Moment]:
    path = tmp_path / "world.yaml"
    path.write_text(WORLD + text, encoding="utf-8")
    cloud = connect(settings(**more), str(path))
    return cloud, moment_of("", cloud.now()[0], cloud.settings.zone)


@pytest.mark.parametrize("service", ["", "mail-service"])
def test_a_function_is_known_by_its_service(tmp_path: Path, service: str) -> None:
    failing = "runs: [{select: {name: Gmail_Sync}, since: 90m, kind: exception}]"
    cloud, moment = seen(tmp_path, failing, service=service)
    assert {r.function for r in observe(facts.errors(), cloud, moment).rows if r.ours} == {"Gmail_Sync"}
    own = observe(facts.errors(function="Gmail_Sync"), cloud, moment)
    assert own.rows
    assert f'resource.labels.service_name="{service or "gmail-sync"}"' in own.line
    assert observe(facts.revisions("Gmail_Sync"), cloud, moment).rows
    assert observe(facts.service("Gmail_Sync"), cloud, moment).rows[0].service == (service or "gmail-sync")
    assert {r.function for r in observe(facts.users("gmail-oauth-token"), cloud, moment).rows} >= {"Gmail_Sync"}


def test_a_job_is_known_by_its_target(tmp_path: Path) -> None:
    cloud, moment = seen(tmp_path, "jobs: [{select: {name: Gmail_Sync}, state: PAUSED, changed: 20h}]\n")
    cloud.settings = settings(job="")  # the sandbox's job has its own name, which params do not say
    jobs = {r.name: r for r in observe(facts.jobs(), cloud, moment).rows}
    assert (jobs["mail-every-hour"].function, jobs["mail-every-hour"].state) == ("Gmail_Sync", "PAUSED")
    evidence = Evidence(**{name: observe(ask, cloud, moment) for name, ask in ASKS.items()})
    paused = replace(evidence.runs, rows=tuple(r for r in evidence.runs.rows if r.function != "Gmail_Sync"))
    [cause] = diagnose(evidence._replace(runs=paused), cloud.settings, moment)
    assert (cause.cause, cause.functions, cause.confidence) == ("paused_scheduler", ("Gmail_Sync",), "sure")


@pytest.mark.parametrize(
    ("url", "job", "function"),
    [
        ("https://us-central1-acme.cloudfunctions.net/Gmail_Sync", "nightly", "Gmail_Sync"),
        ("https://gmail-sync-a1b2c3d4e5-uc.a.run.app/", "nightly", "Gmail_Sync"),
        ("https://calendar-sync-a1b2c3d4e5-uc.a.run.app/", "mail-every-hour", "Gmail_Sync"),  # params say so
        ("", "calendar-sync", "calendar-sync"),
        ("", "nightly", ""),
    ],
)
def test_the_function_that_a_job_calls(url: str, job: str, function: str) -> None:
    assert called(settings(), url, job) == function


def test_a_run_is_started_by_the_job_of_the_function() -> None:
    change = run_once("Gmail_Sync", settings())
    assert (change.args.job, change.resource) == ("mail-every-hour", "Gmail_Sync")
    assert "jobs run mail-every-hour " in change.line
    assert "mail-every-hour" in change.after


def test_a_function_of_another_region_is_missing_here(tmp_path: Path) -> None:
    cloud, moment = seen(tmp_path, "")
    evidence = Evidence(**{name: observe(ask, cloud, moment) for name, ask in ASKS.items()})
    moved = tuple(replace(r, region="europe-west1") if r.name == "Gmail_Sync" else r for r in evidence.functions.rows)
    found = diagnose(evidence._replace(functions=replace(evidence.functions, rows=moved)), cloud.settings, moment)
    assert [(c.cause, c.functions) for c in found] == [("missing_function", ("Gmail_Sync",))]
