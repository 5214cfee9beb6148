"""Causes of an outage, the likeliest first, each with its evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from runbook.display import blocks
from runbook.incidents.affected import FailingFunction
from runbook.model.facts import Gap

TELLING = 8  # pieces of evidence that are shown of one cause
CONFIDENCE = ("sure", "likely", "possible", "unknown")


@dataclass(frozen=True)
class Cause:
    """`functions` are those that fail because of it, `since` when the first began to fail; `evidence` in sentences.

    `acted`: something of theirs was changed after their last run, so nobody knows yet whether it still holds. `detail`
    is what its fix needs: the version that is disabled, or for how long a quota lasts. Failing functions with the same
    `cause` and `key` have one cause together.
    """

    cause: str
    functions: tuple[str, ...]
    since: datetime
    confidence: str
    evidence: tuple[str, ...]
    key: str = ""
    changed_since_last_run: bool = False
    detail: str = ""

    @property
    def title(self) -> str:
        """The cause in words."""
        return self.cause.replace("_", " ")

    @property
    def shown_evidence(self) -> tuple[str, ...]:
        """As much of the evidence as people read."""
        rest = len(self.evidence) - TELLING
        return self.evidence if rest < 2 else (*self.evidence[:TELLING], f"and {rest} more")


@dataclass(frozen=True)
class Causes(Sequence[Cause]):
    """Causes, the likeliest first; `failing` are all failing functions, `unknowns` what could not be seen."""

    rows: tuple[Cause, ...]
    failing: tuple[FailingFunction, ...] = ()
    unknowns: tuple[Gap, ...] = ()

    def __getitem__(self, index: Any) -> Any:
        return self.rows[index]

    def __len__(self) -> int:
        return len(self.rows)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        if self.rows:
            block = blocks.table(
                {
                    "no": n,
                    "cause": c.title,
                    "confidence": c.confidence,
                    "since": c.since,
                    "functions": c.functions,
                    "evidence": " ·\n".join(c.shown_evidence),
                }
                for n, c in enumerate(self.rows, 1)
            )
        elif self.unknowns:
            block = blocks.banner("Nothing is broken that could be seen.", "unknown")
        else:
            block = blocks.banner("Nothing is broken.", "ok")
        for gap in self.unknowns:
            block += blocks.banner(f"Could not see {gap.subject}: {gap.why}", "unknown")
        return blocks.page(block)


def merged(a: Cause, b: Cause) -> Cause:
    """Two causes that are the same for several functions, as one."""
    surer = min((a, b), key=lambda c: CONFIDENCE.index(c.confidence))
    return replace(
        surer,
        functions=a.functions + b.functions,
        since=min(a.since, b.since),
        evidence=tuple(dict.fromkeys(a.evidence + b.evidence)),
        changed_since_last_run=a.changed_since_last_run and b.changed_since_last_run,
    )
