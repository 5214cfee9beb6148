"""Cloud Storage v1, as a store of records needs it: objects are created, read, listed and deleted.

The buckets have uniform access (no ACLs), no versions and no soft delete. An upload is one request. What would change
an answer and is not here, is refused: other preconditions, fields and parameters, and resumable uploads.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from datetime import datetime, timedelta
from functools import partial
from hashlib import md5
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

import google_crc32c
from werkzeug.http import parse_options_header
from werkzeug.wrappers import Response

from gcp_sandbox.http import NOT_MET, ApiError, Call, route
from gcp_sandbox.state import State
from gcp_sandbox.wire import etag, fill, number, stamp

_BUCKET = "/storage/v1/b/{bucket}"
_OBJECT = f"{_BUCKET}/o/{{object}}"
# Parameters of how an answer is written; `fields` only makes it shorter, and without ACLs every projection is the same.
_OF_EVERY_CALL = {"alt", "fields", "prettyPrint", "projection", "uploadType"}
_OF_LISTS = ("prefix", "delimiter", "startOffset", "maxResults", "pageToken")
_WRITABLE = {"bucket", "cacheControl", "contentType", "crc32c", "md5Hash", "metadata", "name"}
_shape = partial(fill, __file__)


# The resource of an object without links, and its bytes.
Stored = tuple[dict[str, Any], bytes]


class Storage:
    """Every bucket by name, with its objects; `retention` is how long nobody may delete or replace one."""

    def __init__(self, sandbox: State):
        self.sandbox = sandbox
        said = {bucket.name: bucket.retention for bucket in sandbox.world.buckets}
        self.retention: dict[str, timedelta] = {f"{sandbox.inventory.project}-runbooks": timedelta(0), **said}
        self.objects: dict[str, dict[str, Stored]] = {name: {} for name in self.retention}

    def bucket(self, name: str) -> dict[str, Stored]:
        """The objects of a bucket. Raises ApiError 404."""
        if name not in self.objects:
            raise ApiError(404, "", "The specified bucket does not exist.", "notFound")
        return self.objects[name]

    def live(self, call: Call, bucket: str, name: str) -> Stored:
        """An object, if its generation is the one that the request names. Raises ApiError 404 and 412."""
        found = self.bucket(bucket).get(name)
        if not found or call.args.get("generation", found[0]["generation"]) != found[0]["generation"]:
            raise ApiError(404, "", f"No such object: {bucket}/{name}", "notFound")
        _match(call, found)
        return found

    def write(self, bucket: str, name: str, data: bytes, said: dict[str, Any]) -> None:
        """Create an object, or replace it; each time it gets a larger generation. Raises ApiError 400."""
        said, at, kept = said | _checksums(data, said), self.sandbox.tick(), self.retention[bucket]
        generation = str(int(at.timestamp()) * 10**6 + number("generation", at, below=10**6))
        values = {"bucket": bucket, "name": name, "quoted": quote(name, safe=""), "generation": generation}
        values |= {"size": str(len(data)), "at": stamp(at, 3), "until": stamp(at + kept, 3) if kept else None}
        made = _shape("object", **values, etag=etag("object", generation)[1:-1])
        self.objects[bucket][name] = said | made, data

    def release(self, bucket: str, name: str) -> None:
        """Raise ApiError 403 while an object is retained."""
        until = datetime.fromisoformat(self.objects[bucket][name][0]["timeCreated"]) + self.retention[bucket]
        if until > self.sandbox.now:
            # Google writes this time as it is in California.
            at = until.astimezone(ZoneInfo("America/Los_Angeles")).isoformat(timespec="microseconds")
            words = "is subject to bucket's retention policy or object retention and cannot be deleted or overwritten"
            raise ApiError(403, "", f"Object '{bucket}/{name}' {words} until {at}", "retentionPolicyNotMet")

    def drawn(self, call: Call, bucket: str, name: str) -> dict[str, Any]:
        """The resource of an object, with the link that reaches its bytes."""
        made = self.objects[bucket][name][0]
        path = f"/download/storage/v1/b/{bucket}/o/{quote(name, safe='')}?generation={made['generation']}&alt=media"
        return made | {"mediaLink": call.origin("storage") + path}


def _match(call: Call, current: Stored | None) -> None:
    """Raise ApiError 412 if another generation is live than the caller believes; 0 is none."""
    wanted = call.args.get("ifGenerationMatch")
    if wanted is not None and wanted != (current[0]["generation"] if current else "0"):
        raise ApiError(412, "", NOT_MET, "conditionNotMet")


def _only(call: Call, *known: str) -> None:
    for name in set(call.args) - _OF_EVERY_CALL - set(known):
        raise ApiError(501, "", f"gcp_sandbox does not know {name} in {call.method} {call.path}", "notImplemented")


def _checksums(data: bytes, said: dict[str, Any]) -> dict[str, str]:
    """Raise ApiError 400 if the bytes are not those that the writer speaks of."""
    crc = google_crc32c.value(data).to_bytes(4, "big")
    made = {"md5Hash": b64encode(md5(data).digest()).decode(), "crc32c": b64encode(crc).decode()}
    for key, label in (("md5Hash", "MD5 hash"), ("crc32c", "CRC32C")):
        if said.get(key, made[key]) != made[key]:
            words = f'Provided {label} "{said[key]}" doesn\'t match calculated {label} "{made[key]}".'
            raise ApiError(400, "", words, "invalid")
    return made


@route("storage", "POST", f"/upload{_BUCKET}/o", "storage.objects.create")
def insert(sandbox: State, call: Call, bucket: str) -> dict:
    """Create an object, or replace it: to replace is to delete, too."""
    _only(call, "ifGenerationMatch", "name")
    said, data = _sent(call)
    name = str(said.get("name") or call.args.get("name", ""))
    if not 1 <= len(name.encode()) <= 1024:
        raise ApiError(400, "", "The specified object name is not valid.", "invalid")
    current = sandbox.storage.bucket(bucket).get(name)
    _match(call, current)
    if current:
        sandbox.iam.require("storage.objects.delete", "storage", {"bucket": bucket, "object": name})
        sandbox.storage.release(bucket, name)
    sandbox.storage.write(bucket, name, data, said)
    return sandbox.storage.drawn(call, bucket, name)


def _sent(call: Call) -> tuple[dict[str, Any], bytes]:
    """What an upload says of its object, and the object's bytes."""
    kind = call.headers.get("content-type", "application/octet-stream")
    if call.args.get("uploadType") == "media":
        return {"contentType": kind}, call.data
    if call.args.get("uploadType") != "multipart":
        raise ApiError(501, "", "gcp_sandbox has uploadType media and multipart only", "notImplemented")
    # gcloud puts the boundary into single quotes, and its ends of lines are those of Unix. The last one before an edge
    # is part of the edge.
    edge = b"--" + parse_options_header(kind)[1].get("boundary", "").strip("'").encode()
    end = b"\r\n" if call.data.startswith(edge + b"\r\n") else b"\n"
    parts = [part.partition(end * 2) for part in (end + call.data).split(end + edge)[1:3]]
    try:
        (_, _, first), (head, _, data) = parts
        said = json.loads(first)
        unknown = ", ".join(sorted(set(said) - _WRITABLE))
    except (ValueError, TypeError):
        raise ApiError(400, "", "Malformed multipart body.", "badContent") from None
    if unknown:
        raise ApiError(501, "", f"gcp_sandbox does not keep {unknown}", "notImplemented")
    found = re.search(rb"(?im)^content-type:[ \t]*([^\r\n]+)", head)
    return {"contentType": found[1].decode() if found else "application/octet-stream", **said}, data


