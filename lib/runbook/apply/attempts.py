"""Attempts to apply a plan. Their journal lies in the record store, and is the lock of the environment.

    lock/<number>                           the attempt that holds the environment; numbered without a gap
    applied/<plan>/<time>-<random>/<row>    the rows of one attempt, in order: OPEN or TAKEOVER, INTENT, WRITE, RESULT,
                                            CONFIRM, CLOSE

The environment is free if the newest attempt ends with a CLOSE that is newer than its lock. Each row is created once,
so an owner who was taken over cannot write the next row, and sends nothing more. Rows do not fence Google's APIs:
therefore nobody sends later than IN_FLIGHT_S after the row that announces it, and who takes over waits longer than that
before they look.
"""

import json
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import platformdirs

from runbook.context import Context
from runbook.data_file import text_of
from runbook.display.text import Row
from runbook.model import Broken, Refused, RunbookError, Taken, command
from runbook.model.plan import Plan
from runbook.records import Store, account, now, row_names, rows_in

IN_FLIGHT_S = 30  # for how long a request may still be sent after its row was written
MARGIN_S = 5


class TakenOver(RunbookError):
    """Somebody else continues this attempt; this process must not send anything more."""


@dataclass
class Attempt:
    """The journal of one attempt; `owner` is a random word for whoever writes it now, `count` its last row."""

    store: Store
    place: str
    who: str
    owner: str = field(default_factory=lambda: secrets.token_hex(4))
    count: int = 0
    written: float = 0.0

    def write(self, kind: str, **data: Any) -> None:
        """Create the next row; it is in the store when this returns. Raises TakenOver, NoRecord."""
        row, began = {"time": now(), "kind": kind, "owner": self.owner, "who": self.who, **data}, _clock()
        try:
            self.store.create(f"{self.place}/{self.count + 1:04d}", json.dumps(row, default=str).encode())
        except Taken:
            plan, by = self.place.split("/")[1], last_row(self.store, self.place).get("who")
            raise TakenOver(**text_of(__file__, "taken_over", by=by, plan=plan)) from None
        self.count += 1
        self.written = began  # others may have seen it since then: the store's answer can be late

    def require_prompt(self) -> None:
        """Raise Refused if the newest row is so old that somebody else may have taken over since it was sent."""
        late = _clock() - self.written
        if late > IN_FLIGHT_S:
            raise Refused(**text_of(__file__, "late", late=late, most=IN_FLIGHT_S))


def attempts(store: Store, plan: str) -> list[str]:
    """Where the attempts to apply a plan are in the store, oldest first."""
    return store.children(f"applied/{plan[:12]}")


def last_row(store: Store, place: str) -> Row:
    """The newest row of an attempt, and as `row` its number; {} if there is none."""
    names = row_names(store, place)
    return rows_in(store, place, names[-1:])[0] | {"row": len(names)} if names else {}


def unfinished_attempts(store: Store, plan: str) -> list[str]:
    """The newest attempt to apply a plan, if it can be continued."""
    return [place for place in attempts(store, plan)[-1:] if not is_final(rows_in(store, place))]


def is_final(rows: list[Row]) -> bool:
    """Whether an attempt can never be continued: what is closed for good stays closed, whatever is written after it."""
    return any(row["kind"] == "CLOSE" and bool(row.get("final", True)) for row in rows)


def already_applied(store: Store, wanted: str) -> Refused | None:
    """The refusal for a plan whose last attempt succeeded; None for any other plan."""
    return _ended(store, wanted, "applied")


def was_abandoned(store: Store, plan: Plan) -> Refused | None:
    """The refusal for a plan whose last attempt was abandoned; None for any other plan."""
    return _ended(store, plan.id, "abandoned", command(str(plan.origin["runbook"]), plan.origin["parameters"]))


def _ended(store: Store, wanted: str, result: str, again: str = "") -> Refused | None:
    for place in attempts(store, wanted)[-1:]:
        for row in (row for row in rows_in(store, place) if (row["kind"], row.get("result")) == ("CLOSE", result)):
            known = {"plan": wanted[:12], "ended": row["time"][:16], "store": store, "place": place, "again": again}
            return Refused(**text_of(__file__, result, **known))
    return None


@contextmanager
def begun(
    run: Context, store: Store, plan: Plan, taking: str, still: Callable[[], object] = lambda: None
) -> Iterator[Attempt]:
    """Hold the environment for one attempt; the unfinished attempt of this plan goes on, else a new one is made.

    `taking` is the owner whose process is dead, "" for none. `still` raises Refused if the plan may not be applied any
    more. A plan that only adds, such as messages and snapshots, takes no lock. If an error ends the attempt, it is
    closed so that it can go on. Raises Refused, NoRecord.
    """
    who = f"{account()}, process {os.getpid()}, run {run.folder.name}"
    if taking:
        attempt = _taken_over(store, plan, taking, who)
    else:
        # What is read from here on is so when the lock is made: of two that count the same locks, one makes the next.
        number = 0 if plan.only_adds else require_free(store) + 1
        still()
        old = unfinished_attempts(store, plan.id) if number else []  # without a lock, each attempt is a new one
        place = old[0] if old else f"applied/{plan.id}/{datetime.now(UTC):%Y%m%dt%H%M%S%f}-{secrets.token_hex(4)}"
        attempt = Attempt(store, place, who, count=len(row_names(store, place)) if old else 0)
        if number:
            _lock(store, attempt, plan, number)
        attempt.write("OPEN", plan=plan.whole_id)
    try:
        yield attempt
    except (Exception, KeyboardInterrupt) as error:
        if not isinstance(error, TakenOver):
            with suppress(RunbookError):  # the first error is the one to report
                attempt.write("CLOSE", result="stopped", final=False)
        raise


