"""Plan files: what a plan and its terms look like in the record store, and the newest one that can be believed."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

from pydantic import AfterValidator, Field, StringConstraints

from runbook.model.canonical import canonical, plan_id
from runbook.model.errors import Refused, require
from runbook.model.plan import change_of
from runbook.model.strict import Part, Positive
from runbook.records.store import Store

_CLOCK = "%Y-%m-%dT%H:%M:%SZ"


def clock(text: str) -> datetime:
    """The time that a statement or a plan file names. Raises ValueError when it is written in any other way."""
    when = datetime.strptime(text, _CLOCK).replace(tzinfo=UTC)
    if when.strftime(_CLOCK) != text or not 2000 <= when.year < 3000:
        raise ValueError(f"{text!r} is no time such as 2027-01-31T18:00:00Z")
    return when


def utc_text(when: datetime) -> str:
    """A time as statements and plan files write it."""
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
Line = Annotated[str, StringConstraints(max_length=500), AfterValidator(_line)]
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


def plan_of(raw: bytes) -> PlanFile:
    """A plan file that can be what it says. Raises Refused, so that nothing of it is believed before this.

    Its id is that of its content; every change shows what it would do, and may be in a plan of its runbook; and nothing
    in it is hidden from whoever reads it.
    """
    file = parse(raw, "plan", 2**20, PlanFile)
    require((plan_id(file.content) == file.id, "the plan file was edited: its id is not that of its content"))
    content = parse(canonical(file.content), "plan", 2**20, Content)
    require((_plain(file.content), "the plan holds characters that are not printable text"))
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


def parse(raw: bytes, what: str, limit: int, kind: type[P]) -> P:
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
