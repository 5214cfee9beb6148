"""The text of a structured log entry: its message, and the error that stands in other fields beside it.

Logging formats differ in where they put an error; `errors_in` and `members` of logs.yaml have the names. Other fields
are not read, because they can be the words of customers.
"""

import json
import re
from typing import Any

from runbook.facts.fields import TRACEBACK, field, mapping, text
from runbook.model import Row, table

LOGS: dict[str, Any] = table(__file__, "logs.yaml")
_CODE = re.compile(r"[45]\d\d|[A-Z][A-Z\d]*(?:_[A-Z\d]+)+|[A-Z]{5,}|[a-z]+(?:[A-Z][a-z]+)+")  # no word of every day


def said(payload: Row) -> str:
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
