"""Makes tests/shapes.yaml: what Google documents of each answer that runbooks read, and what is recorded of it.

The fields are those of the discovery documents, where an object whose keys people choose has the one field `*`. What is
inside an object of any form is left out: its keys may be anybody's. `make fix` writes the file; a test compares it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from textwrap import indent
from typing import Any

import yaml
from google.cloud.audit import audit_log_pb2

from runbook.cloud.guard import READS, Listed
from tests.compare import KNOWN, collection_of
from tests.compare import shape as shape_of
from tests.conformance.discovery import APIS, document, methods, shape

ROOT = Path(__file__).parents[1]
FILE = ROOT / "tests/shapes.yaml"
REAL = ROOT / "tests/real"
# How the name of a recorded answer begins → its collection. What BigQuery sends says itself what it is (OF_BIGQUERY).
KINDS = {
    "audit": "logging.entries",
    "copy": "bigquery.jobs",
    "dataset": "bigquery.datasets",
    "dry": "bigquery.jobs",
    "error": "error",
    "function": "cloudfunctions.functions",
    "job": "cloudscheduler.jobs",
    "list_entries": "logging.entries",
    "list_functions": "cloudfunctions.functions",
    "list_jobs": "cloudscheduler.jobs",
    "list_tables": "bigquery.tables",
    "list_versions": "secretmanager.versions",
    "log": "logging.entries",
    "permissions": "cloudresourcemanager.permissions",
    "query": "bigquery.queries",
    "revision": "run.revisions",
    "series": "monitoring.timeSeries",
    "service": "run.services",
    "snapshot": "bigquery.tables",
    "table": "bigquery.tables",
    "version": "secretmanager.versions",
}
# Answers of status pages, pages of proxies, and tokens: no listed read asks for them.
NO_READ = {"feed", "html", "token"}
# `kind` of an answer → its collection. The answer to a POST of a query has none: that is no listed read.
OF_BIGQUERY = {"bigquery#job": "bigquery.jobs", "bigquery#queryResponse": ""}
# Large parts that runbooks do not read.
LEFT_OUT = {"ExternalDataConfiguration", "JobConfiguration", "JobStatistics"}
# Keys of names that people choose, such as that of a variable.
CHOSEN = {"key", "name"}
# Formats of texts, the first that fits.
FORMATS = {
    "empty text": "",
    "RFC 3339 time": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)",
    "int64 as text": r"-?\d+",
    "duration": r"\d+(\.\d+)?s",
    "quantity": r"\d+(\.\d+)?(m|[kKMGT]i?)",
    "URL": r"https?://.*",
    "resource name": r"(//[a-z.]+/)?(projects|organizations|folders|namespaces)/.*",
    "e-mail": r"[^@\s]+@[^@\s]+",
}
HEADER = """\
# Made by make fix (tests/shapes.py). words: those that Google uses for a value. formats: of texts, the first that fits.
# collections: fields (documented; `*` is a key that people choose, null is not looked into), recorded (their kinds in tests/real),
# always (in every recorded answer).
"""


def made() -> str:
    """The text of the file."""
    collections: dict[str, Any] = {"error": {"fields": {}}}
    words = {word for value in recorded() for word in _words(value)}
    for read in READS:
        name, schema = _described(read)
        words |= set(_enums(name, schema, set()))
        tree, collection = _tree(name, schema), collection_of(read)
        tree = {collection.partition(".")[2]: {"[]": tree}} if read.path.endswith("/*") else tree
        _merge(collections.setdefault(collection, {"fields": {}})["fields"], tree)
    entry = collections["logging.entries"]["fields"]["entries"]["[]"]
    entry["protoPayload"] = {"@type": None, **_of_message(audit_log_pb2.AuditLog.DESCRIPTOR)}
    for value in recorded("error"):
        _merge(collections["error"]["fields"], _of_value(value))
    KNOWN.update(words=words, formats=FORMATS)  # recorded kinds are those of the new words
    for collection, known in collections.items():
        known |= _recorded(collection, known["fields"])
    lines = [HEADER + yaml.safe_dump({"words": sorted(words)}, width=120, default_flow_style=None)]
    lines.append(yaml.safe_dump({"formats": FORMATS}, sort_keys=False) + "collections:\n")
    for collection, known in sorted(collections.items()):
        fields = yaml.safe_dump({"fields": known.pop("fields")}, width=120, default_flow_style=None)
        lines.append(f"  {collection}:\n{indent(fields + yaml.safe_dump(known, width=1000, sort_keys=False), ' ' * 4)}")
    return "".join(lines)


def recorded(of: str = "") -> list[Any]:
    """The recorded answers about a collection, each as its list would give it; all of them for ""."""
    return [value for value, collection in _collected() if of in ("", collection)]


def _collected() -> Iterator[tuple[Any, str]]:
    """Each recorded answer, as its list would give it, with its collection; a page that is no JSON has none."""
    for path in sorted(REAL.glob("*.json")):
        begin, value = kind_of(path.stem), json.loads(path.read_text(encoding="utf-8"))
        whole = begin.startswith("list_") or begin in ("error", "permissions")
        for answer in value if begin == "query" else [value]:
            if begin in NO_READ or "body" in answer:
                continue
            kind = answer.get("kind", "") if isinstance(answer, dict) else ""
            collection = "error" if "error" in answer else OF_BIGQUERY.get(kind, KINDS[begin])
            listed = {collection.partition(".")[2]: answer if isinstance(answer, list) else [answer]}
            if collection:
                yield (answer if whole or collection == "error" else listed), collection


def kind_of(name: str) -> str:
    """The key of KINDS, or the word of NO_READ, with which the name of a recorded answer begins."""
    found = next((kind for kind in (*KINDS, *NO_READ) if f"{name}_".startswith(f"{kind}_")), "")
    if not found:
        raise ValueError(f"{name}: add the word that it begins with to KINDS in tests/shapes.py")
    return found


def _recorded(collection: str, fields: dict[str, Any]) -> dict[str, Any]:
    """The kinds of each field in the recorded answers, and the fields that all of them have."""
    kinds: dict[str, set[str]] = {}
    all_have: list[set[str]] = []
    for value in recorded(collection):
        found = list(shape_of(value, fields))
        if value:  # a list without items says nothing of them
            all_have.append({path for path, _, _ in found})
        for path, kind, _ in found:
            kinds.setdefault(path, set()).add(kind)
    always = sorted(set.intersection(*all_have)) if all_have else []
    return {"recorded": {path: " | ".join(sorted(found)) for path, found in sorted(kinds.items())}, "always": always}


def _words(value: Any, key: str = "") -> Iterator[str]:
    """Words in capitals, and names of types, in a recorded answer."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _words(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from _words(inner, key)
    elif isinstance(value, str) and key not in CHOSEN:
        yield from [value] if re.fullmatch("[A-Z][A-Z0-9_]{2,}", value) or key in ("@type", "kind") else ()


