"""What a run has read: facts with their rows, and the gaps in them. Plain data: no reads and no writes."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, tzinfo
from typing import Any, Generic, TypeVar, dataclass_transform

from runbook.display import Block, blocks

R = TypeVar("R")
INTERNAL = {"internal": True}


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
class FactRow:
    """One row of a fact. Its subclasses are frozen dataclasses."""

    def __init_subclass__(cls) -> None:
        dataclass(frozen=True)(cls)

    @property
    def shown(self) -> dict[str, Any]:
        """The columns for people."""
        return {f.name: getattr(self, f.name) for f in fields(self) if not f.metadata.get("internal")}


def shown(row: FactRow | Mapping[str, Any]) -> dict[str, Any]:
    """The columns of a row for people; the rows of a query of one's own are mappings."""
    return row.shown if isinstance(row, FactRow) else dict(row)


@dataclass(frozen=True)
class Gap:
    """Something that could not be read: its `subject`, the reason `why` as the API states it, and the `next` step.

    `location` is the region that did not answer; "" for every other gap. `permission` is missing, unless it is "".
    """

    subject: str
    why: str
    next: str = ""
    location: str = ""
    permission: str = ""


def gap_block(found: Iterable[Gap]) -> Block:
    """The gaps, one line each."""
    said = (f"Could not read {g.subject}: {g.why}" + (f" Next: {g.next}" if g.next else "") for g in found)
    return blocks.joined(blocks.banner(text, "unknown") for text in said)


@dataclass(frozen=True)
class Shown:
    """A view of a fact, ready for display."""

    block: Block

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return blocks.page(self.block)


@dataclass(frozen=True)
class Fact(Generic[R]):
    """The result of one read: `rows` in a defined order, times in the team's zone. `line` is the equivalent command.

    `more` is true if the read stopped at its cap, so there may be more rows: if `only` is not empty, of these functions
    alone. `gaps` lists what could not be read: with
    gaps, single rows are valid, but totals are not. `absent` names what does not exist, according to the cloud.
    `function` is the function that the fact is about; "" for a fact about several. `zone` is the team's. `question` is
    what was asked: reads of the same thing with the same parameters have the same.
    """

    name: str
    rows: tuple[R, ...]
    line: str
    seen_at: datetime
    sql: str = ""
    gaps: tuple[Gap, ...] = ()
    more: bool = False
    only: frozenset[str] = frozenset()
    absent: tuple[str, ...] = ()
    function: str = ""
    zone: tzinfo = UTC
    question: str = ""

    @property
    def frame(self) -> Any:
        """The rows as a pandas DataFrame, with every field; times in the team's zone."""
        import pandas as pd

        frame = pd.DataFrame([row if isinstance(row, Mapping) else vars(row) for row in self.rows])
        for name in (n for n in frame if any(isinstance(value, datetime) for value in frame[n])):
            frame[name] = pd.to_datetime(frame[name], utc=True).dt.tz_convert(self.zone)
        return frame

    def newest(self, count: int) -> Shown:
        """The first `count` rows, for reads that return the newest row first."""
        return Shown(blocks.table(map(shown, self.rows[:count]), self._empty) + gap_block(self.gaps))

    def count_by(self, column: str) -> Shown:
        """The number of rows for each value of a column, highest first."""
        counts = Counter(shown(row)[column] for row in self.rows)
        rows = [{column: value, "rows": n} for value, n in sorted(counts.items(), key=lambda c: (-c[1], str(c[0])))]
        return Shown(blocks.table(rows, self._empty) + gap_block(self.gaps))

    @property
    def holes(self) -> list[str]:
        """What does not exist and what could not be read, in words."""
        return [*(f"{n} does not exist" for n in self.absent), *(f"{g.subject}: {g.why}" for g in self.gaps)]

    _empty = property(lambda self: "no rows could be read" if self.gaps else "none")

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        rows = blocks.table(map(shown, self.rows), "no rows could be read" if self.gaps else "no rows")
        absent = blocks.notes([f"Does not exist: {', '.join(self.absent)}"] if self.absent else [])
        return blocks.page(rows + absent + gap_block(self.gaps) + blocks.equivalent_command([self.line]))


@dataclass(frozen=True)
class Seen:
    """The facts of one `run.read`, by the names in that call."""

    facts: Mapping[str, Fact]

    def __getattr__(self, name: str) -> Fact:
        try:
            return self.facts[name]
        except KeyError:
            raise AttributeError(f"no fact is named {name!r}; available: {', '.join(self.facts)}") from None

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        facts = [(f, f"{'≥ ' * f.more}{len(f.rows):,}") for f in self.facts.values()]
        rows = [{"fact": f.name, "rows": count, "could not read": "; ".join(f.holes)} for f, count in facts]
        return blocks.page(blocks.table(rows) + blocks.equivalent_command(f.line for f, _ in facts))
