"""The permissions of Google's predefined roles, as published: roles.yaml has them with their source and date."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path

import yaml

_FILE = Path(__file__).with_name("roles.yaml")


@cache
def published() -> dict[str, frozenset[str]]:
    """Role → its permissions. The file is read on first use."""
    raw = yaml.load(_FILE.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return {
        role: frozenset(f"{resource}.{verb}" for resource, verbs in found.items() for verb in verbs.split())
        for role, found in raw.items()
    }


def known(roles: Iterable[str]) -> tuple[str, ...]:
    """The roles, unchanged. Raises ValueError for a role that roles.yaml does not have."""
    if missing := sorted(set(roles) - set(published())):
        raise ValueError(f"not in roles.yaml: {', '.join(missing)}. Available: {', '.join(published())}")
    return tuple(roles)
