"""Phrases that name a cause, from patterns.yaml, and which of those that were said counts most."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import yaml

from runbook.config.load import YAML_LOADER

# One line of these outweighs many of another cause, the first of them the most.
SPECIAL = ("memory_limit", "timeout", "secret")


class Pattern(NamedTuple):
    """A cause, and what is said when it is one; a `hint` alone never makes it sure."""

    cause: str
    says: re.Pattern[str]
    hint: bool = False


@cache
def patterns() -> tuple[Pattern, ...]:
    """The phrases of `patterns.yaml`."""
    raw = yaml.load((Path(__file__).parent / "patterns.yaml").read_text(encoding="utf-8"), Loader=YAML_LOADER)
    return tuple(Pattern(r["cause"], re.compile(r["says"], re.IGNORECASE), r.get("hint", False)) for r in raw)


def matched(texts: Iterable[str], patterns: Sequence[Pattern]) -> list[tuple[Pattern, str]]:
    """The texts that a pattern knows, each with the first such pattern."""
    found = ((next((p for p in patterns if text and p.says.search(text)), None), text) for text in texts)
    return [(pattern, text) for pattern, text in found if pattern]


def most_telling(found: Sequence[tuple[Pattern, str]], patterns: Sequence[Pattern]) -> tuple[str, str, int]:
    """The cause that most of the texts name, or the most special of them; the text, and how many name that cause."""
    # That a run still goes is said after whatever stopped it, and of a run that is only slow.
    found = [m for m in found if m[0].cause != "stuck_etl"] or found
    counts = Counter(p.cause for p, _ in found)

    def rank(one: tuple[Pattern, str]) -> tuple[int, int, int]:
        cause = one[0].cause
        return SPECIAL.index(cause) if cause in SPECIAL else len(SPECIAL), -counts[cause], patterns.index(one[0])

    first, text = min(found, key=rank)
    return first.cause, text, counts[first.cause]
