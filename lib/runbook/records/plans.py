"""Plan files: the format of a plan and its terms in the record store, and the newest valid file of a plan."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

from pydantic import AfterValidator, Field, StringConstraints

from runbook.display.text import is_plain, one_line
from runbook.model import ForeignFile, Refused, canonical, plan_id, require
from runbook.model.operations import OPERATIONS
from runbook.model.plan import change_of
from runbook.model.strict import Part, Positive
from runbook.records.files import data_of
from runbook.records.provenance import PERSON
from runbook.records.store import Store

_CLOCK = "%Y-%m-%dT%H:%M:%SZ"


def clock(text: str) -> datetime:
    """A time from a statement or a plan file. Raises ValueError for any other format."""
    when = datetime.strptime(text, _CLOCK).replace(tzinfo=UTC)
    if when.strftime(_CLOCK) != text or not 2000 <= when.year < 3000:
        raise ValueError(f"{text!r} is not a time such as 2027-01-31T18:00:00Z")
    return when


def utc_text(when: datetime) -> str:
    """A time in the format of statements and plan files."""
    return when.astimezone(UTC).strftime(_CLOCK)


def _line(text: str) -> str:
    if not is_plain(text):
        raise ValueError("must be one line of plain text")  # so that a terminal shows exactly what is signed
    return text


When = Annotated[str, AfterValidator(lambda text: utc_text(clock(text)))]
Id = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Line = Annotated[str, StringConstraints(max_length=500), AfterValidator(_line)]
Person = Annotated[str, StringConstraints(pattern=f"^{PERSON}$")]
P = TypeVar("P", bound=Part)


class Terms(Part):
    """The terms for applying a plan. `not_before` is the earliest time to apply it, as of when the plan was made.

    `requester` is the person who applies it; `incident` is the open P1 incident, or "".
    """

    risk: Literal["low", "medium", "high", "critical"]
    signers: list[str]
    window: str
    not_before: When
    valid_hours: Annotated[Positive, Field(le=8784)]
    requester: Person
    incident: str
    alone_in_p1: bool


class Content(Part):
    """The content that the id of a plan covers; see `Plan.content`."""

    operation: str
    runbook: str
    parameters: dict[str, str | int | float | bool]
    environment: str
    project: str
    target: Literal["google", "sandbox"]
    commit: str
    params: str = ""
    reason: str
    changes: list[dict[str, Any]]
    relies_on: dict[str, Any]


class Gate(Part):
    """A gate as the planning run found it; it is shown to approvers, and not signed."""

    check: Line
    subject: Line
    value: Line
    verdict: Literal["ok", "warn", "unknown", "alert"]


class PlanFile(Part):
    """The file of a plan. `content` has the fields of `Content`; `record` is the folder of the run that made it, and
    `store` the name of the record store in which approvals of it count.
    """

    version: Literal[1] = Field(alias="schema")
    id: Id
    record: Line = ""
    store: Line = ""
    gates: list[Gate] = Field([])
    content: dict[str, Any]
    terms: Terms


def plan_of(raw: bytes) -> PlanFile:
    """A validated plan file. Raises Refused for any other; no field may be used before this check.

    Its id is the hash of its content; the text of each change matches its arguments; each action is allowed for its
    runbook; and all its text is printable, so that nothing is hidden from a reader.
    """
    file = parse(raw, "plan", 2**20, PlanFile)
    require((plan_id(file.content) == file.id, "the plan file was edited: its id does not match its content"))
    content = parse(canonical(file.content), "plan", 2**20, Content)
    known = OPERATIONS.get(content.operation)
    require(
        (_plain(file.content), "the plan contains characters that are not printable"),
        (known and content.runbook in known.runbooks, "the plan names no runbook of its operation"),
        (content.changes, "the plan contains no change"),
        (content.parameters.get("environment") == content.environment, "the plan names two environments"),
    )
    for row in content.changes:
        change_of(row, content.runbook, content.operation)
    return file


def _plain(data: Any) -> bool:
    """Whether all text in data is printable, except for line ends."""
    if isinstance(data, dict):
        return all(map(_plain, (*data, *data.values())))
    if isinstance(data, list):
        return all(map(_plain, data))
    return not isinstance(data, str) or is_plain(data.replace("\n", ""))


class Stored(NamedTuple):
    """The newest valid file of a plan, and the names of newer files that are damaged."""

    raw: bytes
    file: PlanFile
    ignored: tuple[str, ...]


def newest_plan(store: Store, plan: str, requester: str = "") -> Stored | None:
    """The newest valid file of a plan, by its id or by at least its first 12 characters; None if there is none.

    Of several people who made the same plan, the newest by this `requester` comes first. Raises Refused if all files
    are damaged.
    """
    if not re.fullmatch("[0-9a-f]{12,64}", plan):
        return None
    ignored: list[str] = []
    newest: Stored | None = None
    for name in reversed(store.list(f"plans/{plan[:12]}")):
        with naming(ignored, f"{store}/{name}: "):
            file = plan_of(raw := store.read(name) or b"")
            if file.id.startswith(plan):  # the folder name has only 12 characters; the rest must match, too
                newest = newest or Stored(raw, file, tuple(ignored))
                if requester in ("", file.terms.requester):
                    return Stored(raw, file, tuple(ignored))
    if ignored and not newest:
        raise Refused(f"the plan {plan} is damaged", "\n".join(ignored), next="remove these files, then plan again.")
    return newest


@contextmanager
def naming(ignored: list[str], head: str = "") -> Iterator[None]:
    """Ignore what does not parse or verify, or is no record, and say why in one line; a key may be anybody's words."""
    try:
        yield
    except (Refused, ForeignFile, ValueError) as error:
        ignored.append(one_line(head + (str(error) if isinstance(error, ValueError) else error.what)))


def parse(raw: bytes, what: str, limit: int, kind: type[P]) -> P:
    """JSON data, validated as `kind`. Raises Refused for anything else, also for a duplicate key."""
    try:
        if len(raw) > limit:
            raise ValueError(f"it is larger than {limit} bytes")
        data = json.loads(raw.decode(), object_pairs_hook=_once)
        canonical(data)  # rejects what JSON does not allow: NaN, 1e999, a lone surrogate
        data_of(raw)  # and what is too deep for those who read on
        return kind.model_validate(data)
    except (ValueError, TypeError, RecursionError) as error:
        problem = " ".join(str(error).partition(" [type=")[0].split())
        raise Refused(f"this {what} is not valid: {problem}") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(data := dict(pairs)) < len(pairs):
        raise ValueError("duplicate key")
    return data
