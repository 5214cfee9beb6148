"""The only writer: whether an approved plan may be applied, and by whose leave; `writing` then does it.

    plan → same id? → gates? → lock → approvals? → use them up → one change after the other → CLOSE

After a crash, applying the same plan again reads the same journal: what is done is seen to be done, and the rest goes
on under the same approvals until they expire.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from runbook import approval, incident, record, signers
from runbook.approval import Statement, newest_plan
from runbook.canonical import canonical
from runbook.errors import NoRecord, Refused
from runbook.journal import Journal
from runbook.material import Material
from runbook.plan import Outcome, Plan, change_of
from runbook.rows import Row, Verdict
from runbook.store import Store
from runbook.writing import Writing

if TYPE_CHECKING:
    from runbook.context import Context


def person() -> str:
    """Who plans and applies here: RUNBOOK_PERSON, or this machine's user."""
    return os.environ.get("RUNBOOK_PERSON") or record.user()


def store_of(run: Context) -> Store:
    """The record store of a run's environment; on Google it is shared only where params say so."""
    return Store(record.folder_of(run.settings), shared=run.settings.records_shared)


def apply(run: Context, plan: Plan, material: Material) -> Outcome:
    """Plan, refuse or apply; see the module. Raises NoRecord where it could not be journalled, and what is a bug."""
    try:
        plan = _wanted(run, plan)
        if not plan.changes:
            return Outcome(plan, "nothing to do", said=" ".join(plan.notes) or "everything already is as asked")
        asked = _asked(run, plan)
        if not asked.go:
            return _planned(run, plan, asked)
        _require_safe(plan, asked, material)
        with nullcontext() if plan.operation == "notify" else _lock(store_of(run).folder, run):
            approvals = _require_approved(run, plan, asked)
            attempt = _begin(run, plan, asked, approvals)
            return _execute(run, plan, material, attempt, asked, approvals)
    except Refused as refusal:
        said = "\n".join(t for t in (refusal.what, refusal.observed) if t)
        return Outcome(plan, "refused", said=said, next=(refusal.next,) if refusal.next else ())


@dataclass(frozen=True)
class _Asked:
    """What this run is asked to do with a plan: `go` is whether to apply it.

    `now` is the cloud's time, or this machine's where it is not `certain`; `opening` when the preferred time begins.
    """

    go: bool
    now: datetime
    certain: bool
    opening: datetime
    terms: approval.Terms


def _wanted(run: Context, plan: Plan) -> Plan:
    """The plan of now, or the one whose application was begun and has not ended.

    Raises Refused where there is none, and where the approved plan is another one or was applied already.
    """
    wanted, store = run.request.values.get("approved_plan", ""), store_of(run)
    if wanted not in ("", plan.id, plan.whole_id):
        plan = _unfinished(store, wanted, plan, run) or plan
    moved = wanted not in ("", plan.id, plan.whole_id)
    if moved and (done := _applied(store, wanted)):
        raise done
    if plan.refusal:
        raise plan.refusal
    if moved:
        raise _stale(store, wanted, plan)
    return plan


def _asked(run: Context, plan: Plan) -> _Asked:
    """Whether to apply, and under which terms; an incident counts while it is an open P1."""
    given, rule = run.request.values, plan.rule
    now, certain = run.cloud.now()
    opening = approval.opens(run.settings.windows.get(rule.window), now, run.settings.zone)
    named = given.get("incident", "")
    alone = bool(named) and rule.alone_in_p1 and incident.is_open(store_of(run), named, now)
    terms = approval.terms_of(rule, person(), opening, named if alone else "")
    unsigned = not rule.signers and bool(given.get("apply") or given.get("tell"))
    return _Asked(bool(given.get("approved_plan")) or unsigned, now, certain and run.certain, opening, terms)


def _require_safe(plan: Plan, asked: _Asked, material: Material) -> None:
    """Raise Refused where the time is not the cloud's, a gate is not green, or a secret's value is missing.

    A message needs no clock and stands in nobody's way.
    """
    if not asked.certain and plan.operation != "notify":
        said = "approvals hold until a time, and names have dates; this machine's own is not good enough"
        raise Refused("the cloud's clock could not be read", said, next="check the network, and run it again.")
    if bad := [f for f in plan.gates if f.verdict > Verdict.warn]:
        lines = "\n".join(f"{f.check}, {f.subject}: {f.value} ({f.verdict.name})" for f in bad)
        raise Refused("it is not safe to start", lines, next=bad[0].next or "mend what the gates say, and plan again.")
    if any(change.args.needs_secret for change in plan.changes):
        material.secret()  # refuses before an approval is used up


