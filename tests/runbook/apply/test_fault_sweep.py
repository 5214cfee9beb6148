"""Every changing runbook, with a fault at every single request of its apply; then applied again.

`make test` tries one kind of fault at each write and every 15th read, another at the next; `make test-full` tries every
kind at each request, and several faults at once.

Whatever happens, the system is in its old or its new state or the outcome says that it cannot know and how to go on;
nothing is done twice; nothing is called done that is not; and applying the same plan again converges or says why not.
"""

from __future__ import annotations

import os
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from itertools import takewhile
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import Mock, patch

import pytest
import requests
import yaml

from runbook import charts
from runbook.approvals.signers import Signers
from runbook.config.load import ROOT
from runbook.facts.checkout import source_code
from runbook.model.findings import Findings
from runbook.model.outcome import Outcome
from runbook.model.plan import Change
from runbook.records import record
from runbook.records.provenance import here
from runbook.records.store import Directory
from runbook.session.run import Run
from tests.runbook.changes import (
    CHANGING,
    LOOKED_AT_ONCE,
    Died,
    Next,
    Place,
    Result,
    Sent,
    Snapshot,
    Wire,
    error_of,
    runs_of,
    side,
    things,
)
from tests.slices import first, selected

# What goes wrong with a read: there is no difference between its effect and none.
READS = ("lost before", "403", "429", "5xx from then on", "dies before")
WRITES = (*READS, "lost after", "409", "412", "stuck", "dies after")
QUIET = "about: nothing happens\nnow: 2026-03-11T13:30:00Z\n"
WORLDS = {"retire_secret": QUIET + "secrets: [{name: gmail-oauth-token, versions: [{age: 700d}, {age: 365d}]}]\n"}
# What is swept: a runbook, and after a space in which way.
GIVEN = {
    **CHANGING,
    "rotate_secret": {"secret": "salesforce-client-id"},  # one function reads it
    "restore from_the_past": {"snapshot": "", "table": "gmail_messages", "at": "2026-03-10T09:00"},
}
LONGEST_FIRST = ("deploy", "rotate_secret", "retry", "backup", *sorted(GIVEN))
# A fault at each write and every 15th read, or every kind at each request.
WIDTHS = ("some", "every kind")


@dataclass
class Wrong:
    """What goes wrong: each of `kinds` at its request, counted from 1."""

    kinds: dict[int, str]
    fired: int = 0
    down: bool = field(default=False)

    def __call__(self, wire: Wire, number: int, sent: Sent, go: Next) -> requests.Response:
        kind = "503" if self.down else self.kinds.get(number, "")
        if not kind:
            return go()
        if kind in ("409", "412") and not sent.write:  # no read is answered so
            kind = "403"
        self.fired += 1
        if kind == "dies before":
            raise Died
        if kind == "dies after":
            go()
            raise Died
        if kind == "stuck":
            with wire.app_fails(stuck=True):
                return go()
        if kind.startswith("lost"):
            with wire.app_fails(lost=kind.split()[1]):
                return go()
        self.down = self.down or kind == "5xx from then on"
        with wire.app_fails(status=503 if self.down else int(kind)):
            return go()


@dataclass
class Prepared:
    """A runbook that was planned and approved, and can be applied again and again from there."""

    name: str
    id: str
    changes: tuple[Change, ...]
    records: Path
    snapshot: Snapshot
    runs: dict[str, int]
    requests: list[Sent]
    telling: int = 0  # the first request of the messages at the end, counted from 1
    closing: int = 0  # the first request of the closing checks

    @contextmanager
    def place(self, folder: Path) -> Iterator[Place]:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.records, folder)
        memory = {"XDG_STATE_HOME": str(folder / "state")}  # a machine that knows the store would see it restored
        with self.snapshot.again() as app, patch.dict(os.environ, memory):
            yield Place(folder, app=app)

    def sides(self, place: Place) -> list[str]:
        """On which side of each change that is needed the sandbox is."""
        return [side(place.app, c, self.runs.get(getattr(c.args, "function", ""), 0)) for c in self.changes]

    def go(self, place: Place, wrong: Wrong | None = None) -> Result:
        place.wire.seen.clear()
        place.wire.fault = wrong
        return place.go(self.name.split()[0], self.id, **GIVEN[self.name])


SYSTEM = {"gmail-sync", "calendar-sync", "salesforce-accounts-sync", "account-scoring"}
TABLES = {"gmail_messages", "calendar_events", "sf_accounts"}


