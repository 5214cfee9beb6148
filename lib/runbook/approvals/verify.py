"""The terms for applying a plan, from the settings; which approvals allow it now, and their use: each is for one plan,
once, until it expires.

    plan file   {"schema": 1, "id": SHA-256 of content, "record": folder, "content": {…}, "terms": {…}}
    approval    {"statement": "<canonical JSON, see Statement>", "signature": "<armored SSH signature>"}

The terms in a plan file are for display only: approving and applying derive them again from the settings. Approvals
stop mistakes, stale plans and replays. They do not stop an attacker who may deploy: IAM does.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta
from itertools import product
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from runbook.approvals.signers import Signers
from runbook.approvals.ssh import Identity
from runbook.approvals.statement import Approval, Statement, same_person_key, statement_of
from runbook.config.schema import Window
from runbook.data_file import text_of
from runbook.model import ForeignFile, Refused, Taken, canonical, command, plan_id, require
from runbook.model.operations import Rule
from runbook.records import Store, json_of, mapping
from runbook.records.plans import PlanFile, Terms, clock, naming, parse, utc_text

ON_CALL = "on-call"
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
Json = Mapping[str, Any]
Roles = tuple[list[str], list[str]]
Raws = list[bytes]
Verified = tuple[Statement, Identity]  # a statement whose signature is verified, and the key that made it


def signed_roles(file: PlanFile, rule: Rule, signers: Signers, store: Store, now: datetime) -> Roles:
    """The roles in which permitted signers have signed this plan, and why other approvals do not count.

    `check` decides whether that is enough, and at this time.
    """
    roles, why = list[str](), list[str]()
    for raw in approvals_of(store, file.id):
        with naming(why):
            roles.append(statement_in(raw, file.content, current_terms(file, rule), signers, now)[0].role)
    return roles, why


def approvals_of(store: Store, plan: str) -> list[bytes]:
    """The approvals of a plan in the store, unchecked; unused ones come first."""
    names = store.list(f"approvals/{plan}")
    used = {name for name in names if is_used(store, Path(name).stem)}
    return [store.content(name) for name in sorted(names, key=lambda name: (name in used, name))]


def is_used(store: Store, nonce: str) -> bool:
    """Whether a note says that the approval with this nonce was used; any file in its place counts as one."""
    with suppress(ForeignFile):
        return store.read(f"nonces/{nonce}") is not None
    return True


def statements_of(store: Store, plan: str) -> Iterator[Statement]:
    """The statements in a plan's approvals, unchecked."""
    for raw in approvals_of(store, plan):
        with suppress(Refused):
            yield statement_of(parse(raw, "approval", 2**14, Approval).statement.encode())


def check(
    content: Json, terms: Terms, raws: Raws, signers: Signers | None, now: datetime, opening: datetime, store: str
) -> tuple[Statement, ...]:
    """The statements that allow applying this plan now: one for each role, from different people and keys.

    `raws` are approvals as they lie in a store with the name `store`. `content`, `terms` and `opening` must be current,
    from the cloud and the settings. A low-risk operation without signers needs no approval, and `signers` may be None.
    Invalid approvals are ignored. Raises Refused with the reason for each.
    """
    if not terms.signers and terms.risk == "low":
        return ()
    accepted: dict[str, Verified] = {}
    why, early = [], []
    for raw in raws if signers else ():
        with naming(why):
            statement, identity = statement_in(raw, content, terms, signers, now)
            early += [statement] if now < clock(statement.not_before) else []
            who = f"the approval of {statement.approver}"
            late = f"{who} has no override: the preferred window opens at {opening}"
            require(
                (statement.store == store, "this approval was given for another record store"),
                (now >= clock(statement.not_before), f"{who} takes effect at {statement.not_before}"),
                (now < clock(statement.expires_at), f"{who} expired at {statement.expires_at}"),
                (opening <= now or statement.override, late),
                (statement.nonce not in accepted, "another approval has the same nonce"),
            )
            accepted[statement.nonce] = (statement, identity)
    by_role = {role: [one for one in accepted.values() if one[0].role == role] for role in terms.signers}
    for quorum in product(*(by_role[role] for role in terms.signers)) if by_role else ():
        people, keys = {same_person_key(s.approver) for s, _ in quorum}, {identity for _, identity in quorum}
        if len(people) == len(keys) == len(quorum):
            return tuple(s for s, _ in quorum)
    if glass := [s for s, _ in accepted.values() if s.break_glass]:
        return (glass[0],)
    if signers and not (accepted or early) and (others := _for_others(content, terms, raws, signers, now)):
        raise not_for_you(content, terms.requester, others, why)
    raise not_approved(content, terms, by_role, early, why)


