"""The statement that an approver signs, and its file."""

import re
from datetime import datetime, timedelta
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from runbook.model import canonical, require
from runbook.model.strict import Part
from runbook.records.plans import Id, Line, When, clock, parse

Nonce = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]


class Signed(Part):
    """What every signed text states: where it counts, the role of who signs, why, and a number of its own."""

    version: Literal[1] = Field(alias="schema")
    target: Literal["google", "sandbox"]
    environment: str
    project: str
    store: str
    role: str
    reason: Line
    nonce: Nonce


class Statement(Signed):
    """What an approver signs: the plan, its environment, the approver's role, and the time when it is valid.

    It can be used once, in one store.
    """

    plan: Id
    operation: str
    risk: str
    requester: str
    approver: str
    not_before: When
    expires_at: When
    incident: Line  # the open P1 in which somebody signs their own request; else empty
    override: Line
    break_glass: bool

    @property
    def review_by(self) -> datetime | None:
        """The time by which another person must review a break-glass approval; None for any other approval."""
        return clock(self.not_before) + timedelta(hours=24) if self.break_glass else None


class Approval(Part):
    """The approval file."""

    statement: str
    signature: str


def same_person_key(person: str) -> str:
    """A key that is equal for a user name and for that user's e-mail address."""
    return re.sub(r"[^a-z0-9]", "", person.casefold().partition("@")[0])


def statement_of(text: bytes) -> Statement:
    """A statement from its text. Raises Refused unless the text is canonical JSON."""
    statement = parse(text, "statement", 2**14, Statement)
    require((canonical(statement.model_dump(by_alias=True)) == text, "the statement is not canonical JSON"))
    return statement
