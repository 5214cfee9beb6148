"""What a parameter's value must look like beyond its type, and the names that params must know: checked at once, before
a kernel starts and before anything is asked. A name means the same in every runbook, `to` aside.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from datetime import UTC, date, datetime
from difflib import get_close_matches
from typing import Any
from zoneinfo import ZoneInfo

from runbook.errors import BadParameter, UnknownName
from runbook.moment import moment_of
from runbook.settings import Settings

TYPES = ("STRING", "BYTES", "INT64", "FLOAT64", "NUMERIC", "BIGNUMERIC", "BOOL", "TIMESTAMP", "DATE", "TIME",
         "DATETIME", "JSON")  # fmt: skip
_PATTERNS = {  # parameter → (pattern, what another value is, what to give)
    "memory": (r"[1-9]\d{0,4}(Mi|Gi|M|G)", "no amount of memory", 'write it as "512Mi" or "1Gi".'),
    "date": (r"\d{8}", "no date like 20260311", 'give one, or "" for today.'),
    "column": (r"[A-Za-z_]\w{0,299}", "no name of a column", "letters, digits and _ only."),
    "into": (r"[A-Za-z_]\w{0,299}", "no name of a table", "letters, digits and _ only."),
    "incident": (r"INC-[A-Za-z0-9][A-Za-z0-9-]{0,40}", "no name of an incident", "write it as INC-2026-031."),
    "jobs": (r".*[^\s,].*", "no name of a job", "give names with commas."),
}
_NEEDED = ("column", "jobs")  # of the others "" means that nothing is asked
_RANGES = {  # https://cloud.google.com/functions/quotas: an HTTP function runs for an hour at the most
    "timeout_s": (0, 3600, "0 keeps what it has."),
    "keep_days": (1, 3650, "give the days to keep it."),
    "version": (0, 10**9, "0 is the newest that fits."),
}
_WORDS: dict[str, Collection[str]] = {
    "type": TYPES,
    "mode": ("NULLABLE", "REPEATED"),
    "scheduler to": ("pause", "resume"),
    "retire_secret to": ("disable", "enable"),
}
_TIMES = ("as_of", "at", "detected_at")
_END = datetime.max.replace(tzinfo=UTC)


def check(runbook: str, values: Mapping[str, Any], settings: Settings) -> None:
    """Raise BadParameter for the first value that no plan could use, UnknownName for a name that params do not know."""
    for name, value in values.items():
        if name in _PATTERNS and (value or name in _NEEDED):
            pattern, other, hint = _PATTERNS[name]
            _hold(bool(re.fullmatch(pattern, value, re.ASCII)) and _day(name, value), name, value, f"is {other}", hint)
        elif name in _RANGES:
            low, high, hint = _RANGES[name]
            _hold(low <= value <= high, name, value, f"lies outside {low} to {high}", hint)
        elif name in _TIMES:
            moment_of(value, _END, ZoneInfo("UTC"), name)
        elif words := _WORDS.get(f"{runbook} {name}") or _WORDS.get(name):
            _hold(value in words, name, value, "is not offered", f"give one of these: {', '.join(words)}.")
        elif name == "function":
            _known(value, [f.name for f in settings.functions], settings)
    if runbook == "restore":
        _one_source(values)


def checked_incident(name: str) -> str:
    """The name of an incident. Raises BadParameter for anything but INC-…"""
    pattern, other, hint = _PATTERNS["incident"]
    _hold(bool(re.fullmatch(pattern, name)), "incident", name, f"is {other}", hint)
    return name


def _known(name: str, names: list[str], settings: Settings) -> None:
    if name not in names:
        near = get_close_matches(name, names, 1, 0.5)
        raise UnknownName(
            f"there is no function {name!r}", f"params/{settings.environment}.yaml has: {', '.join(names)}",
            next=f"did you mean {near[0]}?" if near else "name one of these; a new one goes into params first.",
        )  # fmt: skip


def _hold(good: bool, name: str, value: object, observed: str, hint: str) -> None:
    if not good:
        raise BadParameter(f"{name}={value}", observed, next=hint)


def _day(name: str, value: str) -> bool:
    """Whether a date is one of the calendar; true for all other parameters."""
    try:
        return name != "date" or bool(date.fromisoformat(value))
    except ValueError:
        return False


def _one_source(values: Mapping[str, Any]) -> None:
    given = {name: values[name] for name in ("snapshot", "table", "at")}
    if [bool(v) for v in given.values()] not in ([True, False, False], [False, True, True]):
        raise BadParameter(
            ", ".join(f"{name}={value}" for name, value in given.items()),
            "a table is restored from a snapshot or from its own past, not from both or neither",
            next="give snapshot alone; or table and at beside an empty snapshot: -p snapshot=",
        )
