"""Approvals: one person signs one plan in one role, once, for a time; `apply` checks the signatures and uses them up.

    plan file   {"schema": 1, "id": SHA-256 of content, "record": folder, "content": {…}, "terms": {…}}
    approval    {"statement": "<canonical JSON, see Statement>", "signature": "<armored SSH signature>"}

The terms in a plan file are shown, never believed: whoever approves or applies derives them again from the settings.
Approvals stop mistakes, stale plans and replays. Against somebody who may deploy and means harm only IAM helps.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeVar
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, StringConstraints

from runbook.canonical import canonical, plan_id
from runbook.errors import Refused
from runbook.plan import change_of
from runbook.settings import Operation, Part, Positive, Window
from runbook.signers import Identity, Signers, sign
from runbook.store import Store, Taken

ON_CALL = "on-call"
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_CLOCK = "%Y-%m-%dT%H:%M:%SZ"


def clock(text: str) -> datetime:
    """The time that a statement or a plan file names. Raises ValueError when it is written in any other way."""
    when = datetime.strptime(text, _CLOCK).replace(tzinfo=UTC)
    if when.strftime(_CLOCK) != text or not 2000 <= when.year < 3000:
        raise ValueError(f"{text!r} is no time such as 2027-01-31T18:00:00Z")
    return when


def _text(when: datetime) -> str:
    return when.astimezone(UTC).strftime(_CLOCK)


def _when(text: str) -> str:
    clock(text)
    return text


def _line(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must be one line of plain text")  # what is signed looks as it is, in a terminal too
    return text


When = Annotated[str, AfterValidator(_when)]
Id = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Nonce = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
Line = Annotated[str, StringConstraints(max_length=500), AfterValidator(_line)]
Json = Mapping[str, Any]
P = TypeVar("P", bound=Part)


class Terms(Part):
    """What it takes to apply a plan. `not_before` is when it could first be applied, as seen when it was made.

    `requester` is who applies it; `incident` the P1 incident that is open, or "".
    """

    risk: Literal["low", "medium", "high", "critical"]
    signers: list[str]
    window: str
    not_before: When
    valid_hours: Positive
    requester: str
    incident: str
    alone_in_p1: bool


class Content(Part):
    """What the id of a plan is made of; see `plan.Plan.content`."""

    operation: str
    runbook: str
    parameters: dict[str, str | int | float | bool]
    environment: str
    project: str
    target: Literal["google", "sandbox"]
    commit: str
    reason: str
    changes: list[dict[str, Any]]
    relies_on: dict[str, Any]


class PlanFile(Part):
    """A plan as it travels. `content` is as `Content` says; `record` is the folder of the run that made it."""

    version: Literal[1] = Field(alias="schema")
    id: Id
    record: Line = ""
    content: dict[str, Any]
    terms: Terms


class Statement(Part):
    """What an approver signs: this plan, here, in this role, from and until when, to be used once and in one store."""

    version: Literal[1] = Field(alias="schema")
    plan: Id
    operation: str
    environment: str
    project: str
    target: Literal["google", "sandbox"]
    risk: str
    requester: str
    approver: str
    role: str
    not_before: When
    expires_at: When
    nonce: Nonce
    store: str
    reason: Line
    override: Line
    break_glass: bool

    @property
    def review_by(self) -> datetime | None:
        """Until when somebody else must have reviewed a break-glass approval; None for any other."""
        return clock(self.not_before) + timedelta(hours=24) if self.break_glass else None


class Approval(Part):
    """The approval file."""

    statement: str
    signature: str


def terms_of(rule: Operation, requester: str, opening: datetime, incident: str = "") -> Terms:
    """The terms of a plan whose operation has this rule in the settings. `opening`: see `opens`."""
    fixed = {name: getattr(rule, name) for name in ("risk", "signers", "window", "valid_hours", "alone_in_p1")}
    return Terms(**fixed, not_before=_text(opening), requester=requester, incident=incident)


def opens(window: Window | None, now: datetime, zone: ZoneInfo) -> datetime:
    """`now` inside a preferred window, or where there is none; else when the window opens next. All in UTC.

    A window that ends before it starts ends on the next day. Raises Refused for one that never opens.
    """
    if window is None:
        return now
    for offset in range(-1, 15):  # two weeks, because a change of the clocks can swallow an opening
        day = now.astimezone(zone).date() + timedelta(days=offset)
        start = _at(day, window.start, zone)
        end = _at(day + timedelta(days=window.end <= window.start), window.end, zone)
        if _DAYS[day.weekday()] in window.days and start < end and now < end:
            return max(start, now)
    raise Refused("the preferred window of this operation never opens", next="mend `windows` in its params file.")


def _at(day: date, text: str, zone: ZoneInfo) -> datetime:
    hour, minute = map(int, text.split(":"))  # 24:00 is the next day's midnight
    return (datetime.combine(day, time(), zone) + timedelta(hours=hour, minutes=minute)).astimezone(UTC)


def approve(
    plan_file: bytes,
    person: str,
    role: str,
    reason: str,
    key: Path,
    *,
    rule: Operation,
    signers: Signers,
    store: Store,
    now: datetime,
    opening: datetime,
    override: str = "",
) -> Statement:
    """Sign a plan as `person` in `role`, and put the approval into the store as approvals/<plan>/<nonce>.json.

    It holds from the `opening` of the preferred window; with an `override` reason from now. `rule` and `opening` come
    from the approver's own settings. Raises Refused.
    """
    file, terms = _plan(plan_file, rule, store, now)
    override = override.strip() if opening > now else ""
    values = _values(file, terms, person, role, reason.strip(), now if override else opening)
    text = canonical(values | {"override": override, "store": store.name})
    statement = _statement(text)
    _hold(*_rules(statement, file.content, terms, signers))
    for before in _statements(store, file.id):
        elsewhere = _who(before.approver) == _who(person) and before.role != role and now < clock(before.expires_at)
        _hold((not elsewhere, f"{person} has signed this plan already, as {before.role}"))
    signature = sign(text, key, statement.target)
    signers.verify(person, text, signature, now)
    name = f"approvals/{file.id}/{statement.nonce}.json"
    store.create(name, canonical({"statement": text.decode(), "signature": signature}))
    return statement


def plan_of(raw: bytes) -> PlanFile:
    """A plan file that can be what it says. Raises Refused, so that nothing of it is believed before this.

    Its id is that of its content; every change shows what it would do, and may be in a plan of its runbook; and nothing
    in it is hidden from whoever reads it.
    """
    file = _load(raw, "plan", 2**20, PlanFile)
    _hold((plan_id(file.content) == file.id, "the plan file was edited: its id is not that of its content"))
    content = _load(canonical(file.content), "plan", 2**20, Content)
    _hold((_plain(file.content), "the plan holds characters that are not printable text"))
    for row in content.changes:
        change_of(row, content.runbook, content.operation)
    return file


def _plain(data: Any) -> bool:
    """Whether all text in data is printable, line ends aside."""
    if isinstance(data, dict):
        return all(map(_plain, (*data, *data.values())))
    if isinstance(data, list):
        return all(map(_plain, data))
    return not isinstance(data, str) or data.replace("\n", "").isprintable()


class Stored(NamedTuple):
    """The newest usable file of a plan, and the names of those that are newer and damaged."""

    raw: bytes
    file: PlanFile
    ignored: tuple[str, ...]


def newest_plan(store: Store, plan: str) -> Stored | None:
    """The newest file of a plan by its id, or by as much of that as people type, 12 characters at least.

    None where there is none. Raises Refused where all are damaged.
    """
    if not re.fullmatch("[0-9a-f]{12,64}", plan):
        return None
    ignored: list[str] = []
    for name in reversed(store.list(f"plans/{plan[:12]}")):
        raw = store.read(name) or b""
        try:
            file = plan_of(raw)
        except Refused as refusal:
            ignored.append(f"{store.folder / name}: {refusal.what}")
            continue
        if file.id.startswith(plan):  # what is given beyond 12 characters must be right, too
            return Stored(raw, file, tuple(ignored))
    if ignored:
        raise Refused(f"the plan {plan} is damaged", "\n".join(ignored), next="move it away, and plan again.")
    return None


def _plan(plan_file: bytes, rule: Operation, store: Store, now: datetime) -> tuple[PlanFile, Terms]:
    """A plan file and its terms as the settings have them. Raises Refused unless one agrees with the other."""
    file = plan_of(plan_file)
    terms = _terms(file, rule)
    expires = clock(terms.not_before) + timedelta(hours=terms.valid_hours)
    google = file.content.get("target") == "google"
    _hold(
        (rule.offered, "this operation is not offered: no runbook does it, so no approval can be given"),
        (file.terms == terms, "the terms in the plan file are not those of the settings: it was edited, or they were"),
        (now < expires, f"the plan expired at {_text(expires)}; make a new one"),
        (store.shared or not google, "an approval for Google belongs in the record store that all machines share"),
    )
    return file, terms


def _terms(file: PlanFile, rule: Operation) -> Terms:
    return terms_of(rule, file.terms.requester, clock(file.terms.not_before), file.terms.incident)


def require_signature(file: PlanFile, rule: Operation, signers: Signers, store: Store, now: datetime) -> None:
    """Raise Refused unless somebody who may sign this plan has signed it; whether that is enough, `check` says.

    Its parameters decide what runs (a folder of code, say): before a signature they are anybody's who can write here.
    """
    why = [f"nobody has approved it as {role}" for role in rule.signers]
    for raw in approvals_of(store, file.id):
        try:
            _accept(raw, file.content, _terms(file, rule), signers, now)
        except Refused as refusal:
            why.append(refusal.what)
        else:
            return
    raise Refused(
        f"{file.content['operation']} ({file.content['environment']}) is not approved: {file.id[:12]}",
        "\n".join(why),
        next=f"runbook approve {file.id[:12]}, by: {', '.join(rule.signers)}.",
    )


def _values(file: PlanFile, terms: Terms, person: str, role: str, reason: str, start: datetime) -> dict[str, Any]:
    alone = _who(person) == _who(terms.requester)
    return {
        **{name: file.content.get(name) for name in ("operation", "environment", "project", "target")},
        **{"schema": 1, "plan": file.id, "risk": terms.risk, "requester": terms.requester},
        **{"approver": person, "role": role, "break_glass": alone, "nonce": secrets.token_hex(16)},
        "reason": f"{terms.incident}: {reason}" if alone and reason else reason,
        "not_before": _text(start),
        "expires_at": _text(start + timedelta(hours=terms.valid_hours)),
    }


def approvals_of(store: Store, plan: str) -> list[bytes]:
    """The approvals that the store has for a plan, unchecked; those that were never used come first."""
    names = store.list(f"approvals/{plan}")
    used = {name for name in names if store.read(f"nonces/{Path(name).stem}") is not None}
    return [store.read(name) or b"" for name in sorted(names, key=lambda name: (name in used, name))]


def _statements(store: Store, plan: str) -> Iterator[Statement]:
    """What the store's approvals of a plan say, unchecked."""
    for raw in approvals_of(store, plan):
        with suppress(Refused):
            yield _statement(_load(raw, "approval", 2**14, Approval).statement.encode())


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
            _hold(*_timely(statement, now, opening))
            _hold((statement.nonce not in accepted, "another approval has the same nonce"))
            accepted[statement.nonce] = (statement, identity)
        except Refused as refusal:
            why.append(refusal.what)
    by_role = {role: [one for one in accepted.values() if one[0].role == role] for role in terms.signers}
    for quorum in product(*(by_role[role] for role in terms.signers)) if by_role else ():
        people, keys = {_who(s.approver) for s, _ in quorum}, {identity for _, identity in quorum}
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
        _hold(
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
            _hold((same, f"the approval of {one.approver} was used already, by another run"))


def _accept(raw: bytes, content: Json, terms: Terms, signers: Signers, now: datetime) -> tuple[Statement, Identity]:
    """One approval and the key that gave it; raises Refused unless every rule holds, first of all the signature.

    Whether it holds at this moment is another matter, see `_timely`.
    """
    approval = _load(raw, "approval", 2**14, Approval)
    text = approval.statement.encode()
    statement = _statement(text)
    identity = signers.verify(statement.approver, text, approval.signature, now)
    _hold(*_rules(statement, content, terms, signers))
    return statement, identity


def _timely(statement: Statement, now: datetime, opening: datetime) -> list[tuple[Any, str]]:
    who = f"the approval of {statement.approver}"
    return [
        (now >= clock(statement.not_before), f"{who} holds from {statement.not_before} on"),
        (now < clock(statement.expires_at), f"{who} expired at {statement.expires_at}"),
        (opening <= now or statement.override, f"{who} has no override: the preferred window opens at {opening}"),
    ]


def _rules(s: Statement, content: Json, terms: Terms, signers: Signers) -> list[tuple[Any, str]]:
    """What must hold for a statement at any time, each with the reason for which it is refused otherwise."""
    who, hours = s.approver, timedelta(hours=terms.valid_hours)
    alone = _who(who) == _who(terms.requester)
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


def _hold(*rules: tuple[Any, str]) -> None:
    """Raise Refused with the reason of the first rule that does not hold."""
    for holds, why in rules:
        if not holds:
            raise Refused(why, next='look at the plan again with "runbook approve"; see params/approvers/README.md.')


def _who(person: str) -> str:
    """A user name, whether or not it is written as an e-mail address."""
    return person.casefold().partition("@")[0]


def _statement(text: bytes) -> Statement:
    """A statement from its text, which must be the canonical one. Raises Refused."""
    statement = _load(text, "statement", 2**14, Statement)
    _hold((canonical(statement.model_dump(by_alias=True)) == text, "the statement is not written canonically"))
    return statement


def _load(raw: bytes, what: str, limit: int, kind: type[P]) -> P:
    """JSON of a kind, checked. Raises Refused for anything else, also for a key that stands there twice."""
    try:
        if len(raw) > limit:
            raise ValueError(f"it is larger than {limit} bytes")
        data = json.loads(raw.decode(), object_pairs_hook=_once)
        canonical(data)  # refuses what JSON cannot say: NaN, half a character
        return kind.model_validate(data)
    except (ValueError, TypeError, RecursionError) as error:
        problem = " ".join(str(error).partition(" [type=")[0].split())
        raise Refused(f"this is no usable {what}: {problem}") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(data := dict(pairs)) < len(pairs):
        raise ValueError("a key stands there twice")
    return data
