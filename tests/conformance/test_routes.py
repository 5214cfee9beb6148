"""The sandbox against Google's own word: each route is a method of a discovery document, each answer fits its schema."""

from __future__ import annotations

import json
from tempfile import NamedTemporaryFile
from typing import Any

import pytest
import requests

import gcp_sandbox
from gcp_sandbox.http import HOSTS, ROUTES, Route
from gcp_sandbox.inprocess import InProcess
from runbook.config.load import load_settings

from .discovery import APIS, by_media, document, methods, misfits, shape

# Where a document itself comes from is in no document; status pages are no Google API.
ELSEWHERE = {"/$discovery/rest", "/discovery/v1/apis/bigquery/v2/rest"}
# The upload of a deployment asks the XML API of Cloud Storage.
ELSEWHERE |= {"/{bucket}/{file}"}
ROUTES_OF_GOOGLE = [r for r in ROUTES if r.api in APIS and r.path not in ELSEWHERE]
# Not compared: the inbox is not an API of Google's.
NOT_COMPARED = {"inbox"}


def test_every_api_is_compared_with_its_document() -> None:
    assert set(HOSTS) == set(APIS) | NOT_COMPARED, (
        "Add the document of the new API to APIS in tests/conformance/discovery.py; one that is not Google's to NOT_COMPARED"
    )


PLACE = "projects/acme-sales-sandbox/locations/us-central1"
NAMES = {
    "project": "acme-sales-sandbox",
    "location": "us-central1",
    "function": "gmail-sync",
    "service": "gmail-sync",
    "secret": "hubspot-api-key",
    "version": "2",
    "dataset": "sales_intelligence",
    "table": "etl_runs",
    "bucket": "acme-sales-sandbox-runbooks",
    "object": "runs%2F1.json",
}
SQL = {
    "query": "SELECT source_system, COUNT(*) AS n FROM sales_intelligence.etl_runs GROUP BY 1",
    "useLegacySql": False,
}
TABLE = {"projectId": "acme-sales-sandbox", "datasetId": "sales_intelligence", "tableId": "etl_runs"}
UPLOAD = "/upload/storage/v1/b/acme-sales-sandbox-runbooks/o"
SENT = {"uploadType": "media", "name": "runs/1.json"}
QUOTA = 'metric.type="serviceruntime.googleapis.com/quota/exceeded" AND resource.type="consumer_quota"'
QUERIES = {
    "/v3/projects/{project}/timeSeries": {
        "filter": QUOTA,
        "interval.startTime": "2026-03-12T00:00:00Z",
        "interval.endTime": "2026-03-12T00:30:00Z",
    },
    "/storage/v1/b/{bucket}/iam/testPermissions": {"permissions": ["storage.objects.get", "storage.buckets.get"]},
}
BODIES: dict[str, list[dict[str, Any]]] = {
    "/queries": [SQL, SQL | {"dryRun": True}, SQL | {"maxResults": 1}],
    "/jobs": [
        {"configuration": {"query": SQL, "dryRun": True}},
        {"configuration": {"query": SQL}},
        {
            "configuration": {
                "copy": {
                    "sourceTable": TABLE,
                    "destinationTable": TABLE
                    | {"datasetId": "sales_intelligence_backup", "tableId": "etl_runs_20260311"},
                    "operationType": "SNAPSHOT",
                    "writeDisposition": "WRITE_EMPTY",
                }
            }
        },
    ],
    ":generateUploadUrl": [{}],
    ":addVersion": [{"payload": {"data": "bmV3"}}, {"payload": {"data": "bmV3", "dataCrc32c": "3611556910"}}],
    ":enable": [{}],
    ":disable": [{}],
    ":pause": [{}],
    ":resume": [{}],
    ":run": [{}],
    "/tables/{table}": [{"labels": {"a": "b"}}],
    "/functions/{function}": [{"labels": {"a": "b"}}],
    "/services/{service}": [{"traffic": [{"type": "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST", "percent": 100}]}],
    "/upload/storage/v1/b/{bucket}/o": [{"any": "object"}],
    ":testIamPermissions": [{"permissions": ["bigquery.tables.get"]}],
    "/v2/entries:list": [
        {"resourceNames": ["projects/acme-sales-sandbox"], "filter": "severity>=ERROR", "pageSize": 2}
    ],
}


def described(route: Route) -> tuple[str, dict[str, Any]] | None:
    """The document and method that a route is."""
    for name in APIS[route.api]:
        for method, url in (*methods(name), *by_media(name)):
            if method["httpMethod"] == route.method and shape(url) == shape(f"https://x{route.path}"):
                return name, method
    return None


WORLD = """like: many_errors
quotas: [{metric: bigquery.googleapis.com/quota/query/usage, limit_name: QueryUsagePerDay, limit: 1000, used: 1200}]
"""


def new_session() -> requests.Session:
    made = requests.Session()
    with NamedTemporaryFile("w", suffix=".yaml") as world:
        world.write(WORLD)
        world.flush()
        made.mount("https://", InProcess(gcp_sandbox.app(load_settings("sandbox").inventory(), world.name)))
    return made


@pytest.fixture(scope="module")
def session() -> requests.Session:
    """For routes that only read; a route that writes has a project of its own."""
    return new_session()


def patch(session: requests.Session, kind: str) -> dict[str, Any]:
    """Begin an operation: change what all the tests' names are of."""
    api, field = {"functions": ("cloudfunctions", "labels"), "services": ("run", "traffic")}[kind]
    [body] = BODIES[f"/{kind}/{{{kind[:-1]}}}"]
    url = f"https://{HOSTS[api]}/v2/{PLACE}/{kind}/gmail-sync?updateMask={field}"
    return session.patch(url, json=body).json()


