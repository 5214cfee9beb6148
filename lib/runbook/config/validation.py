"""What a parameter's value must look like beyond its type, and the names that params must know: checked at once, before
a kernel starts and before anything is asked. A name means the same in every runbook, `to` aside.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from runbook.config.schema import Settings
from runbook.model.errors import BadParameter, UnknownName, nearest
from runbook.model.moment import moment_of

TYPES = (
    "STRING",
    "BYTES",
    "INT64",
    "FLOAT64",
    "NUMERIC",
    "BIGNUMERIC",
    "BOOL",
    "TIMESTAMP",
    "DATE",
    "TIME",
    "DATETIME",
    "JSON",
)

_LIST = r"\s*[A-Za-z0-9_-]+\s*(,\s*[A-Za-z0-9_-]+\s*)*,?\s*"

# https://cloud.google.com/functions/docs/runtime-support: those that new code may be deployed with
RUNTIMES = tuple(f"python3{minor}" for minor in range(10, 15))

_PATTERNS = {  # parameter → (pattern, what another value is, what to give)
    # https://cloud.google.com/run/docs/configuring/services/memory-limits: from 128 MiB to 32 GiB
    "memory": (
        r"[1-9]\d{2,4}Mi?|([1-9]|[12]\d|3[0-2])Gi?",
        "no amount of memory that a function may have",
        'write it as "512Mi" or "1Gi"; 32Gi is the most.',
    ),
    "date": (r"\d{8}", "no date like 20260311", 'give one, or "" for today.'),
    "column": (r"[A-Za-z_]\w{0,299}", "no name of a column", "letters, digits and _ only."),
    "into": (r"[A-Za-z_]\w{0,299}", "no name of a table", "letters, digits and _ only."),
    "incident": (r"INC-[A-Za-z0-9][A-Za-z0-9-]{0,40}", "no name of an incident", "write it as INC-2026-031."),
    "jobs": (_LIST, "no name of a job", "give names with commas."),
    "tables": (_LIST, "no name of a table", 'give names with commas, or "" for all.'),
    "table": (r"[\w -]{1,300}", "no name of a table", "letters, digits, - and _ only."),
    "snapshot": (r"[\w -]{1,300}", "no name of a snapshot", "letters, digits, - and _ only."),
    "secret": (r"[A-Za-z0-9_-]{1,255}", "no name of a secret", "letters, digits, _ and - only."),
    "revision": (r"[a-z][a-z0-9-]{0,62}", "no name of a revision", "write it as the list of revisions does."),
    "approved_plan": (r"[0-9a-f]{12,64}", "no id of a plan", "give the id that planning printed, 12 characters."),
    "entry_point": (r"[A-Za-z_]\w{0,99}", "no name of a function in main.py", "letters, digits and _ only."),
}

_NEEDED = ("column", "entry_point", "jobs", "secret")  # of the others "" means that nothing is asked

_RANGES = {  # https://cloud.google.com/functions/quotas: an HTTP function runs for an hour at the most
    "timeout_s": (0, 3600, "0 keeps what it has."),
    "keep_days": (1, 3650, "give the days to keep it."),
    "version": (0, 10**9, "0 is the newest that fits."),
}

_WORDS: dict[str, Collection[str]] = {
    "type": TYPES,
    "runtime": RUNTIMES,
    "mode": ("NULLABLE", "REPEATED"),
    "scheduler to": ("pause", "resume"),
    "retire_secret to": ("disable", "enable"),
}

_TIMES = ("as_of", "at", "detected_at")
_END = datetime.max.replace(tzinfo=UTC)


def check_values(runbook: str, values: Mapping[str, Any], settings: Settings) -> None:
    """Raise BadParameter for the first value that no plan could use, UnknownName for a name that params do not know."""
    for name, value in values.items():
        if name in _PATTERNS and (value or name in _NEEDED):
            pattern, other, hint = _PATTERNS[name]
            good = bool(re.fullmatch(pattern, value, re.ASCII)) and (name != "date" or _is_day(value))
            _require(good, name, value, f"is {other}", hint)
        elif name in _RANGES:
            low, high, hint = _RANGES[name]
            _require(low <= value <= high, name, value, f"lies outside {low} to {high}", hint)
        elif name in _TIMES:
            moment_of(value, _END, ZoneInfo("UTC"), name)
        elif words := _WORDS.get(f"{runbook} {name}") or _WORDS.get(name):
            _require(value in words, name, value, "is not offered", f"give one of these: {', '.join(words)}.")
    if "function" in values:
        _known(values["function"], "function", [f.name for f in settings.functions], settings)
    for name in names_of(values.get("notify", "")):
        _known(name, "contact", list(settings.contacts), settings)
        _require(
            bool(values["incident"]), "notify", values["notify"], "is sent once an incident", "give -p incident=INC-…"
        )
    if runbook == "restore":
        _one_source(values)


def names_of(text: str) -> list[str]:
    """Names that are written with commas, each once."""
    return list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def checked_incident(name: str) -> str:
    """The name of an incident. Raises BadParameter for anything but INC-…"""
    pattern, other, hint = _PATTERNS["incident"]
    _require(bool(re.fullmatch(pattern, name)), "incident", name, f"is {other}", hint)
    return name


def _known(name: str, kind: str, names: list[str], settings: Settings) -> None:
    if name not in names:
        raise UnknownName(
            f"there is no {kind} {name!r}",
            f"it is not in params/{settings.environment}.yaml",
            next=nearest(name, names),
        )


def _require(good: bool, name: str, value: object, observed: str, hint: str) -> None:
    if not good:
        raise BadParameter(f"{name}={value}", observed, next=hint)


def _is_day(value: str) -> bool:
    try:
        return bool(date.fromisoformat(value))
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
