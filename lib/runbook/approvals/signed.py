"""Signed notes in the record store: a P1 in which one person may act alone, the review of what they did alone, and
findings that are known.

    incidents/<incident>/<nonce>    somebody on call states that it is a P1, or that they cannot tell; for some hours
    reviews/<nonce>                 another person has looked at that note, or at an approval that one person gave alone
    acks/<nonce>                    somebody knows of a finding, which warns at most until a time

As an approval, each is for one target, environment and store, and counts only while its signature is verified.
"""

import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

from runbook.approvals.signers import DEMO, Signers, demo_folder
from runbook.approvals.ssh import sign
from runbook.approvals.statement import Approval, Nonce, Signed, Statement, same_person_key
from runbook.approvals.verify import ON_CALL, is_used
from runbook.config import Settings, checked_incident
from runbook.model import canonical, require
from runbook.records import Store, person, store_of
from runbook.records.plans import Line, When, clock, naming, parse, utc_text

SKEW = timedelta(minutes=5)  # between the clock of whoever opens and Google's
Rules = tuple[tuple[Any, str], ...]


class Note(Signed):
    """A signed note: who made it, and when."""

    person: str
    at: When
    folder: ClassVar[str]
    limit: ClassVar[int] = 2**14  # bytes

    @property
    def place(self) -> str:
        """Where it is in the store."""
        return f"{self.folder}/{self.nonce}"

    def rules(self) -> Rules:
        """Its own rules, each with the reason for a refusal."""
        return ()


class Opening(Note):
    """Until `until`, the on-call engineer may sign alone what params allow for `incident`."""

    folder = "incidents"
    incident: Line
    severity: Literal["P1", "unknown"]
    until: When

    @property
    def place(self) -> str:
        return f"{self.folder}/{checked_incident(self.incident).lower()}/{self.nonce}"

    def rules(self) -> Rules:
        return (self.role == ON_CALL, f"only {ON_CALL} opens an incident"), _lasts(self, timedelta(days=1), "24 hours")


class Review(Note):
    """Somebody else has looked at the opening or the approval whose statement has the digest `of`."""

    folder = "reviews"
    of: Nonce


class Ack(Note):
    """Somebody knows of the finding of `check` on `subject`; until `until` it warns at most."""

    folder = "acks"
    check: Line
    subject: Line
    until: When

    def rules(self) -> Rules:
        return (_lasts(self, timedelta(days=31), "31 days"),)


def _lasts(note: Opening | Ack, most: timedelta, words: str) -> tuple[Any, str]:
    return timedelta() < clock(note.until) - clock(note.at) <= most, f"it may last for at most {words}"


N = TypeVar("N", bound=Note)


def values_of(system: Settings, target: str, who: str, role: str, reason: str, now: datetime) -> dict[str, Any]:
    """The values that every note has."""
    where = {"target": target, "environment": system.environment, "project": system.project}
    by = {"person": who, "role": role, "at": utc_text(now), "reason": reason.strip()}
    return {"schema": 1, **where, **by, "store": store_of(system).name, "nonce": secrets.token_hex(16)}


def put(kind: type[N], values: dict[str, Any], store: Store, signers: Signers, key: Path, now: datetime) -> N:
    """Sign a note and write it into the store. Raises Refused unless its own rules and its signature hold."""
    text = canonical(values)
    note = parse(text, "note", kind.limit, kind)
    signature = sign(text, key, note.target, signers.spaces)
    _require(note, text, signature, store, signers, now)
    store.create(note.place, canonical({"statement": text.decode(), "signature": signature}))
    return note


def is_open(store: Store, signers: Signers, incident: str, now: datetime) -> bool:
    """Whether somebody on call has opened this incident, and it is still open."""
    openings = verified(store, signers, store.list(f"incidents/{checked_incident(incident).lower()}"), Opening, [])
    return any(one.incident == incident and _current(one, now) for one in openings)


def acks(store: Store, signers: Signers, now: datetime, ignored: list[str]) -> list[Ack]:
    """What is acknowledged now, by a key that may sign now; what does not parse or verify goes into `ignored`."""
    return [one for one in verified(store, signers, store.list(Ack.folder), Ack, ignored, now) if _current(one, now)]