def small(folder: Path) -> str:
    """The practice system with a few of its functions and tables: a folder of params."""
    system = yaml.safe_load((ROOT / "params" / "sandbox.yaml").read_text(encoding="utf-8"))
    kept = [f for f in system["functions"] if f["name"] in SYSTEM]
    system["functions"] = [f | {"after": [name for name in f.get("after", []) if name in SYSTEM]} for f in kept]
    system["tables"]["freshness"] = [t for t in system["tables"]["freshness"] if t["name"] in TABLES]
    (folder / "sandbox.yaml").write_text(yaml.safe_dump(system), encoding="utf-8")
    return str(folder)


@contextmanager
def fast(folder: Path) -> Iterator[None]:
    """A small system, without what only costs time here: the disk's guarantee, git and pytest on the source, pictures."""
    verify, known = Signers.verify, {}

    def verify_once(signers: Signers, *given: Any) -> Any:
        key = given[:3]  # who, what, signature
        if key not in known:
            known[key] = verify(signers, *given)
        return known[key]

    with ExitStack() as stack:
        stack.enter_context(patch.dict(os.environ, RUNBOOK_PARAMS=small(folder)))
        stack.enter_context(patch.dict(os.environ, RUNBOOK_SECRET_ENV="NEW_VALUE", NEW_VALUE="a new value"))
        stack.enter_context(patch.object(os, "fsync", lambda _: None))
        # Each case has the same store again, of other files: else it would be another store.
        stack.enter_context(patch.object(Directory, "identity", lambda *_: "the same"))
        stack.enter_context(patch.object(record, "here", cache(here)))
        stack.enter_context(patch.object(Signers, "verify", verify_once))
        for name, look in LOOKED_AT_ONCE.items():
            stack.enter_context(patch.object(source_code, name, look))
        for name in ("backups", "revisions"):
            stack.enter_context(patch.object(charts, name, lambda *_: None))
        stack.enter_context(patch("gcp_sandbox.faults.time", Mock()))
        stack.enter_context(patch("requests.sessions.get_environ_proxies", lambda *_, **__: {}))
        yield


def prepare(name: str, folder: Path) -> Prepared:
    """Plan and approve a runbook, and apply it once without a fault, to know its requests."""
    given, records, world = GIVEN[name], folder / "records", folder / "world.yaml"
    world.write_text(WORLDS.get(name, QUIET), encoding="utf-8")
    place = Place(records, str(world))
    first = place.plan(name.split()[0], **given)
    place.approve(first.id)
    changes = tuple(c for c in first.names["plan"].changes if not c.optional)
    runs = {n: runs_of(place.app, n) for c in changes if (n := getattr(c.args, "function", ""))}
    made = Prepared(name, first.id, changes, records, Snapshot(place.app), runs, [])
    with made.place(folder / "case") as clean:
        assert set(made.sides(clean)) == {"old"}
        with patch.object(Run, "confirm", noted(made, clean, Run.confirm)):
            done = made.go(clean)
        assert (error_of(done), done.outcome.result) == ("", "applied")
        assert set(made.sides(clean)) == {"new"}
        made.requests[:] = clean.wire.seen
    return made


def noted(made: Prepared, place: Place, confirm: Any) -> Any:
    """`Run.confirm`, which notes how many requests came before it."""

    def noting(run: Run, outcome: Outcome) -> Findings:
        hosts = [sent.host for sent in place.wire.seen]
        made.closing = len(hosts) + 1
        made.telling = made.closing - len([*takewhile(lambda host: host == "inbox.example.com", reversed(hosts))])
        return confirm(run, outcome)

    return noting


def sweep(name: str, width: str) -> Counter[str]:
    """A fault at every request, one at a time; how many cases of each kind those were."""
    tried: Counter[str] = Counter()
    with TemporaryDirectory() as folder, fast(Path(folder)):
        made = prepare(name, Path(folder))
        for number, kind in faults(name, made.requests, width):
            assert case(made, Path(folder, "case"), Wrong({number: kind})), f"{name}: no {kind} at {number}"
            tried[kind] += 1
        assert not case(made, Path(folder, "case"), Wrong({len(made.requests) + 1: "dies before"}))
    return tried


