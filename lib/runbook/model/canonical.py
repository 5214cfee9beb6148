"""Canonical JSON, and the plan id that is computed from it. Pure."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any


def canonical(data: Any) -> bytes:
    """Data as canonical JSON: equal data gives equal bytes (sorted keys, no spaces, UTF-8).

    Raises ValueError or TypeError.
    """
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def plan_id(content: Mapping[str, Any]) -> str:
    """The id of a plan: the SHA-256, in hex, of its canonical content."""
    return hashlib.sha256(canonical(content)).hexdigest()
