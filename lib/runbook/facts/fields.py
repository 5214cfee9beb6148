"""Fields of an answer, without exceptions: an absent field or one of another type is empty, None or the default.

`path` names nested objects: `text(entry, "resource", "labels", "service_name")`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from runbook.display.text import Row

LONGEST = 300_000  # characters of one text; Cloud Logging takes entries of 256 KB
_YEARS = range(1971, 2200)  # other years are not valid times: Google uses year 1 for "never"


def field(found: Any, *path: str) -> Any:
    """The value at a path; None if there is none."""
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    return found


def mapping(found: Any, *path: str) -> Row:
    """An object; {} for anything else."""
    value = field(found, *path)
    return value if isinstance(value, dict) else {}


def items(found: Any, *path: str) -> list[Any]:
    """A list; [] for anything else."""
    value = field(found, *path)
    return value if isinstance(value, list) else []


def text(found: Any, *path: str) -> str:
    """A text, or a number as text; "" for anything else. Half a character (JSON's `\\ud800`) becomes `?`."""
    value = field(found, *path)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    kept = str(value)[:LONGEST] if isinstance(value, str) or abs(value) < 1e18 else ""
    return kept.encode("utf-8", "replace").decode()


def last(found: Any, *path: str) -> str:
    """The last part of a resource's name."""
    return text(found, *path).rsplit("/", 1)[-1]


def number(found: Any, *path: str, default: int = 0) -> int:
    """An integer, also from text, as Google encodes int64; the default for anything else."""
    value = field(found, *path)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return default
    try:
        whole = int(value)
    except (ValueError, OverflowError):
        return default
    return whole if abs(whole) < 2**63 else default


def time_of(found: Any, *path: str) -> datetime | None:
    """A time, in UTC if it has no zone; None for anything else."""
    return moment_of(field(found, *path))


def moment_of(value: Any) -> datetime | None:
    """A time in ISO 8601, or a datetime as it is; None for anything else."""
    try:
        read = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    if read.year not in _YEARS:
        return None
    return read if read.tzinfo else read.replace(tzinfo=UTC)


def millis(found: Any, *path: str) -> datetime | None:
    """A time in milliseconds since 1970; None for anything else."""
    value = number(found, *path)
    return datetime.fromtimestamp(value / 1000, UTC) if 0 < value < 7e12 else None
