"""Causes of an outage, the most likely first, each with its evidence and what speaks against it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from runbook.display import Row, blocks
from runbook.incidents.affected import FailingFunction
from runbook.model import Gap

TELLING = 8  # pieces of evidence shown for each cause
LONG = 200  # characters of a quoted text
CONFIDENCE = ("sure", "likely", "possible", "unknown")


@dataclass(frozen=True)
class Cause:
    """`functions` fail because of it, `since` is when the first began to fail, `evidence` is a list of sentences.

    `changed_since_last_run`: something that belongs to them changed after their last run, so the cause may be gone.
    `detail` is what the fix needs: the disabled version, how long a quota lasts, or that a run has no end. Failing
    functions with the same `cause` and `key` share one cause. `against` is the strongest evidence against it.
    `second`: the evidence allows it, too, but less than another cause of the same functions. `fed`: a function fails
    because it reads what others write, which is never sure.
    """

    cause: str
    functions: tuple[str, ...]
    since: datetime
    confidence: str
    evidence: tuple[str, ...]
    key: str = ""
    changed_since_last_run: bool = False
    detail: str = ""
    against: str = ""
    second: bool = False
    fed: bool = False

    # The cause in words.
    title = property(lambda self: self.cause.replace("_", " "))

    @property
    def shown_evidence(self) -> tuple[str, ...]:
        """The first pieces of evidence, and how many more there are."""
        rest = len(self.evidence) - TELLING
        return self.evidence if rest < 2 else (*self.evidence[:TELLING], f"and {rest} more")

    @property
    def shown(self) -> Row:
        """The columns for people."""
        against = [f"against it: {self.against}"] if self.against else []
        row = {"cause": self.title, "confidence": self.confidence, "since": self.since, "functions": self.functions}
        return row | {"evidence": " ·\n".join([*self.shown_evidence, *against])}


@dataclass(frozen=True)
class Causes(Sequence[Cause]):
    """Causes, the most likely first; `failing` are all failing functions, `unknowns` what could not be read."""

    rows: tuple[Cause, ...]
    failing: tuple[FailingFunction, ...] = ()
    unknowns: tuple[Gap, ...] = ()

    def __getitem__(self, index: Any) -> Any:
        return self.rows[index]

    def __len__(self) -> int:
        return len(self.rows)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        block = blocks.table({"no": n, **c.shown} for n, c in enumerate(self.rows, 1))
        if not self.rows:
            said = "No failing function found" + ", but not everything could be read" * bool(self.unknowns)
            block = blocks.banner(f"{said}.", "unknown" if self.unknowns else "ok")
        for gap in self.unknowns:
            block += blocks.banner(f"Could not read {gap.subject}: {gap.why}", "unknown")
        return blocks.page(block)


def merged(a: Cause, b: Cause) -> Cause:
    """The same cause of several functions, as one."""
    surer = min((a, b), key=lambda c: CONFIDENCE.index(c.confidence))
    both = replace(surer, functions=a.functions + b.functions, since=min(a.since, b.since), fed=a.fed or b.fed)
    evidence, details = dict.fromkeys(a.evidence + b.evidence), dict.fromkeys(f"{a.detail},{b.detail}".split(","))
    both = replace(both, evidence=tuple(evidence), detail=",".join(filter(None, details)))
    changed = a.changed_since_last_run and b.changed_since_last_run
    both = replace(both, changed_since_last_run=changed, against=a.against or b.against, second=a.second and b.second)
    return replace(both, confidence="likely") if both.fed and both.confidence == "sure" else both


def quoted(text: str) -> str:
    """A text in quotation marks, with an ellipsis if it was cut."""
    return f"“{text}”" if len(text) <= LONG else f"“{text[:LONG]}…”"
