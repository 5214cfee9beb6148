"""Google's own word about its APIs: the discovery documents that google-api-python-client ships."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import googleapiclient

DOCUMENTS = Path(googleapiclient.__file__).parent / "discovery_cache" / "documents"
APIS = {
    "bigquery": ["bigquery.v2"],
    "logging": ["logging.v2"],
    "cloudfunctions": ["cloudfunctions.v2"],
    "run": ["run.v2"],
    "secretmanager": ["secretmanager.v1"],
    "cloudscheduler": ["cloudscheduler.v1"],
    "monitoring": ["monitoring.v3"],
    "cloudresourcemanager": ["cloudresourcemanager.v3", "cloudresourcemanager.v1"],
    "storage": ["storage.v1"],
}


@cache
def document(name: str) -> dict[str, Any]:
    return json.loads((DOCUMENTS / f"{name}.json").read_text())


def methods(name: str) -> Iterator[tuple[dict[str, Any], str]]:
    """Every method of a document with its URL, whose variables still stand in braces."""
    root = document(name)

    def walk(part: dict[str, Any]) -> Iterator[dict[str, Any]]:
        yield from part.get("methods", {}).values()
        for inner in part.get("resources", {}).values():
            yield from walk(inner)

    for method in walk(root):
        yield method, root["rootUrl"] + root["servicePath"] + method.get("flatPath", method["path"])


def by_media(name: str) -> Iterator[tuple[dict[str, Any], str]]:
    """The methods of a document that send or take bytes, each with the URL that is for bytes."""
    root = document(name)
    for method, url in methods(name):
        if simple := method.get("mediaUpload", {}).get("protocols", {}).get("simple"):
            yield method, root["rootUrl"].rstrip("/") + simple["path"]
        if method.get("useMediaDownloadService"):
            # https://cloud.google.com/storage/docs/request-endpoints: downloads have a path of their own.
            yield method, url.replace(root["rootUrl"], f"{root['rootUrl']}download/")


def shape(path: str) -> str:
    """A path with its variables unnamed, so that two writings of the same path are equal."""
    return re.sub(r"\{[^}]*\}", "{}", urlsplit(path).path or path)


def misfits(name: str, schema: dict[str, Any], value: Any, where: str = "answer") -> list[str]:
    """Where a JSON value does not fit a schema of a discovery document: unknown keys, wrong types, unknown enum values."""
    if "$ref" in schema:
        schema = document(name)["schemas"][schema["$ref"]]
    kind = schema.get("type", "any")
    if kind == "any":
        return []
    if not isinstance(value, _PYTHON[kind]) or (isinstance(value, bool) and kind != "boolean"):
        return [f"{where} is {type(value).__name__}, not {kind}"]
    if kind == "array":
        return [m for n, v in enumerate(value) for m in misfits(name, schema["items"], v, f"{where}[{n}]")]
    if kind == "object":
        return [m for k, v in value.items() for m in _member(name, schema, k, v, f"{where}.{k}")]
    if schema.get("format") in ("int64", "uint64") and not re.fullmatch(r"-?\d+", value):
        return [f"{where} is {value!r}, not an int64 as a string"]
    if "enum" in schema and value not in schema["enum"]:
        return [f"{where} is {value!r}, which is no value of the enum"]
    return []


_PYTHON: dict[str, Any] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "array": list,
    "object": dict,
}


def _member(name: str, schema: dict[str, Any], key: str, value: Any, where: str) -> list[str]:
    properties = schema.get("properties", {})
    if key in properties:
        return misfits(name, properties[key], value, where)
    if "additionalProperties" in schema:
        return misfits(name, schema["additionalProperties"], value, where)
    return [f"{where} is no property"]
