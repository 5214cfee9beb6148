"""Long-running operations of Cloud Functions v2 and Cloud Run v2: every poll is a step, and the third completes them.

A poll is a GET of the operation, or of the resource that it changes, for callers that lost the answer to a write. The
change happens at the last step; until then, the old state serves. With the fault `stuck` it never happens.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gcp_sandbox.http import ApiError, Call, route
from gcp_sandbox.state import State
from gcp_sandbox.wire import digest, not_found, page, sent

POLLS = 3
_CODES = {"INVALID_ARGUMENT": 3, "FAILED_PRECONDITION": 9, "INTERNAL": 13}

_TYPES = {
    "cloudfunctions": ("google.cloud.functions.v2.OperationMetadata", "google.cloud.functions.v2.Function"),
    "run": ("google.cloud.run.v2.Service", "google.cloud.run.v2.Service"),
}


@dataclass
class Operation:
    """`resource` is the full name of the changed resource; `finish` changes and returns it, or raises ApiError."""

    api: str
    name: str
    resource: str
    created: datetime
    finish: Callable[[], dict]
    metadata: Callable[[Operation], dict]
    stuck: bool = False
    polls: int = 0
    ended: datetime | None = None
    response: dict | None = None
    error: ApiError | None = None

    def step(self, now: Callable[[], datetime]) -> None:
        """One poll; the last one makes the change."""
        self.polls += 1
        if self.ended or self.stuck or self.polls < POLLS:
            return
        self.ended = now()
        try:
            self.response = self.finish()
        except ApiError as error:
            self.error = error

    def draw(self) -> dict[str, Any]:
        """The google.longrunning.Operation."""
        kinds = [f"type.googleapis.com/{kind}" for kind in _TYPES[self.api]]
        made: dict[str, Any] = {"name": self.name, "metadata": {"@type": kinds[0], **sent(self.metadata(self))}}
        if self.error:
            made |= {"done": True, "error": {"code": _CODES[self.error.status], "message": self.error.message}}
        elif self.ended:
            made |= {"done": True, "response": {"@type": kinds[1], **sent(self.response or {})}}
        return made


class Operations:
    """Every operation by its name, oldest first."""

    def __init__(self, sandbox: State):
        self.sandbox = sandbox
        self.known: dict[str, Operation] = {}

    def start(self, call: Call, api: str, resource: str, finish: Callable, metadata: Callable) -> dict[str, Any]:
        """Start an operation on a resource, and return it as the answer to the call."""
        place, now = resource.rsplit("/", 2)[0], self.sandbox.tick()
        id_ = f"operation-{int(now.timestamp() * 1000)}-{digest(api, resource, now)[:13]}"
        made = Operation(api, f"{place}/operations/{id_}", resource, now, finish, metadata, call.stuck)
        self.known[made.name] = made
        return made.draw()

    def watch(self, resource: str) -> None:
        """A GET of a resource polls its running operations."""
        for operation in self.known.values():
            if operation.resource == resource and not operation.ended:
                self.step(operation)

    def step(self, operation: Operation) -> None:
        """One poll; when the change of a function ends, write an audit log entry."""
        before = operation.ended
        operation.step(self.sandbox.tick)
        if operation.ended and not before and operation.api == "cloudfunctions":
            self.sandbox.operation_ended(operation.name, operation.resource, operation.error)


def _get(sandbox: State, call: Call, location: str, operation: str, **_: str) -> dict:
    name = f"projects/{sandbox.inventory.project}/locations/{location}/operations/{operation}"
    found = sandbox.operations.known.get(name)
    if not found or not sandbox.serves(found.api, call.host):
        raise not_found(f"Resource '{name}' was not found", name)
    sandbox.operations.step(found)
    return found.draw()


def _list(sandbox: State, call: Call, **_: str) -> dict:
    """Newest first, without a step: to find an operation whose name was lost."""
    known = [o.draw() for o in reversed(sandbox.operations.known.values()) if sandbox.serves(o.api, call.host)]
    return page(call, "operations", known, 100)


for _api in _TYPES:
    _path = "/v2/projects/{project}/locations/{location}/operations"
    route(_api, "GET", _path, f"{_api}.operations.list")(_list)
    route(_api, "GET", f"{_path}/{{operation}}", f"{_api}.operations.get")(_get)