def _for_others(content: Json, terms: Terms, raws: Raws, signers: Signers, now: datetime) -> list[str]:
    """For whom else these approvals are valid: each names the person who applies the plan."""
    found = list[str]()
    for raw in raws:
        with naming([]):
            by = statement_of(parse(raw, "approval", 2**14, Approval).statement.encode()).requester
            statement_in(raw, content, terms.model_copy(update={"requester": by}), signers, now)
            found.append(by)
    return sorted({*found} - {terms.requester})


def not_for_you(content: Json, me: str, others: list[str], why: Iterable[str] = ()) -> Refused:
    """The refusal for somebody who did not make the plan: signing it again would not help."""
    again = command(content["runbook"], content["parameters"])
    about = {"plan": plan_id(content)[:12], "who": " or ".join(others), "me": me, "again": again}
    about["why"] = "".join(f"\n{line}" for line in why)
    return Refused(**text_of(__file__, "not_for_you", **about))


def not_approved(
    content: Json, terms: Terms, by_role: Mapping[str, list], early: list[Statement], why: list[str]
) -> Refused:
    """The refusal: the roles that have not signed, or when the approvals take effect."""
    missing = [r for r, found in by_role.items() if not found and r not in {s.role for s in early}]
    why += [f"not yet approved as {role}" for role in missing]
    why += ["one person, or one key, cannot sign for two roles"] if by_role and all(by_role.values()) else []
    plan = plan_id(content)[:12]
    roles = missing or terms.signers
    signs = [f'somebody who is {role} signs it: runbook approve {plan} --role {role} --reason "…"' for role in roles]
    hint = "\n".join(signs) or "name an approver in params."
    if only_early := bool(early) and not missing:
        hint = f"wait until {max(s.not_before for s in early)}, or sign again with --override “why it cannot wait”."
    what = f"{content['operation']} ({content['environment']}) is not approved{' yet' * only_early}: {plan}"
    return Refused(what, "\n".join(why) or f"params name no approver for an operation of {terms.risk} risk", next=hint)


def consume(store: Store, statements: Iterable[Statement], plan: str, by: str, now: datetime) -> None:
    """Mark approvals as used, before the first write: afterwards, only the attempt `by` can use them.

    `by` is the place of the attempt in the store. After a crash, the same attempt may resume until they expire. Raises
    Refused.
    """
    for one in (statements := tuple(statements)):
        require(
            (one.plan == plan, "this approval is for another plan"),
            (one.target != "google" or store.shared, "approvals for Google need a shared record store"),
            (one.store == store.name, "this approval was given for another record store"),
            (now < clock(one.expires_at), f"the approval of {one.approver} expired at {one.expires_at}"),
        )
    mine = canonical({"plan": plan, "by": by})
    for one in statements:
        try:
            store.create(f"nonces/{one.nonce}", mine)
        except Taken:
            same = store.read(f"nonces/{one.nonce}") == mine
            require((same, f"the approval of {one.approver} was already used by another run"))


def used_by(store: Store, statements: Iterable[Statement]) -> set[str]:
    """The attempts that have used these approvals; "?" for a note that cannot be read."""
    raw = [store.read(f"nonces/{one.nonce}") for one in statements]
    notes = [json_of(content) for content in raw if content is not None]
    return {str(mapping(note).get("by", "?")) for note in notes}


