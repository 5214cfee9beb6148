"""The discovery document that the `bq` command line needs: the sandbox's own routes."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

from gcp_sandbox.http import ROUTES, Call, Route, route
from gcp_sandbox.state import State
from gcp_sandbox.wire import fill, shapes

_PROJECT = "/bigquery/v2/projects/{project}"

_SHAPES, _shape = shapes(__file__), partial(fill, __file__)


@route("bigquery", "GET", "/$discovery/rest")
@route("bigquery", "GET", "/discovery/v1/apis/bigquery/v2/rest")
def discovery(_sandbox: State, call: Call) -> dict:
    """The part of the discovery document that the `bq` command line needs: the sandbox's routes."""
    methods: dict[str, Any] = {}
    for found in ROUTES:
        resource, _, verb = found.handler.__name__.partition("_")
        if found.api == "bigquery" and verb and found.path.startswith(_PROJECT):
            name = re.sub(r"_(\w)", lambda match: match[1].upper(), verb)
            methods.setdefault(resource, {"methods": {}})["methods"][name] = _method(
                found, f"bigquery.{resource}.{name}"
            )
    root = f"http://{call.headers.get('host', call.host)}/"
    return _shape("document", root=root, resources=methods)


def _method(found: Route, name: str) -> dict:
    path = re.sub(r"\{(\w+)\}", r"{+\1Id}", found.path.removeprefix("/bigquery/v2/"))
    required = re.findall(r"\{\+(\w+)\}", path)
    parameters = {n: {"type": "string", "location": "path", "required": True} for n in required}
    parameters |= {n: {"type": "string", "location": "query"} for n in _SHAPES["arguments"]}
    request = {"$ref": "Body"} if found.method in ("POST", "PATCH") else None
    upload = _shape("upload", path=path) if name == "bigquery.jobs.insert" else None
    about = {"id": name, "path": path, "method": found.method, "required": required, "parameters": parameters}
    return _shape("method", **about, request=request, uploads=True if upload else None, upload=upload)
