"""A record store in a bucket: what its guard lets through, whose object it is, and what each failure says.

What is asked of Cloud Storage is answered by the sandbox, in this process or served; answers that the sandbox does not
give are canned.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPResponse

import gcp_sandbox
from gcp_sandbox.faults import Faults
from gcp_sandbox.inprocess import InProcess
from gcp_sandbox.serve import serve
from gcp_sandbox.world.schema import Fault
from runbook.cloud.bucket import Bucket, RecordGuard
from runbook.cloud.guard import Redirected
from runbook.cloud.transports import Loopback, network
from runbook.config.load import load_settings
from runbook.model.errors import NoRecord, Refused, RequestBlocked, Taken
from runbook.records import store as stores
from runbook.records.plans import newest_plan
from runbook.records.store import Store

ROOT = "https://storage.googleapis.com"
NAME = "acme-sales-sandbox-runbooks"
UP, OBJECTS = f"{ROOT}/upload/storage/v1/b/{NAME}/o", f"{ROOT}/storage/v1/b/{NAME}/o"
NEW = "uploadType=media&ifGenerationMatch=0"


class Canned(HTTPAdapter):
    """Answers every request with the same status, body and headers, and keeps the requests."""

    def __init__(self, status: int = 200, body: bytes = b"{}", **headers: str):
        super().__init__()
        self.status, self.body, self.headers, self.sent = status, body, headers, list[requests.PreparedRequest]()

    def send(self, request: requests.PreparedRequest, **_: Any) -> requests.Response:  # type: ignore[override]
        self.sent.append(request)
        raw = HTTPResponse(BytesIO(self.body), headers=self.headers, status=self.status, preload_content=False)
        return self.build_response(request, raw)


# --- The guard

ALLOWED = {
    "create": ("POST", f"{UP}?{NEW}&name=records%2Fplans%2Fa"),
    "read": ("GET", f"{OBJECTS}/records%2Fplans%2Fa?alt=media"),
    "read what it is": ("GET", f"{OBJECTS}/records%2Fplans%2Fa?fields=generation"),
    "list": ("GET", f"{OBJECTS}?prefix=records%2Fplans%2F&fields=items%2Fname"),
}
REFUSED = {
    # another place
    "create, another bucket": ("POST", f"{ROOT}/upload/storage/v1/b/other/o?{NEW}&name=records%2Fa"),
    "read, another bucket": ("GET", f"{ROOT}/storage/v1/b/other/o/records%2Fa?alt=media"),
    "list, another bucket": ("GET", f"{ROOT}/storage/v1/b/other/o?prefix=records%2F"),
    "a bucket that begins alike": ("GET", f"{ROOT}/storage/v1/b/{NAME}2/o/records%2Fa?alt=media"),
    "create, another prefix": ("POST", f"{UP}?{NEW}&name=other%2Fa"),
    "read, another prefix": ("GET", f"{OBJECTS}/other%2Fa?alt=media"),
    "list, another prefix": ("GET", f"{OBJECTS}?prefix=other%2F"),
    "list without a prefix": ("GET", OBJECTS),
    "list with an empty prefix": ("GET", f"{OBJECTS}?prefix="),
    "create, a prefix that begins alike": ("POST", f"{UP}?{NEW}&name=records2%2Fa"),
    "read, a prefix that begins alike": ("GET", f"{OBJECTS}/records2%2Fa?alt=media"),
    "list, what begins alike, too": ("GET", f"{OBJECTS}?prefix=records"),
    "create, ..": ("POST", f"{UP}?{NEW}&name=records%2F..%2Fother%2Fa"),
    "read, ..": ("GET", f"{OBJECTS}/records%2F..%2Fother%2Fa?alt=media"),
    "read, .. in plain": ("GET", f"{OBJECTS}/records/../other/a?alt=media"),
    "read, .. up to another bucket": ("GET", f"{OBJECTS}/records/../../../other/o/a?alt=media"),
    "read, .. in other letters": ("GET", f"{OBJECTS}/records%2F%2E%2E%2Fother?alt=media"),
    "list, ..": ("GET", f"{OBJECTS}?prefix=records%2F..%2F"),
    "list, two prefixes": ("GET", f"{OBJECTS}?prefix=&prefix=records%2F"),
    # what is there already
    "create, no precondition": ("POST", f"{UP}?uploadType=media&name=records%2Fa"),
    "replace one generation": ("POST", f"{UP}?uploadType=media&ifGenerationMatch=5&name=records%2Fa"),
    "two preconditions": ("POST", f"{UP}?uploadType=media&ifGenerationMatch=5&ifGenerationMatch=0&name=records%2Fa"),
    "two names": ("POST", f"{UP}?{NEW}&name=other&name=records%2Fa"),
    "an empty name before it": ("POST", f"{UP}?{NEW}&name=&name=records%2Fa"),
    "public for everybody": ("POST", f"{UP}?{NEW}&name=records%2Fa&predefinedAcl=publicRead"),
    "delete": ("DELETE", f"{OBJECTS}/records%2Fa"),
    "delete, with a precondition": ("DELETE", f"{OBJECTS}/records%2Fa?ifGenerationMatch=0"),
    "patch": ("PATCH", f"{OBJECTS}/records%2Fa"),
    "put": ("PUT", f"{OBJECTS}/records%2Fa"),
    "copy": ("POST", f"{OBJECTS}/records%2Fa/copyTo/b/{NAME}/o/records%2Fb"),
    "rewrite": ("POST", f"{OBJECTS}/records%2Fa/rewriteTo/b/{NAME}/o/records%2Fb"),
    "compose": ("POST", f"{OBJECTS}/records%2Fa/compose"),
    "metadata only": ("POST", f"{OBJECTS}?{NEW}&name=records%2Fa"),
    # uploads whose name may be in the body
    "resumable": ("POST", f"{UP}?uploadType=resumable&ifGenerationMatch=0&name=records%2Fa"),
    "multipart": ("POST", f"{UP}?uploadType=multipart&ifGenerationMatch=0&name=records%2Fa"),
    "two kinds": ("POST", f"{UP}?uploadType=multipart&{NEW}&name=records%2Fa"),
    "no kind": ("POST", f"{UP}?ifGenerationMatch=0&name=records%2Fa"),
    "a batch": ("POST", f"{ROOT}/batch/storage/v1"),
    # other things
    "the access list of an object": ("GET", f"{OBJECTS}/records%2Fa/acl"),
    "the bucket": ("GET", f"{ROOT}/storage/v1/b/{NAME}"),
    "who may use it": ("GET", f"{ROOT}/storage/v1/b/{NAME}/iam"),
    "another API": ("GET", "https://bigquery.googleapis.com/bigquery/v2/projects"),
    # other hosts
    "a host that ends alike": ("GET", f"https://evilstorage.googleapis.com/storage/v1/b/{NAME}/o/records%2Fa"),
    "a host that begins alike": ("GET", f"{ROOT}.example.com/storage/v1/b/{NAME}/o/records%2Fa"),
    "another port": ("GET", f"{ROOT}:444/storage/v1/b/{NAME}/o/records%2Fa"),
    "a name before the host": ("GET", f"https://x@storage.googleapis.com/storage/v1/b/{NAME}/o/records%2Fa"),
    "no https": ("GET", f"http://storage.googleapis.com/storage/v1/b/{NAME}/o/records%2Fa"),
}


def asks(transport: HTTPAdapter, method: str, url: str, prefix: str = "records/", **headers: str) -> requests.Response:
    """A request through the guard, whose address is not tidied before."""
    request = requests.Request(method, ROOT, headers=headers, data=b"x" if method == "POST" else None).prepare()
    request.url = url
    return RecordGuard(transport, NAME, prefix).mounted(requests.Session()).send(request, allow_redirects=True)


@pytest.mark.parametrize("case", ALLOWED)
def test_what_a_store_does_is_let_through(case: str) -> None:
    net = Canned()
    assert asks(net, *ALLOWED[case]).status_code == 200
    assert [sent.url for sent in net.sent] == [ALLOWED[case][1]]


@pytest.mark.parametrize("case", REFUSED)
def test_nothing_else_is_sent(case: str) -> None:
    net = Canned()
    with pytest.raises(RequestBlocked) as refused:
        asks(net, *REFUSED[case])
    assert refused.value.effect == "Nothing was sent."
    assert net.sent == []


ABOUT, END = b'--e\r\nContent-Type: application/json\r\n\r\n{"metadata": {"verdict": "ok"}}', b"\r\n--e--"
PART = b"\r\n--e\r\nContent-Type: application/octet-stream\r\n\r\n{}"
RELATED = "multipart/related; boundary=e"
UPLOADS = {  # the body, its type, and whether it is sent: as we make them only
    "labels": (ABOUT + PART + END, RELATED, True),
    "another name in the body": (ABOUT.replace(b"{", b'{"name": "other/a", ', 1) + PART + END, RELATED, False),
    "public for everybody": (
        ABOUT.replace(b"{", b'{"acl": [{"entity": "allUsers"}], ', 1) + PART + END,
        RELATED,
        False,
    ),
    "the same key twice": (ABOUT.replace(b"{", b'{"metadata": {}, ', 1) + PART + END, RELATED, False),
    "a third part": (ABOUT + PART + PART + END, RELATED, False),
    "no content": (ABOUT + END, RELATED, False),
    "only content": (PART[2:] + PART + END, RELATED, False),
    "another edge in its type": (ABOUT + PART + END, "multipart/related; boundary=f", False),
    "two edges in its type": (ABOUT + PART + END, "multipart/related; boundary=f; boundary=e", False),
    "no body": (b"", RELATED, False),
}


@pytest.mark.parametrize("case", UPLOADS)
def test_an_upload_with_labels_has_nothing_else(case: str) -> None:
    body, kind, sent = UPLOADS[case]
    net = Canned()
    url = f"{UP}?{NEW.replace('media', 'multipart')}&name=records%2Fa"
    request = requests.Request("POST", url, headers={"Content-Type": kind}, data=body).prepare()
    with nullcontext() if sent else pytest.raises(RequestBlocked):
        RecordGuard(net, NAME, "records/").mounted(requests.Session()).send(request)
    assert len(net.sent) == sent


def deleted(net: Canned, name: str, old: str = "runs/1/record.json", asked: str = "") -> requests.Response:
    """Ask for the deletion of an object while `old` may be deleted, or of the object that it is."""
    guard = RecordGuard(net, NAME, "records/")
    guard.old = f"records/{old}" if old else ""
    url = f"{OBJECTS}/{quote(f'records/{name}', safe='')}{asked}"
    return guard.mounted(requests.Session()).delete(url)


def test_only_the_object_that_is_named_may_be_deleted() -> None:
    net = Canned()
    assert deleted(net, "runs/1/record.json").status_code == 200
    others = [("runs/1/report.json", ""), ("runs/1/record.json", "?generation=1"), ("runs/1/../1/record.json", "")]
    for name, asked in [*others, ("plans/1/a.json", ""), ("runs/1/record.json/x", "")]:
        with pytest.raises(RequestBlocked):
            deleted(net, name, asked=asked)
    with pytest.raises(RequestBlocked):
        deleted(net, "runs/1/record.json", old="")
    assert len(net.sent) == 1


@pytest.mark.parametrize("name", ["plans/1/a.json", "approvals/1/a.json", "nonces/1", "lock/0001", "store"])
def test_nothing_but_a_run_can_be_deleted(name: str) -> None:
    net, bucket = Canned(), Bucket(f"gs://{NAME}/records", "")
    bucket.__dict__["session"] = RecordGuard(net, NAME, "records/").mounted(requests.Session())
    with pytest.raises(RequestBlocked):
        bucket.delete(name)
    bucket.delete("runs/1/record.json")
    assert [sent.method for sent in net.sent] == ["DELETE"]
    with pytest.raises(RequestBlocked):  # and only while it deletes
        bucket.session.delete(f"{OBJECTS}/records%2Fruns%2F1%2Frecord.json")


@pytest.mark.parametrize("case", ALLOWED)
@pytest.mark.parametrize("header", ["X-HTTP-Method-Override", "x-http-method-override"])
def test_no_method_is_overridden(case: str, header: str) -> None:
    net = Canned()
    with pytest.raises(RequestBlocked):
        asks(net, *ALLOWED[case], **{header: "DELETE"})
    assert net.sent == []


def test_without_a_prefix_it_is_still_one_bucket() -> None:
    for case in ("read, another bucket", "the bucket", "another API", "list with an empty prefix"):
        with pytest.raises(RequestBlocked):
            asks(Canned(), *REFUSED[case], prefix="")


@pytest.mark.parametrize("header", ["Authorization", "Cookie", "X-Goog-User-Project"])
@pytest.mark.parametrize(
    "host", ["storage.example.com", "storage.googleapis.com.example.com", "bigquery.googleapis.com"]
)
def test_credentials_go_to_cloud_storage_only(host: str, header: str) -> None:
    net = Canned()
    with pytest.raises(RequestBlocked, match="is not a read") as refused:
        asks(net, "GET", f"https://{host}/storage/v1/b/{NAME}/o/records%2Fa", **{header: "secret"})
    assert f"{header.lower()} may only be sent to Google's APIs" in refused.value.observed
    assert net.sent == []


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_no_redirect_is_followed(status: int) -> None:
    net = Canned(status, Location="https://storage.example.com/elsewhere")
    with pytest.raises(Redirected):
        asks(net, *ALLOWED["read"], Authorization="secret")
    assert len(net.sent) == 1


# --- Whose object it is


@pytest.fixture(scope="module")
def app() -> Any:
    return gcp_sandbox.app(load_settings("sandbox").inventory(), "healthy")


PREFIXES = itertools.count(1)
SERVED = "the sandbox"  # where it does not matter


def new(served: str) -> Bucket:
    """A new place in the sandbox's bucket."""
    return Bucket(f"gs://{NAME}/test-{next(PREFIXES)}", served)