def faults(name: str, requests: list[Sent], width: str) -> Iterator[tuple[int, str]]:
    """The number of each request, and what goes wrong with it: every kind, or one that changes from request to request.

    Each runbook begins with another kind, so that all runbooks together try every kind.
    """
    turn = {kinds: sorted(GIVEN).index(name) for kinds in (READS, WRITES)}
    for number, sent in enumerate(requests, 1):
        kinds = WRITES if sent.write else READS
        if width == "some" and not sent.write and number % 15 != sorted(GIVEN).index(name):
            continue
        for n, kind in enumerate(kinds):
            if width == "every kind" or n == turn[kinds] % len(kinds):
                yield number, kind
        turn[kinds] += 1


def storm(name: str, seed: int) -> int:
    """Three things go wrong in one apply, a hundred times, by dice that fall the same each time."""
    with TemporaryDirectory() as folder, fast(Path(folder)):
        made = prepare(name, Path(folder))
        for n in range(100):
            dice = random.Random(f"{name} {seed} {n}")
            numbers = dice.sample(range(1, len(made.requests) + 4), k=3)
            case(made, Path(folder, "case"), Wrong({number: dice.choice(WRITES) for number in sorted(numbers)}))
    return 100


def case(made: Prepared, folder: Path, wrong: Wrong) -> bool:
    """One apply in which something goes wrong, and the same plan applied again; whether anything did go wrong."""
    about = f"{made.name}, {wrong.kinds}"
    with made.place(folder) as place:
        before = things(place.app)
        first = made.go(place, wrong)
        died = isinstance(first.error, Died)
        assert first.error is None or died, f"{about}: {error_of(first)}"
        middle, sides = things(place.app), made.sides(place)
        honest(about, place, first, sides, changed=middle != before)
        careful(about, place, before)
        # Of several faults, and of one that lasts from a message on, nobody can say beforehand whether it meets the comparison.
        number = min(wrong.kinds)
        known = len(wrong.kinds) == 1 and not made.telling <= number < made.closing
        compared(about, first, made, bool(wrong.fired) and number >= made.closing if known else None)
        if not wrong.fired:
            assert first.outcome.result == "applied", about
            return False
        for _ in range(4):
            with place.resumed():
                again = made.go(place)
            if "moving" not in made.sides(place):  # what was begun goes on meanwhile; it says so, and to wait
                break
        assert again.error is None, f"{about}, again: {error_of(again)}"
        after, ended = things(place.app), made.sides(place)
        honest(f"{about}, again", place, again, ended, changed=after != middle and "moving" not in sides)
        careful(about, place, before)
        compared(f"{about}, again", again, made, unread=False)
        converged(about, first, again, sides, ended, stuck="stuck" in wrong.kinds.values())
    return True


def honest(about: str, place: Place, result: Result, sides: list[str], changed: bool) -> None:
    """What the run says is so."""
    told = {message["to"] for message in place.app.sandbox.messages}
    assert not {s for s in sides if s == "twice" or s.startswith("other")}, f"{about}: {sides}"
    begun = [s for s in sides if s != "old"]
    in_order = sides == begun + ["old"] * (len(sides) - len(begun))
    assert in_order or about.startswith("backup"), f"{about}: not in order: {sides}"  # its changes are independent
    outcome: Outcome | None = result.names.get("outcome")
    if outcome is None:  # it died before it could say anything
        return
    about = f"{about}: says {outcome.result}, {outcome.said}; is {sides}"
    if outcome.result == "applied":
        assert set(sides) == {"new"}, about
    elif outcome.result in ("refused", "nothing to do", "planned"):
        assert not changed, about
        assert outcome.said, about
    else:
        assert outcome.next, about
        assert len(outcome.statuses) >= len(sides) or outcome.plan.id != result.id, about
    rows = list(zip(outcome.plan.changes, outcome.statuses, strict=True)) if outcome.statuses else []
    assert {c.resource for c, (fate, _) in rows if c.optional and fate == "done"} <= told, about
    needed = [fate for c, (fate, _) in rows if not c.optional]
    for fate, now in zip(needed, sides[-len(needed) :] if needed else [], strict=True):
        fits = {"done": {"new"}, "failed": {"old"}, "not attempted": {"old"}, "unknown": {"old", "new", "moving"}}
        assert now in fits[fate], about
    if outcome.result == "unknown":
        assert any("runbook apply" in step for step in outcome.next), about
    if "report" in result.names or result.error is None:
        told = result.names["run"].findings.get("confirm")
        assert told is None or (told.worst.name == "ok") <= (outcome.result not in ("failed", "unknown")), about


