"""Every request to a record store in a bucket fails once, while a plan is made, approved and applied.

`make test` tries one kind of fault at every fourth request of one runbook, `make test-full` every kind at each request of one,
and `make test-machines` of the others.

Whatever happens, the rules of test_fault_sweep.py hold: nothing is done twice, nothing is called done that is not, and
applying the same plan again, taking over what is left open, converges or says why not.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import requests

from runbook.model.errors import NoRecord, Refused, RunbookError
from runbook.records.files import json_of
from tests.runbook.apply.machines import Remote, Stored, prepare
from tests.runbook.apply.test_fault_sweep import GIVEN, careful, converged, fast, honest
from tests.runbook.changes import Died, Next, Result, Sent, Wire, error_of, things
from tests.slices import first

READS = (
    "lost before",
    "503",
    "401 from then on",
    "403 from then on",
    "429 from then on",
    "503 from then on",
    "dies before",
)
CREATES = (*READS, "lost after", "taken", "dies after")
SWEPT = ("rotate_secret", "deploy", "backup", "retry")
WIDE = [
    pytest.param("some", "retry"),
    *(
        pytest.param("every kind", name, marks=pytest.mark.full if name == "retry" else pytest.mark.machines)
        for name in SWEPT
    ),
]
WIDTHS = ("some", "every kind")
SOMEBODY = "somebody else"


@dataclass
class Wrong:
    """What goes wrong with one request to the store, counted from 1; `sent` is that request."""

    number: int
    kind: str
    place: Remote | None = None
    sent: Sent | None = field(default=None)
    down: int = 0

    def __call__(self, wire: Wire, number: int, sent: Sent, go: Next) -> requests.Response:
        if self.down:
            with wire.app_fails(status=self.down):
                return go()
        if number != self.number:
            return go()
        self.sent = sent
        if self.kind == "dies before":
            raise Died
        if self.kind == "dies after":
            go()
            raise Died
        if self.kind == "taken":
            assert self.place is not None
            self.place.put(sent.path, theirs(sent))
            return go()
        word, _, rest = self.kind.partition(" ")
        if word == "lost":
            with wire.app_fails(lost=rest):
                return go()
        self.down = int(word) if rest else 0
        with wire.app_fails(status=int(word)):
            return go()


def theirs(sent: Sent) -> bytes:
    """What somebody else would have put there, a moment before."""
    said = json_of(sent.body)
    if sent.path.startswith("applied/"):
        said = {"time": datetime.now(UTC).isoformat(), "kind": "TAKEOVER", "owner": "ffffffff", "who": SOMEBODY}
    elif sent.path.startswith("lock/"):
        said |= {"owner": "ffffffff", "who": SOMEBODY, "plan": "0" * 12, "attempt": f"applied/{'0' * 12}/theirs"}
    elif isinstance(said, dict):
        said |= {"by": SOMEBODY}
    return json.dumps(said).encode() if isinstance(said, dict) else b"0" * 32


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Stored]]:
    """A function `made(runbook)` → it, planned and approved, with a store in a bucket."""
    with fast(tmp_path_factory.mktemp("fast")):
        yield cache(lambda name, approved=True: prepare(name, tmp_path_factory.mktemp("made") / name, approved))


def cases(name: str, asked: list[Sent], width: str) -> Iterator[tuple[int, str]]:
    """The number of each request and what goes wrong with it: every kind; or one at some, from kind to kind."""
    turn = len(name)
    for number, sent in enumerate(asked, 1):
        kinds = CREATES if sent.write else READS
        if width == "every kind":
            yield from ((number, kind) for kind in kinds)
        elif number % 4 == 1:
            yield number, kinds[turn % len(kinds)]
            turn += 1


def explained(error: BaseException) -> None:
    """It is an error that says what happened, what was observed, and what to do; never a traceback."""
    assert isinstance(error, RunbookError), repr(error)
    assert error.what
    assert error.next, error
    if isinstance(error, NoRecord):
        assert error.observed


def applied_with(made: Stored, folder: Path, wrong: Wrong) -> Result:
    """One apply in which a request to the store goes wrong, and the same plan applied again."""
    with made.place(folder) as place:
        wrong.place = place
        before = things(place.app)
        first = made.go(place, wrong)
        about = f"{made.name}, {wrong.kind} at {wrong.number}: {wrong.sent and wrong.sent.path}"
        assert wrong.sent is not None, about
        died = isinstance(first.error, Died)
        if first.error and not died:
            explained(first.error)
        middle, sides = things(place.app), made.sides(place)
        if isinstance(first.error, RunbookError) and "Nothing was changed." in first.error.effect:
            assert middle == before, about
        honest(about, place, first, sides, changed=middle != before)
        careful(about, place, before)
        for _ in range(4):
            with place.resumed():
                again = made.go(place)
            if again.error is not None:
                explained(again.error)
                break
            if "moving" not in made.sides(place):
                break
        after, ended = things(place.app), made.sides(place)
        assert again.error is None, f"{about}, again: {error_of(again)}"
        honest(f"{about}, again", place, again, ended, changed=after != middle and "moving" not in sides)
        careful(about, place, before)
        if wrong.kind != "taken" or wrong.sent.path.startswith("applied/"):
            assert set(ended) == {"new"}, f"{about}: {ended}; {again.outcome.said}"
        converged(about, first, again, sides, ended, stuck=False)
    return again


@pytest.fixture
def tried_kinds(request: pytest.FixtureRequest, record_property: Any) -> Iterator[Counter[str]]:
    """Which faults a test tried; at full width every kind, each often."""
    kinds: Counter[str] = Counter()
    yield kinds
    width, name = request.node.callspec.params["width"], request.node.name
    record_property("summary", f"{kinds.total()} faults of the record store in {name}")
    assert kinds.total() >= (len(CREATES) if width == "every kind" else 1)
    assert set(kinds) == set(CREATES) or width != "every kind"


@pytest.mark.parametrize(("width", "name"), WIDE)
def test_a_request_of_an_apply_goes_wrong(
    made: Callable[..., Stored], tmp_path: Path, width: str, name: str, tried_kinds: Counter[str]
) -> None:
    it = made(name)
    for number, kind in cases(name, it.requests, width):
        applied_with(it, tmp_path / "case", Wrong(number, kind))
        tried_kinds[kind] += 1


# --- Planning and approving


def requests_of(it: Stored, folder: Path, do: Callable[[Remote], Any]) -> list[Sent]:
    with it.place(folder) as place:
        do(place)
        return list(place.to_store.seen)


def tried(do: Callable[[], Any]) -> BaseException | None:
    """The error that ends it, if one does."""
    try:
        ran = do()
    except (RunbookError, Died) as error:
        return error
    return ran.error if isinstance(ran, Result) else None


@pytest.mark.parametrize(("width", "name"), WIDE)
def test_a_request_of_a_plan_goes_wrong(
    made: Callable[..., Stored], tmp_path: Path, width: str, name: str, tried_kinds: Counter[str]
) -> None:
    """Nothing was changed, and the next one is planned, approved and applied as always."""
    it = made(name, False)

    def plan(place: Remote) -> Result:
        return place.run(name, **GIVEN[name])

    asked = requests_of(it, tmp_path / "case", plan)
    for number, kind in cases(name, asked, width):
        with it.place(tmp_path / "case") as place:
            before = things(place.app)
            place.to_store.fault = wrong = Wrong(number, kind, place)
            ran = plan(place)
            place.to_store.fault = None
            about = f"{kind} at {number}: {wrong.sent and wrong.sent.path}"
            assert wrong.sent is not None, about
            if ran.error and not isinstance(ran.error, Died):
                explained(ran.error)
            assert things(place.app) == before, about
            assert place.wire.writes == [], about
            made_plan = place.plan(name, **GIVEN[name])
            place.approve(made_plan.id)
            assert place.go(name, made_plan.id, **GIVEN[name]).outcome.result == "applied", about
        tried_kinds[kind] += 1


@pytest.mark.parametrize(("width", "name"), first([("some", "retry"), ("every kind", "rotate_secret")]))
def test_a_request_of_an_approval_goes_wrong(
    made: Callable[..., Stored], tmp_path: Path, width: str, name: str, tried_kinds: Counter[str]
) -> None:
    """It is signed or not; what is applied has every signature, and each was used once."""
    it = made(name, False)

    def signed(place: Remote) -> str:
        plan = place.plan(name, **GIVEN[name]).id
        place.to_store.seen.clear()
        return plan

    with it.place(tmp_path / "case") as place:
        plan = signed(place)
        place.approve(plan)
        asked = list(place.to_store.seen)
    for number, kind in cases(name, asked, width):
        with it.place(tmp_path / "case") as place:
            before, plan = things(place.app), signed(place)
            place.to_store.fault = wrong = Wrong(number, kind, place)
            error = tried(lambda place=place, plan=plan: place.approve(plan))
            place.to_store.fault = None
            about = f"{kind} at {number}: {wrong.sent and wrong.sent.path}"
            assert wrong.sent is not None, about
            if error and not isinstance(error, Died):
                explained(error)
                assert isinstance(error, NoRecord | Refused), about
            early = place.go(name, plan, **GIVEN[name])
            assert early.error is None
            if early.outcome.result != "applied":
                assert "is not approved" in early.outcome.said, about
                assert things(place.app) == before
                place.approve(plan)
                assert place.go(name, plan, **GIVEN[name]).outcome.result == "applied", about
            assert len(place.store.children("nonces")) == (2 if name == "rotate_secret" else 1)
        tried_kinds[kind] += 1
