"""How values travel in Google's JSON: timestamps, etags, pages, and what is not there."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from zlib import crc32

from gcp_sandbox.http import ApiError, Call


def stamp(moment: datetime) -> str:
    """RFC 3339 in UTC, as google-datetime fields are written."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def millis(moment: datetime) -> str:
    """Milliseconds since 1970 as the text that BigQuery's int64 fields are."""
    return str(int(moment.timestamp() * 1000))


def digest(*seed: object) -> str:
    """64 hexadecimal digits that always are the same for the same seed: for ids that only have to differ."""
    return sha256(repr(seed).encode()).hexdigest()


def number(*seed: object, below: int) -> int:
    """A number that looks random and always is the same for the same seed."""
    return crc32(repr(seed).encode()) % below


def etag(*seed: object) -> str:
    """An etag, with the quotes that belong to it."""
    return f'"{digest(*seed)[:14]}"'


def page(call: Call, key: str, items: Sequence[Any], most: int) -> dict[str, Any]:
    """One page of a list: up to `pageSize` items, `most` of them where the caller names no size or a larger one.

    Raises ApiError 400 for a token that no list gave, and 501 for a `filter` or `orderBy`, which no list here knows.
    """
    for name in ("filter", "orderBy"):
        if call.args.get(name):
            raise ApiError(501, "UNIMPLEMENTED", f"gcp_sandbox lists {key} without {name}")
    start, size = _number(call, "pageToken"), _number(call, "pageSize")
    end = start + min(size or most, most)
    answer = {key: list(items[start:end])} if items[start:end] else {}
    return {**answer, "nextPageToken": str(end)} if end < len(items) else answer


def _number(call: Call, name: str) -> int:
    value = call.args.get(name) or "0"
    if not value.isdigit():
        raise ApiError(400, "INVALID_ARGUMENT", f"Invalid value for {name}: {value}")
    return int(value)


def not_found(message: str, resource: str = "") -> ApiError:
    """404 in the words of one API; `resource` names what is missing, where the API adds that."""
    info = {"@type": "type.googleapis.com/google.rpc.ResourceInfo", "resourceName": resource}
    return ApiError(404, "NOT_FOUND", message, details=[info] if resource else [])
