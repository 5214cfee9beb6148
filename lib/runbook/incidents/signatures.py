"""Phrases that name a cause, from patterns.yaml."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

import yaml

from runbook.config.load import YAML_LOADER


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