def _current(one: Opening | Ack, now: datetime) -> bool:
    return clock(one.at) - SKEW <= now < clock(one.until)


def alone(store: Store, names: Iterable[str], ignored: list[str]) -> dict[str, Opening | Statement]:
    """What one person did alone, by the digest of its statement: openings, and used approvals of one's own request.

    `names` are those of openings and approvals in the store.
    They are listed without a look at today's keys and roles, so that nothing drops out of the list when these change.
    What does not parse goes into `ignored`, with the reason.
    """
    found: dict[str, Opening | Statement] = {}
    for name in names:
        with naming(ignored, f"{name}: "):
            text = parse(store.read(name) or b"", "approval", 2**14, Approval).statement.encode()
            one = parse(text, "note", 2**14, Opening if name.startswith("incidents/") else Statement)
            if isinstance(one, Opening) or (one.break_glass and is_used(store, one.nonce)):
                found[sha256(text).hexdigest()[:32]] = one
    return found


def reviews_of(
    store: Store, signers: Signers, found: Mapping[str, Opening | Statement], ignored: list[str]
) -> Iterator[Review]:
    """The reviews of what one person did alone by somebody else.

    A review counts only while it is verified, and from the time of what it reviews on: a retired key could sign an
    earlier one. What does not parse or verify goes into `ignored`, with the reason.
    """
    for review in verified(store, signers, store.list(Review.folder), Review, ignored):
        one, by, at = found.get(review.of), same_person_key(review.person), clock(review.at) + SKEW
        if one and by != same_person_key(actor(one)) and at >= since(one):
            yield review


def awaiting(store: Store, signers: Signers, ignored: list[str]) -> dict[str, Opening | Statement]:
    """What one person did alone and nobody else has reviewed: see `alone` and `reviews_of`."""
    found = alone(store, (*store.list("incidents"), *store.list("approvals")), ignored)
    reviewed = {review.of for review in reviews_of(store, signers, found, ignored)}
    return {digest: one for digest, one in found.items() if digest not in reviewed}


def since(one: Opening | Statement) -> datetime:
    """The time from which somebody acted alone, as they wrote; a review is not earlier."""
    return clock(one.at if isinstance(one, Opening) else one.not_before)


def actor(one: Opening | Statement) -> str:
    """Who acted alone, and so cannot review it."""
    return one.person if isinstance(one, Opening) else one.approver


def identity(system: Settings | None, target: str, role: str, who: str | None, key: Path | None) -> tuple[str, Path]:
    """Who signs, and with which key: by default whoever works here, in the sandbox a demo person with this role."""
    if system and target == "sandbox":
        who = who or next((name for name, roles in DEMO.items() if role in roles), person())
        key = key or demo_folder(system) / who
    return who or person(), key or Path(os.path.expanduser("~/.ssh/id_ed25519"))


def verified(
    store: Store, signers: Signers, names: Iterable[str], kind: type[N], ignored: list[str], now: datetime | None = None
) -> Iterator[N]:
    """The notes with these names whose signature and rules hold; others go into `ignored`.

    Their keys are those of the time that each names, or with `now` those that may sign then.
    """
    for name in names:
        with naming(ignored, f"{name}: "):
            approval = parse(store.read(name) or b"", "note", 2 * kind.limit, Approval)
            text = approval.statement.encode()
            note = parse(text, "note", kind.limit, kind)
            _require(note, text, approval.signature, store, signers, now or clock(note.at))
            require((note.place == name, "it lies in another place than it says"))
            yield note


def _require(note: Note, text: bytes, signature: str, store: Store, signers: Signers, now: datetime) -> None:
    """Raise Refused unless this note counts here; it is verified with the keys that may sign at `now`."""
    require(
        ((note.target, note.environment) == (signers.target, signers.environment), "it is for another system"),
        (note.store == store.name, "it is for another record store"),
        (note.role in signers.roles.get(note.person, ()), f"{note.person} does not have the role {note.role}"),
        (note.reason, "it must give a reason"),
        *note.rules(),
    )
    signers.verify(note.person, text, signature, now)