@route("storage", "GET", f"{_BUCKET}/o", "storage.objects.list")
def list_objects(sandbox: State, call: Call, bucket: str) -> dict:
    """One page of the objects of a bucket; what goes on after the next delimiter is only a prefix."""
    # There are no folders without a hierarchical namespace, and no older versions.
    _only(call, *_OF_LISTS, "includeFoldersAsPrefixes", "versions")
    prefix, delimiter, start, asked, after = (call.args.get(name, "") for name in _OF_LISTS)
    if not (asked or "0").isdigit():
        raise ApiError(400, "", "Invalid argument.", "invalid")
    found: dict[str, bool] = {}
    # Python's order of texts is that of their UTF-8 bytes, which is Google's.
    for name in sorted(sandbox.storage.bucket(bucket)):
        if name.startswith(prefix) and name >= start:
            head, cut, _ = name.removeprefix(prefix).partition(delimiter or "\n")  # no name has a line end
            found[prefix + head + cut] = bool(cut)
    size, left = min(int(asked or 0) or 1000, 1000), [entry for entry in found if entry > after]
    page, token = left[:size], left[size - 1] if left[size:] else None
    prefixes = [entry for entry in page if found[entry]]
    items = [sandbox.storage.drawn(call, bucket, entry) for entry in page if not found[entry]]
    return _shape("objects", token=token, prefixes=prefixes or None, items=items or None)


@route("storage", "GET", f"/download{_OBJECT}", "storage.objects.get")
@route("storage", "GET", _OBJECT, "storage.objects.get")
def get(sandbox: State, call: Call, bucket: str, object: str) -> dict | Response:
    """An object's resource, or with `alt=media` its bytes: always all of them, whatever Range says."""
    _only(call, "generation", "ifGenerationMatch")
    said, data = sandbox.storage.live(call, bucket, object)
    if call.args.get("alt") != "media":
        return sandbox.storage.drawn(call, bucket, object)
    hashes = f"crc32c={said['crc32c']},md5={said['md5Hash']}"
    headers = {"X-Goog-Hash": hashes, "X-Goog-Generation": said["generation"], "ETag": said["etag"]}
    return Response(data, headers=headers, content_type=said["contentType"])


@route("storage", "DELETE", _OBJECT, "storage.objects.delete")
def delete(sandbox: State, call: Call, bucket: str, object: str) -> Response:
    """Delete an object for good."""
    _only(call, "generation", "ifGenerationMatch")
    sandbox.storage.live(call, bucket, object)
    sandbox.storage.release(bucket, object)
    sandbox.tick()
    del sandbox.storage.objects[bucket][object]
    return Response(status=204)


@route("storage", "GET", _BUCKET, "storage.buckets.get")
def get_bucket(sandbox: State, call: Call, bucket: str) -> dict:
    """A bucket in the region of the project, as old as the project."""
    _only(call)
    sandbox.storage.bucket(bucket)
    seconds = int(sandbox.storage.retention[bucket].total_seconds())
    policy = _shape("retention", seconds=seconds) if seconds else None
    number, region = sandbox.inventory.project_number, sandbox.inventory.region.upper()
    return _shape("bucket", bucket=bucket, number=number, region=region, policy=policy)


@route("storage", "GET", f"{_BUCKET}/iam/testPermissions")
def test_permissions(sandbox: State, call: Call, bucket: str) -> dict:
    """Which of the permissions in the query the caller holds."""
    _only(call, "permissions")
    sandbox.storage.bucket(bucket)
    asked = call.args.getlist("permissions")
    if not all(permission.startswith("storage.") for permission in asked):
        raise ApiError(400, "", "Invalid argument.", "invalid")
    held = [permission for permission in asked if sandbox.iam.holds(permission)]
    return _shape("permissions", held=held or None)
