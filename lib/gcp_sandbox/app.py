"""The embedded Google Cloud as one WSGI app: routes, permissions, and the one place that writes the envelope.

A route is declared with the path that its API's discovery document gives it; a handler returns a JSON object or raises
`ApiError`, and nothing else. A route that is not here answers 501 and names itself, never a plausible empty answer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import format_datetime
from functools import cache, cached_property
from threading import RLock
from typing import Any

from werkzeug.exceptions import MethodNotAllowed, NotFound
from werkzeug.routing import BaseConverter, Map, Rule
from werkzeug.wrappers import Request, Response

HOSTS = {
    "bigquery": "bigquery.googleapis.com",
    "logging": "logging.googleapis.com",
    "cloudfunctions": "cloudfunctions.googleapis.com",
    "run": "run.googleapis.com",
    "secretmanager": "secretmanager.googleapis.com",
    "cloudscheduler": "cloudscheduler.googleapis.com",
    "cloudresourcemanager": "cloudresourcemanager.googleapis.com",
    "storage": "storage.googleapis.com",
    "inbox": "inbox.example.com",  # no API of Google's: gcp_sandbox/inbox.py
}


class ApiError(Exception):
    """An answer that is an error, in Google's words.

    `status` is the canonical name ("NOT_FOUND"), `reason` BigQuery's own ("notFound"); an answer with a reason also
    carries the `errors` list that the BigQuery API adds (https://cloud.google.com/bigquery/docs/error-messages).
    """

    def __init__(self, code: int, status: str, message: str, reason: str = "", details: list[dict] | None = None):
        super().__init__(message)
        self.code, self.status, self.message, self.reason, self.details = code, status, message, reason, details or []

    def response(self) -> Response:
        """Google's error envelope."""
        error: dict[str, Any] = {"code": self.code, "message": self.message, "status": self.status}
        if self.reason:
            error["errors"] = [{"message": self.message, "domain": "global", "reason": self.reason}]
        if self.details:
            error["details"] = self.details
        return _json({"error": error}, self.code)


@dataclass(frozen=True)
class Call:
    """One request, as a handler sees it: `args` is the query string, `body` the JSON object that was sent.

    An operation that a `stuck` call begins never ends.
    """

    method: str
    host: str
    path: str
    args: dict[str, str] = field(default_factory=dict)
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


class _Segment(BaseConverter):
    """One path segment up to a custom verb: Google writes `functions/NAME:generateUploadUrl`."""

    regex = "[^/:]+"


@cache
def _maps() -> dict[str, Map]:
    """The routes of each API: which of them a request may be for, its host says."""
    made: dict[str, Map] = {}
    for found in ROUTES:
        rules = made.setdefault(found.api, Map(converters={"seg": _Segment}, strict_slashes=False, merge_slashes=False))
        path = re.sub(r"\{(\w+)\}", r"<seg:\1>", found.path)
        rules.add(Rule(path, methods=[found.method], endpoint=found))
    return made


class App:
    """The WSGI app over one `Sandbox`; it answers one request at a time, so a state change is never seen half done."""

    def __init__(self, sandbox: Any):
        from gcp_sandbox import services  # noqa: F401  (registers the routes)

        self.sandbox = sandbox
        self.lock = RLock()
        self.maps = _maps()

    def __call__(self, environ: dict, start_response: Callable) -> Any:
        request = Request(environ)
        call = Call(
            request.method,
            request.host.rsplit(":", 1)[0],
            request.path,
            request.args.to_dict(),
            {k.lower(): v for k, v in request.headers.items()},
            request.get_data(),
        )
        response = self.sandbox.faults.around(call, self._answer)
        response.headers["Date"] = format_datetime(self.sandbox.now, usegmt=True)
        return response(environ, start_response)

    def _answer(self, call: Call) -> Response:
        try:
            with self.lock:
                found, variables = self._match(call)
                answer = self._handled(found, call, variables)
        except ApiError as error:
            return error.response()
        return answer if isinstance(answer, Response) else _json(answer)

    def _handled(self, found: Route, call: Call, variables: dict) -> dict | Response:
        try:
            self.sandbox.iam.require(found.permission, found.api, variables)
            answer = found.handler(self.sandbox, call, **variables)
        except ApiError as error:
            self.sandbox.audit(found.permission, found.api, call.path, error)
            raise
        self.sandbox.audit(found.permission, found.api, call.path, answer)
        return answer

    def _match(self, call: Call) -> tuple[Route, dict]:
        for api, rules in self.maps.items():
            if not self.sandbox.serves(api, call.host):
                continue
            try:
                return rules.bind(call.host).match(call.path, call.method)
            except (NotFound, MethodNotAllowed):
                continue
        raise ApiError(
            501, "UNIMPLEMENTED", f"gcp_sandbox has no route for {call.method} https://{call.host}{call.path}"
        )


def _json(value: dict, code: int = 200) -> Response:
    return Response(json.dumps(value), code, content_type="application/json; charset=UTF-8")
