"""Queries: they run where their tables are (R6), one bad table is one gap (R13), and every wait has an end (R14)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import requests
from requests.adapters import BaseAdapter

import gcp_sandbox
from gcp_sandbox.inprocess import InProcess
from gcp_sandbox.services.bigquery import api
from runbook import facts
from runbook.cloud.answer import MOST_PAGES
from runbook.cloud.client import Cloud
from runbook.cloud.failures import CannotRead
from runbook.cloud.query import select
from runbook.cloud.transports import network
from runbook.config.load import load_settings
from runbook.config.schema import Settings
from runbook.facts.base import observe
from runbook.model.errors import OverCap
from runbook.model.moment import Moment
from tests.runbook.changes import Place

SYSTEM = load_settings("sandbox")
NOW = Moment(datetime(2026, 3, 11, 13, 30, tzinfo=UTC), SYSTEM.zone)
Answer = tuple[int, dict[str, Any]]


class Between(BaseAdapter):
    """The sandbox; `instead(request)` may answer in its place."""

    def __init__(self, app: Any, instead: Callable[[requests.PreparedRequest], Answer | None] = lambda _: None):
        super().__init__()
        self.inner, self.instead, self.sent = InProcess(app), instead, list[str]()

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        self.sent.append(f"{request.method} {request.url}")
        response = self.inner.send(request, **options)
        if given := self.instead(request):
            response.status_code, response._content = given[0], json.dumps(given[1]).encode()
        return response

    def close(self) -> None: ...


def cloud(instead: Any = lambda _: None, system: Settings = SYSTEM, **inventory: Any) -> Cloud:
    return Cloud(system, "sandbox", Between(gcp_sandbox.app({**system.inventory(), **inventory}), instead))


# --- R6: the location


@pytest.mark.parametrize("location", ["US", "EU", "europe-west1"])
def test_the_daily_check_is_ok_wherever_the_datasets_are(location: str, tmp_path: Path) -> None:
    app = gcp_sandbox.app(SYSTEM.inventory() | {"location": location})
    result = Place(tmp_path / "records", app=app).run("daily_check")
    assert result.error is None
    assert json.loads((result.folder / "report.json").read_text())["verdict"] == "ok"


@pytest.mark.parametrize("location", ["US", "us-central1"])
def test_the_pages_of_a_result_are_asked_for_where_the_job_is(location: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "_PAGE", 2)
    here = cloud(location=location)
    sql = (
        f"SELECT table_name FROM UNNEST(['a', 'b', 'c', 'd', 'e']) AS table_name, `{SYSTEM.table('etl_runs')}` LIMIT 5"
    )
    assert len(select(here, sql, {}, {})) == 5
    later = [url for url in here.transport.sent if url.startswith("GET")]  # type: ignore[attr-defined]
    assert len(later) >= 2
    assert all(f"location={location}" in url for url in later), later


# --- R13: one table


def of_table(table: str, stage: str, status: int, reason: str, message: str) -> Callable[..., Answer | None]:
    """Google's error for every dry run, or every query, that names the table."""

    def instead(request: requests.PreparedRequest) -> Answer | None:
        if stage not in str(request.url) or f".{table}`" not in str(request.body):
            return None
        errors = [{"message": message, "domain": "global", "reason": reason}]
        return status, {"error": {"code": status, "message": message, "errors": errors}}

    return instead


DATETIME = "No matching signature for function TIMESTAMP_DIFF for argument types: TIMESTAMP, DATETIME, DATE_TIME_PART. at [1:8]"
FILTER = (
    "Cannot query over table 'p.d.t' without a filter over column(s) 'day' that can be used for partition elimination"
)
RESOURCES = "Resources exceeded during query execution: The query could not be executed in the allotted memory."
BYTES = "Query exceeded limit for bytes billed: 1073741824. 9663676416 or higher required."


