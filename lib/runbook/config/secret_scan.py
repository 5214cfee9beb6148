"""Refuses parameters that look like a secret, because a run writes its parameters into its record."""

from __future__ import annotations

import math
import re
from collections import Counter

from runbook.model.errors import BadParameter

# Parameter names whose values are secrets. `secret` and `secret_name` hold only the name of a secret.
_SECRET_NAME = re.compile(
    r"passw|passphrase|token|credential|bearer|(api|access|private)_?key|client_?secret|secret_?(value|key|data|payload)",
    re.IGNORECASE,
)

# Prefixes of well-known secrets: PEM, Google (API key, access and refresh token, client secret), Slack, GitHub, GitLab,
# AWS, Stripe and others, HubSpot, a JSON Web Token, a service account's key file, a password inside a URL.
_SECRET_VALUE = re.compile(
    r"-----BEGIN |AIza[\w-]{20}|\bya29\.|\b1//0\w|GOCSPX-|\bxox[a-z]-|hooks\.slack\.com/services/|\bgh[a-z]_\w{20}"
    r"|github_pat_|glpat-|\bAKIA[0-9A-Z]{12}|\b[sr]k[-_]\w{16}|\bpat-[a-z0-9]+-[0-9a-f]{8}|\beyJ[\w-]{8,}\.[\w-]{8,}"
    r"|\"private_key\"|://[^/\s:@]+:[^/\s@]+@"
)


def refuse_secret(name: str, value: object) -> None:
    """Raise BadParameter for a parameter that looks like a secret; the message does not repeat the value."""
    if not name.isidentifier():
        shown = name if re.fullmatch(r"[\w.-]{1,40}", name) else "the text before the first ="
        raise BadParameter(f"{shown!r} is not a parameter name", next="write -p name=value.")
    if _SECRET_NAME.search(name) or looks_secret(str(value)):
        raise BadParameter(
            f"the parameter {name} looks like a secret",
            "its value is not shown here; a run writes its parameters into its record",
            "Nothing was run and nothing was written.",
            "leave it out. If it is a real secret, rotate it: it is now in your shell history.",
        )


def looks_secret(value: str) -> bool:
    """Whether a value contains a known prefix of a secret, or a long random string.

    A random string has 32 or more characters, with upper case, lower case and digits, and more than 4.2 bits of entropy
    a character. Hexadecimal digests, plan ids, paths and resource names are not random in this sense.
    """
    return bool(_SECRET_VALUE.search(value)) or any(map(_random, re.findall(r"[A-Za-z0-9+_=-]{32,}", value)))


def _random(word: str) -> bool:
    mixed = all(re.search(kind, word) for kind in ("[A-Z]", "[a-z]", "[0-9]"))
    return mixed and -sum(n / len(word) * math.log2(n / len(word)) for n in Counter(word).values()) > 4.2
