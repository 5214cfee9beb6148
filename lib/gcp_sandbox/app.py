"""The embedded Google Cloud as one WSGI app: routes, permissions and error responses.

A request without a route gets a 501 that names the request, never a plausible empty answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from email.utils import format_datetime
from functools import cache
from threading import RLock
from typing import Any

from werkzeug.exceptions import MethodNotAllowed, NotFound
from werkzeug.routing import BaseConverter, Map, Rule
from werkzeug.wrappers import Request, Response

from gcp_sandbox import operations, services  # noqa: F401  (they register the routes)
from gcp_sandbox.http import ROUTES, ApiError, Call, Route, json_response


class _Segment(BaseConverter):
    """One path segment, without a custom verb, as in `functions/NAME:generateUploadUrl`."""

    regex = "[^/:]+"


class _Project(BaseConverter):
    """A project's id; an old one begins with a domain, as in example.com:name."""

    regex = r"(?:[^/:]+\.[^/:]+:)?[^/:]+"


@cache
def _maps() -> dict[str, Map]:
    """The routes of each API; the host of a request selects the APIs."""
    made: dict[str, Map] = {}
    for found in ROUTES:
        rules = made.setdefault(
            found.api, Map(converters={"seg": _Segment, "project": _Project}, strict_slashes=False, merge_slashes=False)
        )
        path = re.sub(r"\{(\w+)\}", r"<seg:\1>", found.path).replace("<seg:project>", "<project:project>")
        path = path.replace("<seg:object>", "<path:object>")  # an object's name goes to the end, with its slashes
        rules.add(Rule(path, methods=[found.method], endpoint=found))
    return made


class App:
    """The WSGI app over one `Sandbox`; it handles one request at a time, so no request sees a partial change."""

    def __init__(self, sandbox: Any):
        self.sandbox = sandbox
        self.lock = RLock()
        self.maps = _maps()

    def __call__(self, environ: dict, start_response: Callable) -> Any:
        request = Request(environ)
        call = Call(
            request.method,
            request.host.rsplit(":", 1)[0],
            request.path,
            request.args,
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
            return error.response(call)
        return answer if isinstance(answer, Response) else json_response(answer)

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
