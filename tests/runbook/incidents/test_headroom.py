"""How close functions came to their limits: what was seen, against what is deployed, and the fix that follows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gcp_sandbox.sandbox import Sandbox
from runbook import charts, facts, incidents
from runbook.facts.base import observe
from runbook.incidents.affected import Evidence
from runbook.incidents.headroom import ALL, mebibytes, more
from runbook.incidents.page import Page
from runbook.model.facts import Fact, Gap
from tests.runbook.incidents.test_page import NOT_KNOWN, Stub, seen_in
from tests.slices import every


def page_of(seen: Evidence, moment: Any) -> Page:
    return incidents.page(Stub(moment), type("S", (), seen._asdict() | NOT_KNOWN))  # type: ignore[arg-type]


def with_limits(fact: Fact, **changed: Any) -> Fact:
    """The fact `functions`, where every function has these limits deployed."""
    return replace(fact, rows=tuple(replace(row, **changed) for row in fact.rows))


def brief(page: Page) -> list[tuple[Any, ...]]:
    return [(r.function, f"{r.run:%a %H:%M}", r.what, r.seen, r.limit, r.unit, r.ended) for r in page.headroom]


def fix(page: Page) -> tuple[str, str]:
    """The first step of a page: its sentence, and what follows the function in its command."""
    return page.steps[0].do, page.steps[0].command.partition(" -p ")[2].partition(" -p ")[2]


def a_world(tmp_path: Path, text: str) -> str:
    path = tmp_path / "world.yaml"
    path.write_text(f"about: A test.\nnow: 2026-03-11T13:30:00Z\n{text}")
    return str(path)


def test_memory_against_its_limit(sandbox: Callable[..., Any]) -> None:
    seen, moment = seen_in(sandbox, "p1_memory_limit")
    (told,) = (r.text for r in seen.logs.rows if r.text.startswith("Memory limit of 1024 MiB exceeded with"))
    used = int(told.split(" with ")[1].split()[0])
    page = page_of(seen, moment)
    newest, older = (r for r in seen.runs.rows if r.function == "account-scoring")
    killed = next(r.at for r in seen.logs.rows if r.text == "Container terminated on signal 9.")
    assert brief(page) == [
        ("account-scoring", "Tue 07:30", "duration", _s(older.finished_at - older.started_at), 540, "s", "success"),
        ("account-scoring", "Wed 07:30", "duration", _s(killed - newest.started_at), 540, "s", "out of memory"),
        ("account-scoring", "Wed 07:30", "memory", used, 1024, "MiB", "out of memory"),
    ]
    assert fix(page) == (f"give it more memory (stopped at {used:,} MiB; the limit is 1,024 MiB)", "memory=2Gi")


def _s(delta: Any) -> int:
    return round(delta.total_seconds())


def test_time_against_its_limit(sandbox: Callable[..., Any]) -> None:
    page = page_of(*seen_in(sandbox, "p1_timeout"))
    *_, stopped = brief(page)
    assert stopped == ("embeddings", "Wed 06:15", "duration", 300, 300, "s", "out of time")
    assert fix(page) == ("raise its timeout, or make it faster (stopped at 300 s; the limit is 300 s)", "timeout_s=600")


def test_the_newest_runs_of_a_busy_function_come_oldest_first(sandbox: Callable[..., Any], tmp_path: Path) -> None:
    world = a_world(tmp_path, "runs: [{select: {name: gmail-sync}, since: 200m, kind: memory}]")
    headroom = page_of(*seen_in(sandbox, world)).headroom
    took, used = ([r for r in headroom if r.what == what] for what in ("duration", "memory"))
    assert [r.ended for r in took] == ["success"] * 3 + ["out of memory"] * 3
    assert [r.run for r in took] == sorted(r.run for r in took)
    assert [r.run for r in used] == [r.run for r in took[3:]]


def test_a_line_is_about_the_run_before_it_and_no_older_one(sandbox: Callable[..., Any], tmp_path: Path) -> None:
    world = a_world(tmp_path, "runs: [{select: {name: account-scoring}, since: 48h, kind: memory}]")
    older, newer, _ = brief(page_of(*seen_in(sandbox, world)))
    assert older == ("account-scoring", "Tue 07:30", "duration", None, 540, "s", "no end")  # 25 h ago: no line is read
    assert (newer[1], newer[3] < 540, newer[-1]) == ("Wed 07:30", True, "out of memory")


def test_many_functions_share_the_room(sandbox: Callable[..., Any], tmp_path: Path) -> None:
    world = a_world(tmp_path, "runs: [{select: {}, since: 10h, kind: timeout}]")
    headroom = page_of(*seen_in(sandbox, world)).headroom
    assert len({r.function for r in headroom}) > 8
    assert len(headroom) <= ALL


# What is deployed counts, not params (512Mi and 300 s there). Deployed, the line or the duration, the fix.
MEMORY = [
    ("1Gi", "Memory limit of 1024 MiB exceeded with 1030 MiB used", "memory=2Gi"),
    ("768Mi", "Memory limit of 768 MiB exceeded with 801 MiB used", "memory=1536Mi"),
    ("256M", "Memory limit of 244 MiB exceeded with 250 MiB used", "memory=488Mi"),
    ("512Mi", "Memory limit of 512 MiB exceeded with 1300 MiB used", "memory=2Gi"),
    ("512Mi", "Memory limit of 512M exceeded with 515M used", "memory=1Gi"),
    ("24Gi", "Memory limit of 24576 MiB exceeded with 24600 MiB used", "memory=32Gi"),
    ("1Gi", "Container terminated on signal 9.", "memory=2Gi"),
    ("32Gi", "Memory limit of 32768 MiB exceeded with 32800 MiB used", ""),
    ("1Gi", "Memory limit of 512 MiB exceeded with 517 MiB used", ""),
]


@pytest.mark.parametrize(("deployed", "line", "wanted"), every(3, MEMORY))
def test_the_memory_that_is_proposed(
    sandbox: Callable[..., Any], tmp_path: Path, deployed: str, line: str, wanted: str
) -> None:
    rule = f"{{select: {{name: gmail-sync}}, since: 1h, outcome: failed, error: '{line}'}}"
    seen, moment = seen_in(sandbox, a_world(tmp_path, f"runs: [{rule}]"))
    seen = seen._replace(functions=with_limits(seen.functions, memory=deployed))
    page = page_of(seen, moment)
    assert [c.cause for c in page.causes] == ["memory_limit"]
    assert fix(page)[1] == (f"{wanted}" if wanted else "")
    assert page.steps[-1].do == "then run gmail-sync again"
    assert {r.limit_by for r in page.headroom} == {"deployed"}


TIME = [(300, "timeout_s=600"), (540, ""), (310, "timeout_s=620"), (2000, ""), (3600, "")]


@pytest.mark.parametrize(("deployed", "wanted"), TIME)
def test_the_time_that_is_proposed(sandbox: Callable[..., Any], deployed: int, wanted: str) -> None:
    seen, moment = seen_in(sandbox, "p1_timeout")  # which was stopped at 300 s
    page = page_of(seen._replace(functions=with_limits(seen.functions, timeout_s=deployed)), moment)
    assert fix(page)[1] == (f"{wanted}" if wanted else "")
    assert (" now" in fix(page)[0]) == (deployed > 400)


def test_no_more_time_than_there_is(sandbox: Callable[..., Any]) -> None:
    seen, moment = seen_in(sandbox, "p1_timeout")
    page = page_of(seen, moment)
    for limit, wanted in ((2400, "3600"), (3600, "")):
        rows = [replace(r, limit=limit, seen=limit, then=limit) for r in page.headroom]
        assert more("timeout", "embeddings", rows)[0] == wanted


def test_params_stand_in_by_name_where_nothing_was_seen(sandbox: Callable[..., Any]) -> None:
    seen, moment = seen_in(sandbox, "p1_memory_limit")
    seen = seen._replace(functions=replace(seen.functions, rows=(), gaps=(Gap("functions", "403"),)))
    page = page_of(seen, moment)
    assert {r.limit_by for r in page.headroom} == {"params"}
    assert "could not be read" in fix(page)[0]
    assert fix(page)[1] == "memory=2Gi"


def test_a_limit_that_nobody_measured_still_has_its_row(sandbox: Callable[..., Any]) -> None:
    seen, moment = seen_in(sandbox, "p1_memory_limit")
    lines = tuple(r for r in seen.logs.rows if "MiB" not in r.text)
    page = page_of(seen._replace(logs=replace(seen.logs, rows=lines)), moment)
    *_, memory = page.headroom
    assert (memory.what, memory.seen, memory.limit) == ("memory", None, 1024)
    shown = charts.limits(Stub(moment), page, *seen)._repr_mimebundle_()  # type: ignore[arg-type]
    assert shown["image/png"].startswith(b"\x89PNG")
    assert fix(page) == ("give it more memory (the limit is 1,024 MiB)", "memory=2Gi")


def test_the_chart_has_the_numbers_as_text(sandbox: Callable[..., Any]) -> None:
    seen, moment = seen_in(sandbox, "p1_two_causes")
    page = page_of(seen, moment)
    shown = charts.limits(Stub(moment), page, seen.functions, seen.runs)._repr_mimebundle_()  # type: ignore[arg-type]
    assert shown["image/png"].startswith(b"\x89PNG")
    title, names, _, *lines = shown["text/plain"].splitlines()
    assert title == "Newest runs and their limits"
    assert names.split() == ["function", "run", "what", "seen", "limit", "unit", "limit_by", "ended"]
    assert len(lines) == len(page.headroom) == 3
    assert "1,024  MiB   deployed  out of memory" in lines[-1]


@pytest.mark.parametrize("world", ["healthy", "p1_crash_after_deploy"])
def test_nothing_ran_into_a_limit_is_said_in_words(sandbox: Callable[..., Any], world: str) -> None:
    seen, moment = seen_in(sandbox, world)
    page = page_of(seen, moment)
    shown = charts.limits(Stub(moment), page, *seen)._repr_mimebundle_()  # type: ignore[arg-type]
    assert shown["text/plain"] == "Newest runs and their limits: no function hit a limit"
    lost = replace(seen.logs, gaps=(Gap("errors", "403"),))
    shown = charts.limits(Stub(moment), page, seen.functions, lost)._repr_mimebundle_()  # type: ignore[arg-type]
    assert shown["text/plain"] == "Newest runs and their limits: could not be read"


def test_limits_are_read_from_what_is_deployed(sandbox: Callable[..., Any]) -> None:
    cloud, moment = sandbox("healthy")
    live: Sandbox = cloud.transport.app.sandbox
    live.functions.functions["gmail-sync"]["serviceConfig"] |= {"availableMemory": "2Gi", "timeoutSeconds": 77}
    del live.functions.functions["embeddings"]["serviceConfig"]["availableMemory"]
    rows = {r.name: (r.memory, r.timeout_s) for r in observe(facts.functions(), cloud, moment).rows}
    assert rows["gmail-sync"] == ("2Gi", 77)
    assert rows["account-scoring"] == ("1Gi", 540)
    assert rows["embeddings"] == ("", 300)


AMOUNTS = {"1Gi": 1024, "512Mi": 512, "512M": 488.28125, "1G": 953.67431640625, "268435456": 256}
AMOUNTS |= {"512 K": 0.48828125, "512k": 0.48828125, "": 0, "x": 0, "1.2.3G": 0, "9" * 400: 0, "5 Zi": 0}  # R17


@pytest.mark.parametrize(("text", "mib"), AMOUNTS.items())
def test_amounts(text: str, mib: float) -> None:
    assert mebibytes(text) == mib