@pytest.mark.parametrize(
    ("stage", "status", "reason", "message", "why", "next"),
    [
        ("/jobs", 400, "invalidQuery", DATETIME, "No matching signature", "report it"),
        ("/jobs", 400, "invalidQuery", FILTER, "without a filter over column", "add a condition on that column"),
        ("/queries", 400, "resourcesExceeded", RESOURCES, "Resources exceeded", "more than BigQuery gives one query"),
        ("/queries", 400, "bytesBilledLimitExceeded", BYTES, "more than the cost cap", "raise cost_cap_gib"),
        ("/queries", 500, "bytesBilledLimitExceeded", BYTES, "more than the cost cap", "raise cost_cap_gib"),
        ("/queries", 403, "quotaExceeded", "Quota exceeded: too many", "Quota exceeded", "wait a minute"),
        ("/queries", 400, "invalid", "Exceeded rate limits: x", "Exceeded rate limits", "report it"),
    ],
)
def test_one_tables_error_is_one_gap(
    stage: str, status: int, reason: str, message: str, why: str, next: str, tmp_path: Path
) -> None:
    instead = of_table("gmail_messages", stage, status, reason, message)
    fact = observe(facts.freshness(), cloud(instead), NOW)
    [gap] = fact.gaps
    assert gap.subject == "gmail_messages"
    assert why in gap.why
    assert next in gap.next
    assert {r.table_name for r in fact.rows} == {t.name for t in SYSTEM.tables.freshness} - {"gmail_messages"}
    app = gcp_sandbox.app(SYSTEM.inventory())
    place = Place(tmp_path / "records", app=app)
    place.wire = Between(app, instead)  # type: ignore[assignment]
    result = place.run("daily_check")
    assert result.error is None
    assert json.loads((result.folder / "report.json").read_text())["verdict"] == "unknown"


def test_a_datetime_column_in_the_sandbox_is_one_gap(tmp_path: Path) -> None:
    tables = SYSTEM.inventory()["tables"]
    for table in tables:
        if table["name"] == "gmail_messages":
            table["columns"] = {
                name: "DATETIME" if kind == "TIMESTAMP" else kind for name, kind in table["columns"].items()
            }
    fact = observe(facts.freshness(), cloud(tables=tables), NOW)
    assert {g.subject for g in fact.gaps} == {"gmail_messages"}
    assert len(fact.rows) == len(SYSTEM.tables.freshness) - 1


# --- a query that is not finished when it is first answered


def later(status: dict[str, Any]) -> Callable[..., Answer | None]:
    """A query that goes on after its first answer, with this status of its job."""

    def instead(request: requests.PreparedRequest) -> Answer | None:
        job = {"projectId": SYSTEM.project, "jobId": "j", "location": "US"}
        url = str(request.url).partition("?")[0]
        if request.method == "POST" and url.endswith("/queries"):
            return 200, {"jobReference": job, "jobComplete": False}
        if request.method == "GET" and "/queries/" in url:
            return 200, {"jobReference": job, "jobComplete": False}
        if request.method == "GET" and "/jobs/" in url:
            return 200, {"jobReference": job, "status": status, "configuration": {"query": {"query": "x"}}}
        return None

    return instead


def failed(reason: str, message: str) -> dict[str, Any]:
    error = {"reason": reason, "message": message}
    return {"state": "DONE", "errorResult": error, "errors": [error]}


def test_over_the_cap_after_a_while_is_over_the_cap() -> None:
    here = cloud(later(failed("bytesBilledLimitExceeded", BYTES)))
    with pytest.raises(OverCap, match=r"billed as 9\.00 GiB"):
        select(here, "SELECT 1", {}, {})
    fact = observe(facts.scores(), here, NOW)
    assert [(g.why.split(":")[0], "raise cost_cap_gib" in g.next) for g in fact.gaps]
    assert "location=US" in next(url for url in here.transport.sent if "GET" in url)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("reason", "message", "next"),
    [
        ("resourcesExceeded", RESOURCES, "more than BigQuery gives one query"),
        ("rateLimitExceeded", "Exceeded rate limits", "wait a minute"),
        ("backendError", "try again", "repeat this run"),
        ("stopped", "Job execution was cancelled", "report it"),
        ("brandNew", "?", "repeat this run"),
    ],
)
def test_a_job_that_fails_after_a_while_is_a_gap(reason: str, message: str, next: str) -> None:
    [gap] = observe(facts.scores(), cloud(later(failed(reason, message))), NOW).gaps
    assert message in gap.why
    assert next in gap.next


