"""Which approvals let a plan be applied now, and their use: each counts for one plan, once, for a time.

    plan file   {"schema": 1, "id": SHA-256 of content, "record": folder, "content": {…}, "terms": {…}}
    approval    {"statement": "<canonical JSON, see Statement>", "signature": "<armored SSH signature>"}

The terms in a plan file are shown, never believed: whoever approves or applies derives them again from the settings.
Approvals stop mistakes, stale plans and replays. Against somebody who may deploy and means harm only IAM helps.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any

from runbook.approvals.keygen import Identity
from runbook.approvals.signers import Signers
from runbook.approvals.statement import Approval, Statement, same_person_key, statement_of
from runbook.approvals.terms import current_terms
from runbook.model.canonical import canonical, plan_id
from runbook.model.errors import Refused, require
from runbook.model.operations import Rule
from runbook.records.plans import PlanFile, Terms, clock, parse
from runbook.records.store import Store, Taken

ON_CALL = "on-call"
Json = Mapping[str, Any]


def require_signature(file: PlanFile, rule: Rule, signers: Signers, store: Store, now: datetime) -> None:
    """Raise Refused unless somebody who may sign this plan has signed it; whether that is enough, `check` says.

    Its parameters decide what runs (a folder of code, say): before a signature they are anybody's who can write here.
    """
    why = [f"nobody has approved it as {role}" for role in rule.signers]
    for raw in approvals_of(store, file.id):
        try:
            _accept(raw, file.content, current_terms(file, rule), signers, now)
        except Refused as refusal:
            why.append(refusal.what)
        else:
            return
    raise Refused(
        f"{file.content['operation']} ({file.content['environment']}) is not approved: {file.id[:12]}",
        "\n".join(why),
        next=f"runbook approve {file.id[:12]}, by: {', '.join(rule.signers)}.",
    )


def approvals_of(store: Store, plan: str) -> list[bytes]:
    """The approvals that the store has for a plan, unchecked; those that were never used come first."""
    names = store.list(f"approvals/{plan}")
    used = {name for name in names if store.read(f"nonces/{Path(name).stem}") is not None}
    return [store.read(name) or b"" for name in sorted(names, key=lambda name: (name in used, name))]


def statements_of(store: Store, plan: str) -> Iterator[Statement]:
    """What the store's approvals of a plan say, unchecked."""
    for raw in approvals_of(store, plan):
        with suppress(Refused):
            yield statement_of(parse(raw, "approval", 2**14, Approval).statement.encode())


def check(
    content: Json,
    terms: Terms,
    approvals: Iterable[bytes],
    signers: Signers | None,
    now: datetime,
    *,
    opening: datetime,
) -> tuple[Statement, ...]:
    """The statements that let this plan be applied now: one for each role, of different people and keys.

    `content`, `terms` and `opening` are derived at this moment, from cloud and settings. An operation of low risk needs
    no one, and `signers` may be None. An approval that does not hold is as good as none. Raises Refused with the
    reason of each.
    """
    if not terms.signers and terms.risk == "low":
        return ()
    accepted: dict[str, tuple[Statement, Identity]] = {}
    why, early = [], []
    for raw in approvals if signers else ():
        try:
            statement, identity = _accept(raw, content, terms, signers, now)
            if now < clock(statement.not_before):
                early.append(statement)
            require(*_timely(statement, now, opening))
            require((statement.nonce not in accepted, "another approval has the same nonce"))
            accepted[statement.nonce] = (statement, identity)
        except Refused as refusal:
            why.append(refusal.what)
    by_role = {role: [one for one in accepted.values() if one[0].role == role] for role in terms.signers}
    for quorum in product(*(by_role[role] for role in terms.signers)) if by_role else ():
        people, keys = {same_person_key(s.approver) for s, _ in quorum}, {identity for _, identity in quorum}
        if len(people) == len(keys) == len(quorum):
            return tuple(s for s, _ in quorum)
    if glass := [s for s, _ in accepted.values() if s.break_glass]:
        return (glass[0],)
    raise _not_approved(content, terms, by_role, early, why)


