"""The rows that flow through a runbook: facts, gaps and findings. Plain data; nothing here reads or writes anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from runbook import draw
from runbook.draw import Block, Row

if TYPE_CHECKING:
    import pandas as pd

    from runbook.errors import Exit


class Verdict(IntEnum):
    """How good a finding is, in order; `unknown` is never ok and never the same as zero."""

    ok = 0
    warn = 1
    unknown = 2
    alert = 3

    @property
    def exit(self) -> Exit:
        from runbook.errors import Exit

        return {Verdict.alert: Exit.ALERT, Verdict.unknown: Exit.UNKNOWN}.get(self, Exit.OK)


@dataclass(frozen=True)
class Gap:
    """Something that could not be seen: `subject` what, `why` in the answer's words, `next` what to do about it."""

    subject: str
    why: str
    next: str = ""


def gap_block(found: Iterable[Gap]) -> Block:
    """What could not be seen, one line each."""
    block = Block("", "")
    for gap in found:
        block += draw.banner(
            f"Could not see {gap.subject}: {gap.why}" + (f" Next: {gap.next}" if gap.next else ""), "unknown"
        )
    return block


@dataclass(frozen=True)
class Shown:
    """A view of a fact, ready to be displayed."""

    block: draw.Block

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return draw.page(self.block)


@dataclass(frozen=True)
class Fact:
    """What was read: `rows` in a defined order, times in the team's zone. `line` is the equivalent command.

    `more` is true where the read stopped at its cap and there may be more rows. `gaps` lists what was not seen:
    rows that are there may be used, a number over all of them may not. `absent` names what the cloud says is not
    there.
    """

    name: str
    rows: tuple[Row, ...]
    line: str
    seen_at: datetime
    sql: str = ""
    gaps: tuple[Gap, ...] = ()
    more: bool = False
    absent: tuple[str, ...] = ()

    @property
    def frame(self) -> pd.DataFrame:
        """The rows as a pandas DataFrame."""
        import pandas as pd

        return pd.DataFrame(list(self.rows))

    def newest(self, count: int) -> Shown:
        """The first `count` rows, for reads that put the newest first."""
        return Shown(draw.table(self.rows[:count], self._empty) + gap_block(self.gaps))

    def count_by(self, column: str) -> Shown:
        """How many rows there are for each value of a column, most first."""
        counts = Counter(row[column] for row in self.rows)
        rows = [{column: value, "rows": n} for value, n in sorted(counts.items(), key=lambda c: (-c[1], str(c[0])))]
        return Shown(draw.table(rows, self._empty) + gap_block(self.gaps))

    @property
    def _empty(self) -> str:
        return "nothing to show" if self.gaps else "none"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return draw.page(fact_block(self))


def fact_block(seen: Fact) -> Block:
    """One fact: its rows, what could not be seen, and the command that shows the same."""
    empty = "nothing to show" if seen.gaps else "no rows"
    absent = draw.note(f"Not there: {', '.join(seen.absent)}") if seen.absent else Block("", "")
    return draw.table(seen.rows, empty) + absent + gap_block(seen.gaps) + draw.by_hand([seen.line])


@dataclass(frozen=True)
class Seen:
    """The facts of one `run.read`, by the names that were given to them."""

    facts: Mapping[str, Fact]

    def __getattr__(self, name: str) -> Fact:
        try:
            return self.facts[name]
        except KeyError:
            raise AttributeError(f"nothing was read as {name!r}; there is {', '.join(self.facts)}") from None

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        rows = [{"fact": f.name, "rows": _count(f), "could not see": _holes(f)} for f in self.facts.values()]
        return draw.page(draw.table(rows) + draw.by_hand(f.line for f in self.facts.values()))


def _count(fact: Fact) -> str:
    return f"≥ {len(fact.rows):,}" if fact.more else f"{len(fact.rows):,}"


def _holes(fact: Fact) -> str:
    gone = [f"{name} is not there" for name in fact.absent]
    return "; ".join([*gone, *(f"{g.subject}: {g.why}" for g in fact.gaps)])


@dataclass(frozen=True)
class Finding:
    """One row of a check: `value` as seen, `limit` in words, `next` what to do when the verdict is not ok."""

    check: str
    subject: str
    value: str
    limit: str
    verdict: Verdict
    next: str = ""


@dataclass(frozen=True)
class Findings(Sequence[Finding]):
    """The findings of one or more checks, in the order in which they were made."""

    rows: tuple[Finding, ...] = field(default=())

    def __getitem__(self, index: Any) -> Any:
        return self.rows[index]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.rows)

    @property
    def worst(self) -> Verdict:
        """The worst verdict; `unknown` when there are no findings, because nothing was looked at."""
        return max((f.verdict for f in self.rows), default=Verdict.unknown)

    @property
    def frame(self) -> pd.DataFrame:
        """The findings as a pandas DataFrame."""
        import pandas as pd

        return pd.DataFrame(self.plain())

    def plain(self) -> list[Row]:
        """The findings as JSON-ready dicts."""
        return [asdict(f) | {"verdict": f.verdict.name} for f in self.rows]

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return draw.page(findings_block(self))


def join(parts: Iterable[Findings]) -> Findings:
    """All findings of `parts`, in order."""
    return Findings(tuple(f for part in parts for f in part))


def findings_block(found: Sequence[Finding]) -> Block:
    """Findings as one table, each with its verdict; a column `next` only where there is something to do."""
    names = ["verdict", "check", "subject", "value", "limit"] + (["next"] if any(f.next for f in found) else [])
    rows = [{n: f.verdict.name if n == "verdict" else getattr(f, n) for n in names} for f in found]
    return draw.table(rows, "no findings")