def test_a_query_that_does_not_end_is_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = count(0, 25)
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    with pytest.raises(CannotRead, match="did not end within a minute"):
        select(cloud(later({"state": "RUNNING"})), "SELECT 1", {}, {})


def test_endless_pages_of_a_result_are_a_gap() -> None:
    token = count()

    def instead(request: requests.PreparedRequest) -> Answer | None:
        job = {"projectId": SYSTEM.project, "jobId": "j", "location": "US"}
        url = str(request.url).partition("?")[0]
        if "/queries" in url:
            schema = {"fields": [{"name": "score_date", "type": "DATE"}]}
            page = {"jobReference": job, "jobComplete": True, "schema": schema, "totalRows": "9"}
            return 200, page | {"rows": [], "pageToken": str(next(token))}
        if "/jobs/" in url:
            return 200, {"jobReference": job, "status": {"state": "DONE"}, "configuration": {"query": {"query": "x"}}}
        return None

    here = cloud(instead)
    with pytest.raises(CannotRead, match="do not end"):
        select(here, "SELECT 1", {}, {})
    assert MOST_PAGES <= len(here.transport.sent) <= MOST_PAGES + 5  # type: ignore[attr-defined]


# --- R14: Retry-After, and projects that begin with a domain


@contextmanager
def served(status: int, **headers: str) -> Iterator[tuple[str, list[str]]]:
    """A server on loopback that always answers so, and what it was asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            for name, value in ({"Content-Length": "0"} | headers).items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()  # how often it looks for its end
    yield f"http://127.0.0.1:{server.server_port}/", asked
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("wait", ["3600", "Wed, 11 Mar 2099 13:30:00 GMT", "-5", "soon"])
def test_nobody_waits_as_long_as_retry_after_says(status: int, wait: str, monkeypatch: pytest.MonkeyPatch) -> None:
    session, slept = requests.Session(), list[float]()
    monkeypatch.setattr("time.sleep", slept.append)
    session.mount("http://", network())
    with served(status, Retry_After=wait) as (url, asked):
        assert session.get(url, timeout=5).status_code == status
        assert len(asked) == 3
        assert sum(slept) < 5


OLD = SYSTEM.model_validate(SYSTEM.model_dump() | {"project": "example.com:acme-sales"})


def test_a_project_with_a_domain_is_read_like_any_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = cloud(system=OLD)
    assert here.now() == (NOW.at, True)
    asks = {name: getattr(facts, name) for name in ("functions", "jobs", "errors", "changes", "etl_today", "freshness")}
    asks |= {name: getattr(facts, name) for name in ("scores", "tables", "snapshots", "access", "schema", "secrets")}
    for name, ask in asks.items():
        fact = observe(ask(), here, NOW)
        assert (bool(fact.rows) or name == "changes", fact.gaps, fact.absent) == (True, (), ()), name
        assert "example.com:acme-sales" in fact.line, name
    assert observe(facts.service("gmail-sync"), here, NOW).rows


@pytest.mark.parametrize(
    "project", ["example.com:", ":acme-sales", "example:acme-sales", "a.com:b.com:acme-sales", "x"]
)
def test_other_forms_of_a_project_are_refused(project: str) -> None:
    with pytest.raises(ValueError, match="project"):
        SYSTEM.model_validate(SYSTEM.model_dump() | {"project": project})