def _require_approved(run: Context, plan: Plan, asked: _Asked) -> tuple[Statement, ...]:
    """The approvals under which this plan may be applied now; none where nobody has to sign. Raises Refused."""
    store, people = store_of(run), None
    if plan.rule.signers:
        people = signers.signers_of(run.settings, run.cloud.target, store.folder.parent)
    found = approval.approvals_of(store, plan.whole_id)
    return approval.check(plan.content, asked.terms, found, people, asked.now, opening=asked.opening)


def _begin(run: Context, plan: Plan, asked: _Asked, approvals: Sequence[Statement]) -> Journal:
    """Use the approvals up, and open the journal of this application, or of the one that was not finished."""
    store = store_of(run)
    folder = _attempt(store.folder / "applied" / plan.id)
    try:
        approval.consume(store, approvals, plan.whole_id, f"{plan.id}/{folder.name}", asked.now)
    except Refused as refusal:
        raise _applied(store, plan.id) or refusal from None
    return _journal(folder)


def _execute(
    run: Context, plan: Plan, material: Material, attempt: Journal, asked: _Asked, approvals: Sequence[Statement]
) -> Outcome:
    """Let the executor write, and say under whose approvals it did."""
    shown = ("approver", "role", "reason", "override", "review_by")
    by = tuple({name: getattr(s, name) for name in shown} for s in approvals)
    stored = newest_plan(store_of(run), plan.id)
    planned_in = stored.file.record if stored else ""
    run.journal.write("APPLY", plan=plan.whole_id, planned_in=planned_in, journal=str(attempt.path), approvals=by)
    return replace(Writing(run, plan, material, attempt).all(asked.now), by=by, planned_in=planned_in)


def _planned(run: Context, plan: Plan, asked: _Asked) -> Outcome:
    """Put the plan into the store, for those who must approve it, and into the run's folder.

    Nobody is asked to sign what the gates would stop.
    """
    _put(run, plan, asked.terms)
    said = f"nothing was written. This is plan {plan.id}"
    if bad := [f for f in plan.gates if f.verdict > Verdict.warn]:
        hint = bad[0].next or "mend what the gates say."
        return Outcome(plan, "planned", said=f"{said}; {len(bad)} gates stop it", next=(hint, "then plan again."))
    terms = asked.terms
    steps = [f'runbook approve {plan.id} --role {role} --reason "…"' for role in terms.signers]
    if asked.opening > asked.now and steps:
        begins = run.moment.local(approval.clock(terms.not_before))
        steps.append(
            f'what is signed holds from {begins:%a %H:%M} on; to apply it now, add --override "why it cannot wait"'
        )
    if terms.incident:
        alone = f'runbook approve {plan.id} --role on-call --as {terms.requester} --reason "…"'
        steps.append(f"or, while {terms.incident} is an open P1, {terms.requester} alone, where on call: {alone}")
    return Outcome(plan, "planned", said=said, next=(*steps, f"runbook apply {plan.id}"))


def _put(run: Context, plan: Plan, terms: approval.Terms) -> None:
    """Write the plan file. Raises Refused for a plan that nobody could read, NoRecord."""
    file = {"schema": 1, "id": plan.whole_id, "record": run.folder.name, "content": plan.content}
    file["terms"] = terms.model_dump()
    content = canonical(file)
    approval.plan_of(content)
    # Two people may plan the same: who approves must see the newest, with the terms of whoever asked last.
    name = f"plans/{plan.id}/{datetime.now(UTC):%Y%m%dt%H%M%S%f}-{sha256(content).hexdigest()[:8]}.json"
    store_of(run).create(name, content)
    record.publish(run.folder / "plan.json", json.dumps(file, indent=1, ensure_ascii=False).encode() + b"\n")


