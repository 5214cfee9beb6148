"""Which values a parameter may have, and which names must be in params; none may look like a secret.

Everything is checked before a kernel starts and before any request. A parameter's name means the same in every runbook,
except `to`.
"""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from runbook.config.schema import Settings
from runbook.config.secret_scan import SECRET_NAME, looks_secret
from runbook.model import BadParameter, UnknownName, moment_of, nearest, table, text_of

_DATA = table(__file__, "values.yaml")
_PATTERNS: dict[str, tuple[str, str, str]] = _DATA["patterns"]  # pattern, what a value must be, what to give
_RANGES: dict[str, tuple[int, int, str]] = _DATA["ranges"]
_WORDS: dict[str, list[str]] = _DATA["words"]
_TIMES = ("as_of", "at", "detected_at")
_NAMES = ("environment", "function", "notify", "world")
_END = datetime.max.replace(tzinfo=UTC)


def required_type(name: str) -> type | None:
    """The type that every runbook must declare for this parameter; None for a name that has no meaning here."""
    texts = {*_PATTERNS, *_TIMES, *_NAMES, *(key.split()[-1] for key in _WORDS)}
    return int if name in _RANGES else str if name in texts else None


def check_values(runbook: str, values: Mapping[str, Any], settings: Settings) -> None:
    """Raise BadParameter for the first value that no plan can use, UnknownName for a name that is not in params."""
    for name, value in values.items():
        if name in _PATTERNS and (value or name in _DATA["needed"]):
            _require_pattern(name, value)
        elif name in _RANGES:
            low, high, hint = _RANGES[name]
            _require(low <= value <= high, name, value, f"is not between {low} and {high}", hint)
        elif name in _TIMES:
            moment_of(value, _END, ZoneInfo("UTC"), name)
        elif words := _WORDS.get(f"{runbook} {name}") or _WORDS.get(name):
            _require(value in words, name, value, "is not available", f"give one of these: {', '.join(words)}.")
    if "function" in values:
        _known(values["function"], "function", [f.name for f in settings.functions], settings)
    for name in names_of(values.get("notify", "")):
        _known(name, "contact", list(settings.contacts), settings)
        sent = bool(values.get("incident"))
        _require(sent, "notify", values["notify"], "is sent only for an incident", "give -p incident=INC-…")
    if runbook == "restore":
        _one_source(values)


def names_of(text: str) -> list[str]:
    """Split names that are separated by commas; each appears once."""
    return list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def checked_incident(name: str) -> str:
    """Return the name of an incident. Raises BadParameter unless it looks like INC-2026-031."""
    _require_pattern("incident", name)
    return name


def _require_pattern(name: str, value: str) -> None:
    pattern, wanted, hint = _PATTERNS[name]
    good = bool(re.fullmatch(pattern, value, re.ASCII)) and (name != "date" or _is_day(value))
    _require(good, name, value, f"is not {wanted}", hint)


def _known(name: str, kind: str, names: list[str], settings: Settings) -> None:
    if name not in names:
        said = f"it is not in params/{settings.environment}.yaml"
        raise UnknownName(f"there is no {kind} {name!r}", said, next=nearest(name, names))


def _require(good: bool, name: str, value: object, observed: str, hint: str) -> None:
    if not good:
        raise BadParameter(f"{name}={value}", observed, next=hint)


def _is_day(value: str) -> bool:
    try:
        return bool(date.fromisoformat(value))
    except ValueError:
        return False


def _one_source(values: Mapping[str, Any]) -> None:
    given = {name: values.get(name, "") for name in ("snapshot", "table", "at")}
    if [bool(v) for v in given.values()] not in ([True, False, False], [False, True, True]):
        raise BadParameter(**text_of(__file__, "two_sources_of_a_table", **given))


# --- secrets: a run writes its parameters into its record


def refuse_secret(name: str, value: object) -> None:
    """Raise BadParameter for a parameter that looks like a secret; the message does not repeat the value."""
    if not name.isidentifier():
        shown = name if re.fullmatch(r"[\w.-]{1,40}", name) else "the text before the first ="
        raise BadParameter(f"{shown!r} is not a parameter name", next="write -p name=value.")
    if SECRET_NAME.search(name) or looks_secret(str(value)):
        raise BadParameter(**text_of(__file__, "looks_like_a_secret", name=name))
