"""Whether a parameter looks like a secret: it would be written into the record."""

from __future__ import annotations

import math
import re
from collections import Counter

from runbook.model.errors import BadParameter

# A name that says that its value is a secret; a secret's *name* (`secret`, `secret_name`) is none.
_SECRET_NAME = re.compile(
    r"passw|passphrase|token|credential|bearer|(api|access|private)_?key|client_?secret|secret_?(value|key|data|payload)",
    re.IGNORECASE,
)

# How well-known secrets begin: PEM, Google (API key, access and refresh token, client secret), Slack, GitHub, GitLab,
# AWS, Stripe and others, HubSpot, a JSON Web Token, a service account's key file, a password inside a URL.
_SECRET_VALUE = re.compile(
    r"-----BEGIN |AIza[\w-]{20}|\bya29\.|\b1//0\w|GOCSPX-|\bxox[a-z]-|hooks\.slack\.com/services/|\bgh[a-z]_\w{20}"
    r"|github_pat_|glpat-|\bAKIA[0-9A-Z]{12}|\b[sr]k[-_]\w{16}|\bpat-[a-z0-9]+-[0-9a-f]{8}|\beyJ[\w-]{8,}\.[\w-]{8,}"
    r"|\"private_key\"|://[^/\s:@]+:[^/\s@]+@"
)


def refuse_secret(name: str, value: object) -> None:
    """Parameters are written into the record, so a secret must never be one. The message does not repeat the value."""
    if not name.isidentifier():
        shown = name if re.fullmatch(r"[\w.-]{1,40}", name) else "what stands before the first ="
        raise BadParameter(f"{shown!r} is no parameter's name", next="write -p name=value.")
    if _SECRET_NAME.search(name) or (isinstance(value, str) and looks_secret(value)):
        raise BadParameter(
            f"the parameter {name} looks like a secret",
            "its value is not shown here; parameters are written into the record of a run",
            "Nothing was run and nothing was written.",
            "leave it out. If it is a real secret, it now is in your shell's history: rotate it.",
        )


def looks_secret(value: str) -> bool:
    """Whether a value begins like a known kind of secret, or holds a long random string.

    Random means 32 or more characters without a break, of upper case, lower case and digits, with more than 4.2 bits of
    entropy each; so hexadecimal digests, plan ids, paths and resource names are none.
    """
    return bool(_SECRET_VALUE.search(value)) or any(map(_random, re.findall(r"[A-Za-z0-9+_=-]{32,}", value)))


def _random(word: str) -> bool:
    mixed = all(re.search(kind, word) for kind in ("[A-Z]", "[a-z]", "[0-9]"))
    return mixed and -sum(n / len(word) * math.log2(n / len(word)) for n in Counter(word).values()) > 4.2
