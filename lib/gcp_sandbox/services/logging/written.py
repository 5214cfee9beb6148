"""What the platform and the framework write around a line: labels, requests, attempts of jobs, events of revisions.

The shapes, and what is a table, are data in written.yaml.
"""

from __future__ import annotations

import json
from functools import partial
from typing import Any

from gcp_sandbox.state import State
from gcp_sandbox.wire import digest, fill, number, shapes, stamp
from gcp_sandbox.world.events import Entry

TABLES = shapes(__file__)
shape = partial(fill, __file__)


def labels(entry: Entry, sandbox: State) -> dict[str, str] | None:
    """The labels of a line: those of the function's service, the instance, and the framework's own."""
    kind = entry.payload
    if kind in ("change", "attempt", "proto"):
        return None
    reached = kind != "request" or entry.took  # a refused request has reached no instance
    return shape(
        "labels",
        function=entry.function.lower(),
        region=sandbox.inventory.region,
        instance=digest("instance", entry.function, f"{entry.at:%F}")[:16] if reached else None,
        execution=None if kind in ("system", "request") else digest("execution", entry.run or entry)[:12],
        container="worker" if kind == "system" else None,
    )


def request(entry: Entry, sandbox: State) -> dict[str, Any] | None:
    """The request of an entry of its own, or the answer that an attempt got."""
    if entry.payload == "attempt" and entry.text == "AttemptFinished":
        return {"status": entry.status} if entry.status else {}
    if entry.payload != "request":
        return None
    return shape(
        "request",
        uri=sandbox.services.uri(entry.function),
        size=700 + number("size", entry, below=900),
        status=entry.status,
        answer=str(90 + number("answer", entry, below=300)) if entry.took else None,
        latency=f"{entry.took:.9f}s" if entry.took else "0s",
    )


def span(entry: Entry) -> str | None:
    """The span of a request, in hexadecimal, or of a line that the framework wrote, as a decimal."""
    if entry.payload == "request":
        return digest("span", entry)[:16]
    written = entry.payload in ("text", "json", "stderr")
    return str(int(digest("span", entry.run or entry)[:15], 16)) if written else None


def message(entry: Entry, sandbox: State) -> dict[str, Any] | None:
    """The jsonPayload of a structured line, or of an attempt of a job."""
    if entry.payload == "json":
        try:
            whole = json.loads(entry.text)
        except ValueError:
            whole = None
        return whole if isinstance(whole, dict) else {"message": entry.text, "logger": entry.function}
    if entry.payload != "attempt":
        return None
    begun = entry.text == "AttemptStarted"
    status, debug = (None, None) if begun else TABLES["attempts"][entry.status]
    return shape(
        "attempt",
        kind=entry.text,
        place=sandbox.inventory.place,
        job=sandbox.inventory.job(entry.function),
        uri=sandbox.services.uri(entry.function),
        scheduled=stamp(entry.at.replace(second=0, microsecond=0)) if begun else None,
        status=status,
        debug=f"{debug}. Original HTTP response code number = {entry.status}" if entry.status else debug,
    )
