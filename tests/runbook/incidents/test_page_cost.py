"""What the P1 page costs: requests, by the notebook's own cells, and seconds until the diagnosis on a slow line."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from datetime import timedelta
from math import ceil
from pathlib import Path
from time import perf_counter

import pytest

import gcp_sandbox
from gcp_sandbox.serve import serve
from runbook.config.load import load_settings
from runbook.facts.logs import PAGE, PAGES
from tests.runbook.changes import Place, Result
from tests.slices import first

TARGET, TRIES = 6, 5  # seconds; other tests share the cores, so the best of a few tries counts
SYSTEM = load_settings("sandbox")
SECRETS = {s for f in SYSTEM.functions for s in f.secrets}


def expected(functions: int, storm: bool = False, sick: bool = True) -> Counter[str]:
    """All requests of one run for so many functions, each with a scheduler job. Nothing else may make them more.

    1 for the clock, ⌈functions/1000⌉ for the functions, 2 each (dry run and query) for the runs (the newest 1,000), the
    ages of tables and the scores, 1 for the quotas, 1 for the errors and 1 for the changes (the newest 1,000 entries, one page each), 1 a
    secret (its newest 25 versions), ⌈jobs/500⌉ for the jobs, 1 a status feed. 1,000 and 500 are the most that Google
    gives on a page. A storm of errors costs three more pages at the most. If functions of params are `sick` (an error of
    theirs is logged), their lines without a severity are one more, however many they are.
    """
    return Counter(
        {
            **{
                "clock": 1,
                "quotas": 1,
                "functions": ceil(functions / 1000),
                "dry run": 3,
                "query": 3,
                "log": 2 + PAGES * storm + sick,
            },
            **{"secret": len(SECRETS), "jobs": ceil(functions / 500), "feed": len(SYSTEM.feeds)},
        }
    )


KINDS = {
    "clock": r":testIamPermissions$",
    "functions": r"/locations/-/functions$",
    "quotas": r"GET monitoring\..*/timeSeries$",
    "dry run": r"POST .*/bigquery/v2/projects/[^/]+/jobs$",
    "query": r"POST .*/bigquery/v2/projects/[^/]+/queries$",
    "log": r"entries:list$",
    "secret": r"/secrets/[^/]+/versions$",
    "jobs": r"/locations/[^/]+/jobs$",
    "feed": r"GET (status\.|api\.status\.)",
}


def requests(tmp_path: Path, world: str) -> tuple[Counter[str], Result]:
    """The requests of a whole p1_response, by kind; what is of no kind stands by its line."""
    place = Place(tmp_path / "records", world=world)
    done = place.run("p1_response")
    assert done.error is None
    lines = [sent.line for sent in place.wire.seen]
    return Counter(
        next((kind for kind, shape in KINDS.items() if re.search(shape, line)), line) for line in lines
    ), done


@pytest.mark.parametrize(("world", "sick"), [("healthy", True), ("p1_two_causes", True), ("p1_region_outage", False)])
def test_an_outage_asks_no_more_than_a_good_day(tmp_path: Path, world: str, sick: bool) -> None:
    found, _ = requests(tmp_path, world)
    assert found == expected(len(SYSTEM.functions), sick=sick)


@pytest.mark.parametrize("more", first([988, 987, 1300, 2000]))
def test_requests_grow_by_pages_of_functions_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: int) -> None:
    monkeypatch.setattr(
        "gcp_sandbox.services.bigquery.seed.HISTORY", timedelta(0)
    )  # so that the many runs are of today, too
    world = tmp_path / "bulk.yaml"
    world.write_text(f"like: healthy\nbulk: {{functions: {more}, runs: 400000, errors: 220000}}\n")
    found, done = requests(tmp_path, str(world))
    seen = done.names["seen"]
    assert (len(seen.functions.rows), len(seen.jobs.rows)) == (more + 13, more + 13)
    assert (len(seen.runs.rows), seen.logs.more) == (1000, True)
    assert len(seen.logs.rows) >= PAGE
    assert (seen.logs.gaps, seen.logs.only) == ((), {f"bulk-{more - 1:04}"})
    most = expected(len(SYSTEM.functions) + more, storm=True, sick=False)
    assert found <= most
    assert most - found <= Counter(log=PAGES - 1)


def seconds_to_the_diagnosis(folder: Path) -> float:
    """`runbook run p1_response` as a process, from its start on; only the cells after the diagnosis are taken off."""
    world = folder / "slow.yaml"
    world.write_text("like: p1_two_causes\nfaults: [{latency_ms: 300}]\n")
    app = gcp_sandbox.app(SYSTEM.inventory(), str(world))
    with serve(app) as served:
        here = {"RUNBOOK_SANDBOX": served.url, "RUNBOOK_RECORDS": str(folder / "records")}
        words = [sys.executable, "-m", "runbook.cli.main", "run", "p1_response"]
        began = perf_counter()
        done = subprocess.run(words, env=os.environ | here, capture_output=True, text=True)
        took = perf_counter() - began
    assert "memory limit (sure): account-scoring" in done.stdout, done.stderr
    assert app.sandbox.faults.met == [expected(len(SYSTEM.functions)).total()]
    (kept,) = folder.rglob("record.json")
    cells = json.loads(kept.read_text())["cells"]
    last = max(n for n, cell in enumerate(cells) if cell["step"] == "Why?")
    return took - sum(cell["seconds"] for cell in cells[last + 1 :])


@pytest.mark.full
def test_seconds_to_the_diagnosis_on_a_slow_line(tmp_path: Path, record_property: pytest.RecordProperty) -> None:
    took: list[float] = []
    while len(took) < TRIES and not (took and took[-1] < TARGET):
        folder = tmp_path / str(len(took))
        folder.mkdir()
        took.append(seconds_to_the_diagnosis(folder))
    tried = ", ".join(f"{seconds:.1f}" for seconds in took)
    record_property("summary", f"p1_response with 300 ms a request: diagnosis after {tried} s (target {TARGET} s)")
    assert min(took) < TARGET, tried
