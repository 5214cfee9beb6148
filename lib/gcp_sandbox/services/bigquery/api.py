"""BigQuery API v2: the routes (https://cloud.google.com/bigquery/docs/reference/rest)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from gcp_sandbox import wire
from gcp_sandbox.http import ApiError, Call, route
from gcp_sandbox.state import State

if TYPE_CHECKING:
    from gcp_sandbox.services.bigquery.jobs import Job
    from gcp_sandbox.services.bigquery.result import Result


_PROJECT = "/bigquery/v2/projects/{project}"
_TABLES = _PROJECT + "/datasets/{dataset}/tables"
_PAGE = 50_000
_OF_QUERY = ("query", "queryParameters", "parameterMode", "defaultDataset", "useLegacySql", "maximumBytesBilled")


@route("bigquery", "POST", f"{_PROJECT}/queries", "bigquery.jobs.create")
def jobs_query(sandbox: State, call: Call, **_: str) -> dict:
    """Run one query and return its first page; a repeated `requestId` returns the existing job, not a new one."""
    from gcp_sandbox.services.bigquery import jobs

    body = call.body
    if not body.get("query"):
        raise ApiError(400, "INVALID_ARGUMENT", "Required parameter is missing: query", "required")
    before = sandbox.bigquery.requests.get(body.get("requestId", ""))
    configuration: dict[str, Any] = {"query": {k: body[k] for k in _OF_QUERY if k in body}}
    configuration |= {k: body[k] for k in ("dryRun", "labels") if k in body}
    job = before or jobs.submit(sandbox, configuration, {"location": body.get("location", "")})
    if body.get("requestId") and job.id:
        sandbox.bigquery.requests[body["requestId"]] = job
    result = _result(job)
    int64 = bool(body.get("formatOptions", {}).get("useInt64Timestamp"))
    answer = _page_of(job, result, 0, int(body.get("maxResults") or _PAGE), int64)
    times = {f"{word}Time": wire.millis(job.created) for word in ("creation", "start", "end")}
    answer |= {"kind": "bigquery#queryResponse", "location": job.location, "statementType": result.kind, **times}
    return answer | {"totalBytesBilled": "0" if body.get("dryRun") else str(result.billed), "queryId": job.id}


@route("bigquery", "GET", f"{_PROJECT}/queries/{{job}}")
def jobs_get_query_results(sandbox: State, call: Call, job: str, **_: str) -> dict:
    """A page of the result of a query job, or the error of a failed job."""
    found = _job(sandbox, call, job)
    start, most = _window(call)
    answer = _page_of(found, _result(found), start, most, _int64(call))
    return {**answer, "kind": "bigquery#getQueryResultsResponse", "etag": wire.etag(found.id, start)}


@route("bigquery", "POST", f"{_PROJECT}/jobs", "bigquery.jobs.create")
def jobs_insert(sandbox: State, call: Call, **_: str) -> dict:
    """Run one job of any kind; its error is in the status of the job, not in the HTTP status."""
    from gcp_sandbox.services.bigquery import jobs

    return jobs.submit(sandbox, call.body.get("configuration", {}), call.body.get("jobReference", {})).resource()


@route("bigquery", "GET", f"{_PROJECT}/jobs/{{job}}")
def jobs_get(sandbox: State, call: Call, job: str, **_: str) -> dict:
    """One job by its id and location; the caller sees every job, so none needs a permission."""
    return _job(sandbox, call, job).resource()


@route("bigquery", "GET", f"{_PROJECT}/datasets", "bigquery.datasets.get")
def datasets_list(sandbox: State, call: Call, project: str) -> dict:
    """The datasets of the project, on one page and without a filter."""
    found = [datasets_get(sandbox, call, project, name) for name in sandbox.bigquery.catalog.datasets]
    parts = ("kind", "id", "datasetReference", "location", "type")
    page = wire.page(call, "datasets", [{k: one[k] for k in parts} for one in found], _PAGE)
    return {"kind": "bigquery#datasetList", **page}


@route("bigquery", "GET", f"{_PROJECT}/datasets/{{dataset}}", "bigquery.datasets.get")
def datasets_get(sandbox: State, _call: Call, project: str, dataset: str) -> dict:
    """One dataset, as old as the project's tables."""
    return sandbox.bigquery.catalog.about(project, dataset)


@route("bigquery", "GET", _TABLES, "bigquery.tables.list")
def tables_list(sandbox: State, call: Call, project: str, dataset: str) -> dict:
    """The tables and snapshots of a dataset by name, without those that have expired."""
    catalog = sandbox.bigquery.catalog
    listed = [catalog.resource(t, full=False) for t in catalog.of(catalog.dataset(project, dataset))]
    start, most = _window(call)
    answer: dict[str, Any] = {"kind": "bigquery#tableList", "etag": wire.etag(listed), "totalItems": len(listed)}
    answer |= {"tables": listed[start : start + most]} if listed else {}
    return {**answer, "nextPageToken": str(start + most)} if start + most < len(listed) else answer