def statement_in(raw: bytes, content: Json, terms: Terms, signers: Signers, now: datetime) -> Verified:
    """The statement of one approval, and the identity of its key. Raises Refused unless its signature and all rules
    are valid.

    `check` decides whether it is valid at this time.
    """
    approval = parse(raw, "approval", 2**14, Approval)
    text = approval.statement.encode()
    statement = statement_of(text)
    identity = signers.verify(statement.approver, text, approval.signature, now)
    require(*rules(statement, content, terms, signers))
    return statement, identity


def rules(s: Statement, content: Json, terms: Terms, signers: Signers) -> list[tuple[Any, str]]:
    """The rules for a statement at any time, each with the reason for a refusal."""
    who, hours = s.approver, timedelta(hours=terms.valid_hours)
    alone = same_person_key(who) == same_person_key(terms.requester)
    is_on_call = ON_CALL in signers.roles.get(who, ())
    own = "can approve it only during an open P1 incident" if is_on_call else "cannot approve their own request"
    same = [(getattr(s, n) == content[n], n) for n in ("operation", "environment", "project", "target")]
    return [
        *((met, f"{who} approved it for another {name}") for met, name in same),
        (s.plan == plan_id(content), f"{who} approved plan {s.plan[:12]}; the plan is now {plan_id(content)[:12]}"),
        (s.target == signers.target, f"these are not the signers for the target {s.target}"),
        (s.environment == signers.environment, f"these are not the signers for {s.environment}"),
        (s.risk == terms.risk, f"{who} approved it as {s.risk} risk; it is {terms.risk} risk"),
        (s.requester and s.requester == terms.requester, f"{who} approved it for {s.requester or 'no one'} to apply"),
        (clock(s.expires_at) - clock(s.not_before) == hours, f"an approval is valid for {terms.valid_hours:g} hours"),
        (s.reason, "an approval must give a reason"),
        (alone or s.role in terms.signers, f"{s.role} cannot approve this; required: {' and '.join(terms.signers)}"),
        (who in signers.roles, f"{who!r} is not an approver of {s.environment}: {', '.join(signers.roles)}"),
        (s.role in signers.roles.get(who, ()), f"{who} does not have the role {s.role}"),
        (not alone or terms.alone_in_p1, f"{who} requested it, and cannot approve their own request"),
        (not alone or terms.incident, f"{who} requested it, and {own}"),
        (not alone or s.role == ON_CALL, f"{who} requested it, and can approve it alone only as {ON_CALL}"),
        (s.incident == (terms.incident if alone else ""), f"{who} approved it for another incident"),
        (s.break_glass == alone, f"break_glass must say whether {who} approves their own request"),
    ]


def terms_of(rule: Rule, requester: str, opening: datetime, incident: str = "") -> Terms:
    """The terms of a plan whose operation has this rule. `opening` is from `opens`."""
    fixed = {name: getattr(rule, name) for name in ("risk", "signers", "window", "valid_hours", "alone_in_p1")}
    return Terms(**fixed, not_before=utc_text(opening), requester=requester, incident=incident)


def opens(window: Window | None, now: datetime, zone: ZoneInfo) -> datetime:
    """`now` inside a preferred window or without a window; else the next opening. All times in UTC.

    A window whose end is before its start ends on the next day. Raises Refused for a window that never opens.
    """
    if window is None:
        return now
    for offset in range(-1, 15):  # two weeks, because a daylight saving change can remove an opening
        day = now.astimezone(zone).date() + timedelta(days=offset)
        start = _at(day, window.start, zone)
        end = _at(day + timedelta(days=window.end <= window.start), window.end, zone)
        if _DAYS[day.weekday()] in window.days and start < end and now < end:
            return max(start, now)
    raise Refused("the preferred window of this operation never opens", next="fix `windows` in its params file.")


def _at(day: date, text: str, zone: ZoneInfo) -> datetime:
    hour, minute = map(int, text.split(":"))  # 24:00 is the next day's midnight
    return (datetime.combine(day, time(), zone) + timedelta(hours=hour, minutes=minute)).astimezone(UTC)


def current_terms(file: PlanFile, rule: Rule) -> Terms:
    """The terms of a plan file, from the current settings."""
    return terms_of(rule, file.terms.requester, clock(file.terms.not_before), file.terms.incident)