def _applied(store: Store, wanted: str) -> Refused | None:
    """That a plan was applied, where its last application ended well."""
    known = _attempts(store.folder / "applied" / wanted[:12])
    rows = known[-1].read() if known else []
    if not rows or rows[-1].get("result") != "applied":
        return None
    said = f"it ended at {rows[-1]['time'][:16]} UTC; its journal: {known[-1].path}"
    return Refused(
        f"plan {wanted[:12]} was applied already", said, next="nothing; to do the same again, plan it again."
    )


def _unfinished(store: Store, wanted: str, plan: Plan, run: Context) -> Plan | None:
    """The plan as it was approved, where applying it was begun and has not ended: what was done moved the plan of now.

    None for any other, also for one that was made for another place or by other code. The file and the journal may be
    anybody's: what comes back holds only actions of this runbook, and is applied only under signatures of exactly this.
    Where nobody has to sign, today's plan must have every change of it, or find it done.
    """
    stored = newest_plan(store, wanted)
    if stored is None:
        return None
    content, rule = stored.file.content, run.settings.operations.get(stored.file.content["operation"])
    known = _attempts(store.folder / "applied" / stored.file.id[:12])
    rows = known[-1].read() if known else []
    begun = any(row.get("kind") == "INTENT" for row in rows) and not any(row.get("kind") == "CLOSE" for row in rows)
    if not begun or rule is None:
        return None
    changes = tuple(change_of(row, run.request.runbook, content["operation"]) for row in content["changes"])
    if not rule.signers and not {canonical(c.plain()) for c in changes} <= {
        canonical(c.plain()) for c in (*plan.changes, *plan.there)
    }:
        return None
    was = {name: content[name] for name in ("operation", "reason", "relies_on")}
    made = replace(plan, **was, changes=changes, rule=rule, refusal=None)
    return made if made.whole_id == stored.file.id and wanted in (made.id, made.whole_id) else None


def _stale(store: Store, wanted: str, plan: Plan) -> Refused:
    """Why the approved plan is not the plan of now: every part that moved."""
    stored = newest_plan(store, wanted)
    if stored is None:
        return Refused(
            f"there is no plan {wanted}", "it was never made in this record store", next="plan, then approve."
        )
    before, now = stored.file.content, plan.content
    moved = [*_moved("", _read(before), _read(now))] or [*_moved("", before, now)]
    where = f"{plan.operation} ({plan.place.get('environment')})"
    return Refused(
        f"{where} was approved as {wanted[:12]}; the plan is now {plan.id}",
        "\n".join(f"changed: {line}" for line in moved),
        next=f"look at “What will change?” again; approve {plan.id}, or stop.",
    )


def _read(content: Row) -> Row:
    """What people read of a plan; its arguments say the same again, for the actions."""
    names = ("action", "resource", "before", "after")
    return {**content, "changes": [{name: change[name] for name in names} for change in content["changes"]]}


def _moved(key: str, old: Any, new: Any) -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for k in sorted({*old, *new}):
            yield from _moved(f"{key}, {k}" if key else k, old.get(k), new.get(k))
    elif isinstance(old, list) and isinstance(new, list) and old != new:
        if len(old) != len(new):
            yield f"{key}: {len(old)} → {len(new)}"
        for n, (a, b) in enumerate(zip(old, new, strict=False), 1):
            yield from _moved(f"{key} {n}", a, b)
    elif old != new:
        yield f"{key}: {old} → {new}"


@contextmanager
def _lock(folder: Path, run: Context) -> Iterator[None]:
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


def _attempt(folder: Path) -> Path:
    """The folder of this plan's unfinished application, or of one more after those that were closed.

    It is not made before the approvals are used up: what was refused is no application.
    """
    known = _attempts(folder)
    if known and not any(row["kind"] == "CLOSE" for row in known[-1].read()):
        return known[-1].path.parent
    return folder / str(len(known) + 1)


def _journal(folder: Path) -> Journal:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NoRecord("the journal cannot be made", str(error), next="give another RUNBOOK_RECORDS.") from None
    return Journal(folder)


def _attempts(folder: Path) -> list[Journal]:
    """The journals of a plan's applications, oldest first."""
    return [Journal(path) for path in sorted(folder.glob("[0-9]*"), key=lambda path: int(path.name))]