def compared(about: str, result: Result, made: Prepared, unread: bool | None) -> None:
    """Every copied table that is done was compared once; where that could not be seen, it is not ok."""
    outcome: Outcome | None = result.names.get("outcome")
    if outcome is None or result.error or outcome.result not in ("applied", "nothing to do"):
        return
    findings = result.names["run"].findings
    found = [f for f in findings["confirm"] if f.check == "same rows"]
    # Of a backup, which tables have one is judged again after it, with the roles.
    again = [f for key, rows in findings.items() if "safe_to_copy" in str(key) for f in rows]
    copies = sorted(c.resource for c in made.changes if c.action == "copy table")
    assert sorted(f.subject for f in found) == copies, f"{about}: {found}"
    if copies:
        assert {f.verdict.name for f in found} <= ({"ok"} if unread is False else {"ok", "unknown"}), (
            f"{about}: {found}"
        )
        told = {f.verdict.name for f in (*found, *again)}
        assert unread is None or unread == ("unknown" in told), f"{about}: {found}"


def careful(about: str, place: Place, before: dict[str, Any]) -> None:
    """What was there before is still there, and an old version of a secret is on until the new one is proved."""
    now = things(place.app)
    assert set(before["tables"]) <= set(now["tables"]), about
    for name, states in before["versions"].items():
        if not about.startswith("retire_secret"):
            assert now["versions"][name][: len(states)] == states, about
        assert now["versions"][name][-1] == "ENABLED", about
    grown = {n: now["revisions"][n] - count for n, count in before["revisions"].items()}
    assert set(grown.values()) <= {0, 1}, f"{about}: {grown}"


def converged(about: str, first: Result, again: Result, sides: list[str], ended: list[str], stuck: bool) -> None:
    """The second time it is as it was asked for, or the first time ended in a way that a person must look at."""
    said = f"{about}: {sides} → {ended}; {again.outcome.result}: {again.outcome.said}"
    open_ = first.names.get("outcome") is None or first.outcome.result == "unknown"
    if again.outcome.result == "applied" or set(ended) == {"new"}:
        return
    assert again.outcome.said, said
    assert stuck or not open_ or set(sides) == {"new"}, said
    if stuck:
        assert again.outcome.result in ("refused", "unknown"), said


class Here(Executor):
    """A pool that does the work at once, in this process."""

    def submit(self, do: Callable[..., Any], /, *given: Any, **named: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(do(*given, **named))
        return done


Sweeps = dict[tuple[str, str], Future[Counter[str]]]


@pytest.fixture(scope="module")
def running(request: pytest.FixtureRequest) -> Iterator[Sweeps]:
    """The sweeps that the selected tests need, as futures by runbook and width.

    All of them: on two processors, the longest first. Some: here, as a process would only import for longer than it sweeps.
    """
    names = [(name, p["width"]) for p in selected(request) for name in ([p["name"]] if "name" in p else GIVEN)]
    wide = any(width == "every kind" for _, width in names)
    with ProcessPoolExecutor(2, get_context("spawn")) if wide else Here() as pool:
        ordered = sorted(set(names), key=lambda one: (LONGEST_FIRST.index(one[0]), one))
        yield {one: pool.submit(sweep, *one) for one in ordered}
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("name", GIVEN)
@pytest.mark.parametrize("width", first(WIDTHS))
def test_one_thing_goes_wrong(running: Sweeps, width: str, name: str) -> None:
    assert running[name, width].result()


@pytest.mark.parametrize(("width", "least"), first(zip(WIDTHS, (40, 800), strict=True)))
def test_every_kind_of_fault_is_tried(running: Sweeps, record_property: Any, width: str, least: int) -> None:
    tried = {name: running[name, width].result() for name in GIVEN}
    count = sum(one.total() for one in tried.values())
    record_property("summary", f"{count} faults: " + ", ".join(f"{name} {one.total()}" for name, one in tried.items()))
    assert set().union(*tried.values()) == set(WRITES), "No run of CHANGING made these faults: add a change that can"
    assert count > least


@pytest.mark.full
@pytest.mark.parametrize("name", GIVEN)
@pytest.mark.parametrize("seed", range(3))
def test_several_things_go_wrong(name: str, seed: int) -> None:
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        assert pool.submit(storm, name, seed).result() == 100