def _not_approved(
    content: Json, terms: Terms, by_role: Mapping[str, list], early: list[Statement], why: list[str]
) -> Refused:
    """The refusal: who has not signed, or from when on what was signed holds."""
    missing = [r for r, found in by_role.items() if not found and r not in {s.role for s in early}]
    why += [f"nobody has approved it as {role}" for role in missing]
    why += ["one person, or one key, cannot sign for two roles"] if by_role and all(by_role.values()) else []
    plan = plan_id(content)[:12]
    hint = f"runbook approve {plan}, by: {', '.join(missing or terms.signers) or 'nobody yet, see params'}."
    only_early = bool(early) and not missing
    if only_early:
        hint = f"wait until {max(s.not_before for s in early)}; or sign again with --override “why it cannot wait”."
    return Refused(
        f"{content['operation']} ({content['environment']}) is not approved{' yet' * only_early}: {plan}",
        "\n".join(why) or f"nobody is named who approves an operation of {terms.risk} risk",
        next=hint,
    )


def consume(store: Store, statements: Iterable[Statement], plan: str, by: str, now: datetime) -> None:
    """Use approvals up, before the first write: no other run, whose name is not `by`, can use them from now on.

    `by` names the run by its journal's folder; the same run may go on after a crash until they expire. Raises Refused.
    """
    for one in (statements := tuple(statements)):
        require(
            (one.plan == plan, "this approval is for another plan"),
            (one.target != "google" or store.shared, "approvals for Google are used up in the shared record store"),
            (one.store == store.name, "this approval was given for another record store"),
            (now < clock(one.expires_at), f"the approval of {one.approver} expired at {one.expires_at}"),
        )
    for one in statements:
        mine = canonical({"plan": plan, "by": by})
        try:
            store.create(f"nonces/{one.nonce}", mine)
        except Taken:
            same = store.read(f"nonces/{one.nonce}") == mine
            require((same, f"the approval of {one.approver} was used already, by another run"))


def _accept(raw: bytes, content: Json, terms: Terms, signers: Signers, now: datetime) -> tuple[Statement, Identity]:
    """One approval and the key that gave it; raises Refused unless every rule holds, first of all the signature.

    Whether it holds at this moment is another matter, see `_timely`.
    """
    approval = parse(raw, "approval", 2**14, Approval)
    text = approval.statement.encode()
    statement = statement_of(text)
    identity = signers.verify(statement.approver, text, approval.signature, now)
    require(*rules(statement, content, terms, signers))
    return statement, identity


def _timely(statement: Statement, now: datetime, opening: datetime) -> list[tuple[Any, str]]:
    who = f"the approval of {statement.approver}"
    return [
        (now >= clock(statement.not_before), f"{who} holds from {statement.not_before} on"),
        (now < clock(statement.expires_at), f"{who} expired at {statement.expires_at}"),
        (opening <= now or statement.override, f"{who} has no override: the preferred window opens at {opening}"),
    ]


def rules(s: Statement, content: Json, terms: Terms, signers: Signers) -> list[tuple[Any, str]]:
    """What must hold for a statement at any time, each with the reason for which it is refused otherwise."""
    who, hours = s.approver, timedelta(hours=terms.valid_hours)
    alone = same_person_key(who) == same_person_key(terms.requester)
    same = [(getattr(s, n) == content[n], n) for n in ("operation", "environment", "project", "target")]
    return [
        *((holds, f"{who} approved it for another {name}") for holds, name in same),
        (s.plan == plan_id(content), f"{who} approved plan {s.plan[:12]}; the plan is now {plan_id(content)[:12]}"),
        (s.target == signers.target, f"these are not the signers for the target {s.target}"),
        (s.environment == signers.environment, f"these are not the signers for {s.environment}"),
        (s.risk == terms.risk, f"{who} approved it as of {s.risk} risk; it is {terms.risk}"),
        (s.requester and s.requester == terms.requester, f"{who} approved it for {s.requester or 'nobody'} to apply"),
        (clock(s.expires_at) - clock(s.not_before) == hours, f"an approval holds {terms.valid_hours:g} hours"),
        (s.reason, "an approval must give a reason"),
        (alone or s.role in terms.signers, f"{s.role} is not asked to approve this; {' and '.join(terms.signers)} is"),
        (
            who in signers.roles,
            f"{who!r} is none of those who may sign for {s.environment}: {', '.join(signers.roles)}",
        ),
        (s.role in signers.roles.get(who, ()), f"{who} is not {s.role}"),
        (not alone or terms.alone_in_p1, f"{who} requested it: nobody approves their own request"),
        (not alone or terms.incident, f"{who} requested it, and no P1 incident is open that would allow that"),
        (not alone or s.role == ON_CALL, f"{who} requested it: during a P1 only {ON_CALL} approves alone"),
        (not alone or s.reason.startswith(f"{terms.incident}: "), f"{who} approved it for another incident"),
        (s.break_glass == alone, f"the statement must say whether {who} approves their own request"),
    ]