def names(session: requests.Session, route: Route) -> dict[str, str]:
    """Names of things that exist, for a route's variables."""
    revision = session.get(f"https://{HOSTS['run']}/v2/{PLACE}/services/gmail-sync/revisions").json()["revisions"][0]
    more = {"revision": revision["name"].rsplit("/", 1)[-1], "job": "gmail-sync"}
    if "/operations" in route.path:
        more["operation"] = patch(session, "services" if route.api == "run" else "functions")["name"].rsplit("/", 1)[-1]
    if route.path.endswith(":resume"):
        session.post(f"https://{HOSTS['cloudscheduler']}/v1/{PLACE}/jobs/gmail-sync:pause")
    if route.api == "bigquery":
        reply = session.post(f"https://{HOSTS['bigquery']}/bigquery/v2/projects/acme-sales-sandbox/queries", json=SQL)
        more["job"] = reply.json()["jobReference"]["jobId"]
    if route.api == "storage":
        session.post(f"https://{HOSTS['storage']}{UPLOAD}", params=SENT, data=b"{}").raise_for_status()
    return NAMES | more


@pytest.mark.parametrize("route", ROUTES_OF_GOOGLE, ids=lambda r: f"{r.method} {r.api} {r.path}")
def test_route(session: requests.Session, route: Route) -> None:
    found = described(route)
    assert found, "no method of the API's discovery document"
    document_name, method = found
    if route.method != "GET" or "/operations" in route.path:
        session = new_session()
    url = f"https://{HOSTS[route.api]}{route.path.format(**names(session, route))}"
    bodies = next((b for end, b in BODIES.items() if route.path.endswith(end)), [None])
    if route.method == "GET":
        bodies = [None]
    assert route.method in ("GET", "DELETE") or bodies != [None]
    for body in bodies:
        query = {"updateMask": ",".join(body)} if route.method == "PATCH" else {}
        if route.api == "bigquery" and "{job}" in route.path:
            query["location"] = NAMES["location"]
        query |= SENT if "/upload/" in route.path else QUERIES.get(route.path, {})
        reply = session.request(route.method, url, json=body, params=query)
        if "response" not in method:
            assert (reply.status_code, reply.content) == (204, b"")
            return
        assert reply.status_code == 200, reply.text
        schema = document(document_name)["schemas"][method["response"]["$ref"]]
        assert misfits(document_name, schema, reply.json()) == []
        assert reply.json()


def test_every_parameter_of_a_method_of_storage_is_known_or_refused(session: requests.Session) -> None:
    """None is ignored, except those that change no answer here."""
    same = {
        "userProject",
        "projection",
        "includeFoldersAsPrefixes",
        "versions",
        "name",
        "bucket",
        "object",
        "permissions",
    }
    asked = {"ifGenerationMatch", "generation", "prefix", "delimiter", "startOffset", "maxResults", "pageToken"}
    refused = set()
    for route in (r for r in ROUTES_OF_GOOGLE if r.api == "storage"):
        found = described(route)
        assert found
        for name in set(found[1]["parameters"]) - same - asked:
            url = f"https://{HOSTS['storage']}{route.path.format(**names(session, route))}"
            reply = session.request(route.method, url, params={name: "1"})
            assert (reply.status_code, name in reply.json()["error"]["message"]) == (501, True), url
            refused.add(name)
    assert refused >= {"ifMetagenerationMatch", "softDeleted", "filter", "endOffset", "kmsKeyName"}


def test_a_filter_is_never_ignored(session: requests.Session) -> None:
    """A list that Google filters or orders, and the sandbox does not, says so."""
    asked = []
    for route in (r for r in ROUTES_OF_GOOGLE if r.method == "GET"):
        found = described(route)
        assert found
        for name in {"filter", "orderBy"} & set(found[1].get("parameters", {})):
            url = f"https://{HOSTS[route.api]}{route.path.format(**names(session, route))}"
            reply = session.get(url, params={name: "nothing=like-it"})
            assert reply.status_code in (400, 501), url
            asked.append(url)
    assert len(asked) > 5


@pytest.mark.parametrize(
    ("kind", "name", "metadata", "response"),
    [
        ("functions", "cloudfunctions.v2", "GoogleCloudFunctionsV2OperationMetadata", "Function"),
        ("services", "run.v2", "GoogleCloudRunV2Service", "GoogleCloudRunV2Service"),
    ],
)
def test_what_an_operation_carries(kind: str, name: str, metadata: str, response: str) -> None:
    session = new_session()
    operation = patch(session, kind)
    for done in (None, None, True):
        operation = session.get(f"https://{name.split('.')[0]}.googleapis.com/v2/{operation['name']}").json()
        assert operation.get("done") is done
        carried = {k: v for k, v in operation["metadata"].items() if k != "@type"}
        assert misfits(name, {"$ref": metadata}, carried) == []
    carried = {k: v for k, v in operation["response"].items() if k != "@type"}
    assert misfits(name, {"$ref": response}, carried) == []
    assert carried["name"].endswith(f"/{kind}/gmail-sync")


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        ({"kind": 1}, "answer.kind is int"),
        ({"totalRows": "x"}, "not an int64"),
        ({"totalRows": 3}, "answer.totalRows is int"),
        ({"made_up": True}, "answer.made_up is no property"),
        ({"rows": {}}, "answer.rows is dict"),
    ],
)
def test_the_schema_bites(spoil: dict[str, Any], expected: str) -> None:
    good = {"kind": "bigquery#queryResponse", "totalRows": "3", "jobComplete": True}
    schema = {"$ref": "QueryResponse"}
    assert misfits("bigquery.v2", schema, good) == []
    assert expected in json.dumps(misfits("bigquery.v2", schema, good | spoil))
