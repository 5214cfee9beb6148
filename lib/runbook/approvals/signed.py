"""Signed notes in the record store: a P1 in which one person may act alone, and the review of what they did alone.

    incidents/<incident>/<nonce>    somebody on call states that it is a P1, or that they cannot tell; for some hours
    reviews/<nonce>                 another person has looked at that note, or at an approval that one person gave alone

As an approval, each is for one target, environment and store, and counts only while its signature is verified.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import Field

from runbook.approvals.signers import DEMO, Signers, demo_folder
from runbook.approvals.ssh import sign
from runbook.approvals.statement import Approval, Nonce, Statement, same_person_key
from runbook.config.schema import Settings
from runbook.config.validation import checked_incident
from runbook.model.canonical import canonical
from runbook.model.errors import Refused, require
from runbook.model.strict import Part
from runbook.records.people import person
from runbook.records.plans import Line, When, clock, parse, utc_text
from runbook.records.record import store_of
from runbook.records.store import Store

LASTS = timedelta(hours=24)  # of an opening, at most
SKEW = timedelta(minutes=5)  # between the clock of whoever opens and Google's
ON_CALL = "on-call"


class Note(Part):
    """What every signed note states: who, in which role, when and why, and where it counts."""

    version: Literal[1] = Field(alias="schema")
    target: Literal["google", "sandbox"]
    environment: str
    project: str
    store: str
    person: str
    role: str
    at: When
    reason: Line
    nonce: Nonce


class Opening(Note):
    """Until `until`, the on-call engineer may sign alone what params allow for `incident`."""

    incident: Line
    severity: Literal["P1", "unknown"]
    until: When


class Review(Note):
    """Somebody else has looked at the opening or the approval whose statement has the digest `of`."""

    of: Nonce


N = TypeVar("N", bound=Note)


def values_of(system: Settings, target: str, who: str, role: str, reason: str, now: datetime) -> dict[str, Any]:
    """The values that every note has."""
    where = {"target": target, "environment": system.environment, "project": system.project}
    by = {"person": who, "role": role, "at": utc_text(now), "reason": reason.strip()}
    return {"schema": 1, **where, **by, "store": store_of(system).name, "nonce": secrets.token_hex(16)}


def put(kind: type[N], values: dict[str, Any], store: Store, signers: Signers, key: Path, now: datetime) -> N:
    """Sign a note and write it into the store. Raises Refused unless its own rules and its signature hold."""
    text = canonical(values)
    note = parse(text, "note", 2**14, kind)
    signature = sign(text, key, note.target)
    _require(note, text, signature, store, signers, now)
    store.create(_place(note), canonical({"statement": text.decode(), "signature": signature}))
    return note


def is_open(store: Store, signers: Signers, incident: str, now: datetime) -> bool:
    """Whether somebody on call has opened this incident, and it is still open."""
    openings = _read(store, signers, f"incidents/{checked_incident(incident).lower()}", Opening, [])
    return any(clock(one.at) - SKEW <= now < clock(one.until) for one in openings)


def awaiting(store: Store, signers: Signers, ignored: list[str]) -> dict[str, Opening | Statement]:
    """What one person did alone and nobody else has reviewed, by the digest of its statement.

    What does not parse or verify goes into `ignored`, with the reason. Openings and used approvals of one's own request
    are listed without a look at today's keys and roles, so that nothing drops out of the list when they change; a
    review counts only while it is verified.
    """
    found: dict[str, Opening | Statement] = {}
    for name in (*store.list("incidents"), *store.list("approvals")):
        with _naming(name, ignored):
            text = parse(store.read(name) or b"", "approval", 2**14, Approval).statement.encode()
            one = parse(text, "note", 2**14, Opening if name.startswith("incidents/") else Statement)
            if isinstance(one, Opening) or (one.break_glass and store.read(f"nonces/{one.nonce}")):
                found[sha256(text).hexdigest()[:32]] = one
    for review in _read(store, signers, "reviews", Review, ignored):
        if review.of in found and same_person_key(review.person) != same_person_key(actor(found[review.of])):
            del found[review.of]
    return found


def actor(one: Opening | Statement) -> str:
    """Who acted alone, and so cannot review it."""
    return one.person if isinstance(one, Opening) else one.approver


def identity(system: Settings | None, target: str, role: str, who: str | None, key: Path | None) -> tuple[str, Path]:
    """Who signs, and with which key: by default whoever works here, in the sandbox a demo person with this role."""
    if system and target == "sandbox":
        who = who or next((name for name, roles in DEMO.items() if role in roles), person())
        key = key or demo_folder(system) / who
    return who or person(), key or Path(os.path.expanduser("~/.ssh/id_ed25519"))


def _place(note: Note) -> str:
    if isinstance(note, Opening):
        return f"incidents/{checked_incident(note.incident).lower()}/{note.nonce}"
    return f"reviews/{note.nonce}"


@contextmanager
def _naming(name: str, ignored: list[str]) -> Iterator[None]:
    """Ignore a file that does not parse or verify, and say so."""
    try:
        yield
    except (Refused, ValueError) as error:
        ignored.append(f"{name}: {error.what if isinstance(error, Refused) else error}")


def _read(store: Store, signers: Signers, folder: str, kind: type[N], ignored: list[str]) -> Iterator[N]:
    """The notes in a folder whose signature and rules hold; others go into `ignored`."""
    for name in store.list(folder):
        with _naming(name, ignored):
            approval = parse(store.read(name) or b"", "note", 2**14, Approval)
            text = approval.statement.encode()
            note = parse(text, "note", 2**14, kind)
            _require(note, text, approval.signature, store, signers, clock(note.at))
            require((_place(note) == name, "it lies in another place than it says"))
            yield note


def _require(note: Note, text: bytes, signature: str, store: Store, signers: Signers, now: datetime) -> None:
    """Raise Refused unless this note counts here; it is verified with the keys of its own time."""
    require(
        ((note.target, note.environment) == (signers.target, signers.environment), "it is for another system"),
        (note.store == store.name, "it is for another record store"),
        (note.role in signers.roles.get(note.person, ()), f"{note.person} does not have the role {note.role}"),
        (note.reason, "it must give a reason"),
    )
    if isinstance(note, Opening):
        open_for = clock(note.until) - clock(note.at)
        require(
            (note.role == ON_CALL, f"only {ON_CALL} opens an incident"),
            (timedelta() < open_for <= LASTS, f"it may be open for at most {LASTS.total_seconds() / 3600:.0f} hours"),
        )
    signers.verify(note.person, text, signature, now)
