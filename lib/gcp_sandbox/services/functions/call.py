"""A call of a function, as in the guide: scheduler → function → rows in BigQuery, logs, status.

No code runs: whether a call succeeds follows from the revision that serves and from the world.
"""

from __future__ import annotations

import json
from datetime import timedelta

from werkzeug.wrappers import Response

from gcp_sandbox.http import Call, route
from gcp_sandbox.state import State
from gcp_sandbox.wire import stamp
from gcp_sandbox.world.events import Attempt
from gcp_sandbox.world.failures import KINDS
from gcp_sandbox.world.inventory import Function
from gcp_sandbox.world.lines import answer


@route("call", "POST", "/")
def call_function(sandbox: State, call: Call) -> Response:
    """Answer a call of the function's URL; HTML pages if the call does not reach the function."""
    tag, _, host = call.host.rpartition("---")
    name = next((n for n in sandbox.services.services if sandbox.services.uri(n) == f"https://{host}"), "")
    revision = sandbox.services.target(name, tag) if name else ""
    if not revision:
        return _page(404, "Page not found", "The requested URL <code>/</code> was not found on this server.")
    token = call.headers.get("authorization", "")
    if not token or not sandbox.iam.holds("run.routes.invoke"):
        log(sandbox, Attempt(sandbox.story.function(name), sandbox.tick(), None, "unauthenticated"), revision)
        words = "Your client does not have permission to get URL <code>/</code> from this server."
        return _page(403, "Error: Forbidden", words)
    if not token.removeprefix("Bearer ").strip() or not token.startswith("Bearer "):
        words = "Your client does not have permission to the requested URL <code>/</code>."
        return _page(401, "Error: Unauthorized", words)
    status, text = invoke(sandbox, name, revision)
    return Response(text, status, content_type="application/json" if status == 200 else "text/plain")


def _page(code: int, title: str, words: str) -> Response:
    return Response(f"<html><body><h1>{title}</h1><h2>{words}</h2></body></html>", code, content_type="text/html")


def log(sandbox: State, attempt: Attempt, revision: str = "", scheduled: bool = False) -> None:
    """Log a call that has ended, as those of the story; `scheduled` calls are made by the function's job."""
    for entry in sorted(sandbox.story.lines.of_call(attempt, sandbox.now + timedelta(seconds=1), scheduled)):
        sandbox.log.add(entry._replace(revision=revision))


def invoke(sandbox: State, name: str, revision: str, scheduled: bool = False) -> tuple[int, str]:
    """Run a function once: its HTTP status and answer."""
    function = sandbox.story.function(name)
    # Both read the story when they are created, and the story does not have this run.
    _, bigquery = sandbox.log, sandbox.bigquery
    if _busy(sandbox, function):
        log(sandbox, Attempt(function, sandbox.tick(), None, "capacity"), revision, scheduled)
        return 429, "Rate exceeded."
    started = sandbox.tick()
    error = why(sandbox, function, revision)
    run = bigquery.catalog.add(sandbox.story.run(function, started, sandbox.tick(), error))
    log(sandbox, Attempt(function, started, run, run.kind), revision, scheduled)
    if run.status == "failed":
        return answer(run.kind, run), "Internal Server Error"
    return 200, json.dumps({"status": run.status, "run_id": run.id, "records": run.records})


def _busy(sandbox: State, function: Function) -> bool:
    """Whether the one instance is busy; after its time limit it is terminated."""
    oldest = sandbox.now - timedelta(seconds=function.timeout_s)
    mine = (run for run in sandbox.story.runs if run.function == function and run.status == "running")
    return any(run.started_at > oldest for run in mine)


def why(sandbox: State, function: Function, revision: str) -> str:
    """The error with which a run on a revision fails; "" if it succeeds."""
    services = sandbox.services
    made = services.find(function.name, revision)
    assert made
    worker = made["containers"][0]
    defect = services.defects[worker["image"]]
    rules = [r for r in sandbox.story.said("runs", function) if not r.until]
    if not defect and (not rules or rules[-1].outcome not in ("failed", "running")):
        return ""
    versions = services.started_with.get(revision, {}).values()
    cured = {
        "": False,
        "secret": any(v["createTime"] > stamp(sandbox.world.now) for v in versions),
        "enabled": all(sandbox.secrets.versions[name][-1]["state"] == "ENABLED" for name in function.secrets),
        "timeout": int(made["timeout"].removesuffix("s")) > function.timeout_s,
        "memory": worker["resources"]["limits"]["memory"] != function.memory,
        "code": worker["image"] in services.built,
    }
    if defect:
        kinds = [r.kind for r in sandbox.story.said("revisions", function) if r.kind and r.error == defect]
        return "" if kinds and cured[KINDS[kinds[-1]].cure] else defect
    return "" if cured[rules[-1].cure] else rules[-1].error
