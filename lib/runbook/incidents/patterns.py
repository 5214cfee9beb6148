"""Phrases that name a cause, from patterns.yaml, and which of the matches counts most."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from typing import NamedTuple

from runbook.config.data_file import table

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
