"""Causes of an outage, the most likely first, each with its evidence; the phrases of patterns.yaml name them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from runbook.config.data_file import table
from runbook.display import blocks
from runbook.display.text import Row
from runbook.incidents.affected import FailingFunction
from runbook.model.facts import Gap

TELLING = 8  # pieces of evidence shown for each cause
CONFIDENCE = ("sure", "likely", "possible", "unknown")


@dataclass(frozen=True)
class Cause:
    """`functions` fail because of it, `since` is when the first began to fail, `evidence` is a list of sentences.

    `changed_since_last_run`: something that belongs to them changed after their last run, so the cause may be gone.
    `detail` is what the fix needs: the disabled version, or how long a quota lasts. Failing functions with the same
    `cause` and `key` share one cause.
    """

    cause: str
    functions: tuple[str, ...]
    since: datetime
    confidence: str
    evidence: tuple[str, ...]
    key: str = ""
    changed_since_last_run: bool = False
    detail: str = ""

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
        evidence = " ·\n".join(self.shown_evidence)
        row = {"cause": self.title, "confidence": self.confidence, "since": self.since}
        return row | {"functions": self.functions, "evidence": evidence}


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
        if self.rows:
            block = blocks.table({"no": n, **c.shown} for n, c in enumerate(self.rows, 1))
        elif self.unknowns:
            block = blocks.banner("No failing function found, but not everything could be read.", "unknown")
        else:
            block = blocks.banner("No failing function found.", "ok")
        for gap in self.unknowns:
            block += blocks.banner(f"Could not read {gap.subject}: {gap.why}", "unknown")
        return blocks.page(block)


def merged(a: Cause, b: Cause) -> Cause:
    """The same cause of several functions, as one."""
    surer = min((a, b), key=lambda c: CONFIDENCE.index(c.confidence))
    evidence = tuple(dict.fromkeys(a.evidence + b.evidence))
    changed = a.changed_since_last_run and b.changed_since_last_run
    both = {"functions": a.functions + b.functions, "since": min(a.since, b.since), "evidence": evidence}
    return replace(surer, **both, changed_since_last_run=changed)


# --- phrases

# A single line of these causes outweighs many lines of others; the first cause ranks highest.
SPECIAL = ("memory_limit", "timeout", "secret")


class Pattern(NamedTuple):
    """A cause, and the expression for its texts; a `hint` alone never makes a cause sure."""

    cause: str
    says: re.Pattern[str]
    hint: bool = False


@cache
def patterns() -> tuple[Pattern, ...]:
    """The phrases of `patterns.yaml`."""
    raw = table(__file__, "patterns.yaml")
    return tuple(Pattern(r["cause"], re.compile(r["says"], re.IGNORECASE), r.get("hint", False)) for r in raw)


def matched(texts: Iterable[str], patterns: Sequence[Pattern]) -> list[tuple[Pattern, str]]:
    """The texts that match a pattern, each with the first pattern that matches."""
    found = ((next((p for p in patterns if text and p.says.search(text)), None), text) for text in texts)
    return [(pattern, text) for pattern, text in found if pattern]


def most_telling(found: Sequence[tuple[Pattern, str]], patterns: Sequence[Pattern]) -> tuple[str, str, int]:
    """The cause that most texts name, or the highest of SPECIAL; one of its texts; and how many texts name it."""
    # "Still running" is also logged after another cause stopped a run, and about slow runs, so other causes win.
    found = [m for m in found if m[0].cause != "stuck_etl"] or found
    counts = Counter(p.cause for p, _ in found)

    def rank(one: tuple[Pattern, str]) -> tuple[int, int, int]:
        cause = one[0].cause
        return SPECIAL.index(cause) if cause in SPECIAL else len(SPECIAL), -counts[cause], patterns.index(one[0])

    first, text = min(found, key=rank)
    return first.cause, text, counts[first.cause]
