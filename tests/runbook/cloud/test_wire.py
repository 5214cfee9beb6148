"""Bad input from the wire: whatever bytes come back, a read is rows or a gap, and the guard never lets more through.

`RAW` are whole answers, byte by byte, from a real socket. The properties send hypothesis's answers and requests.
"""

from __future__ import annotations

import gzip
import json
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from io import BytesIO
from threading import Thread
from typing import Any

import pytest
import requests
from google.api_core.exceptions import GoogleAPICallError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from requests.adapters import BaseAdapter, HTTPAdapter
from urllib3 import HTTPResponse

from runbook import facts
from runbook.cloud.answer import answered
from runbook.cloud.client import Cloud
from runbook.cloud.failures import CannotRead, gap
from runbook.cloud.guard import READS, SEGMENT, ReadOnlyGuard, Redirected
from runbook.cloud.transports import Loopback
from runbook.config.load import load_settings
from runbook.facts.base import observe
from runbook.model.errors import RequestBlocked
from runbook.model.moment import Moment

SYSTEM = load_settings("sandbox")
NOW = Moment(datetime(2026, 3, 11, 13, 30, tzinfo=UTC), SYSTEM.zone)
ASKS = {
    "functions": facts.functions(),
    "logs": facts.errors(),
    "query": facts.scores(),
    "queries": facts.freshness(),
    "table": facts.tables(),
    "schema": facts.schema(),
    "service": facts.service("gmail-sync"),
    "feeds": facts.feeds(),
}


