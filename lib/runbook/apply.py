"""The only writer. An approved plan is applied one change at a time: journalled first, sent once, then looked at again.

    plan → same id? → gates? → approvals? → lock → use the approvals up → for each change: look, INTENT, write, RESULT,
    look until it has settled, CONFIRM → CLOSE

What a write did is never taken from its answer. After a crash, applying the same plan again reads the same journal:
what is done is seen to be done, and the rest goes on under the same approvals until they expire.
"""

from __future__ import annotations

import getpass
import json
import os
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from runbook import approval, incident, record, signers
from runbook.actions import ACTIONS, Look
from runbook.canonical import canonical
from runbook.cloud.unseen import gap
from runbook.errors import Broken, NoRecord, Refused
from runbook.journal import Journal
from runbook.material import Material
from runbook.plan import Change, Fate, Outcome, Plan
from runbook.rows import Row, Verdict
from runbook.store import Store, Taken

if TYPE_CHECKING:
    from runbook.run import Run

PATIENCE_S = 900  # how long a change may take to settle on Google
BRIEF_S = 60  # how long Google may go on to show what was before a write
PAUSE_S = 3
LOOKS = 8  # in the sandbox, where each look is a step of what is under way
_FATES: dict[str, Fate] = {"new": "done", "old": "failed", "failed": "failed", "other": "unknown"}


def person() -> str:
    """Who plans and applies here: RUNBOOK_PERSON, or this machine's user."""
    return os.environ.get("RUNBOOK_PERSON") or getpass.getuser()


def store_of(run: Run) -> Store:
    """The record store of a run's environment; on Google it is shared only where params say so."""
    return Store(record.folder_of(run.settings), shared=run.settings.records_shared)


def apply(run: Run, plan: Plan, material: Material) -> Outcome:
    """Plan, refuse or apply; see the module. Raises NoRecord where it could not be journalled, and what is a bug."""
    try:
        return _apply(run, plan, material)
    except Refused as refusal:
        said = "\n".join(t for t in (refusal.what, refusal.observed) if t)
        return Outcome(plan, "refused", said=said, next=(refusal.next,) if refusal.next else ())


def _apply(run: Run, plan: Plan, material: Material) -> Outcome:
    wanted = run.request.values.get("approved_plan", "")
    given = run.request.values
    unsigned = plan.rule is not None and not plan.rule.signers and bool(given.get("apply") or given.get("tell"))
    if wanted not in ("", plan.id, plan.whole_id):
        plan = _unfinished(store_of(run), wanted, plan, run) or plan
    if plan.refusal:
        raise plan.refusal
    if wanted not in ("", plan.id, plan.whole_id):
        raise _stale(store_of(run), wanted, plan)
    if not plan.changes:
        return Outcome(plan, "nothing to do", said="everything already is as asked")
    now, certain = run.cloud.now()
    opening, terms = _terms(run, plan, now)
    if not wanted and not unsigned:
        return _planned(run, plan, terms)
    message = plan.operation == "notify"  # needs no clock and stands in nobody's way
    _unsafe(plan, material, (certain and run.certain) or message)
    store = store_of(run)
    with nullcontext() if message else _lock(store.folder, run):
        people = None
        if plan.rule.signers:
            people = signers.signers_of(run.settings, run.cloud.target, store.folder.parent)
        found = approval.approvals_of(store, plan.whole_id)
        accepted = approval.check(plan.content, terms, found, people, now, opening=opening)
        attempt = _attempt(store.folder / "applied" / plan.id)
        approval.consume(store, accepted, plan.whole_id, f"{plan.id}/{attempt.path.parent.name}", now)
        shown = ("approver", "role", "reason", "override", "review_by")
        by = [{name: getattr(s, name) for name in shown} for s in accepted]
        planned_in = json.loads(newest_plan(store, plan.id) or b"{}").get("record", "")
        run.journal.write("APPLY", plan=plan.whole_id, planned_in=planned_in, journal=str(attempt.path), approvals=by)
        outcome = _Applying(run, plan, material, attempt).all(now)
        return replace(outcome, by=tuple(by), planned_in=planned_in)