def _described(read: Listed) -> tuple[str, dict[str, Any]]:
    """The document of a read, and the schema of its answer."""
    for name in APIS[read.host.partition(".")[0]]:
        for method, url in methods(name):
            if method["httpMethod"] == read.method and shape(url) == shape(
                re.sub(r"\*", "{x}", f"https://x{read.path}")
            ):
                return name, method["response"]
    raise LookupError(read)


def _tree(name: str, schema: dict[str, Any], inside: frozenset[str] = frozenset()) -> Any:
    """The fields of a schema as a tree; None where it ends, or may hold anything."""
    if ref := schema.get("$ref"):
        left_out = ref in LEFT_OUT or ref in inside
        return None if left_out else _tree(name, document(name)["schemas"][ref], inside | {ref})
    if "items" in schema:
        return {"[]": _tree(name, schema["items"], inside)}
    if "additionalProperties" in schema:
        return {"*": _tree(name, schema["additionalProperties"], inside)}
    return {key: _tree(name, inner, inside) for key, inner in schema.get("properties", {}).items()} or None


def _of_message(message: Any) -> dict[str, Any]:
    """The fields of a message in protocol buffers as a tree; None for those that may hold anything."""
    made: dict[str, Any] = {}
    for field in message.fields:
        anything = field.message_type is None or field.message_type.full_name.startswith("google.protobuf.")
        tree = None if anything else _of_message(field.message_type)
        made[field.json_name] = {"[]": tree} if field.is_repeated else tree
    return made


def _of_value(value: Any) -> Any:
    """The fields of a recorded error as a tree. The keys of `metadata` depend on the request."""
    if isinstance(value, list):
        tree: dict[str, Any] = {}
        for inner in value:
            _merge(tree, {"[]": _of_value(inner)})
        return tree or {"[]": None}
    if not isinstance(value, dict):
        return None
    return {key: {"*": None} if key == "metadata" else _of_value(inner) for key, inner in value.items()}


def _merge(into: dict[str, Any], more: Any) -> None:
    for key, tree in (more or {}).items():
        if isinstance(into.get(key), dict) and isinstance(tree, dict):
            _merge(into[key], tree)
        else:
            into[key] = into.get(key) or tree


def _enums(name: str, schema: dict[str, Any], seen: set[str]) -> Iterator[str]:
    """The words of every enum in a schema."""
    yield from schema.get("enum", ())
    if (ref := schema.get("$ref")) and ref not in seen | LEFT_OUT:
        seen.add(ref)
        yield from _enums(name, document(name)["schemas"][ref], seen)
    for inner in (schema.get("items"), schema.get("additionalProperties"), *schema.get("properties", {}).values()):
        yield from _enums(name, inner, seen) if inner else ()


def write_shapes() -> None:
    """Put the file into the library."""
    FILE.write_text(made(), encoding="utf-8")


if __name__ == "__main__":
    write_shapes()
