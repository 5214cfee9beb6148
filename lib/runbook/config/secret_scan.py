"""Refuses parameters that look like a secret, because a run writes its parameters into its record."""

from __future__ import annotations

import math
import re
from collections import Counter

from runbook.config.data_file import table
from runbook.model.errors import BadParameter

_DATA = table(__file__, "secrets.yaml")
_SECRET_NAME = re.compile("|".join(_DATA["names"]), re.IGNORECASE)
_SECRET_VALUE = re.compile("|".join(_DATA["values"]))


def refuse_secret(name: str, value: object) -> None:
    """Raise BadParameter for a parameter that looks like a secret; the message does not repeat the value."""
    if not name.isidentifier():
        shown = name if re.fullmatch(r"[\w.-]{1,40}", name) else "the text before the first ="
        raise BadParameter(f"{shown!r} is not a parameter name", next="write -p name=value.")
    if _SECRET_NAME.search(name) or looks_secret(str(value)):
        what = f"the parameter {name} looks like a secret"
        why = "its value is not shown here; a run writes its parameters into its record"
        hint = "leave it out. If it is a real secret, rotate it: it is now in your shell history."
        raise BadParameter(what, why, "Nothing was run and nothing was written.", hint)


def looks_secret(value: str) -> bool:
    """Whether a value contains a known prefix of a secret, or a long random string.

    A random string has 32 or more characters, with upper case, lower case and digits, and more than 4.2 bits of entropy
    a character. Hexadecimal digests, plan ids, paths and resource names are not random in this sense.
    """
    return bool(_SECRET_VALUE.search(value)) or any(map(_random, re.findall(r"[A-Za-z0-9+_=-]{32,}", value)))


def _random(word: str) -> bool:
    mixed = all(re.search(kind, word) for kind in ("[A-Z]", "[a-z]", "[0-9]"))
    return mixed and -sum(n / len(word) * math.log2(n / len(word)) for n in Counter(word).values()) > 4.2