def _terms(run: Run, plan: Plan, now: datetime) -> tuple[datetime, approval.Terms]:
    """When the preferred time begins, and what it takes to apply. Raises Refused for an incident that is not open."""
    window = run.settings.windows.get(plan.rule.window) if plan.rule.window else None
    opening = approval.opens(window, now, run.settings.zone)
    named = run.request.values.get("incident", "")
    if named and plan.rule.alone_in_p1 and not incident.is_open(store_of(run), named, now):
        raise Refused(
            f"no P1 incident {named} is open",
            "p1_response opens one when it is given the name and sees a P1; it lasts a day",
            next=f"runbook run p1_response -p incident={named}; or leave out incident, and let the team lead sign.",
        )
    return opening, approval.terms_of(plan.rule, person(), opening, named if plan.rule.alone_in_p1 else "")


def _unsafe(plan: Plan, material: Material, certain: bool) -> None:
    """Raise Refused where the time is not the cloud's, a gate is not green, or a secret's value is missing."""
    if not certain:
        said = "approvals hold until a time, and names have dates; this machine's own is not good enough"
        raise Refused("the cloud's clock could not be read", said, next="check the network, and run it again.")
    if bad := [f for f in plan.gates if f.verdict > Verdict.warn]:
        lines = "\n".join(f"{f.check}, {f.subject}: {f.value} ({f.verdict.name})" for f in bad)
        raise Refused("it is not safe to start", lines, next=bad[0].next or "mend what the gates say, and plan again.")
    if any(change.action == "add secret version" for change in plan.changes):
        material.secret()  # refuses before an approval is used up


def _planned(run: Run, plan: Plan, terms: approval.Terms) -> Outcome:
    """Put the plan into the store, for those who must approve it, and into the run's folder."""
    file = {"schema": 1, "id": plan.whole_id, "record": run.folder.name, "content": plan.content}
    file["terms"] = terms.model_dump()
    content = canonical(file)
    name = f"plans/{plan.id}/{terms.not_before.lower().replace(':', '')}-{sha256(content).hexdigest()[:8]}.json"
    with suppress(Taken):
        store_of(run).create(name, content)
    record.publish(run.folder / "plan.json", json.dumps(file, indent=1, ensure_ascii=False).encode() + b"\n")
    steps = [f'runbook approve {plan.id} --role {role} --reason "…"' for role in plan.rule.signers]
    said = f"nothing was written. This is plan {plan.id}"
    return Outcome(plan, "planned", said=said, next=(*steps, f"runbook apply {plan.id}"))


def newest_plan(store: Store, plan: str) -> bytes | None:
    """The newest file of a plan, by the 12 characters that people type."""
    names = store.list(f"plans/{plan[:12]}")
    return store.read(names[-1]) if names else None


def _unfinished(store: Store, wanted: str, plan: Plan, run: Run) -> Plan | None:
    """The plan as it was approved, where applying it was begun and has not ended: what was done moved the plan of now.

    None for any other, also for one that was made for another place or by other code.
    """
    raw = newest_plan(store, wanted)
    if raw is None:
        return None
    file = json.loads(raw)
    known = _attempts(store.folder / "applied" / file["id"][:12])
    rows = known[-1].read() if known else []
    if not any(row["kind"] == "INTENT" for row in rows) or any(row["kind"] == "CLOSE" for row in rows):
        return None
    content = file["content"]
    changes = tuple(Change(**change, line="") for change in content["changes"])
    was = {"operation": content["operation"], "reason": content["reason"], "relies_on": content["relies_on"]}
    rule = run.settings.operations.get(content["operation"])
    made = replace(plan, **was, changes=changes, rule=rule, refusal=None)
    return made if made.whole_id == file["id"] and wanted in (made.id, made.whole_id) else None


def _stale(store: Store, wanted: str, plan: Plan) -> Refused:
    """Why the approved plan is not the plan of now: every part that moved."""
    raw = newest_plan(store, wanted)
    if raw is None:
        return Refused(
            f"there is no plan {wanted}", "it was never made in this record store", next="plan, then approve."
        )
    before, now = json.loads(raw)["content"], plan.content
    moved = [line for key in now for line in _moved(key, before.get(key), now[key])]
    where = f"{plan.operation} ({plan.place.get('environment')})"
    return Refused(
        f"{where} was approved as {wanted[:12]}; the plan is now {plan.id}",
        "\n".join(f"changed: {line}" for line in moved),
        next=f"look at “What will change?” again; approve {plan.id}, or stop.",
    )


def _moved(key: str, old: Any, new: Any) -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for k in sorted({*old, *new}):
            yield from _moved(f"{key}, {k}", old.get(k), new.get(k))
    elif isinstance(old, list) and isinstance(new, list) and old != new:
        if len(old) != len(new):
            yield f"{key}: {len(old)} → {len(new)}"
        for n, (a, b) in enumerate(zip(old, new, strict=False), 1):
            yield from _moved(f"{key} {n}", a, b)
    elif old != new:
        yield f"{key}: {old} → {new}"


