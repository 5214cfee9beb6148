"""Fields of an answer, without exceptions: an absent field or one of another type is empty, None or the default.

`path` names nested objects: `text(entry, "resource", "labels", "service_name")`. Below are rows whose fields are read
by their types, texts with the exception first, and the text of a structured log entry.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import MISSING, fields
from datetime import UTC, date, datetime
from typing import Any, TypeVar

from runbook.cloud import CannotRead
from runbook.model import FactRow, Row, table

TRACEBACK = "Traceback (most recent call last)"
_NEEDED = ("datetime", "int", "date")
_MAY_BE_BAD = ("str", "str | None", "datetime | None", "int | None")  # types that a row is kept without
R = TypeVar("R", bound=FactRow)

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


# --- rows by the types of their class


def filled(kind: type[R], found: Any, **made: Any) -> R:
    """A row from an answer: the fields that paths.yaml lists, read by their types, and those that are `made`."""
    readers = {"str": text, "int": number, "datetime | None": time_of}
    types, paths = {f.name: str(f.type) for f in fields(kind)}, table(__file__, "paths.yaml")[kind.__name__]
    return kind(**{name: readers[types[name]](found, *path) for name, path in paths.items()}, **made)


def typed(found: Sequence[Row], kind: type[R]) -> tuple[list[R], list[str]]:
    """The rows of an answer by the types of their class, and the columns that have values of another type.

    A row without a needed value is left out, and so is one with a number that cannot be read: no number would mean
    something else. A needed text is "unknown". Raises CannotRead if a column is missing.
    """
    columns = {f.name: str(f.type) for f in fields(kind) if f.default in (MISSING, None)}
    if lost := sorted({c for row in found for c in columns if c not in row}):
        raise CannotRead(f"the answer has no column {', '.join(lost)}", "repeat this run; if it stays, report it.")
    rows, wrong = [], set[str]()
    for row in found:
        made = {name: _read(row[name], type) for name, type in columns.items()}
        bad = {n for n, v in made.items() if v is None and (row[n] is not None or columns[n] in _NEEDED)}
        wrong |= bad
        if all(columns[name] in _MAY_BE_BAD for name in bad):
            rows.append(kind(**made | {n: "unknown" for n, type in columns.items() if type == "str" and not made[n]}))
    return rows, sorted(wrong)


def _read(value: Any, type_: str) -> Any:
    """A value of a column; None if there is none, or if it is of another type."""
    kind = type_.removesuffix(" | None")
    if kind == "str":
        said = headline(text({"it": value}, "it"))
        return said if said or value == "" else None
    if kind == "int":
        whole = number({"it": value}, "it", default=-1)
        return whole if whole >= 0 else None
    if kind == "date":
        return value if type(value) is date else None
    return {"datetime": moment_of(value), "bool": value is True}.get(kind, value)


def headline(said: str) -> str:
    """A text; for a traceback, with the line of the exception first, because the text may be cut later."""
    start = said.find(TRACEBACK)
    lines = said[start:].splitlines() if start >= 0 else []
    frames = [n for n, line in enumerate(lines) if line.startswith((" ", TRACEBACK))]
    if not frames or len(lines) <= frames[-1] + 1:
        return said
    first = frames[-1] + 1
    return "\n".join((*lines[first:], said[:start].rstrip(), *lines[:first]))


# --- the text of a structured log entry: its message, and the error that stands in other fields beside it
#
# Logging formats differ in where they put an error; `errors_in` and `members` of logs.yaml have the names. Other fields
# are not read, because they can be the words of customers.

LOGS: dict[str, Any] = table(__file__, "logs.yaml")
_CODE = re.compile(r"[45]\d\d|[A-Z][A-Z\d]*(?:_[A-Z\d]+)+|[A-Z]{5,}|[a-z]+(?:[A-Z][a-z]+)+")  # no word of every day


def payload_text(payload: Row) -> str:
    """The message, the error, and the codes as the body of an error has them; "" if there is none of them."""
    message = next((found for path in LOGS["said"] if (found := text(payload, *path))), "")
    errors = [_members(payload, path) for path in LOGS["errors_in"]]
    own = {key: code for key in LOGS["codes"] if _CODE.fullmatch(code := text(payload, key))}
    words = [line for one in errors if (line := _words(one)) not in message]
    trace = _words({"stack": _first(payload, "trace")})
    bodies = [json.dumps(codes) for codes in (*map(_codes, errors), own) if codes]
    return "\n".join(dict.fromkeys(part for part in (message, *words, trace, *bodies) if part))


def _members(payload: Row, path: list[str]) -> Row:
    """The members of an error: of an object, of the first one in a list, and of flat names; a text is its message."""
    value, name = field(payload, *path), path[-1]
    value = next(iter(value), "") if isinstance(value, list) else value
    found = value if isinstance(value, dict) else {"message": value}
    for key, inner in mapping(payload, *path[:-1]).items():
        if flat := re.fullmatch(rf"{name}(?:[._](\w+)|([A-Z]\w*))", key):
            found = {**found, flat[1] or flat[2].lower(): inner}
    return found


def _first(found: Row, member: str) -> str:
    return next((value for name in LOGS["members"][member] if (value := text(found, name))), "")


def _words(error: Row) -> str:
    """The class and the message; if there is none, Python's traceback, or the first line of another one."""
    kind, words, trace = (_first(error, member) for member in ("kind", "words", "trace"))
    words = words or (trace if TRACEBACK in trace else trace.partition("\n")[0])
    kind = kind if re.fullmatch(r"[\w.$]+", kind) and kind not in words else ""
    return ": ".join(filter(None, (kind, words)))


def _codes(error: Row) -> Row:
    codes = LOGS["members"]["codes"]
    return {key: code for key in codes if re.fullmatch(r"[\w.-]{1,60}", code := text(error, key))}