def http(body: bytes, status: str = "200 OK", length: Any = None, **headers: str) -> bytes:
    given = {"Content-Type": "application/json", "Content-Length": len(body) if length is None else length}
    lines = {**given, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return "\r\n".join([f"HTTP/1.1 {status}", *(f"{k}: {v}" for k, v in lines.items()), "", ""]).encode() + body


EMPTY = b"{}"
PAGE = b"<html><title>Sign in</title><body>Welcome to the hotel</body></html>"
ZIPPED = gzip.compress(b'{"entries": [], "functions": []}' + b" " * 5000)
RAW = {
    "a login page": http(PAGE, Content_Type="text/html"),
    "a login page that calls itself json": http(PAGE),
    "no body": http(b""),
    "204": b"HTTP/1.1 204 No Content\r\n\r\n",
    "nothing": b"",
    "no http": b"hello\r\n\r\n",
    "half a status": b"HTTP/1.1",
    "an unknown status": http(b"{}", "999 Odd"),
    "a status of text": http(b"{}", "abc OK"),
    "an early hint only": b"HTTP/1.1 103 Early Hints\r\n\r\n",
    "bad headers": b"HTTP/1.1 200 OK\r\nno colon here\r\nContent-Length: 0\r\n\r\n",
    "a truncated body": http(b'{"entries": [', length=5000),
    "too short a length": http(b'{"entries": [], "functions": []}', length=9),
    "a length of text": http(b"[7]", length="many"),
    "a negative length": http(b"[7]", length=-1),
    "damaged gzip": http(ZIPPED[:20] + b"xxxx" + ZIPPED[24:], Content_Encoding="gzip"),
    "half of the gzip": http(ZIPPED[: len(ZIPPED) // 2], Content_Encoding="gzip"),
    "gzip that is none": http(b"[7]", Content_Encoding="gzip"),
    "an unknown encoding": http(b"\x00\x01[7]", Content_Encoding="zz"),
    "a bad chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    "half of the chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n",
    "no text": http(b"\xff\xfe\x00\x01"),
    "half a character": http(b'{"entries": [\xc3'),
    "a very deep list": http(b"[" * 200_000),
    "a very deep object": http(b'{"entries":' * 100_000),
    "a very long number": http(b'{"entries": ' + b"9" * 100_000 + b"}"),
    "5 MB of something": http(b"x" * 5_000_000),
    "300 KB of page": http(b"<title>" * 45_000, "502 Bad Gateway", Content_Type="text/html"),
    **{
        f"a redirect {code}": http(b"", f"{code} Moved", Location="https://example.com/")
        for code in (301, 302, 307, 308)
    },
    "300": http(b"{}", "300 Multiple Choices"),
    "304": b"HTTP/1.1 304 Not Modified\r\n\r\n",
    **{
        f"{code} as a page": http(PAGE, f"{code} No", Content_Type="text/html")
        for code in (400, 403, 404, 407, 429, 502)
    },
    **{f"{code} as a list": http(b'[{"error": 1}]', f"{code} No") for code in (400, 403, 404, 500)},
    **{f"{code} without a body": http(b"", f"{code} No") for code in (400, 403, 404, 500)},
    "an odd charset": http(PAGE, "403 No", Content_Type="text/html; charset=idna"),
    "an odd date": http(b"[7]", Date="Wed, 99 Foo 99999 99:99:99 +99999"),
}
# A 404 in JSON is an answer of an API, in whatever form.
ABSENT_OR_GAP = ("404 as a list", "404 without a body")


@contextmanager
def answering(raw: bytes) -> Iterator[str]:
    """The address of a server that sends these bytes to each request, and closes."""
    server = socket.create_server(("127.0.0.1", 0))

    def answer(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.settimeout(20)
            connection.recv(1 << 20)
            connection.sendall(raw)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(1 << 16):
                pass

    def serve() -> None:
        with suppress(OSError):
            while True:
                Thread(target=answer, args=(server.accept()[0],), daemon=True).start()

    Thread(target=serve, daemon=True).start()
    yield f"http://127.0.0.1:{server.getsockname()[1]}"
    server.close()


@pytest.mark.parametrize("name", RAW)
def test_a_bad_answer_is_a_gap_with_a_next_step(name: str) -> None:
    with answering(RAW[name]) as url:
        for what, ask in ASKS.items():
            fact = observe(ask, Cloud(SYSTEM, "sandbox", Loopback(url)), NOW)
            assert not fact.rows, what
            assert fact.gaps or (fact.absent and name in ABSENT_OR_GAP), what
            for one in fact.gaps:
                assert 0 < len(one.why) < 700
                assert one.next, (what, one)
                assert "\n" not in one.why
        cloud = Cloud(SYSTEM, "sandbox", Loopback(url))
        assert cloud.now()[1] is False


@pytest.mark.parametrize(
    "kind", ["application/json; charset=latin-1", "text/plain; charset=utf-99", "x; charset=idna", ""]
)
def test_json_is_utf_8_whatever_its_header_says(kind: str) -> None:
    name = "projects/p/locations/l/functions/Größe-日本"
    body = json.dumps({"functions": [{"name": name}]}, ensure_ascii=False).encode()
    with answering(http(body, Content_Type=kind)) as url:
        [row] = observe(ASKS["functions"], Cloud(SYSTEM, "sandbox", Loopback(url)), NOW).rows
    assert row.name == "Größe-日本"


def test_half_a_character_can_be_shown() -> None:
    entry = b'{"timestamp": "2026-03-11T12:00:00Z", "severity": "ERROR", "textPayload": "cut \\ud83d"}'
    with answering(http(b'{"entries": [' + entry + b"]}")) as url:
        [row] = observe(ASKS["logs"], Cloud(SYSTEM, "sandbox", Loopback(url)), NOW).rows
    assert row.text == "cut ?"
    error = b'{"error": {"code": 403, "message": "no \\udead"}}'
    with answering(http(error, "403 Forbidden")) as url:
        [gap] = observe(ASKS["logs"], Cloud(SYSTEM, "sandbox", Loopback(url)), NOW).gaps
    assert gap.why == "403 no ?"


# --- properties

QUICK = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=12,
)
KEYS = st.sampled_from(
    ["error", "errors", "details", "message", "reason", "metadata", "code", "status", "service", "consumer"]
)
SHAPED = st.recursive(
    JSON | st.sampled_from(["SERVICE_DISABLED", "IAM_PERMISSION_DENIED", "projects/x", "a.b.c permission {x} {0}"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)
BODY = (
    st.binary(max_size=60) | JSON.map(lambda v: json.dumps(v).encode()) | SHAPED.map(lambda v: json.dumps(v).encode())
)
STATUS = st.sampled_from([200, 204, 206, 299, 400, 401, 403, 404, 409, 412, 429, 499, 500, 501, 503, 599, 600, 999])


def response(request: requests.PreparedRequest, status: int, body: bytes, headers: dict[str, str]) -> requests.Response:
    raw = HTTPResponse(BytesIO(body), headers=headers, status=status, preload_content=False)
    return HTTPAdapter().build_response(request, raw)


ASKED = requests.Request("GET", "https://run.googleapis.com/v2/projects/p/locations/l/services/s").prepare()


@QUICK
@given(STATUS, BODY, st.sampled_from(["application/json", "text/html; charset=idna", ""]))
def test_every_answer_is_an_object_or_a_gap(status: int, body: bytes, kind: str) -> None:
    try:
        found = answered(response(ASKED, status, body, {"Content-Type": kind}))
    except (GoogleAPICallError, CannotRead, requests.RequestException) as error:
        missing = gap(error, "x", read=True)
        assert missing
        assert missing.why
        assert missing.next
        assert "{" not in missing.next or "{" in body.decode("utf-8", "replace")
    else:
        assert status < 400
        assert found == json.loads(body)


class Once(BaseAdapter):
    """Answers every request with the same response, and notes that it was asked."""

    def __init__(self, status: int, body: bytes, date: str):
        super().__init__()
        self.given, self.sent = (status, body, {"Date": date}), list[requests.PreparedRequest]()

    def send(self, request: requests.PreparedRequest, **_: Any) -> requests.Response:
        self.sent.append(request)
        return response(request, *self.given)

    def close(self) -> None: ...


DATES = st.sampled_from(["", "soon", "Wed, 11 Mar 2026 13:30:00 GMT", "Wed, 99 Foo 99999 99:99:99 +99999"]) | st.text(
    st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=40
)


@QUICK
@given(st.integers(100, 999), BODY, DATES)
def test_no_answer_makes_the_guard_raise_or_proves_a_select_that_is_none(status: int, body: bytes, date: str) -> None:
    guard = ReadOnlyGuard(Once(status, body, date))
    dry = {"configuration": {"dryRun": True, "query": {"query": "DROP TABLE t", "useLegacySql": False}}}
    url = "https://bigquery.googleapis.com/bigquery/v2/projects/p/jobs"
    with suppress(Redirected):
        guard.send(requests.Request("POST", url, json=dry).prepare())
        assert not 300 <= status < 400
    assert not guard.is_select("DROP TABLE t")
    assert guard.date is None or guard.date.tzinfo


# Names as they may come from params, and names that must never reach Google.
NAMES = st.sampled_from(
    ["p", "a.com:p", "-", "x_1", "latest", "latest:access", "s:setIamPolicy", "..", "%2e%2e", "a/b", "a?b", "a#b", ""]
)
METHODS = st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"])


@st.composite
def requested(draw: Any) -> tuple[str, str]:
    """The method and the URL of a listed read, with any names, perhaps with another method or with something after it."""
    method, host, path, _ = draw(st.sampled_from(READS))
    while "*" in path:
        path = path.replace("*", draw(NAMES | st.text(max_size=4)).replace("*", "x"), 1)
    path += draw(st.sampled_from(["", "", "", "/x", ":access", ":cancel", "?a=b", "#a", "/..", "//"]))
    return draw(st.just(method) | METHODS), f"https://{host}{path}"


@QUICK
@given(requested(), JSON)
def test_the_guard_sends_a_listed_read_or_nothing(asked: tuple[str, str], body: Any) -> None:
    wire = Once(200, b"{}", "")
    try:
        prepared = requests.Request(*asked, json=body).prepare()
    except requests.RequestException:
        return
    with suppress(RequestBlocked):
        ReadOnlyGuard(wire).send(prepared)
    for sent in wire.sent:
        host, slash, path = re.split("[?#]", str(sent.url))[0].removeprefix("https://").partition("/")
        path = slash + path
        names = [part.removeprefix("a.com:") if n == 0 else part for n, part in enumerate(path.split("/projects/")[1:])]
        assert path.count("/") in [r.path.count("/") for r in READS if (r.method, r.host) == (sent.method, host)]
        assert path == "/v2/entries:list" or re.fullmatch(rf"({SEGMENT}/?)+(:testIamPermissions)?", names[0]), path


def test_the_property_of_the_guard_sees_reads_that_pass() -> None:
    wire = Once(200, b"{}", "")
    for method, host, path, _ in READS:
        url = f"https://{host}{path.replace('*', 'a.com:p', 1).replace('*', 'x_1')}"
        ReadOnlyGuard(wire).send(requests.Request(method, url).prepare())
    assert len(wire.sent) == len(READS)