@pytest.fixture
def bucket(app: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """A new place in the sandbox's bucket, reached as every run reaches it."""
    monkeypatch.setattr("runbook.cloud.transports.Loopback", lambda _: InProcess(app))
    yield new(SERVED)
    app.sandbox.faults = Faults([])


@contextmanager
def failing(app: Any, *faults: dict[str, Any]) -> Iterator[None]:
    app.sandbox.faults = Faults([Fault(**fault) for fault in faults])
    try:
        yield
    finally:
        app.sandbox.faults = Faults([])


def bytes_of(app: Any, bucket: Bucket, name: str) -> bytes | None:
    """What the sandbox itself has under a name."""
    found = app.sandbox.storage.objects[NAME].get(f"{bucket.prefix}{name}")
    return found[1] if found else None


def test_an_object_with_our_bytes_is_ours(app: Any, bucket: Bucket) -> None:
    bucket.create("a", b"mine")
    generation = bucket.identity("a")
    bucket.create("a", b"mine")
    assert (bytes_of(app, bucket, "a"), bucket.identity("a")) == (b"mine", generation)


@pytest.mark.parametrize("content", [b"", b"{}", b"\r\n--e--\r\n\r\n--", bytes(range(256)) * 300])
def test_labels_come_with_the_object_and_change_no_byte_of_it(bucket: Bucket, content: bytes) -> None:
    labels = {"verdict": "alert", "ended_at": "2026-03-11T13:30:00.000+00:00"}
    for _ in range(2):  # the second time it is ours
        bucket.create("runs/1/record.json", content, labels)
    bucket.create("runs/1/report.json", b"{}")
    assert bucket.read("runs/1/record.json") == content
    assert bucket.labels("runs") == {"runs/1/record.json": labels, "runs/1/report.json": None}
    with pytest.raises(Taken):
        bucket.create("runs/1/record.json", content + b" ", labels)


@pytest.mark.parametrize("content", [b"", b"other", b"min", b"mine\n"])
def test_an_object_with_other_bytes_is_taken(app: Any, bucket: Bucket, content: bytes) -> None:
    bucket.create("a", b"mine")
    with pytest.raises(Taken):
        bucket.create("a", content)
    assert bytes_of(app, bucket, "a") == b"mine"


@pytest.mark.parametrize(("lost", "there"), [("before", None), ("after", b"mine")])
def test_a_lost_answer_is_no_record_and_the_same_again_is_ours(
    app: Any, bucket: Bucket, lost: str, there: bytes | None
) -> None:
    with failing(app, {"route": "POST .*/upload/", "lost": lost}), pytest.raises(NoRecord, match="cannot be used"):
        bucket.create("a", b"mine")
    assert bytes_of(app, bucket, "a") == there
    bucket.create("a", b"mine")
    assert bytes_of(app, bucket, "a") == b"mine"
    with pytest.raises(Taken):
        bucket.create("a", b"other")


@pytest.mark.parametrize(
    "faults",
    [
        [{"lost": "before", "nth": 1}],
        [{"lost": "after", "nth": 1}],
        [{"lost": "after", "nth": 1}, {"lost": "before", "nth": 2}],
        [{"status": 503, "nth": 1}, {"lost": "after", "nth": 2}],
        [{"status": 429, "nth": 1}],
    ],
    ids=str,
)
def test_what_google_does_not_answer_is_sent_again_and_is_still_ours(
    app: Any, monkeypatch: pytest.MonkeyPatch, faults: list[dict[str, Any]]
) -> None:
    """With the retries of the transport to Google, over a real connection."""
    monkeypatch.setattr("urllib3.util.retry.Retry.sleep", lambda *_: None)

    def way(url: str) -> Loopback:
        made = Loopback(url)
        made.max_retries = network().max_retries
        return made

    monkeypatch.setattr("runbook.cloud.transports.Loopback", way)
    with serve(app) as served, failing(app, *({"route": "POST .*/upload/", **one} for one in faults)):
        bucket = new(served.url)
        bucket.create("a", b"mine")
        assert bytes_of(app, bucket, "a") == b"mine"
        with pytest.raises(Taken):
            bucket.create("a", b"other")


# --- What cannot be used says so

DO: dict[str, Callable[[Store], Any]] = {
    "create": lambda store: store.create("plans/a", b"mine"),
    "read": lambda store: store.read("plans/a"),
    "list": lambda store: store.list("plans"),
    "children": lambda store: store.children("plans"),
    "name": lambda store: store.name,
}
HTML = b"<html><head><title>Sign in</title></head><body>welcome</body></html>"


def error_json(status: int, message: str) -> bytes:
    return json.dumps({"error": {"code": status, "message": message, "errors": [{"message": message}]}}).encode()


ANSWERS: dict[str, tuple[Canned, str, str]] = {
    # what is answered → what is observed, and the next step
    "401": (Canned(401, error_json(401, "Invalid Credentials")), "no usable credentials", "sign in again"),
    "403": (Canned(403, error_json(403, "Forbidden")), "403 Forbidden", "roles"),
    "403, named": (
        Canned(403, error_json(403, "x@y does not have storage.objects.get access: Permission denied on it")),
        "storage.objects.get",
        "storage.objects.get",
    ),
    "429": (Canned(429, error_json(429, "slow down")), "429 slow down", "wait"),
    "500": (Canned(500, error_json(500, "Internal")), "500 Internal", "repeat this run"),
    "501": (Canned(501, error_json(501, "Not Implemented")), "501 Not Implemented", "repeat this run"),
    "503": (Canned(503, error_json(503, "Unavailable")), "503 Unavailable", "repeat this run"),
    "no bucket": (Canned(404, error_json(404, "The specified bucket does not exist.")), "404 The specified", "retry"),
    "a name that it refuses": (
        Canned(400, error_json(400, "The specified object name is not valid.")),
        "400 The",
        "retry",
    ),
    "a page of a proxy": (Canned(502, HTML, **{"Content-Type": "text/html"}), "502 Sign in", "repeat this run"),
    "a login page": (Canned(200, HTML, **{"Content-Type": "text/html"}), "", "login portal"),
    "an empty answer": (Canned(200, b""), "", "login portal"),
    "a redirect": (Canned(302, b"", Location="https://login.example.com"), "a redirect", "proxy"),
}


@pytest.mark.parametrize("does", DO)
@pytest.mark.parametrize("case", ANSWERS)
def test_what_cannot_be_used_is_one_clear_error(monkeypatch: pytest.MonkeyPatch, case: str, does: str) -> None:
    net, observed, hint = ANSWERS[case]
    monkeypatch.setattr("runbook.cloud.transports.Loopback", lambda _: net)
    with pytest.raises(NoRecord) as raised:
        DO[does](Store(Bucket("gs://acme-runbooks/records", SERVED), shared=True))
    clear(raised.value, observed, hint)


def clear(error: NoRecord, observed: str, hint: str) -> None:
    """What happened, what was observed, the effect and what to do: one line each."""
    assert error.what == "the record store cannot be used"
    assert error.observed.startswith("gs://acme-")
    assert observed in error.observed
    assert error.effect == "Nothing was changed."
    assert hint in error.next
    assert len(str(error).splitlines()) == 4
    assert error.__cause__ is None
    assert error.__suppress_context__


PAGES: dict[str, tuple[dict[str, Any], str]] = {
    "pages that do not end": ({"nextPageToken": "again"}, "the pages of this list do not end"),
    "a token that is none": ({"nextPageToken": 5}, "the pages of this list do not end"),
    "items that are no list": ({"items": "x"}, "`items` in the answer is not a list"),
    "items that are no objects": ({"items": ["x"]}, "storage's answer cannot be read"),
    "prefixes that are no list": ({"prefixes": {"x": 1}}, "`prefixes` in the answer is not a list"),
}


@pytest.mark.parametrize("does", ["list", "children"])
@pytest.mark.parametrize("case", PAGES)
def test_a_list_that_cannot_be_read_is_one_clear_error(monkeypatch: pytest.MonkeyPatch, case: str, does: str) -> None:
    answer, observed = PAGES[case]
    monkeypatch.setattr("runbook.cloud.transports.Loopback", lambda _: Canned(200, json.dumps(answer).encode()))
    with pytest.raises(NoRecord) as raised:
        DO[does](Store(Bucket("gs://acme-runbooks/records", SERVED)))
    clear(raised.value, observed, "repeat this run")


def test_a_list_whose_tokens_never_end(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = itertools.count()

    class Endless(Canned):
        def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:  # type: ignore[override]
            self.body = json.dumps({"nextPageToken": str(next(tokens))}).encode()
            return super().send(request, **options)

    monkeypatch.setattr("runbook.cloud.transports.Loopback", lambda _: Endless())
    with pytest.raises(NoRecord, match="cannot be used"):
        Store(Bucket("gs://acme-runbooks/records", SERVED)).list("plans")
    assert next(tokens) < 600


@pytest.mark.parametrize("does", DO)
@pytest.mark.parametrize(
    "fault", [{"status": 401}, {"status": 403}, {"status": 429}, {"status": 503}, {"lost": "before"}], ids=str
)
def test_the_faults_of_the_sandbox_end_the_same(app: Any, bucket: Bucket, does: str, fault: dict[str, Any]) -> None:
    with failing(app, {"route": "/storage/v1/", **fault}), pytest.raises(NoRecord) as raised:
        DO[does](Store(bucket))
    assert raised.value.observed.startswith(f"gs://{NAME}/")
    assert raised.value.next
    assert not [name for name in app.sandbox.storage.objects[NAME] if name.startswith(bucket.prefix)]


def test_an_object_that_is_no_record_is_ignored_and_named(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runbook.records.store.LIMIT", 100)
    store, name = Store(bucket), f"plans/{'0' * 12}/x.json"
    store.create(name, bytes(101))
    with pytest.raises(Refused) as raised:
        newest_plan(store, "0" * 12)
    assert raised.value.observed == f"{store}/{name}: a record cannot be larger than 32 MiB"
    assert store.content(name) == b""


def test_a_bucket_that_does_not_exist(app: Any, bucket: Bucket) -> None:
    for do in DO.values():
        with pytest.raises(NoRecord, match="cannot be used") as raised:
            do(Store(Bucket("gs://acme-not-there/records", SERVED)))
        clear(raised.value, "404 The specified bucket does not exist.", "")


# --- An independent client


def test_googles_client_sees_the_same_objects(app: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from google.cloud import storage

    with serve(app) as served:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", served.url)
        ours = new(served.url)
        theirs = storage.Client(project="acme-sales-sandbox").bucket(NAME)
        for name, content in (("plans/a", b"1\0\r\n"), ("plans/b/c", b""), ("lock/000001", "ü".encode())):
            ours.create(name, content)
            blob = theirs.get_blob(f"{ours.prefix}{name}")
            assert (blob.download_as_bytes(checksum="crc32c"), str(blob.generation)) == (content, ours.identity(name))
        theirs.blob(f"{ours.prefix}plans/d").upload_from_string(b"theirs", if_generation_match=0)
        assert ours.read("plans/d") == b"theirs"
        with pytest.raises(Taken):
            ours.create("plans/d", b"ours")
        found = [blob.name.removeprefix(ours.prefix) for blob in theirs.list_blobs(prefix=f"{ours.prefix}plans/")]
        assert found == sorted(ours.list("plans")) == ["plans/a", "plans/b/c", "plans/d"]
        page = theirs.list_blobs(prefix=f"{ours.prefix}plans/", delimiter="/")
        there = {b.name for b in page} | {p.rstrip("/") for p in page.prefixes}
        assert there == {ours.prefix + name for name in ours.list("plans", "/")}


# --- A bucket and a directory

LONG = "x" * 100
# What is done, one after another, and what comes of it.
SAME: dict[str, list[tuple[str, tuple[Any, ...], Any]]] = {
    "nothing is there": [("read", ("plans/a",), None), ("list", ("plans",), []), ("children", ("plans",), [])],
    "what is created is there": [
        ("create", ("plans/a", b"1"), None),
        ("read", ("plans/a",), b"1"),
        ("read", ("plans/b",), None),
        ("list", ("plans",), ["plans/a"]),
    ],
    "every byte": [("create", ("a", bytes(range(256)) * 9), None), ("read", ("a",), bytes(range(256)) * 9)],
    "no byte": [("create", ("a", b""), None), ("read", ("a",), b"")],
    "another content is taken": [
        ("create", ("lock/000001", b"1"), None),
        ("create", ("lock/000001", b"2"), Taken),
        ("create", ("lock/000001", b""), Taken),
        ("read", ("lock/000001",), b"1"),
    ],
    "the same content is ours": [
        ("create", ("lock/000001", b"1"), None),
        ("create", ("lock/000001", b"1"), None),
        ("list", ("lock",), ["lock/000001"]),
    ],
    "children are not grandchildren": [
        ("create", ("applied/p/one/0001", b"1"), None),
        ("create", ("applied/p/one/0002", b"2"), None),
        ("create", ("applied/p/two/0001", b"3"), None),
        ("children", ("applied",), ["applied/p"]),
        ("children", ("applied/p",), ["applied/p/one", "applied/p/two"]),
        ("children", ("applied/p/one",), ["applied/p/one/0001", "applied/p/one/0002"]),
        ("list", ("applied",), ["applied/p/one/0001", "applied/p/one/0002", "applied/p/two/0001"]),
    ],
    "what begins alike is another": [
        ("create", ("lock/1", b"1"), None),
        ("create", ("lock2/1", b"2"), None),
        ("create", ("lock.json", b"3"), None),
        ("list", ("lock",), ["lock/1"]),
        ("children", ("lock",), ["lock/1"]),
    ],
    "long and deep": [
        ("create", (f"{LONG}/{LONG}/{LONG}/{LONG}/{LONG}", b"1"), None),
        ("list", (LONG,), [f"{LONG}/{LONG}/{LONG}/{LONG}/{LONG}"]),
    ],
    "names that are none": [
        *(
            (do, (name, *more), ValueError)
            for do, *more in (("create", b""), ("read",), ("list",), ("children",))
            for name in ("", "..", "a/../b", "/a", "a/", "a//b", ".a", "a b", "ü", "x" * 101, "a/" * 5 + "a")
        )
    ],
    "too large": [("create", ("a", b"x" * 101), None), ("read", ("a",), NoRecord)],
}


@pytest.fixture(params=["directory", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return Store(tmp_path) if request.param == "directory" else Store(request.getfixturevalue("bucket"))


@pytest.mark.parametrize("case", SAME)
def test_a_bucket_and_a_directory_are_the_same_store(store: Store, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    if case == "too large":
        monkeypatch.setattr(stores, "LIMIT", 100)
    for do, given, expected in SAME[case]:
        if isinstance(expected, type):
            with pytest.raises(expected):
                getattr(store, do)(*given)
        else:
            assert getattr(store, do)(*given) == expected, (do, given)


def test_a_store_has_a_name_that_stays_and_a_copy_has_another(store: Store, app: Any, tmp_path: Path) -> None:
    name = store.name
    assert store.name == name == Store(store.files).name
    assert len(name) == 32
    other = new(SERVED) if isinstance(store.files, Bucket) else type(store.files)(tmp_path / "other")
    other.create("store", store.files.read("store") or b"")
    assert Store(other).name != name


def test_a_list_of_many_pages_is_whole(app: Any, bucket: Bucket) -> None:
    names = [f"runs/{n:04d}" for n in range(1001)]
    for name in names:
        app.sandbox.storage.write(NAME, f"{bucket.prefix}{name}", b"", {"contentType": ""})
    assert Store(bucket).list("runs") == Store(bucket).children("runs") == names
