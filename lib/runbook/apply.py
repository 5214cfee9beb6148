"""The only writer: whether an approved plan may be applied, and by whose leave; `writing` then does it.

    plan → same id? → gates? → lock → approvals? → use them up → one change after the other → CLOSE

After a crash, applying the same plan again reads the same journal: what is done is seen to be done, and the rest goes
on under the same approvals until they expire.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from runbook import approval, incident, record, signers
from runbook.canonical import canonical
from runbook.errors import NoRecord, Refused
from runbook.journal import Journal
from runbook.material import Material
from runbook.plan import Change, Outcome, Plan
from runbook.rows import Row, Verdict
from runbook.store import Store
from runbook.writing import Writing

if TYPE_CHECKING:
    from runbook.run import Run


def person() -> str:
    """Who plans and applies here: RUNBOOK_PERSON, or this machine's user."""
    return os.environ.get("RUNBOOK_PERSON") or record.user()


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
    moved = wanted not in ("", plan.id, plan.whole_id)
    if moved and (done := _applied(store_of(run), wanted)):
        raise done
    if plan.refusal:
        raise plan.refusal
    if moved:
        raise _stale(store_of(run), wanted, plan)
    if not plan.changes:
        return Outcome(plan, "nothing to do", said=" ".join(plan.notes) or "everything already is as asked")
    now, certain = run.cloud.now()
    opening, terms = _terms(run, plan, now)
    if not wanted and not unsigned:
        return _planned(run, plan, terms, opening > now)
    message = plan.operation == "notify"  # needs no clock and stands in nobody's way
    _unsafe(plan, material, (certain and run.certain) or message)
    store = store_of(run)
    with nullcontext() if message else _lock(store.folder, run):
        people = None
        if plan.rule.signers:
            people = signers.signers_of(run.settings, run.cloud.target, store.folder.parent)
        found = approval.approvals_of(store, plan.whole_id)
        accepted = approval.check(plan.content, terms, found, people, now, opening=opening)
        folder = _attempt(store.folder / "applied" / plan.id)
        try:
            approval.consume(store, accepted, plan.whole_id, f"{plan.id}/{folder.name}", now)
        except Refused as refusal:
            raise _applied(store, plan.id) or refusal from None
        attempt = _journal(folder)
        shown = ("approver", "role", "reason", "override", "review_by")
        by = [{name: getattr(s, name) for name in shown} for s in accepted]
        planned_in = json.loads(newest_plan(store, plan.id) or b"{}").get("record", "")
        run.journal.write("APPLY", plan=plan.whole_id, planned_in=planned_in, journal=str(attempt.path), approvals=by)
        outcome = Writing(run, plan, material, attempt).all(now)
        return replace(outcome, by=tuple(by), planned_in=planned_in)


def _terms(run: Run, plan: Plan, now: datetime) -> tuple[datetime, approval.Terms]:
    """When the preferred time begins, and what it takes to apply; an incident counts while it is an open P1."""
    opening = approval.opens(run.settings.windows.get(plan.rule.window), now, run.settings.zone)
    named = run.request.values.get("incident", "")
    alone = bool(named) and plan.rule.alone_in_p1 and incident.is_open(store_of(run), named, now)
    return opening, approval.terms_of(plan.rule, person(), opening, named if alone else "")


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


def _planned(run: Run, plan: Plan, terms: approval.Terms, early: bool) -> Outcome:
    """Put the plan into the store, for those who must approve it, and into the run's folder.

    Nobody is asked to sign what the gates would stop. `early`: the preferred time has not begun.
    """
    file = {"schema": 1, "id": plan.whole_id, "record": run.folder.name, "content": plan.content}
    file["terms"] = terms.model_dump()
    content = canonical(file)
    # Two people may plan the same: who approves must see the newest, with the terms of whoever asked last.
    name = f"plans/{plan.id}/{datetime.now(UTC):%Y%m%dt%H%M%S%f}-{sha256(content).hexdigest()[:8]}.json"
    store_of(run).create(name, content)
    record.publish(run.folder / "plan.json", json.dumps(file, indent=1, ensure_ascii=False).encode() + b"\n")
    said = f"nothing was written. This is plan {plan.id}"
    if bad := [f for f in plan.gates if f.verdict > Verdict.warn]:
        hint = bad[0].next or "mend what the gates say."
        return Outcome(plan, "planned", said=f"{said}; {len(bad)} gates stop it", next=(hint, "then plan again."))
    steps = [f'runbook approve {plan.id} --role {role} --reason "…"' for role in terms.signers]
    if early and steps:
        begins = run.moment.local(approval.clock(terms.not_before))
        steps.append(
            f'what is signed holds from {begins:%a %H:%M} on; to apply it now, add --override "why it cannot wait"'
        )
    if terms.incident:
        alone = f'runbook approve {plan.id} --role on-call --as {terms.requester} --reason "…"'
        steps.append(f"or, while {terms.incident} is an open P1, {terms.requester} alone, where on call: {alone}")
    return Outcome(plan, "planned", said=said, next=(*steps, f"runbook apply {plan.id}"))


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


def newest_plan(store: Store, plan: str) -> bytes | None:
    """The newest file of a plan, by the 12 characters that people type. Raises Refused when it is damaged."""
    names = store.list(f"plans/{plan[:12]}")
    raw = store.read(names[-1]) if names else None
    try:
        whole = raw is None or {"id", "content", "terms"} <= set(json.loads(raw))
    except (ValueError, TypeError):
        whole = False
    if not whole:
        said = "it is not what was written when the plan was made"
        raise Refused(
            f"the plan file {store.folder / names[-1]} is damaged", said, next="move it away, and plan again."
        )
    return raw


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
    moved = [*_moved("", _read(before), _read(now))] or [*_moved("", before, now)]
    where = f"{plan.operation} ({plan.place.get('environment')})"
    return Refused(
        f"{where} was approved as {wanted[:12]}; the plan is now {plan.id}",
        "\n".join(f"changed: {line}" for line in moved),
        next=f"look at “What will change?” again; approve {plan.id}, or stop.",
    )


def _read(content: Row) -> Row:
    """What people read of a plan; its details say the same again, for the actions."""
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
