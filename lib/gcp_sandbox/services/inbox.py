"""Messages to people in a sandbox: none is delivered, and you can read all of them here.

The format is that of a plain JSON webhook, https://appriseit.com/services/json/: `title`, `message`, `type`.
"""

from __future__ import annotations

from gcp_sandbox.http import ApiError, Call, route
from gcp_sandbox.state import State
from gcp_sandbox.wire import stamp


@route("inbox", "POST", "/messages/{contact}")
def receive(sandbox: State, call: Call, contact: str) -> dict:
    """Store one message."""
    if not call.body.get("message"):
        raise ApiError(400, "INVALID_ARGUMENT", "message is missing")
    kept = {name: str(call.body.get(name, "")) for name in ("title", "message", "type")}
    sandbox.messages.append({"at": stamp(sandbox.tick()), "to": contact, **kept})
    return {}


@route("inbox", "GET", "/messages")
def read(sandbox: State, _call: Call) -> dict:
    """Every message since the start of the sandbox, oldest first."""
    return {"messages": sandbox.messages}
