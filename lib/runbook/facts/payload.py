"""The text of a structured log entry: its message, and the error that stands in other fields beside it.

Logging formats differ in where they put an error; `errors_in` and `members` of logs.yaml have the names. Other fields
are not read, because they can be the words of customers.
"""

import json
import re
from typing import Any

from runbook.facts.fields import TRACEBACK, field, mapping, text
from runbook.model import Row, table

FORMATS: dict[str, Any] = table(__file__, "logs.yaml")
_CODE = re.compile(r"[45]\d\d|[A-Z][A-Z\d]*(?:_[A-Z\d]+)+|[A-Z]{5,}|[a-z]+(?:[A-Z][a-z]+)+")  # no word of every day


def said(payload: Row) -> str:
    """The error, then the message, then the traceback; "" if there is none of them."""
    message = next((found for path in FORMATS["said"] if (found := text(payload, *path))), "")
    errors = [found for path in FORMATS["errors_in"] if (found := _members(payload, path))]
    traces = [trace for one in [*errors, {"stack": _first(payload, FORMATS["traces"])}] if (trace := _trace(one))]
    own = {key: code for key in FORMATS["codes"] if _CODE.fullmatch(code := text(payload, key))}
    words = [line for one in errors if (line := _words(one)) not in message]
    bodies = [json.dumps(codes) for codes in (*map(_codes, errors), own) if codes]
    return "\n".join(dict.fromkeys(part for part in (*words, message, *bodies, *traces) if part))


def _members(payload: Row, path: list[str]) -> Row:
    """The members of an error: of an object, of the first one in a list, and of flat names; a text is its words."""
    value, name = field(payload, *path), path[-1]
    value = value[0] if isinstance(value, list) and value else value
    found = value if isinstance(value, dict) else {}
    for key, inner in mapping(payload, *path[:-1]).items():
        if flat := re.fullmatch(rf"{name}(?:[._](\w+)|([A-Z]\w*))", key):
            found = {flat[1] or flat[2].lower(): inner, **found}
    if isinstance(value, str):
        found = {"stack" if TRACEBACK in value else "message": value, **found}
    return found


def _first(found: Row, names: list[str]) -> str:
    return next((value for name in names if (value := text(found, name))), "")


def _words(error: Row) -> str:
    """The class and the message; the first line of a trace, if there is no message."""
    names = FORMATS["members"]
    kind, words = (_first(error, names[name]) for name in ("kind", "words"))
    words = words or _first(error, names["trace"]).partition("\n")[0]
    kind = kind if re.fullmatch(r"[\w.$]+", kind) and kind not in words else ""
    return ": ".join(filter(None, (kind, "" if TRACEBACK in words else words)))


def _codes(error: Row) -> dict[str, str]:
    """The codes, as they stand in the body of an error."""
    return {key: code for key in FORMATS["members"]["codes"] if re.fullmatch(r"[\w.-]{1,60}", code := text(error, key))}


def _trace(error: Row) -> str:
    """The traceback of Python, with the exception in its last line."""
    every = (text(error, name) for kind in ("trace", "words") for name in FORMATS["members"][kind])
    return next((found for found in every if TRACEBACK in found), "")