@route("bigquery", "GET", f"{_TABLES}/{{table}}", "bigquery.tables.get")
def tables_get(sandbox: State, _call: Call, **names: str) -> dict:
    """One table with its schema, its rows counted and its bytes measured at this moment."""
    return sandbox.bigquery.catalog.resource(_table(sandbox, names))


@route("bigquery", "PATCH", f"{_TABLES}/{{table}}", "bigquery.tables.update")
def tables_patch(sandbox: State, call: Call, **names: str) -> dict:
    """Labels (null removes one) and the expiration time; refused if If-Match does not match the etag."""
    catalog, table, asked = sandbox.bigquery.catalog, _table(sandbox, names), {k: v for k, v in call.body.items() if v}
    if call.headers.get("if-match") not in (None, catalog.resource(table)["etag"]):
        raise ApiError(412, "FAILED_PRECONDITION", "Precondition Failed", "conditionNotMet")
    asked.pop("tableReference", None)
    labels, expires = asked.pop("labels", {}), asked.pop("expirationTime", None)
    if asked:
        raise ApiError(501, "UNIMPLEMENTED", f"gcp_sandbox changes labels and expirationTime, not {', '.join(asked)}")
    table.labels = {k: v for k, v in {**table.labels, **labels}.items() if v is not None}
    if expires is not None:
        table.expires = datetime.fromtimestamp(int(expires) / 1000, UTC)
    table.modified = sandbox.tick()
    return catalog.resource(table)


@route("bigquery", "GET", f"{_TABLES}/{{table}}/data", "bigquery.tables.getData")
def tabledata_list(sandbox: State, call: Call, **names: str) -> dict:
    """A page of the rows of a table, in stored order."""
    from gcp_sandbox.services.bigquery import values

    catalog, table = sandbox.bigquery.catalog, _table(sandbox, names)
    wanted = call.args.get("selectedFields", "")
    fields = [f for f in table.fields if not wanted or f["name"] in wanted.split(",")]
    start, most = _window(call)
    columns, total = ", ".join(values.quoted(f["name"]) for f in fields), catalog.count(table)
    raw = catalog.con.execute(f"SELECT {columns} FROM {table.name} LIMIT {most} OFFSET {start}").fetchall()
    answer: dict[str, Any] = {"kind": "bigquery#tableDataList", "etag": wire.etag(names, table.modified)}
    answer |= {"totalRows": str(total), "rows": values.rows(fields, raw, _int64(call))}
    return {**answer, "pageToken": str(start + most)} if start + most < total else answer


def _table(sandbox: State, names: dict[str, str]) -> Any:
    from gcp_sandbox.services.bigquery.googlesql.sql import Ref

    return sandbox.bigquery.catalog.find(Ref(names["project"], names["dataset"], names["table"]))


def _job(sandbox: State, call: Call, name: str) -> Job:
    """A job in the location of the call, which only a job in US or EU does not need.

    https://cloud.google.com/bigquery/docs/reference/rest/v2/jobs/get
    """
    job, place = sandbox.bigquery.jobs.get(name), call.args.get("location", "").lower()
    if not job or job.location.lower() not in ((place,) if place else ("us", "eu")):
        project = sandbox.inventory.project + (f":{place}" if place else "")
        raise ApiError(404, "NOT_FOUND", f"Not found: Job {project}{'.' if place else ':'}{name}", "notFound")
    return job


def _result(job: Job) -> Result:
    """The result of a query job. Raises the job's error, and ApiError if the job is not a query."""
    if job.error:
        raise job.error
    if not job.result:
        raise ApiError(400, "INVALID_ARGUMENT", f"Job {job.id} is not a query", "invalid")
    return job.result


def _page_of(job: Job, result: Result, start: int, most: int, int64: bool) -> dict:
    from gcp_sandbox.services.bigquery import values

    answer: dict[str, Any] = {
        "jobReference": job.reference,
        "jobComplete": True,
        "cacheHit": False,
        "totalBytesProcessed": str(result.processed),
    }
    if result.kind == "SELECT" or result.fields:
        rows = values.rows(result.fields, result.rows[start : start + most], int64)
        answer |= {"schema": {"fields": result.fields}, "totalRows": str(len(result.rows)), "rows": rows}
        if start + most < len(result.rows):
            answer["pageToken"] = str(start + most)
    return answer


def _window(call: Call) -> tuple[int, int]:
    """The first row of a page, and how many rows it may have. Raises ApiError 400 for a value that is not a number."""
    given = [
        call.args.get("pageToken") or call.args.get("startIndex") or "0",
        call.args.get("maxResults") or str(_PAGE),
    ]
    if not all(text.isdigit() for text in given):
        raise ApiError(400, "INVALID_ARGUMENT", f"Invalid page: {given}", "invalid")
    return int(given[0]), min(int(given[1]), _PAGE)


def _int64(call: Call) -> bool:
    return call.args.get("formatOptions.useInt64Timestamp", "").lower() == "true"
