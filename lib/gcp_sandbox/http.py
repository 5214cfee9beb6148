"""Requests, error answers and routes: the base of every API of the sandbox.

A route has the path from the discovery document of its API. A handler returns a JSON object or raises `ApiError`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Response

HOSTS = {
    "bigquery": "bigquery.googleapis.com",
    "logging": "logging.googleapis.com",
    "cloudfunctions": "cloudfunctions.googleapis.com",
    "run": "run.googleapis.com",
    "secretmanager": "secretmanager.googleapis.com",
    "cloudscheduler": "cloudscheduler.googleapis.com",
    "monitoring": "monitoring.googleapis.com",
    "cloudresourcemanager": "cloudresourcemanager.googleapis.com",
    "storage": "storage.googleapis.com",
    "inbox": "inbox.example.com",  # not an API of Google: services/inbox.py
}

# Cloud Storage's words for a precondition; and the header of the request that is named as the cause, by reason.
NOT_MET = "At least one of the pre-conditions you specified did not hold."
_BLAMED = {"conditionNotMet": "If-Match", "authError": "Authorization"}
LOOPBACK = {"127.0.0.1", "localhost", "[::1]"}


class ApiError(Exception):
    """An error answer with Google's message.

    `status` is the canonical name ("NOT_FOUND"), `reason` BigQuery's own ("notFound"); an answer with a reason also
    carries the `errors` list that the BigQuery API adds (https://cloud.google.com/bigquery/docs/error-messages).
    Cloud Storage has a reason and the status "" (https://cloud.google.com/storage/docs/json_api/v1/status-codes).
    """

    def __init__(self, code: int, status: str, message: str, reason: str = "", details: list[dict] | None = None):
        super().__init__(message)
        self.code, self.status, self.message, self.reason, self.details = code, status, message, reason, details or []

    def response(self, call: Call) -> Response:
        """Google's error envelope; of a download, only its message."""
        if call.args.get("alt") == "media":
            # https://github.com/firebase/firebase-tools/pull/3647 has recorded both.
            return Response(self.message, self.code, content_type="text/html; charset=UTF-8")
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        error |= {"status": self.status} if self.status else {}
        if self.reason:
            error["errors"] = [{"message": self.message, "domain": "global", "reason": self.reason}]
        if self.reason in _BLAMED:
            error["errors"][0] |= {"locationType": "header", "location": _BLAMED[self.reason]}
        if self.details:
            error["details"] = self.details
        return json_response({"error": error}, self.code)


@dataclass(frozen=True)
class Call:
    """One request, as a handler sees it: `args` is the query string, `body` the JSON object of the request.

    An operation that a `stuck` call starts never ends.
    """

    method: str
    host: str
    path: str
    args: MultiDict[str, str] = field(default_factory=MultiDict)
    headers: dict[str, str] = field(default_factory=dict)
    data: bytes = b""
    stuck: bool = False

    @cached_property
    def body(self) -> dict:
        if not self.data:
            return {}
        try:
            value = json.loads(self.data)
        except ValueError as error:
            raise ApiError(400, "INVALID_ARGUMENT", f"Invalid JSON payload received: {error}") from None
        if not isinstance(value, dict):
            raise ApiError(400, "INVALID_ARGUMENT", "Invalid JSON payload received: an object is expected.")
        return value

    def origin(self, api: str) -> str:
        """Where a link in the answer must point to: a caller on loopback cannot reach Google's host."""
        return f"http://{self.headers['host']}" if self.host in LOOPBACK else f"https://{HOSTS[api]}"


Handler = Callable[..., "dict | Response"]


@dataclass(frozen=True)
class Route:
    """`path` is written as in the discovery document, from the root: "/v2/projects/{project}/locations/…:verb"."""

    api: str
    method: str
    path: str
    handler: Handler
    permission: str = ""


ROUTES: list[Route] = []


def route(api: str, method: str, path: str, permission: str = "") -> Callable[[Handler], Handler]:
    """Register a handler `(sandbox, call, **path variables)`; the caller must hold `permission` on the project."""

    def register(handler: Handler) -> Handler:
        ROUTES.append(Route(api, method, path, handler, permission))
        return handler

    return register


def json_response(value: dict, code: int = 200) -> Response:
    """An answer in JSON."""
    return Response(json.dumps(value), code, content_type="application/json; charset=UTF-8")
