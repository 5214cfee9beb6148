"""Values in Google's JSON: timestamps, etags, pages, 404 errors, and the shapes of resources, which are data.

The YAML file beside a module has its shapes. A value that begins with $ is one given value, or no key if that is None;
in all other texts, the names in braces are filled in. Both may name an attribute of a value: `$function.memory`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache, reduce
from hashlib import sha256
from pathlib import Path
from typing import Any
from zlib import crc32

import yaml

from gcp_sandbox.http import ApiError, Call


def stamp(moment: datetime, digits: int = 6) -> str:
    """RFC 3339 in UTC, with 0, 3, 6 or 9 digits after the second; a whole second gets some microseconds of its own."""
    at = moment.astimezone(UTC)
    micros = at.microsecond or 1 + number("micros", at, below=999)
    fraction = f".{micros:06}{number('nanos', at, below=1000):03}"[: digits + 1] if digits else ""
    return f"{at:%Y-%m-%dT%H:%M:%S}{fraction}Z"


def sent(value: Any) -> Any:
    """A resource as Google's servers send it: without the fields that are empty, false or zero."""
    if isinstance(value, list):
        return [sent(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {key: sent(inner) for key, inner in value.items() if inner or inner == {}}


def fill(module: str, name: str, /, **values: Any) -> Any:
    """A shape in the YAML file of a module, which is given by its `__file__`, filled in with values."""
    return _filled(shapes(module)[name], values)


@cache
def shapes(module: str) -> dict[str, Any]:
    """What the YAML file of a module has: its shapes, and tables, which are not filled in."""
    text = Path(module).with_suffix(".yaml").read_text(encoding="utf-8")
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def _filled(part: Any, values: dict[str, Any]) -> Any:
    if isinstance(part, dict):
        made = {key: _filled(inner, values) for key, inner in part.items()}
        return {key: value for key, value in made.items() if value is not None or part[key] is None}
    if isinstance(part, list):
        return [_filled(inner, values) for inner in part]
    if isinstance(part, str) and part.startswith("$"):
        name, *attributes = part[1:].split(".")
        return reduce(getattr, attributes, values[name])
    return part.format_map(values) if isinstance(part, str) else part


def millis(moment: datetime) -> str:
    """Milliseconds since 1970 as text, the format of BigQuery's int64 fields."""
    return str(int(moment.timestamp() * 1000))


def digest(*seed: object) -> str:
    """64 hexadecimal digits, always the same for the same seed, for ids that only need to differ."""
    return sha256(repr(seed).encode()).hexdigest()


def number(*seed: object, below: int) -> int:
    """A number that looks random but is always the same for the same seed."""
    return crc32(repr(seed).encode()) % below


def etag(*seed: object) -> str:
    """An etag, including its quotes."""
    return f'"{digest(*seed)[:14]}"'


def page(call: Call, key: str, items: Sequence[Any], most: int) -> dict[str, Any]:
    """One page of a list: up to `pageSize` items, or `most` if the caller requests no size or a larger one.

    Raises ApiError 400 for an invalid token, and 501 for `filter` and `orderBy`, which no list here supports.
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
    """404 with the message of one API; `resource` names what is missing, if the API adds that."""
    info = {"@type": "type.googleapis.com/google.rpc.ResourceInfo", "resourceName": resource}
    return ApiError(404, "NOT_FOUND", message, details=[info] if resource else [])
