"""Two machines on one record store in a bucket: processes of their own, stopped and killed at every boundary.

Whatever the first one does when it wakes up: nothing is done twice, it sends nothing after it was taken over but what
it had announced less than IN_FLIGHT_S before, and its record says that it was taken over. IN_FLIGHT_S and MARGIN_S are
short here; the rule is the same.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from runbook.records.files import json_of
from tests.runbook.apply.machines import Machine, Remote, Stored, prepare, to_store, until
from tests.runbook.apply.test_fault_sweep import careful, fast
from tests.runbook.changes import Sent, error_of, things
from tests.slices import first, first_of_each

QUICK, SLOW = (0.5, 0.25), (5.0, 0.5)  # IN_FLIGHT_S and MARGIN_S
HOW: Counter[str] = Counter()  # how the cases went
ROW = {"INTENT", "WRITE"}  # after these, something may be on the way
CLOUD = "cloud"
# What each runbook creates and sends, in order: kinds of rows, other files of the store, and what is sent to the cloud.
ONE = ("INTENT", "WRITE", CLOUD, "CONFIRM")
MESSAGE = ("INTENT", "WRITE", CLOUD, "notified", "CONFIRM")
SIGNED = ("LOCK", "OPEN", "nonces")
UPLOAD = ("WRITE", CLOUD, "WRITE", CLOUD, "WRITE", CLOUD)
STEPS = {
    "rotate_secret": (*SIGNED, "nonces", *MESSAGE, *ONE * 3, *MESSAGE * 2, "CLOSE"),
    "deploy": (*SIGNED, *MESSAGE, "INTENT", *UPLOAD, "CONFIRM", *ONE, *MESSAGE, "CLOSE"),
    "retry": (*SIGNED, *ONE, *MESSAGE, "CLOSE"),
}


def boundaries() -> list[tuple[str, int, str, str]]:
    """A runbook, the number of a step, whether the first machine stops before or after it, and when it wakes up.

    A request to the cloud is never held longer than whoever takes over waits: then nobody could tell it from a new one.
    """
    found = []
    for name, kinds in STEPS.items():
        for step, kind in enumerate(kinds, 1):
            found.append((name, step, "after", "at the end"))
            if kind == "WRITE":
                found.append((name, step, "after", "in time"))
            found.append((name, step, "before", "in time" if kind == CLOUD else "at the end"))
    return found


# `make test` runs these.
SLICE = (("retry", 5, "after", "at the end"),)


def mark(number: int, case: tuple[Any, ...]) -> Any:
    """`make test-full` runs every sixth boundary, `make test-machines` the others."""
    return () if case in SLICE else pytest.mark.full if number % 6 == 0 else pytest.mark.machines


CASES = [pytest.param(*b, marks=mark(number, b)) for number, b in enumerate(boundaries())]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Stored]]:
    """A function `made(runbook)` → it, planned and approved."""
    with fast(tmp_path_factory.mktemp("fast")):
        yield cache(lambda name: prepare(name, tmp_path_factory.mktemp("made") / name))


def at(step: int, when: str) -> Callable[[Sent, int], str]:
    return lambda sent, steps: when if sent.write and steps == step else ""


def row(kind: str, when: str) -> Callable[[Sent, int], str]:
    """At the first row of a kind."""
    return lambda sent, _: when if sent.write and kind_of(sent) == kind else ""


def kind_of(sent: Sent) -> str:
    if not to_store(sent):
        return CLOUD
    said = json_of(sent.body)
    return said.get("kind") or sent.path.partition("/")[0]


def finished(made: Stored, here: Remote) -> None:
    """The plan is applied again, until nothing is under way any more; then it is as it was asked for."""
    for _ in range(5):
        if set(made.sides(here)) == {"new"} and here.newest().get("kind", "CLOSE") == "CLOSE":
            break
        with here.resumed():
            again = made.go(here)
        assert again.error is None, error_of(again)
        assert again.outcome.said
    assert set(made.sides(here)) == {"new"}, made.sides(here)


def pause_after_takeover(machine: Machine) -> float:
    """How long a machine did nothing after it had taken over."""
    times = [when for when, sent in machine.seen if sent.write and kind_of(sent) == "TAKEOVER"]
    after = [when for when, _ in machine.seen if when > times[0]]
    return after[0] - times[0]


@pytest.mark.parametrize(("name", "step", "when", "wakes"), CASES)
def test_stopped_taken_over_and_woken(
    made: Callable[[str], Stored], tmp_path: Path, name: str, step: int, when: str, wakes: str
) -> None:
    it, waits = made(name), QUICK if wakes == "at the end" else SLOW
    with (
        it.place(tmp_path / "case") as here,
        Machine(here, it, tmp_path / "one", waits, at(step, when)) as one,
        Machine(here, it, tmp_path / "two", waits) as two,
    ):
        before = things(here.app)
        one.start()
        until(one.reached.is_set, "the first one stops")
        HOW["stopped"] += 1
        kinds = [kind_of(sent) for _, sent in one.seen if sent.write]
        assert tuple(kinds) == STEPS[name][: step - (when == "before")]
        newest = here.newest()
        is_open = newest.get("kind", "CLOSE") != "CLOSE"
        two.start(**({"takeover": newest["owner"]} if is_open else {}))
        if wakes == "in time":
            until(lambda: here.newest()["kind"] == "TAKEOVER", "it is taken over")
            one.wake()
        second = two.ended()
        assert second["error"] == ""
        if is_open and second["result"] == "refused":  # what was sent is still under way: it says so, and to wait
            assert (STEPS[name][step - 1], two.wrote()) == (CLOUD, [])
        elif is_open:
            waited = pause_after_takeover(two)
            assert (waited >= sum(waits)) == (newest["kind"] in ROW), (newest["kind"], waited)
        if wakes == "at the end":
            finished(it, here)
            done, rows = things(here.app), here.rows()
            one.wake()
        said = one.ended()
        if wakes == "at the end":
            assert (things(here.app), here.rows()) == (done, rows)
            assert one.wrote(one.met) == []
        else:
            late = one.wrote(
                one.met
            )  # what it had announced in time, and nothing else; nothing if this machine is slow
            assert len(late) <= 1
            HOW["woken in time" if late else "woken too late"] += 1
            finished(it, here)
        careful(name, here, before)
        assert set(it.sides(here)) == {"new"}
        told(said, second, is_open, newest)


def told(said: dict[str, Any], second: dict[str, Any], is_open: bool, newest: dict[str, Any]) -> None:
    """The record of the first machine says what happened to it."""
    if is_open:
        assert "was taken over by " in said["said"] + said["error"], said
        assert said["result"] in ("unknown", "")
    elif newest:  # it had closed its attempt
        assert (said["result"], second["result"]) == ("applied", "refused")
        assert "was already applied" in second["said"]
    else:  # it had no lock yet
        assert (said["result"], second["result"]) == ("refused", "applied")


@pytest.mark.parametrize("name", first(STEPS))
def test_every_boundary_is_known(made: Callable[[str], Stored], name: str) -> None:
    """The steps of the table are those of a run: none is left out."""
    it = made(name)
    creates = [kind_of(sent) for sent in it.requests if sent.write]
    assert creates == [kind for kind in STEPS[name] if kind != CLOUD]


@pytest.mark.full
@pytest.mark.parametrize("name", STEPS)
def test_who_slept_too_long_sends_nothing_even_if_nobody_took_over(
    made: Callable[[str], Stored], tmp_path: Path, name: str
) -> None:
    it, step = made(name), STEPS[name].index("WRITE") + 1
    with it.place(tmp_path / "case") as here, Machine(here, it, tmp_path / "one", QUICK, at(step, "after")) as one:
        before = things(here.app)
        one.start()
        until(one.reached.is_set, "it stops")
        end = time.monotonic() + QUICK[0]
        until(lambda: time.monotonic() > end, "the time that a request has")
        one.wake()
        said = one.ended()
        assert kind_of(one.seen[one.met - 1][1]) == "WRITE"
        if name == "retry":  # that it failed is told, by a row of its own
            late = [line for line in one.wrote(one.met) if "inbox.example.com" not in line]
            assert (late, said["result"]) == ([], "failed")
            assert "was stopped for too long, so nothing was sent" in said["said"]
            assert things(here.app) == before
        finished(it, here)


@pytest.mark.full
def test_who_abandons_waits_and_only_looks(made: Callable[[str], Stored], tmp_path: Path) -> None:
    it = made("retry")
    with (
        it.place(tmp_path / "case") as here,
        Machine(here, it, tmp_path / "one", QUICK, at(5, "after")) as one,
        Machine(here, it, tmp_path / "two", QUICK) as two,
    ):
        before = things(here.app)
        one.start()
        until(one.reached.is_set, "the first one stops")
        second = two.start(abandon=here.owner()).ended()
        assert pause_after_takeover(two) >= sum(QUICK)
        assert (second["error"], second["result"], two.wrote()) == ("", "unknown", [])
        one.wake()
        assert "was taken over by " in one.ended()["said"]
        assert one.wrote() == []
        assert things(here.app) == before
        assert here.newest()["result"] == "abandoned"


@pytest.mark.full
def test_who_takes_over_from_one_who_waited_waits_as_well(made: Callable[[str], Stored], tmp_path: Path) -> None:
    """The second one dies while it waits for a request of the first, who is only stopped."""
    it = made("retry")
    with (
        it.place(tmp_path / "case") as here,
        Machine(here, it, tmp_path / "one", SLOW, at(5, "after")) as one,
        Machine(here, it, tmp_path / "two", SLOW, row("TAKEOVER", "after"), Machine.kill) as two,
        Machine(here, it, tmp_path / "three", SLOW) as three,
    ):
        one.start()
        until(one.reached.is_set, "the first one stops")
        two.start(takeover=here.owner())
        until(two.reached.is_set, "the second one dies")
        three.start(takeover=here.owner()).ended()
        one.wake()
        one.ended()
        assert set(it.sides(here)) == {"new"}
        assert pause_after_takeover(three) >= sum(SLOW)
        assert one.wrote() == []


@pytest.mark.full
@pytest.mark.parametrize("goes_on", ["to its next request", "to its end"])
def test_who_takes_over_from_one_who_is_alive_knows_its_newest_row(
    made: Callable[[str], Stored], tmp_path: Path, goes_on: str
) -> None:
    """The first one goes on after the second has looked at its newest row, and before the second takes over."""
    it = made("retry")
    with (
        it.place(tmp_path / "case") as here,
        Machine(here, it, tmp_path / "one", SLOW, at(3, "after"), Machine.hold) as one,
        Machine(here, it, tmp_path / "two", SLOW) as two,
    ):
        one.start()
        until(one.reached.is_set, "the first one has opened its attempt")
        (place,) = here.store.children(here.store.children("applied")[0])
        two.at = lambda sent, _: "after" if sent.path == f"{place}/0001" and locked(two) else ""
        two.then = Machine.hold
        two.start(takeover=here.owner())
        until(two.reached.is_set, "the second one has looked at the newest row")
        one.reached.clear()
        if goes_on == "to its next request":
            one.met, one.at, one.then = -1, at(5, "after"), Machine.stop
        one.going.set()
        until(one.reached.is_set if goes_on == "to its next request" else one.ended, "the first one goes on")
        two.going.set()
        second = two.ended()
        assert "was taken over by" in second["error"], second
        assert two.wrote() == []
        if goes_on == "to its next request":
            one.wake()
            one.ended()
        kinds = [row["kind"] for row in here.rows()]
        assert kinds[:3] == ["OPEN", "INTENT", "WRITE"]
        assert kinds[-1] == "CLOSE"
        assert "TAKEOVER" not in kinds
        assert "twice" not in it.sides(here)
        finished(it, here)


def locked(machine: Machine) -> bool:
    """Whether a machine has looked at the lock."""
    return any(sent.path.startswith("lock/0") for _, sent in machine.seen)


@pytest.mark.parametrize("name", first(["retry", "rotate_secret", "deploy", "backup"]))
def test_of_two_that_begin_at_the_same_instant_one_applies(
    made: Callable[[str], Stored], tmp_path: Path, name: str
) -> None:
    it, barrier = made(name), Barrier(2)
    first = "applied/" if name == "backup" else "lock/"  # who only adds takes no lock

    def together(machine: Machine) -> None:
        barrier.wait(60)

    asked = lambda sent, _: "before" if sent.write and sent.path.startswith(first) else ""  # noqa: E731
    with (
        it.place(tmp_path / "case") as here,
        Machine(here, it, tmp_path / "one", QUICK, asked, together) as one,
        Machine(here, it, tmp_path / "two", QUICK, asked, together) as two,
    ):
        before = things(here.app)
        one.start()
        two.start()
        ends = [(m.ended(), m) for m in (one, two)]
        assert [said["error"] for said, _ in ends] == ["", ""]
        careful(name, here, before)
        assert set(it.sides(here)) == {"new"}
        if name == "backup":
            assert {said["result"] for said, _ in ends} <= {"applied", "unknown", "failed"}
            return
        ends.sort(key=lambda end: end[0]["result"])
        assert [said["result"] for said, _ in ends] == ["applied", "refused"]
        loser, machine = ends[1]
        assert "another run is changing this environment" in loser["said"]
        assert machine.wrote() == []
        assert len(here.store.children("lock")) == 1


@pytest.mark.full
def test_of_two_that_take_over_at_the_same_instant_one_goes_on(made: Callable[[str], Stored], tmp_path: Path) -> None:
    it, barrier = made("rotate_secret"), Barrier(2)
    asked = row("TAKEOVER", "before")
    with (
        it.place(tmp_path / "case") as here,
        Machine(here, it, tmp_path / "one", QUICK, at(11, "after"), Machine.kill) as one,
        Machine(here, it, tmp_path / "two", QUICK, asked, lambda _: barrier.wait(60)) as two,
        Machine(here, it, tmp_path / "three", QUICK, asked, lambda _: barrier.wait(60)) as three,
    ):
        one.start()
        until(one.reached.is_set, "the first one dies")
        owner = here.owner()
        two.start(takeover=owner)
        three.start(takeover=owner)
        ends = sorted(((m.ended(), m) for m in (two, three)), key=lambda end: end[0]["result"] != "applied")
        (winner, _), (loser, machine) = ends
        assert winner["result"] == "applied", winner
        assert "taken over" in loser["error"] + loser["said"]
        assert machine.wrote() == []
        assert set(it.sides(here)) == {"new"}


# --- Really killed, at any moment

RUNBOOKS = ("rotate_secret", "retry", "scheduler", "backup", "deploy", "rollback", "restore", "schema_change")
KILLS = range(56)


@pytest.mark.parametrize("seed", first_of_each(lambda seed: seed if seed < 3 else 3, KILLS))
def test_killed_at_any_moment(made: Callable[[str], Stored], tmp_path: Path, seed: int) -> None:
    """At a request that the dice choose, before it is executed (which it is then) or after."""
    name, dice = RUNBOOKS[seed % len(RUNBOOKS)], random.Random(f"kill {seed}")
    it = made(name)
    number, when = dice.randint(1, it.total), dice.choice(("before", "after"))
    with it.place(tmp_path / "case") as here:
        before, count = things(here.app), iter(range(1, 10_000))
        asked = lambda sent, _: when if next(count) == number else ""  # noqa: E731
        with Machine(here, it, tmp_path / "one", QUICK, asked, Machine.kill) as one:
            one.start()
            said = one.ended()
        assert one.met >= 0 or said["result"] == "applied", (number, said)
        assert one.met < 0 or said == {}
        sides, newest = it.sides(here), here.newest()
        assert "twice" not in sides
        careful(name, here, before)
        HOW["killed" if one.met >= 0 else "too late"] += 1
        HOW["took over" if newest.get("kind", "CLOSE") != "CLOSE" else "applied again"] += 1
        finished(it, here)
        careful(name, here, before)


def test_how_many_were_killed(request: pytest.FixtureRequest, record_property: Any) -> None:
    said = ", ".join(f"{how} {n}" for how, n in HOW.items() if how != "killed")
    record_property("summary", f"two machines: {HOW['killed']} kills, {said}")
    chosen = [i for i in request.session.items if getattr(i, "originalname", "") == "test_killed_at_any_moment"]
    assert sum(HOW[how] for how in ("killed", "too late")) == len(chosen)
    assert HOW["killed"] >= (50 if len(chosen) == len(KILLS) else 0)
