"""Reading is total: whatever a part of an answer is, the rest is read, and what is lost is a gap, never ok."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from runbook import checks, facts
from runbook.model.facts import Fact
from runbook.model.findings import Verdict
from runbook.model.moment import Moment
from tests.generated_outages import vary
from tests.recorded import GIVEN, INDEX, word
from tests.runbook.changes import Place
from tests.runbook.facts.test_recorded_answers import NOW, READERS, SYSTEM, Replay, both, damaged, seen
from tests.slices import every, every_of_each

TEXTS = ["", "x" * 70_000, "\x00\ud7ff<b>", "0001-01-01T00:00:00Z", "2026-03-11T99:00:00Z", "2026-03-11", "-1", "1e9"]
OTHER = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.sampled_from(TEXTS),
    st.text(max_size=20),
    st.recursive(st.none() | st.text(max_size=3), lambda inner: st.lists(inner, max_size=3), max_leaves=5),
    st.dictionaries(st.text(max_size=5), st.none() | st.integers() | st.text(max_size=5), max_size=3),
)
LOST = object()  # the key is dropped
MANY = settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)

Answer = Callable[[Any], Any]
ASKS: dict[str, tuple[Any, Answer]] = {
    **READERS,
    "log": (facts.errors(), lambda one: {"entries": [one]}),
    "audit": (facts.changes(), lambda one: {"entries": one if isinstance(one, list) else [one]}),
    "feed": (facts.feeds(), lambda one: one),
}
CASES = [name for name in INDEX if word(name) in ASKS and isinstance(GIVEN[name], dict)]


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value[:3]) if isinstance(value, list) else ()
    for key, one in inner:
        yield (*path, key)
        yield from paths(one, (*path, key))


def put(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """A copy with another value at a path, or without it."""
    made = at = copy.deepcopy(value)
    for step in path[:-1]:
        at = at[step]
    if new is LOST:
        del at[path[-1]]
    else:
        at[path[-1]] = new
    return made


def read(name: str, value: Any) -> Fact:
    ask, answer = ASKS[word(name)]
    return seen(ask, answer(value))


def changed(before: Any, after: Any) -> set[str]:
    """The fields of a row that differ."""
    return {name for name, value in vars(before).items() if vars(after)[name] != value}


@pytest.mark.parametrize("name", every_of_each(8, word, CASES))
@MANY
@given(data=st.data())
def test_the_fields_that_were_not_touched_are_still_read(name: str, data: st.DataObject) -> None:
    """Which fields come from a part shows when it is lost or odd: another value may change these fields, and no other."""
    whole = GIVEN[name]
    before = read(name, whole)
    path = data.draw(st.sampled_from(list(paths(whole))))
    known = [read(name, put(whole, path, value)) for value in (LOST, True, "x", 7)]
    after = read(name, put(whole, path, data.draw(OTHER)))
    if len({len(fact.rows) for fact in (before, after, *known)}) == 1:
        for old, new, *others in zip(before.rows, after.rows, *(fact.rows for fact in known), strict=True):
            may = set().union(*(changed(old, other) for other in others))
            assert changed(old, new) <= may | NAMED, (path, changed(old, new), may)
    elif len(after.rows) < len(before.rows):
        assert after.gaps or _says_so(word(name)), path


# A row's function decides whether it is ours; its name decides whose traffic it has.
NAMED = {"ours", "function", "traffic", "serving", "pinned", "targets", "text", "call", "at"}


def _says_so(kind: str) -> bool:
    """Kinds whose rows can end: an incident that is over, a call that failed, and a table of another type."""
    return kind in ("feed", "audit", "table", "snapshot")


BAD: dict[str, tuple[str, Any, set[str]]] = {
    # a bad answer → its check, and the parts whose text says that it is about something else, or good
    "function_failed": ("functions", checks.functions, {"name"}),
    "job_paused": ("scheduler", checks.jobs, {"name", "state"}),
    "job_failed": ("scheduler", checks.jobs, {"name", "code", "status"}),
}


@pytest.mark.parametrize("name", BAD)
@settings(parent=MANY, max_examples=150)
@given(data=st.data())
def test_a_bad_answer_that_is_damaged_is_never_ok(name: str, data: st.DataObject) -> None:
    _, check, free = BAD[name]
    path = data.draw(st.sampled_from([p for p in paths(GIVEN[name]) if p[-1] not in free]))
    fact = read(name, put(GIVEN[name], path, data.draw(st.just(LOST) | OTHER)))
    found = check(fact, SYSTEM, Moment(NOW, SYSTEM.zone))
    assert found.worst is not Verdict.ok, (path, found)


@given(value=OTHER)
@example(value={})
@MANY
def test_a_state_that_cannot_be_read_is_never_ok(value: Any) -> None:
    for name, key, check in (
        ("function_active", "state", checks.functions),
        ("job_never_failed", "state", checks.jobs),
    ):
        fact = read(name, put(GIVEN[name], (key,), value))
        found = [
            f for f in check(fact, SYSTEM, Moment(NOW, SYSTEM.zone)) if f.subject == GIVEN[name]["name"].split("/")[-1]
        ]
        assert all(f.verdict is not Verdict.ok for f in found), (value, found)
        assert found or fact.gaps, value


# --- the daily check and P1, over outages whose answers are wrapped in recorded shapes and errors

OF_PATH = {"/functions": "functions", "/jobs": "scheduler", "entries:list": "errors", ":testIamPermissions": "access"}
ERRORS = [name for name in INDEX if word(name) in ("error", "html") and INDEX[name]["status"] not in (401, 404)]


@pytest.fixture
def place(tmp_path: Path) -> Callable[[int], Place]:
    def make(seed: int) -> Place:
        world, _ = vary(seed)
        path = tmp_path / "world.yaml"
        path.write_text(json.dumps(world, default=str))  # JSON is YAML
        here = Place(tmp_path / "records", world=str(path))
        here.wire = Replay(here.wire)  # type: ignore[assignment]
        return here

    return make


@pytest.mark.parametrize("seed", every(45, range(200)))
def test_no_ok_that_was_not_seen(place: Callable[[int], Place], seed: int) -> None:
    """Each request may get a recorded error instead, or a damaged answer; what failed is never ok."""
    chance, here = random.Random(seed), place(seed)
    failed: set[str] = set()

    def spoil(key: str, value: Any) -> tuple[int, Any] | None:
        if chance.random() < 0.15:
            name = chance.choice(ERRORS)
            path = key.split()[1].partition("?")[0]
            failed.update(check for end, check in OF_PATH.items() if path.endswith(end) and "bigquery" not in path)
            return INDEX[name]["status"], GIVEN[name]
        return (200, damaged(value, chance)) if chance.random() < 0.1 else None

    here.wire.spoil = spoil  # type: ignore[attr-defined]
    verdicts = both(here, f"seed {seed}")
    for folder in here.records.glob("*-daily_check-*") if verdicts["daily_check"] != "refused" else ():
        report = json.loads((folder / "report.json").read_text())
        seen_ok = {f["check"] for f in report["findings"] if f["verdict"] == "ok"}
        assert not failed & seen_ok, (failed, report["findings"])
