"""The results of checks: findings, each with its verdict."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from enum import IntEnum
from functools import cached_property
from typing import Any

from runbook.display import Block, Row, blocks
from runbook.model.errors import Exit


class Verdict(IntEnum):
    """The verdict of a finding, from best to worst. `unknown` is never `ok`, and never means zero."""

    ok = 0
    warn = 1
    unknown = 2
    alert = 3

    exit = property(lambda self: {Verdict.alert: Exit.ALERT, Verdict.unknown: Exit.UNKNOWN}.get(self, Exit.OK))


@dataclass(frozen=True)
class Finding:
    """One row of a check: the measured `value`, the `limit` in words, and the `next` step if the verdict is not ok."""

    check: str
    subject: str
    value: str
    limit: str
    verdict: Verdict
    next: str = ""


@dataclass(frozen=True)
class Findings(Sequence[Finding]):
    """The findings of one or more checks, in order. No tuple, because IPython shows a tuple's text in its own way."""

    rows: tuple[Finding, ...] = ()

    def __getitem__(self, index: Any) -> Any:
        return self.rows[index]

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def worst(self) -> Verdict:
        """The worst verdict; `unknown` if there are no findings, because nothing was checked."""
        return max((f.verdict for f in self.rows), default=Verdict.unknown)

    @property
    def frame(self) -> Any:
        """The findings as a pandas DataFrame."""
        import pandas as pd

        return pd.DataFrame(self.plain())

    @property
    def counts(self) -> str:
        """How many there are of each verdict, the worst first."""
        counts = Counter(f.verdict for f in self)
        return ", ".join(f"{counts[v]} {v.name}" for v in sorted(Verdict, reverse=True) if counts[v])

    def plain(self) -> list[Row]:
        """The findings as JSON-ready dicts."""
        return [asdict(f) | {"verdict": f.verdict.name} for f in self]

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return blocks.page(findings_block(self))


def known_findings(found: Findings, acks: Iterable[Any]) -> Findings:
    """Findings in which an alert that somebody acknowledged is a warning; it says who did, until when, and why."""
    known = {(ack.check, ack.subject): ack for ack in acks}

    def lowered(one: Finding) -> Finding:
        if one.verdict not in (Verdict.alert, Verdict.warn) or not (ack := known.get((one.check, one.subject))):
            return one
        value = f"{one.value}; known to {ack.person} until {ack.until}: {ack.reason}"
        return replace(one, value=value, verdict=Verdict.warn)

    return Findings(tuple(map(lowered, found)))


def join(parts: Iterable[Findings]) -> Findings:
    """All findings of `parts`, in order."""
    return Findings(tuple(f for part in parts for f in part))


def findings_block(found: Sequence[Finding]) -> Block:
    """Findings as one table, each with its verdict; with a column `next` only if a finding has a next step."""
    names = ["verdict", "check", "subject", "value", "limit"] + (["next"] if any(f.next for f in found) else [])
    rows = [
        {"expected" if n == "limit" else n: f.verdict.name if n == "verdict" else getattr(f, n) for n in names}
        for f in found
    ]
    return blocks.table(rows, "no findings")