@contextmanager
def _lock(folder: Path, run: Run) -> Iterator[None]:
    """One writing run of an environment at a time. The system frees the lock when its owner's process ends.

    Raises Refused, naming the owner.
    """
    owner, lock = folder / "lock.owner", FileLock(folder / "lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        who = owner.read_text(encoding="utf-8") if owner.exists() else "somebody"
        raise Refused("another run is changing this environment", who, next="wait until it has ended.") from None
    except OSError as error:
        raise NoRecord("the environment cannot be locked", str(error), next="give another RUNBOOK_RECORDS.") from None
    try:
        record.publish(owner, f"{record.here()['who']}, process {os.getpid()}, run {run.folder.name}".encode())
        yield
    finally:
        lock.release()


def _attempt(folder: Path) -> Journal:
    """The journal of this plan's unfinished application, or a new one after those that were closed."""
    known = _attempts(folder)
    if known and not any(row["kind"] == "CLOSE" for row in known[-1].read()):
        return known[-1]
    new = folder / str(len(known) + 1)
    try:
        new.mkdir(parents=True)
    except OSError as error:
        raise NoRecord("the journal cannot be made", str(error), next="give another RUNBOOK_RECORDS.") from None
    return Journal(new)


def _attempts(folder: Path) -> list[Journal]:
    """The journals of a plan's applications, oldest first."""
    return [Journal(path) for path in sorted(folder.glob("[0-9]*"), key=lambda path: int(path.name))]


@dataclass
class _Applying:
    """One application of a plan, change by change.

    `refused`: the last write was, and had no effect, so that it can be tried again.
    """

    run: Run
    plan: Plan
    material: Material
    journal: Journal
    refused: bool = False

    def all(self, began: datetime) -> Outcome:
        """Apply the changes in order until one that is needed is not done.

        The journal, and with it the approvals, stays open while that can be tried again.
        """
        fates: list[tuple[Fate, str]] = []
        for number, change in enumerate(self.plan.changes, 1):
            fates.append(self._one(number, change))
            if fates[-1][0] != "done" and not change.optional:
                break
        fates += [("not attempted", "")] * (len(self.plan.changes) - len(fates))
        worst = {fate for _, fate, _ in self._counted(fates)}
        result = "unknown" if "unknown" in worst else "failed" if worst != {"done"} else "applied"
        if result == "applied" or (result == "failed" and not self.refused):
            self._write("CLOSE", result=result)
        done = [c for c, (fate, _) in zip(self.plan.changes, fates, strict=True) if fate == "done"]
        return Outcome(self.plan, result, tuple(fates), self._said(result, fates), self._next(result, done), began)

    def _counted(self, fates: list[tuple[Fate, str]]) -> list[tuple[int, Fate, str]]:
        """Number, fate and words of what decides the result: the needed changes, or all where none is."""
        rows = [(n, c, *told) for n, (c, told) in enumerate(zip(self.plan.changes, fates, strict=True), 1)]
        return [(n, fate, said) for n, c, fate, said in rows if not c.optional or all(row[1].optional for row in rows)]

    def _said(self, result: str, fates: list[tuple[Fate, str]]) -> str:
        if result == "applied":
            done = sum(fate == "done" for fate, _ in fates)
            return f"{done} of {len(fates)} changes are done, and were seen to be"
        number, fate, said = next(row for row in self._counted(fates) if row[1] != "done")
        return f"change {number} of {len(fates)}: {fate}, {said}"

    def _next(self, result: str, done: list[Change]) -> tuple[str, ...]:
        """The way on, and for what is done already the way back, newest first."""
        if result == "applied":
            return ()
        on = "mend what it says, then plan again"
        if self.refused:
            on = f"mend what it says; then runbook apply {self.plan.id} goes on under the same approvals"
        if result == "unknown":
            on = f"runbook apply {self.plan.id} looks again and goes on"
        return (on, *(f"to go back on “{c.action}”, {c.resource}: {c.undo}" for c in reversed(done)))

    def _one(self, number: int, change: Change) -> tuple[Fate, str]:
        action, slow = ACTIONS[change.action], change.action == "run once"
        change, sent = self._resumed(number, change)
        self.refused = False
        if change.action == "tell" and "once" not in change.details:
            once = f"{self.plan.id}-{self.journal.path.parent.name}"
            change = replace(change, details={**change.details, "once": once})
        look = self._settled(change, wait=("pending", "old") if sent and slow else ("pending",))
        if look.state == "new":
            return "done", look.said
        if look.state not in ("old", "failed"):
            fate: Fate = "unknown" if look.state in ("pending", "unseen") else "failed"
            return fate, f"not started: {look.said}"
        if slow and "since" not in change.details:
            change = replace(change, details={**change.details, "since": look.data["newest"]})
        self._write("INTENT", number=number, change=change.plain(), seen=look.said, undo=change.undo)
        said, refused = "", False
        try:
            action.do(self._sender(number), self.run.cloud, change, look, self.material)
        except Refused as refusal:
            self.refused = True
            self._write("RESULT", number=number, said=f"{refusal.what}: {refusal.observed}", refused=True)
            return "failed", f"{refusal.what}: {refusal.observed}"
        except Exception as error:
            if hasattr(error, "message"):  # before anything reads it: an answer may repeat what was sent
                error.message = self.material.scrub(str(error.message))
            missing, refused = gap(error, change.resource), _is_answer(error)
            if missing is None and not refused:
                self._hide(error)
                raise
            said = missing.why if missing else str(error).splitlines()[0]
            self._write("RESULT", number=number, said=said, refused=refused)
        # Only who was refused can be sure that what is old now stays old.
        look = self._settled(change, wait=("pending", "unseen") if refused else ("pending", "unseen", "old"))
        self._write("CONFIRM", number=number, state=look.state, said=look.said)
        self.refused = refused and look.state == "old"
        fate = "unknown" if look.state == "old" and not refused else _FATES.get(look.state, "unknown")
        return fate, "; ".join(t for t in (look.said, said if fate != "done" else "") if t)

    def _hide(self, error: Exception) -> None:
        """Raise Broken in place of an error that would show a secret's value, wherever in it that stands."""
        whole = "".join(traceback.format_exception(error))
        if self.material.scrub(whole) != whole:
            observed = f"{type(error).__name__}: {self.material.scrub(str(error))}"
            raise Broken(
                "a write broke off",
                observed,
                "It is not known whether it had its effect.",
                f"runbook apply {self.plan.id} looks again.",
            ) from None

    def _resumed(self, number: int, change: Change) -> tuple[Change, bool]:
        """A change with what an earlier attempt noted before it wrote, and whether that may have sent it.

        What was refused is as if it had never been tried: its notes are of a moment that has passed.
        """
        noted, sent = change, False
        for row in self.journal.read():
            if row.get("number") == number and row["kind"] == "INTENT":
                noted = replace(change, details=row["change"]["details"])
            elif row.get("number") == number and row["kind"] == "WRITE":
                sent = True
            elif row.get("number") == number and row["kind"] == "RESULT" and row.get("refused"):
                noted, sent = change, False
        return noted, sent

    def _settled(self, change: Change, wait: tuple[str, ...]) -> Look:
        """Look until it is in none of the states to wait for, or patience ends; a run of a function is slow to show."""
        on_google, began = self.run.cloud.target == "google", time.monotonic()
        for n in range(PATIENCE_S // PAUSE_S if on_google else LOOKS):
            if on_google and n:
                time.sleep(PAUSE_S)
            look = self._look(change)
            patience = BRIEF_S if look.state == "old" and change.action != "run once" else PATIENCE_S
            if look.state not in wait or (on_google and time.monotonic() - began > patience):
                break
        return look

    def _look(self, change: Change) -> Look:
        try:
            return ACTIONS[change.action].look(self.run.cloud, change)
        except Exception as error:
            missing = gap(error, change.resource)
            if missing is None and not _is_answer(error):
                raise
            return Look("unseen", f"could not see: {missing.why if missing else str(error).splitlines()[0]}")

    def _sender(self, number: int) -> Any:
        def send(method: str, url: str, body: Any = None, headers: Row | None = None) -> Row:
            raw = body if isinstance(body, bytes) else json.dumps(body).encode()
            self._write("WRITE", number=number, method=method, url=url.partition("?")[0], bytes=len(raw))
            return self.run.cloud.write(method, url, raw, headers)

        return send

    def _write(self, kind: str, **data: Any) -> None:
        self.journal.write(kind, **data)
        self.run.journal.write(kind, plan=self.plan.id, **data)


def _is_answer(error: Exception) -> bool:
    """Whether Google answered, with an error that is none of ours."""
    from google.api_core.exceptions import ClientError

    return isinstance(error, ClientError)