def require_free(store: Store) -> int:
    """How many locks there were so far. Raises Refused if the newest attempt still holds the environment."""
    held = _held(store)
    if held:
        holder, newest = _owner(store, held[-1])
        if newest.get("kind") != "CLOSE":
            raise _busy(holder, newest)
    return len(held)


def _lock(store: Store, attempt: Attempt, plan: Plan, number: int) -> None:
    """Take the lock of the environment. Raises Refused if somebody else took it first."""
    mine = {"attempt": attempt.place, "rows": attempt.count, "plan": plan.id}
    mine |= {"owner": attempt.owner, "who": attempt.who}
    try:
        store.create(f"lock/{number:06d}", json.dumps({"kind": "LOCK", "time": now(), **mine}).encode())
    except Taken:
        raise _busy(*_owner(store, f"lock/{number:06d}")) from None
    _remember(store, number)


def _taken_over(store: Store, plan: Plan, taking: str, who: str) -> Attempt:
    """The open attempt of an owner whose process is dead. Raises Refused unless it is of this plan and owner."""
    held = _held(store)
    holder, newest = _owner(store, held[-1]) if held else ({}, {"kind": "CLOSE"})
    if newest.get("kind") == "CLOSE":
        raise Refused("there is nothing to take over", "the newest attempt is closed", next=f"runbook apply {plan.id}")
    if (holder.get("plan"), (newest or holder).get("owner")) != (plan.id, taking):
        raise _busy(holder, newest)
    attempt = Attempt(
        store, holder["attempt"], who, count=newest.get("row", holder["rows"])
    )  # a newer row makes this fail
    attempt.write("TAKEOVER", plan=plan.whole_id, took=taking, said="the operator states that it is dead")
    if newest.get("kind") in ("INTENT", "WRITE", "TAKEOVER"):  # who took over may have died while it waited
        time.sleep(IN_FLIGHT_S + MARGIN_S)  # a request may still be on the way
    return attempt


def _owner(store: Store, lock: str) -> tuple[Row, Row]:
    """A lock, and the newest row since then of its attempt; {} if it has none yet. Raises Broken for a damaged one.

    An attempt that goes on has rows from before the lock: its CLOSE there does not free the environment.
    """
    (holder,) = rows_in(store, "lock", [lock])
    try:
        newest = last_row(store, holder["attempt"])
        newest = newest if newest.get("row", 0) > holder.setdefault("rows", 0) else {}
        if not re.fullmatch("[0-9a-f]{12} [0-9a-f]{8}", f"{holder['plan']} {({**holder, **newest})['owner']}"):
            raise ValueError("it names no plan and owner")
        return holder, newest
    except (LookupError, TypeError, ValueError) as error:
        raise Broken(**text_of(__file__, "lock_damaged", store=store, lock=lock, error=error)) from None


def _busy(holder: Row, newest: Row) -> Refused:
    known = holder | newest | {"plan": holder["plan"], "since": holder["time"][:16]}
    return Refused(**text_of(__file__, "busy", **known))


def _held(store: Store) -> list[str]:
    """The locks so far, oldest first. Raises Refused if some are missing."""
    held = [name for name in store.children("lock") if re.fullmatch(r"lock/\d{6}", name)]
    known = _remembered(store)
    if held != [f"lock/{n:06d}" for n in range(1, len(held) + 1)] or known > len(held):
        raise Refused(**text_of(__file__, "lost_journals", store=store, rows=len(held), seen=max(known, len(held))))
    return held


def _memory(store: Store) -> Path:
    return platformdirs.user_state_path("sales-intelligence-runbooks") / "stores" / store.name


def _remembered(store: Store) -> int:
    """How many locks of this store this machine has seen; 0 if it does not know."""
    with suppress(OSError, ValueError, RuntimeError):
        return int(_memory(store).read_text(encoding="ascii"))
    return 0


def _remember(store: Store, number: int) -> None:
    """Note the newest lock outside the store. It is a second lock only: a machine without a home does without."""
    with suppress(OSError, RuntimeError):
        _memory(store).parent.mkdir(parents=True, exist_ok=True)
        _memory(store).write_text(str(number), encoding="ascii")


def _clock() -> float:
    """Seconds that also pass while this machine sleeps."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
