"""The door, tried with every method that Google's discovery documents know: only the listed reads pass."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from io import BytesIO
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from requests.adapters import BaseAdapter

from runbook import facts
from runbook.cloud.client import Cloud
from runbook.cloud.failures import gap
from runbook.cloud.guard import HOSTS, ReadOnlyGuard, Redirected
from runbook.cloud.transports import network
from runbook.config.load import load_settings
from runbook.facts.base import observe
from runbook.model.errors import RequestBlocked
from runbook.model.moment import Moment

from .discovery import APIS, methods

FEED = "https://status.example.com/api/v2/summary.json"
READS = {
    "bigquery.datasets.get",
    "bigquery.datasets.list",
    "bigquery.jobs.get",
    "bigquery.jobs.getQueryResults",
    "bigquery.tables.get",
    "bigquery.tables.list",
    "cloudfunctions.projects.locations.functions.get",
    "cloudfunctions.projects.locations.functions.list",
    "cloudresourcemanager.projects.testIamPermissions",
    "cloudscheduler.projects.locations.jobs.get",
    "cloudscheduler.projects.locations.jobs.list",
    "logging.entries.list",
    "monitoring.projects.timeSeries.list",
    "run.projects.locations.services.get",
    "run.projects.locations.services.revisions.list",
    "secretmanager.projects.secrets.versions.get",
    "secretmanager.projects.secrets.versions.list",
}
METHODS = [(m, url) for names in APIS.values() for name in names for m, url in methods(name)]


class Wire(BaseAdapter):
    """Stands where the network would be: notes what arrives, and answers what it was told to."""

    def __init__(self, answer: dict[str, Any] | None = None, moved: str = ""):
        super().__init__()
        self.sent: list[str] = []
        self.answer = answer or {}
        self.moved = moved

    def send(self, request: requests.PreparedRequest, **_: Any) -> requests.Response:
        self.sent.append(f"{request.method} {request.url}")
        response = requests.Response()
        response.status_code, response._content = 200, json.dumps(self.answer).encode()
        if self.moved:
            response.status_code, response.headers["Location"] = 308, self.moved
        response.request, response.url, response.raw = request, str(request.url), BytesIO()
        return response

    def close(self) -> None: ...


def through(guard: ReadOnlyGuard, method: str, url: str, **more: Any) -> requests.Response:
    session = requests.Session()
    session.adapters.clear()
    session.mount("", guard)
    return session.request(method, url, **more)


def test_only_the_listed_reads_pass() -> None:
    passed = set()
    for method, url in METHODS:
        wire = Wire()
        try:
            through(ReadOnlyGuard(wire), method["httpMethod"], re.sub(r"\{\+?\w+\}", "x1", url), json={"a": 1})
            passed.add(method["id"])
        except RequestBlocked:
            assert not wire.sent
    assert passed == READS, len(METHODS)


def test_there_are_hundreds_of_methods_to_refuse() -> None:
    assert len(METHODS) > 400
    assert sum(m["httpMethod"] != "GET" for m, _ in METHODS) > 150


P = "https://bigquery.googleapis.com/bigquery/v2/projects/p1"
SQL = "SELECT 1"
DRY = {"configuration": {"dryRun": True, "query": {"query": SQL, "useLegacySql": False}}}
RUN = {"query": SQL, "useLegacySql": False, "maximumBytesBilled": "10"}
SELECT = {"statistics": {"query": {"statementType": "SELECT"}}}


@pytest.mark.parametrize(
    ("method", "url", "body"),
    [
        ("POST", f"{P}/queries", RUN),
        ("POST", f"{P}/jobs", {"configuration": {"query": {"query": SQL}}}),
        ("POST", f"{P}/jobs", {"configuration": {"dryRun": True, "copy": {}}}),
        ("POST", f"{P}/jobs", {"configuration": {"dryRun": True, "query": {"query": SQL}, "load": {}}}),
        ("POST", f"{P}/jobs", {"configuration": {"dryRun": "true", "query": {"query": SQL}}}),
        ("POST", f"{P}/jobs?alt=json", DRY),
        ("POST", f"{P}/jobs/../datasets", DRY),
        ("POST", "https://bigquery.googleapis.com/upload/bigquery/v2/projects/p1/jobs", DRY),
        ("POST", "https://bigquery.googleapis.com/batch/bigquery/v2", {}),
        ("GET", "http://bigquery.googleapis.com/bigquery/v2/projects/p1/datasets/d", None),
        ("GET", "https://bigquery.googleapis.com.example.com/bigquery/v2/projects/p1/datasets/d", None),
        ("GET", "https://bigquery.googleapis.com:444/bigquery/v2/projects/p1/datasets/d", None),
        ("GET", "https://secretmanager.googleapis.com/v1/projects/p/secrets/s/versions/latest:access", None),
        ("GET", "https://logging.googleapis.com/v2/entries:list", None),
        ("GET", "https://secretmanager.googleapis.com/v1/projects/a.com:p/secrets/s/versions/latest:access", None),
        ("GET", "https://secretmanager.googleapis.com/v1/projects/a.com:b.com:p/secrets/s/versions", None),
        ("GET", "https://secretmanager.googleapis.com/v1/projects/p:x/secrets/s/versions", None),
        ("GET", "https://secretmanager.googleapis.com/v1/projects/a.com:p/secrets/a.com:s/versions", None),
        ("GET", "https://example.com/", None),
        ("GET", f"{FEED}?x=1", None),
        ("POST", FEED, None),
    ],
)
def test_refused(method: str, url: str, body: Any) -> None:
    wire = Wire()
    with pytest.raises(RequestBlocked):
        through(ReadOnlyGuard(wire, [FEED]), method, url, json=body)
    assert not wire.sent


@pytest.mark.parametrize(
    ("method", "url"),
    [
        ("GET", "https://secretmanager.googleapis.com/v1/projects/example.com:p1/secrets/s/versions"),
        ("POST", "https://cloudresourcemanager.googleapis.com/v3/projects/example.com:p1:testIamPermissions"),
    ],
)
def test_a_project_with_a_domain_passes(method: str, url: str) -> None:
    wire = Wire()
    through(ReadOnlyGuard(wire), method, url)
    assert wire.sent == [f"{method} {url}"]


def test_a_method_override_is_refused() -> None:
    with pytest.raises(RequestBlocked):
        through(ReadOnlyGuard(Wire()), "GET", f"{P}/datasets/d", headers={"X-HTTP-Method-Override": "DELETE"})


def test_a_feed_passes() -> None:
    assert through(ReadOnlyGuard(Wire(), [FEED]), "GET", FEED).status_code == 200


@pytest.mark.parametrize(
    ("answer", "body", "passes"),
    [
        (SELECT, RUN, True),
        (SELECT, RUN | {"query": SQL + " "}, False),
        (SELECT, RUN | {"maximumBytesBilled": "0"}, False),
        (SELECT, {"query": SQL, "useLegacySql": False}, False),
        (SELECT, RUN | {"useLegacySql": True}, False),
        (SELECT, {"query": SQL, "maximumBytesBilled": "10"}, False),
        (SELECT, RUN | {"createSession": True}, False),
        (SELECT, RUN | {"defaultDataset": {"datasetId": "d"}}, False),
        (SELECT, RUN | {"destinationEncryptionConfiguration": {}}, False),
        ({"statistics": {"query": {"statementType": "DELETE"}}}, RUN, False),
        ({"statistics": {"query": {"statementType": "SCRIPT"}}}, RUN, False),
        ({"statistics": {}}, RUN, False),
        (
            {"statistics": {"query": {"statementType": "SELECT", "referencedRoutines": [{"routineId": "f"}]}}},
            RUN,
            False,
        ),
    ],
)
def test_a_query_passes_only_after_its_dry_run_was_a_select(answer: dict, body: dict, passes: bool) -> None:
    wire = Wire(answer)
    guard = ReadOnlyGuard(wire)
    through(guard, "POST", f"{P}/jobs", json=DRY)
    if passes:
        assert through(guard, "POST", f"{P}/queries", json=body).status_code == 200
    else:
        with pytest.raises(RequestBlocked):
            through(guard, "POST", f"{P}/queries", json=body)
        assert len(wire.sent) == 1


# --- a write: one exact request, once

POSTS_THAT_READ = {"cloudresourcemanager.projects.testIamPermissions", "logging.entries.list"}
WRITES = [(m, re.sub(r"\{\+?\w+\}", "x1", url)) for m, url in METHODS if m["httpMethod"] != "GET"]
BODY = b'{"a": 1}'


def shut(guard: ReadOnlyGuard, method: str, url: str, **more: Any) -> bool:
    """Whether a request is refused."""
    try:
        through(guard, method, url, **more)
    except RequestBlocked:
        return True
    return False


# Service → each of its writes, as a method and an address.
SERVICES = {
    host: [(m["httpMethod"], u) for m, u in WRITES if m["id"] not in POSTS_THAT_READ and urlsplit(u).netloc == host]
    for host in sorted({urlsplit(url).netloc for _, url in WRITES})
}


@pytest.mark.parametrize("service", SERVICES)
def test_a_write_passes_once_and_nothing_else_with_it(service: str) -> None:
    assert SERVICES[service]
    for method, url in SERVICES[service]:
        passes_once(method, url)


def passes_once(method: str, url: str) -> None:
    """Opened for this request, the door lets it through once, and no other."""
    wire = Wire()
    guard = ReadOnlyGuard(Wire(), [FEED], writer=wire)
    other = "PUT" if method != "PUT" else "POST"
    assert shut(guard, method, url, data=BODY)
    with guard.allow_once(method, url, BODY):
        assert shut(guard, other, url, data=BODY)
        assert shut(guard, method, f"{url}?x=1", data=BODY)
        assert shut(guard, method, f"{url}/x", data=BODY)
        assert shut(guard, method, url.replace("https://", "http://"), data=BODY)
        assert shut(guard, method, url.replace(".googleapis.com", ".example.com"), data=BODY)
        assert shut(guard, method, url, data=b'{"a": 2}')
        assert shut(guard, method, url, data=BODY + b" ")
        assert shut(guard, method, url)
        assert shut(guard, method, url, data=BODY, headers={"X-Http-Method-Override": "DELETE"})
        assert not wire.sent
        assert through(guard, method, url, data=BODY).status_code == 200
        assert wire.sent == [f"{method} {url}"]
        assert shut(guard, method, url, data=BODY)
    assert shut(guard, method, url, data=BODY)
    assert len(wire.sent) == 1


def test_while_one_is_open_every_other_method_stays_shut() -> None:
    wire = Wire()
    guard = ReadOnlyGuard(Wire(), writer=wire)
    url = "https://run.googleapis.com/v2/projects/p/locations/l/services/s?updateMask=traffic"
    with guard.allow_once("PATCH", url, BODY):
        passed = {m["id"] for m, u in WRITES if not shut(guard, m["httpMethod"], u, data=BODY)}
        assert passed == POSTS_THAT_READ
        assert not wire.sent
        assert not shut(guard, "PATCH", url, data=BODY)


def test_what_was_opened_and_not_sent_is_shut_again() -> None:
    wire = Wire()
    guard = ReadOnlyGuard(wire)
    with pytest.raises(RuntimeError), guard.allow_once("POST", f"{P}/jobs", BODY):
        raise RuntimeError
    assert shut(guard, "POST", f"{P}/jobs", data=BODY)
    assert not wire.sent


@pytest.mark.parametrize("where", [f"{P}/jobs", f"{P}/datasets", "https://example.com/"])
def test_a_redirect_of_a_write_is_not_followed(where: str) -> None:
    wire = Wire(moved=where)
    guard = ReadOnlyGuard(wire)
    with guard.allow_once("POST", f"{P}/jobs", BODY), pytest.raises(Redirected):
        through(guard, "POST", f"{P}/jobs", data=BODY)
    assert wire.sent == [f"POST {P}/jobs"]


def test_text_and_bytes_are_the_same_body() -> None:
    guard = ReadOnlyGuard(Wire())
    with guard.allow_once("POST", f"{P}/jobs", BODY):
        assert not shut(guard, "POST", f"{P}/jobs", data=BODY.decode())


def test_on_google_a_read_is_tried_again_and_a_write_is_not() -> None:
    guard = Cloud(load_settings("sandbox"), "google", network()).guard
    assert guard.transport.max_retries.total == 2  # type: ignore[attr-defined]
    assert guard.writer.max_retries.total == 0  # type: ignore[attr-defined]


# --- T1: the operator's token goes to Google's APIs and nowhere else

SECRET = {
    "Authorization": "Bearer t",
    "Cookie": "a=b",
    "X-Goog-Api-Key": "k",
    "X-Goog-User-Project": "p",
    "X-Goog-Iam-Authorization-Token": "t",
}


@pytest.mark.parametrize("name", SECRET)
def test_a_credential_to_any_host_but_googles_apis_is_refused(name: str) -> None:
    wire, secret = Wire(), {name: SECRET[name]}
    guard = ReadOnlyGuard(wire, [FEED])
    upload = "https://storage.googleapis.com/bucket/object?X-Goog-Signature=1"
    assert shut(guard, "GET", FEED, headers=secret)
    with guard.allow_once("PUT", upload, BODY):
        assert shut(guard, "PUT", upload, data=BODY, headers=secret)
    assert not wire.sent
    assert not shut(guard, "GET", f"{P}/datasets/d", headers=secret)


def test_status_pages_and_uploads_get_no_credential(tmp_path: Any, monkeypatch: Any) -> None:
    from google.oauth2.credentials import Credentials

    wire, system = Seen(), load_settings("sandbox")
    (tmp_path / "netrc").write_text("default login casey password hunter2")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    cloud = Cloud(system, "sandbox", wire, Credentials("the-token"))
    observe(facts.feeds(), cloud, Moment(datetime(2026, 3, 11, tzinfo=UTC), system.zone))
    cloud.write("PUT", "https://storage.googleapis.com/b/o", b"zip", {"Content-Type": "application/zip"})
    cloud.get("run", "v2/projects/p/locations/l/services/s")
    *public, google = wire.headers
    assert len(public) == len(system.feeds) + 1
    assert not [name for headers in public for name in headers if name.lower() in ("authorization", "cookie")]
    assert google["authorization"] == "Bearer the-token"


class Seen(Wire):
    """Notes the headers, too."""

    def __init__(self, **more: Any):
        super().__init__(**more)
        self.headers: list[Any] = []

    def send(self, request: requests.PreparedRequest, **more: Any) -> requests.Response:
        self.headers.append(request.headers)
        response = super().send(request, **more)
        response.headers["Date"] = "Wed, 11 Mar 2026 13:30:00 GMT"
        response.headers["Content-Type"] = "application/json"
        return response


def test_only_googles_apis_tell_the_time() -> None:
    guard = ReadOnlyGuard(Seen(), [FEED])
    through(guard, "GET", FEED)
    assert guard.date is None
    through(guard, "GET", f"{P}/datasets/d")
    assert guard.date == datetime(2026, 3, 11, 13, 30, tzinfo=UTC)
    assert all(host.endswith(".googleapis.com") for host in HOSTS)


@pytest.mark.parametrize("url", [FEED, f"{P}/datasets/d"])
def test_a_redirect_of_a_read_is_not_followed_and_leaves_a_gap(url: str) -> None:
    wire = Wire(moved="https://example.com/login")
    with pytest.raises(Redirected) as raised:
        through(ReadOnlyGuard(wire, [FEED]), "GET", url)
    assert wire.sent == [f"GET {url}"]
    found = gap(raised.value, "status of x")
    assert found
    assert "308" in found.why
    assert "not followed" in found.why
