"""Faults between the caller and the app, from a world's `faults:`.

Each fault selects calls: `route` is a regular expression, searched in "METHOD host/path" (without query), and `nth`
counts the matches: 0 is every call, 3 only the third. Several faults may apply to one call. A fault can

    latency_ms   delay the call, outside the app's lock, so that concurrent calls wait in parallel
    lost         "before": drop the connection without executing; "after": execute, then lose the answer
    status       answer with this HTTP status, in Google's envelope, and do nothing
    stuck        start an operation that never ends and has no effect

Writes are calls, too: with `{route: "PATCH run", nth: 1, lost: after}`, the first change of a service is executed, and
its answer is lost. A dropped connection is a ConnectionResetError from the WSGI app: the in-process transport and
`serve` both convert it to what a client sees on a network.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from threading import Lock

from werkzeug.wrappers import Response

from gcp_sandbox.http import NOT_MET, ApiError, Call
from gcp_sandbox.world.schema import Fault

# HTTP status → canonical name, BigQuery's reason, message.
_ERRORS = {
    400: ("INVALID_ARGUMENT", "invalid", "Request contains an invalid argument."),
    401: ("UNAUTHENTICATED", "authError", "Request had invalid authentication credentials."),
    403: ("PERMISSION_DENIED", "accessDenied", "The caller does not have permission"),
    404: ("NOT_FOUND", "notFound", "Requested entity was not found."),
    409: ("ABORTED", "duplicate", "The operation was aborted: there was a concurrent policy or resource change."),
    412: ("FAILED_PRECONDITION", "conditionNotMet", "Precondition check failed."),
    429: ("RESOURCE_EXHAUSTED", "rateLimitExceeded", "Quota exceeded for quota metric '{kind} requests' per minute."),
    500: ("INTERNAL", "internalError", "Internal error encountered."),
    503: ("UNAVAILABLE", "backendError", "The service is currently unavailable."),
    504: ("DEADLINE_EXCEEDED", "backendError", "Deadline expired before operation could complete."),
}

# HTTP status → message and reason, where those of Cloud Storage differ (tests/real/error_storage_*.json).
_STORAGE = {
    401: ("Invalid Credentials", "authError"),
    403: ("Forbidden", "forbidden"),
    412: (NOT_MET, "conditionNotMet"),
}


class Faults:
    """The faults of one world, and how many calls matched each."""

    def __init__(self, specs: Sequence[Fault]):
        self.specs = specs
        self.met = [0] * len(specs)
        self.lock = Lock()

    def around(self, call: Call, answer: Callable[[Call], Response]) -> Response:
        """Answer one call, or fail as the world says. Raises ConnectionResetError where the connection is lost."""
        faults = self._of(f"{call.method} {call.host}{call.path}")
        time.sleep(sum(fault.latency_ms for fault in faults) / 1000)
        if any(fault.lost == "before" for fault in faults):
            raise ConnectionResetError(f"lost before {call.method} {call.path}")
        status = next((fault.status for fault in faults if fault.status), 0)
        response = _error(call, status) if status else answer(replace(call, stuck=any(fault.stuck for fault in faults)))
        if any(fault.lost == "after" for fault in faults):
            raise ConnectionResetError(f"lost after {call.method} {call.path}")
        return response

    def _of(self, line: str) -> list[Fault]:
        found = []
        with self.lock:
            for n, fault in enumerate(self.specs):
                if re.search(fault.route, line):
                    self.met[n] += 1
                    if fault.nth in (0, self.met[n]):
                        found.append(fault)
        return found


def _error(call: Call, status: int) -> Response:
    name, reason, message = _ERRORS.get(status, ("UNKNOWN", "backendError", "Unknown error."))
    message = message.format(kind="Read" if call.method == "GET" else "Write")
    if "/storage/v1/" in call.path:
        return ApiError(status, "", *_STORAGE.get(status, (message, reason))).response(call)
    return ApiError(status, name, message, reason if call.path.startswith("/bigquery/") else "").response(call)
