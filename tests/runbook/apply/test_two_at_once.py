"""Two processes apply the same plan at once: whatever the order of their steps, one applies and the other is refused.

Each is a thread of this process, and only one of them runs at a time: the first stops before one of its creates in the
record store, the second before one of its requests there; then the first goes on to its end, and then the second.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from threading import Event, Thread, current_thread
from typing import Any
from unittest.mock import patch

import pytest

from runbook.approvals.proved import faults
from runbook.config.load import load_settings
from runbook.records.proof import examined
from runbook.records.record import publish_run
from runbook.records.store import Store
from tests.runbook.apply import machines, test_fault_sweep
from tests.runbook.apply.test_fault_sweep import GIVEN, Prepared, fast
from tests.runbook.changes import Place, Result, error_of, execute, failing

NAME = "scheduler"
PREPARE = {"a directory": test_fault_sweep.prepare, "a bucket": machines.prepare}
BUSY, DONE = "another run is changing this environment", "was already applied"


class One(Thread):
    """One process; it stops once, before its nth request to the store of those that `at` counts."""

    def __init__(self, made: Prepared, stop: int, at: tuple[str, ...]):
        super().__init__(daemon=True)
        self.given, self.stop, self.at = GIVEN[made.name] | {"approved_plan": made.id}, stop, at
        self.asked, self.stopped, self.going, self.waiting = 0, False, Event(), Event()
        self.result: Result | None = None

    def run(self) -> None:
        try:
            self.result = execute(NAME, self.given)
        finally:
            self.waiting.set()

    def request(self, method: str) -> None:
        self.asked += method in self.at
        if self.asked == self.stop and not self.stopped:
            self.stopped = True
            self.waiting.set()
            assert self.going.wait(60)

    def goes(self) -> One:
        """It runs until it stops, or until its end."""
        self.waiting.clear()
        self.going.set() if self.is_alive() else self.start()
        assert self.waiting.wait(60)
        return self

    def ends(self) -> Result:
        if self.is_alive():
            self.goes()
        self.join(60)
        assert self.result is not None
        return self.result


def stopping(method: str) -> Any:
    real = getattr(Store, method)

    def asked(store: Store, *given: Any, **named: Any) -> Any:
        if isinstance(me := current_thread(), One):
            me.request(method)
        return real(store, *given, **named)

    return patch.object(Store, method, asked)


METHODS = ("create", "read", "children", "list")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Prepared]]:
    """A function `made(where)` → a runbook, planned and approved."""

    def prepared(where: str) -> Prepared:
        folder = tmp_path_factory.mktemp("made")
        return PREPARE[where](NAME, folder)

    with fast(tmp_path_factory.mktemp("fast")):
        yield cache(prepared)


def two(it: Prepared, place: Place, first: int, second: int, locks: int) -> bool:
    """Both apply; whether the second one stopped."""
    with ExitStack() as stack:
        stack.enter_context(place.here())
        for method in METHODS:
            stack.enter_context(stopping(method))
        one, other = One(it, first, METHODS[:1]).goes(), One(it, second, METHODS).goes()
        ends = [one.ends(), other.ends()]
    about = f"{first}, {second}"
    assert [error_of(end) for end in ends] == ["", ""], about
    ends.sort(key=lambda end: end.outcome.result)
    said = ends[1].outcome.said
    assert [end.outcome.result for end in ends] == ["applied", "refused"], (about, said)
    assert BUSY in said or DONE in said, (about, said)
    assert set(it.sides(place)) == {"new"}, about
    assert len(place.store.children("lock")) == locks, about
    for end in ends:
        name = place.record(end)
        with place.here():
            assert publish_run(load_settings("sandbox"), end.folder) == "", about
            assert faults(place.store, examined(place.store, name)) == (), about
    return other.stopped


# The creates of an apply: its lock, OPEN, a nonce, then each change, and CLOSE; and one more, which does not come.
CASES = [(where, begun, first) for where in PREPARE for begun in (False, True) for first in range(1, 16)]
# `make test` tries these: the first has begun nothing, or is before its last row.
SLICE = [("a directory", False, 1), ("a directory", True, 2), ("a bucket", False, 14)]


def mark(where: str, begun: bool, first: int) -> Any:
    """`make test-full` tries a directory, `make test-machines` a bucket, whose requests take longer."""
    if (where, begun, first) in SLICE:
        return ()
    return pytest.mark.full if where == "a directory" else pytest.mark.machines


@pytest.mark.parametrize(("where", "begun", "first"), [pytest.param(*case, marks=mark(*case)) for case in CASES])
def test_one_applies_and_the_other_is_refused(
    made: Callable[[str], Prepared], tmp_path: Path, where: str, begun: bool, first: int
) -> None:
    """`begun`: an earlier process was refused its second write, so its attempt goes on."""
    it, tried = made(where), 0
    for second in range(1, 1000):
        with it.place(tmp_path / "case") as place:
            if begun:
                refusal = failing(lambda sent, place=place: sent.write and len(place.wire.writes) == 2, status=403)
                place.wire.fault = refusal
                failed = place.go(NAME, it.id, **GIVEN[NAME]).outcome
                assert (failed.result, failed.statuses[0][0]) == ("failed", "done")
                place.wire.fault = None
            if not two(it, place, first, second, locks=1 + begun):
                break
        tried += 1
    assert tried > 1
