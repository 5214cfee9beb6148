"""Applies an approved plan: checks id, gates, lock and approvals; the executor writes.

    plan → same id? → gates? → approvals? → lock → mark them as used → changes, in order → CLOSE

After an interruption, apply the same plan again; after a crash, with `--takeover`. It reads the same journal, verifies
the changes that are done, and applies the rest under the same approvals until they expire.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from typing import Any, NamedTuple

from runbook.apply.ask import ask, notify_stale
from runbook.apply.attempts import already_applied, begun, require_free, unfinished_attempts, was_abandoned
from runbook.apply.executor import Executor
from runbook.apply.new_version import to_add
from runbook.apply.secret_value import SecretValue
from runbook.apply.stale import stale, unfinished
from runbook.approvals.signed import is_open
from runbook.approvals.signers import signers_of
from runbook.approvals.statement import Statement
from runbook.approvals.verify import ON_CALL, approvals_of, check, consume, opens, terms_of, used_by
from runbook.config import Scan
from runbook.context import KERNEL, Context
from runbook.data_file import text_of
from runbook.display import one_line
from runbook.display.text import DAY
from runbook.model import BadSettings, Finding, Refused, Verdict, canonical
from runbook.model.actions import RunOnce
from runbook.model.outcome import Outcome
from runbook.model.plan import Plan
from runbook.records import Store, json_of, mapping, person, require_committed, store_of, write_json
from runbook.records.plans import Terms, clock, newest_plan, plan_of, utc_text


def apply(run: Context, plan: Plan, secret_value: SecretValue) -> Outcome:
    """Plan, refuse or apply; see the module. Raises NoRecord if the journal is not writable, and any bug."""
    try:
        plan = _wanted(run, plan)
        if not plan.changes:
            return Outcome(plan, "nothing to do", said=plan.no_changes)
        if KERNEL.told.compare:
            return Outcome(plan, "planned", said=f"the plan is still {plan.id}")
        asked = _asked(run, plan)
        if not asked.go:
            return _planned(run, plan, asked)
        store = store_of(run.settings)
        if KERNEL.told.abandon:
            with begun(run, store, plan, KERNEL.told.abandon) as attempt:
                return Executor(run, plan, secret_value, attempt).look(asked.now)
        if not (KERNEL.told.takeover or plan.only_adds):
            require_free(store)  # first: what another run has under way is a reason for gates to fail, too
        _require_safe(run, plan, asked, secret_value)
        approvals = _require_approved(run, plan, asked)
        still = partial(_require_unused, store, plan, approvals)
        with begun(run, store, plan, KERNEL.told.takeover, still) as attempt:
            return _execute(Executor(run, plan, secret_value, attempt), asked, approvals)
    except Refused as refusal:
        said = "\n".join(t for t in (refusal.what, refusal.observed) if t)
        return Outcome(plan, "refused", said=said, next=tuple(refusal.next.splitlines()))


class _Asked(NamedTuple):
    """How this run must handle a plan: `go` is whether to apply it.

    `now` is the cloud's time if `clock_trusted`, else this machine's. `opening` is the start of the preferred time.
    """

    go: bool
    now: datetime
    clock_trusted: bool
    opening: datetime
    terms: Terms


def _wanted(run: Context, plan: Plan) -> Plan:
    """The current plan, or the approved plan if an earlier attempt to apply it is unfinished.

    Raises Refused if there is no plan, or if the approved plan is a different one or was already applied.
    """
    wanted, store = KERNEL.told.compare or run.request.values.get("approved_plan", ""), store_of(run.settings)
    if wanted not in ("", plan.id, plan.whole_id):
        plan = unfinished(store, wanted, plan, run) or plan
    moved = wanted not in ("", plan.id, plan.whole_id)
    if moved and (done := already_applied(store, wanted)):
        raise done
    if plan.refusal:
        raise plan.refusal
    if moved:
        why = stale(store, wanted, plan)
        if KERNEL.told.notify:
            why.observed = "\n".join((why.observed, *(f"notified: {line}" for line in notify_stale(run, wanted, why))))
        raise why
    return plan


def _asked(run: Context, plan: Plan) -> _Asked:
    """Whether to apply, and under which terms. An incident counts only while it is an open P1."""
    given, rule = run.request.values, plan.rule
    now, clock_trusted = run.cloud.now()
    opening = opens(run.settings.windows.get(rule.window), now, run.settings.zone)
    named = given.get("incident", "")
    repeats = {run.settings.named(c.args.function).repeat for c in plan.changes if isinstance(c.args, RunOnce)}
    alone = bool(named) and rule.alone_in_p1 and repeats <= {"safe"} and _is_open(run, named, now)
    terms = terms_of(rule, person(), opening, named if alone else "")
    unsigned = not rule.signers and bool(given.get("apply") or given.get("notify"))
    go = bool(given.get("approved_plan")) or unsigned
    return _Asked(go, now, clock_trusted and run.clock_trusted, opening, terms)


def _is_open(run: Context, incident: str, now: datetime) -> bool:
    with suppress(Refused, BadSettings):  # nobody may sign here: planning goes on, applying says so
        return is_open(store_of(run.settings), signers_of(run.settings, run.cloud.target), incident, now)
    return False


def _require_safe(run: Context, plan: Plan, asked: _Asked, secret_value: SecretValue) -> None:
    """Raise Refused if the cloud's clock is unknown, a gate has failed, or a secret's value is missing.

    On Google, also if the code or the params here are not a commit. A message needs none of this.
    """
    if run.cloud.target == "google" and not plan.only_notifies:
        require_committed()
    if not asked.clock_trusted and not plan.only_notifies:
        raise Refused(**text_of(__file__, "no_clock"))
    if bad := [f for f in plan.gates if f.verdict > Verdict.warn]:
        lines = "\n".join(f"{f.check}, {f.subject}: {f.value} ({f.verdict.name})" for f in bad)
        hint = bad[0].next or "fix what the gates report, then plan again."
        raise Refused("it is not safe to start", lines, next=hint)
    if any(to_add(run.cloud, plan.changes)):
        secret_value.secret()  # refuses before an approval is marked as used


def _require_approved(run: Context, plan: Plan, asked: _Asked) -> tuple[Statement, ...]:
    """The approvals that allow applying this plan now; empty if no approval is required. Raises Refused."""
    store = store_of(run.settings)
    people = signers_of(run.settings, run.cloud.target) if plan.rule.signers else None
    found = approvals_of(store, plan.whole_id)
    statements = check(plan.content, asked.terms, found, people, asked.now, opening=asked.opening, store=store.name)
    _require_unused(store, plan, statements)
    return statements


def _require_unused(store: Store, plan: Plan, approvals: Sequence[Statement]) -> None:
    """Raise Refused if another attempt than the unfinished one of this plan has used these approvals."""
    if used := used_by(store, approvals) - set(unfinished_attempts(store, plan.id)):
        ended = already_applied(store, plan.id) or was_abandoned(store, plan)
        raise ended or Refused(**text_of(__file__, "used", attempt=min(used)))


def _execute(executor: Executor, asked: _Asked, approvals: Sequence[Statement]) -> Outcome:
    """Mark the approvals as used by this attempt, before its first change; then let the executor write.

    Records which approvals were used, and copies them, with what was signed, into the run's folder.
    """
    run, plan, attempt = executor.run, executor.plan, executor.journal
    try:
        consume(attempt.store, approvals, plan.whole_id, attempt.place, asked.now)
    except Refused as refusal:
        attempt.write("CLOSE", result="refused", said=refusal.what)
        raise
    shown = ("approver", "role", "reason", "incident", "override", "review_by")
    copies = [one for one in map(json_of, approvals_of(attempt.store, plan.whole_id)) if _is_one_of(one, approvals)]
    about = {"content": plan.content, "terms": asked.terms.model_dump(), "store": attempt.store.name}
    write_json(run.folder / "approvals.json", {"at": utc_text(asked.now), **about, "approvals": copies})
    by = tuple({name: getattr(s, name) for name in shown} for s in approvals)
    planned_in = stored.file.record if (stored := newest_plan(attempt.store, plan.id, person())) else ""
    about = {"person": person(), "principal": run.cloud.identity}
    run.journal.write("APPLY", **about, plan=plan.whole_id, planned_in=planned_in, journal=attempt.place, approvals=by)
    done = executor.all(asked.now, signed=[s.role for s in approvals if not s.break_glass])
    return replace(done, by=by, planned_in=planned_in)


def _is_one_of(copy: Any, approvals: Sequence[Statement]) -> bool:
    texts = [canonical(one.model_dump(by_alias=True)).decode() for one in approvals]
    return mapping(copy).get("statement") in texts


def _planned(run: Context, plan: Plan, asked: _Asked) -> Outcome:
    """Write the plan into the store, for its approvers, and into the run's folder.

    Blocked plans are not sent for approval.
    """
    _put(run, plan, asked)
    said = f"nothing was changed. The plan is {plan.id}"
    if bad := [f for f in plan.gates if f.verdict > Verdict.warn]:
        said += f"; {len(bad)} {'gate blocks' if len(bad) == 1 else 'gates block'} it"
        hint = bad[0].next or "fix what the gates report."
        return Outcome(plan, "planned", said=said, next=(hint, "then plan again."))
    terms = asked.terms
    steps = [f'runbook approve {plan.id} --role {role} --reason "…"' for role in terms.signers]
    if asked.opening > asked.now and steps:
        begins = run.moment.local(clock(terms.not_before))
        override = 'to apply sooner, add --override "why it cannot wait" to approve'
        steps.append(f"the approval takes effect {begins:{DAY}}; {override}")
    if run.request.values.get("ask") or (steps and run.request.values.get("incident")):
        said = f"{said}; {'; '.join(ask(run, plan, terms))}"
    if terms.incident:
        steps.append(_alone(run, plan, terms))
    return Outcome(plan, "planned", said=said, next=(*steps, f"runbook apply {plan.id}"))


def _alone(run: Context, plan: Plan, terms: Terms) -> str:
    """How one person signs alone while an incident is open: who made the plan, if on call."""
    roles, me, head = signers_of(run.settings, run.cloud.target).roles, terms.requester, f"or, while {terms.incident}"
    if ON_CALL in roles.get(me, ()):
        command = f'runbook approve {plan.id} --role {ON_CALL} --as {me} --reason "…"'
        return f"{head} is an open P1, {me} signs alone: {command}"
    on_call = " or ".join(sorted(name for name, its in roles.items() if ON_CALL in its)) or "nobody"
    return f"{head} is an open P1, who is on call ({on_call}) makes this plan, and signs it alone."


def _gate(found: Finding) -> dict[str, str]:
    """A gate for the plan file, in one printable line each."""
    texts = {name: Scan().text(one_line(getattr(found, name)))[:500] for name in ("check", "subject", "value")}
    return texts | {"verdict": found.verdict.name}


def _put(run: Context, plan: Plan, asked: _Asked) -> None:
    """Write the plan file. Raises Refused for a plan that could not be read back, and NoRecord."""
    store = store_of(run.settings)
    file = {"schema": 1, "id": plan.whole_id, "record": run.folder.name, "store": store.name, "content": plan.content}
    file |= {"terms": asked.terms.model_dump(), "gates": [_gate(finding) for finding in plan.gates]}
    content = canonical(file)
    plan_of(content)
    # Two people may make the same plan: the approver must see the newest file, with the latest requester's terms.
    # The cloud's clock comes first: a machine that is days ahead must not have the newest file for days.
    when = f"{asked.now:%Y%m%dt%H%M%S}-{datetime.now(UTC):%Y%m%dt%H%M%S%f}"
    store.create(f"plans/{plan.id}/{when}-{sha256(content).hexdigest()[:8]}.json", content)
    write_json(run.folder / "plan.json", file)
