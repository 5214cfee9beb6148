"""Cloud Logging v2: entries as second-generation functions write them, read with the Logging query language."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from datetime import timedelta
from heapq import merge
from typing import Any

from gcp_sandbox.http import ApiError, Call, route
from gcp_sandbox.services.logging import audit, written
from gcp_sandbox.services.logging.log_filter import Filter, compiled
from gcp_sandbox.state import State
from gcp_sandbox.wire import digest, number, stamp
from gcp_sandbox.world.events import Entry

# One call scans at most this many entries; the next page may have further matches.
SCAN = 50_000
_LOGS = {
    "change": "cloudaudit.googleapis.com%2Factivity",
    "proto": "cloudaudit.googleapis.com%2Fsystem_event",
    "attempt": "cloudscheduler.googleapis.com%2Fexecutions",
    "request": "run.googleapis.com%2Frequests",
    "system": "run.googleapis.com%2Fvarlog%2Fsystem",
}
_STREAMS = ("run.googleapis.com%2Fstdout", "run.googleapis.com%2Fstderr")

_NANOSECONDS = ("attempt", "change", "system")  # the others have microseconds

# Other fields of LogEntry: a filter may name them, but no entry here has them.
_NEVER = ("apphub", "apphubDestination", "apphubSource", "metadata", "otel", "sourceLocation", "split")


class Log:
    """Every entry of the project, oldest first, converted to JSON only on request."""

    def __init__(self, sandbox: State):
        self.sandbox = sandbox
        self.project = sandbox.inventory.project
        self.entries = sorted([*sandbox.story.entries, *audit.entries(sandbox), *sandbox.services.failures()])
        self._index: dict[tuple, list[int]] = {}
        self._resources: dict[tuple[str, str], dict] = {}
        self.fields: dict[str, Callable[[Entry], Any]] = {
            "logName": self._log_name,
            "resource": self._resource,
            "timestamp": lambda e: e.at,
            "receiveTimestamp": lambda e: (
                e.at + timedelta(seconds=e.took, milliseconds=100 + number("seen", e.at, below=300))
            ),
            "severity": lambda e: e.severity,
            "insertId": lambda e: digest(*e)[:24],
            "labels": lambda e: written.labels(e, sandbox),
            "textPayload": lambda e: e.text or None if e.payload in ("text", "system", "request", "stderr") else None,
            "jsonPayload": lambda e: written.message(e, sandbox),
            "protoPayload": self._proto,
            "operation": lambda e: audit.operation(e.change) if e.change else None,
            "errorGroups": _error_groups,
            "httpRequest": lambda e: written.request(e, sandbox),
            "trace": self._trace,
            "spanId": written.span,
            "traceSampled": lambda e: True if e.payload == "request" else None,
            **dict.fromkeys(_NEVER, lambda _e: None),
        }

    def add(self, entry: Entry) -> None:
        """Add an entry with the current time, which is the newest."""
        self.entries.append(entry)
        self._index.clear()

    def _indexed(self, wanted: Filter, low: int, high: int) -> list[Sequence[int]]:
        """The positions from `low` to `high` of entries that can match, oldest first; those of each kind in a list."""
        if not self._index:
            for n, e in enumerate(self.entries):  # a change has a resource of its own
                kind = (e.change and e.change[:3]) or e.function, e.payload, e.severity
                self._index.setdefault(kind, []).append(n)
        kinds = (all_of for all_of in self._index.values() if wanted.indexed(self.entries[all_of[0]]) is not False)
        return [found for one in kinds if (found := one[bisect_left(one, low) : bisect_left(one, high)])]

    def draw(self, entry: Entry) -> dict[str, Any]:
        """One entry as JSON."""
        found = {name: read(entry) for name, read in self.fields.items()}
        digits = 9 if entry.payload in _NANOSECONDS else 6
        times = {"timestamp": stamp(entry.at, digits), "receiveTimestamp": stamp(found["receiveTimestamp"], 9)}
        if entry.severity == "DEFAULT":
            found["severity"] = None  # as an enum's zero, which is left out
        return {name: value for name, value in {**found, **times}.items() if value is not None}

    def read(self, wanted: Filter, size: int, newest_first: bool, start: int | None) -> tuple[list[dict], int | None]:
        """Up to `size` matching entries from position `start`, and the next position (None: the end)."""
        low = bisect_left(self.entries, wanted.since, key=lambda e: e.at)
        high = bisect_right(self.entries, wanted.until, key=lambda e: e.at)
        if start is not None:
            low, high = (low, min(high, start + 1)) if newest_first else (max(low, start), high)
        kinds = self._indexed(wanted, low, high)
        ordered = merge(*map(reversed, kinds), reverse=True) if newest_first else merge(*kinds)
        found: list[dict] = []
        for seen, n in enumerate(ordered):
            if len(found) == size or seen == SCAN:
                return found, n
            if wanted.matches(self.entries[n]):
                found.append(self.draw(self.entries[n]))
        return found, None

    def _log_name(self, entry: Entry) -> str:
        log = _LOGS.get(entry.payload) or _STREAMS[entry.severity != "INFO"]
        return f"projects/{self.project}/logs/{log}"

    def _proto(self, entry: Entry) -> dict[str, Any] | None:
        if entry.change:
            return audit.payload(entry.change, entry.at, self.sandbox)
        if entry.payload != "proto":
            return None
        here, revision = self.sandbox.inventory, self._revision(entry)
        named = {"project": here.project, "number": here.project_number, "revision": revision}
        return written.shape("event", **named, text=entry.text, time=stamp(entry.at))

    def _trace(self, entry: Entry) -> str | None:
        name = f"projects/{self.project}/traces/{digest('trace', entry)[:32]}"
        return name if entry.payload == "request" else None

    def _revision(self, entry: Entry) -> str:
        return entry.revision or self.sandbox.services.serving(entry.function, entry.at)

    def _resource(self, entry: Entry) -> dict[str, Any]:
        if entry.change:
            return audit.resource(entry.change, self.sandbox)
        kind, name = ("job", "") if entry.payload == "attempt" else ("revision", self._revision(entry))
        if (entry.function, name) not in self._resources:
            inventory, service = self.sandbox.inventory, self.sandbox.services.named(entry.function)
            here = {"project": self.project, "region": inventory.region, "job": inventory.job(entry.function)}
            self._resources[entry.function, name] = written.shape(kind, **here, service=service, revision=name)
        return self._resources[entry.function, name]


def _error_groups(entry: Entry) -> list[dict[str, str]] | None:
    """The Error Reporting group of a stack trace of Python or Node on stderr."""
    crashed = entry.payload in ("stderr", "text") and re.search(r"Traceback|\n +at ", entry.text)
    return [{"id": digest("group", entry.function, entry.text)[:15]}] if crashed else None


@route("logging", "POST", "/v2/entries:list", "logging.logEntries.list")
def list_entries(sandbox: State, call: Call) -> dict:
    """A page of the entries that a filter matches; an empty page may still have a next page (see SCAN)."""
    body = call.body
    names = body.get("resourceNames") or [f"projects/{p}" for p in body.get("projectIds", [])]
    if not names:
        raise ApiError(400, "INVALID_ARGUMENT", "The request must name at least one resource in resource_names.")
    for name in names:
        sandbox.iam.require("", "logging", {"project": name.removeprefix("projects/")})
    order, text = body.get("orderBy") or "timestamp asc", body.get("filter", "")
    if order not in ("timestamp", "timestamp asc", "timestamp desc"):
        raise ApiError(400, "INVALID_ARGUMENT", f"order_by must be timestamp asc or timestamp desc: {order}")
    query = digest(order, text)[:12]
    size = int(body.get("pageSize") or 50)
    if size < 0:
        raise ApiError(400, "INVALID_ARGUMENT", f"page_size must not be negative: {size}")
    wanted = compiled(text, sandbox.log.fields)
    start = _position(body.get("pageToken", ""), query)
    found, more = sandbox.log.read(wanted, min(size, 1000), order.endswith("desc"), start)
    answer: dict[str, Any] = {"entries": found} if found else {}
    return answer if more is None else {**answer, "nextPageToken": f"{query}-{more}"}


def _position(token: str, query: str) -> int | None:
    if not token:
        return None
    seen, _, position = token.partition("-")
    if seen != query or not position.isdigit():
        raise ApiError(400, "INVALID_ARGUMENT", "page_token does not belong to this filter and order_by.")
    return int(position)


@route("logging", "GET", "/v2/projects/{project}/logs", "logging.logs.list")
def list_logs(sandbox: State, _call: Call, project: str) -> dict:
    """The logs that functions of the second generation and their jobs write to, and the audit log."""
    logs = sorted([*_LOGS.values(), *_STREAMS])
    return {"logNames": [f"projects/{sandbox.inventory.project}/logs/{log}" for log in logs]}
