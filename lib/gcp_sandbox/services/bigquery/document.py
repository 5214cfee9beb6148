"""The discovery document that the `bq` command line needs: the sandbox's own routes."""

from __future__ import annotations

import re
from typing import Any

from gcp_sandbox.http import ROUTES, Call, Route, route
from gcp_sandbox.state import State

_PROJECT = "/bigquery/v2/projects/{project}"

# Query parameters of the methods, from their discovery entries.
_ARGUMENTS = (
    "maxResults",
    "pageToken",
    "startIndex",
    "timeoutMs",
    "location",
    "selectedFields",
    "view",
    "all",
    "filter",
    "projection",
    "stateFilter",
    "allUsers",
    "minCreationTime",
    "maxCreationTime",
    "parentJobId",
    "datasetView",
    "formatOptions.useInt64Timestamp",
    "accessPolicyVersion",
    "autodetect_schema",
)


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
    return {
        "kind": "discovery#restDescription",
        "discoveryVersion": "v1",
        "id": "bigquery:v2",
        "name": "bigquery",
        "version": "v2",
        "rootUrl": root,
        "servicePath": "bigquery/v2/",
        "basePath": "/bigquery/v2/",
        "baseUrl": f"{root}bigquery/v2/",
        "batchPath": "batch/bigquery/v2",
        "schemas": {name: {"id": name, "type": "object"} for name in ("Body", "Answer")},
        "resources": methods,
    }


def _method(found: Route, name: str) -> dict:
    path = re.sub(r"\{(\w+)\}", r"{+\1Id}", found.path.removeprefix("/bigquery/v2/"))
    required = re.findall(r"\{\+(\w+)\}", path)
    made: dict[str, Any] = {
        "id": name,
        "path": path,
        "httpMethod": found.method,
        "parameterOrder": required,
        "parameters": {n: {"type": "string", "location": "path", "required": True} for n in required}
        | {n: {"type": "string", "location": "query"} for n in _ARGUMENTS},
        "response": {"$ref": "Answer"},
    }
    if found.method in ("POST", "PATCH"):
        made["request"] = {"$ref": "Body"}
    if name == "bigquery.jobs.insert":
        upload = {"multipart": True, "path": f"/upload/bigquery/v2/{path}"}
        protocols = {"simple": upload, "resumable": {**upload, "path": "/resumable" + upload["path"]}}
        made |= {"supportsMediaUpload": True, "mediaUpload": {"accept": ["*/*"], "protocols": protocols}}
    return made
