"""Cloud Storage v1: objects over plain HTTP in this process, and through Google's own client over loopback."""

from __future__ import annotations

import json
import time
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from hashlib import md5
from threading import Barrier
from urllib.parse import quote

import google_crc32c
import pytest
import requests
from google.api_core.exceptions import Forbidden, GoogleAPICallError, NotFound, PreconditionFailed
from google.cloud import storage

import gcp_sandbox
from gcp_sandbox.serve import environment, serve
from tests.gcp_sandbox.conftest import INVENTORY, PROJECT

ROOT, BUCKET = "https://storage.googleapis.com", f"{PROJECT}-runbooks"
UPLOAD = f"{ROOT}/upload/storage/v1/b/{BUCKET}/o"
OBJECTS = f"{ROOT}/storage/v1/b/{BUCKET}/o"
# https://github.com/googleapis/google-cloud-cpp/issues/11530
NOT_MET = "At least one of the pre-conditions you specified did not hold."
CALLER = f"caller@{PROJECT}.iam.gserviceaccount.com"


def at(name: str, root: str = "") -> str:
    return f"{root or OBJECTS}/{quote(name, safe='')}"


def put(google, name: str, data: bytes = b"{}", **query) -> requests.Response:
    asked = {"uploadType": "media", "name": name, **query}
    return google.post(UPLOAD, params=asked, data=data, headers={"Content-Type": "application/json"})


def parts(google, said, data: bytes, end: bytes = b"\r\n", kind: bytes = b"text/plain") -> requests.Response:
    first = said if isinstance(said, bytes) else json.dumps(said).encode()
    lines = [b"--edge", b"Content-Type: application/json", b"", first, b"--edge", b"Content-Type: " + kind, b"", data]
    sent = end.join([*lines, b"--edge--", b""])
    headers = {"Content-Type": 'multipart/related; boundary="edge"'}
    return google.post(UPLOAD, params={"uploadType": "multipart"}, data=sent, headers=headers)


def why(reply: requests.Response) -> tuple[int, str, str]:
    """The status, reason and message of an error in Cloud Storage's envelope, which has no canonical status."""
    error = reply.json()["error"]
    assert set(error) == {"code", "message", "errors"}
    [one] = error["errors"]
    assert (error["code"], one["message"], one["domain"]) == (reply.status_code, error["message"], "global")
    return reply.status_code, one["reason"], error["message"]


# --- what an object is


@pytest.mark.parametrize(
    "name", ["a", "runs/2026/x.json", "a b", "ü/é", "x:y", "a//b", "dir/", "q?x#y", "100%2F", "a+b", "x" * 1024]
)
def test_a_name_comes_back_as_it_was_sent(session, name):
    google = session()
    assert put(google, name, b"1").json()["name"] == name
    assert google.get(at(name)).json()["name"] == name
    assert google.get(at(name), params={"alt": "media"}).content == b"1"
    assert [item["name"] for item in google.get(OBJECTS).json()["items"]] == [name]
    assert google.delete(at(name)).status_code == 204
    assert google.get(at(name)).status_code == 404


@pytest.mark.parametrize("name", ["", "x" * 1025, "ü" * 513])
def test_a_name_that_no_object_can_have(session, name):
    assert why(put(session(), name))[:2] == (400, "invalid")


def test_a_resource(session):
    google = session()
    made = put(google, "runs/1.json", b"hello", ifGenerationMatch=0).json()
    assert made == google.get(at("runs/1.json")).json()
    generation = made.pop("generation")
    assert generation.isdigit()
    assert len(generation) == 16
    assert made.pop("etag")
    link = "storage/v1/b/acme-test-runbooks/o/runs%2F1.json"
    assert made == {
        "kind": "storage#object",
        "id": f"acme-test-runbooks/runs/1.json/{generation}",
        "selfLink": f"https://www.googleapis.com/{link}",
        "mediaLink": f"{ROOT}/download/{link}?generation={generation}&alt=media",
        "name": "runs/1.json",
        "bucket": "acme-test-runbooks",
        "metageneration": "1",
        "contentType": "application/json",
        "storageClass": "STANDARD",
        "size": "5",
        "md5Hash": "XUFAKrxLKna5cZ2REBfFkg==",
        "crc32c": "mnG7TA==",
        **dict.fromkeys(
            ("timeCreated", "updated", "timeStorageClassUpdated", "timeFinalized"), "2026-03-11T13:30:01.000Z"
        ),
    }


@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
@pytest.mark.parametrize("data", [b"", b"x", b"\r", b"\n", b"a\r\n\r\nb--edg\n", bytes(range(256))])
def test_the_bytes_of_a_part_are_kept(session, data, end):
    google = session()
    made = parts(google, {"name": "x", "metadata": {"who": "ann"}}, data, end).json()
    assert (made["metadata"], made["contentType"], made["size"]) == ({"who": "ann"}, "text/plain", str(len(data)))
    assert google.get(at("x"), params={"alt": "media"}).content == data


def test_a_download(session):
    google = session()
    made = put(google, "x", b"hello").json()
    reply = google.get(made["mediaLink"])
    assert (reply.content, reply.headers["Content-Type"]) == (b"hello", "application/json")
    assert reply.headers["X-Goog-Hash"] == f"crc32c={made['crc32c']},md5={made['md5Hash']}"
    assert reply.headers["X-Goog-Generation"] == made["generation"]
    put(google, "x", b"other")
    gone = google.get(made["mediaLink"])
    # The error of a download is text: https://github.com/firebase/firebase-tools/pull/3647
    assert (gone.status_code, gone.text) == (404, f"No such object: {BUCKET}/x")
    assert gone.headers["Content-Type"].startswith("text/html")


def test_the_content_type_that_the_writer_names_wins(session):
    assert parts(session(), {"name": "x", "contentType": "a/b"}, b"").json()["contentType"] == "a/b"
    assert parts(session(), {"name": "x"}, b"", kind=b"a/b; c=d").json()["contentType"] == "a/b; c=d"
    sent = session().post(f"{UPLOAD}?uploadType=media&name=x", headers={"Content-Type": "a/b; c=d"})
    assert sent.json()["contentType"] == "a/b; c=d"


def test_what_the_writer_cannot_choose(session):
    google = session()
    assert parts(google, {"name": "x", "bucket": "elsewhere"}, b"").json()["bucket"] == BUCKET
    for field in ("generation", "size", "timeCreated", "storageClass"):
        assert parts(google, {"name": "y", field: "1"}, b"").status_code == 501


@pytest.mark.parametrize(
    ("key", "value", "label"), [("crc32c", "AAAAAA==", "CRC32C"), ("md5Hash", "1B2M2Y8AsgTpgAmY7PhCfg==", "MD5 hash")]
)
def test_a_checksum_must_match(session, key, value, label):
    """The words of a CRC32C: https://github.com/googleapis/python-storage/issues/1541"""
    google, data = session(), b"data"
    true = {"crc32c": google_crc32c.value(data).to_bytes(4, "big"), "md5Hash": md5(data).digest()}[key]
    true = b64encode(true).decode()
    words = f'Provided {label} "{value}" doesn\'t match calculated {label} "{true}".'
    assert why(parts(google, {"name": "x", key: value}, data)) == (400, "invalid", words)
    assert google.get(at("x")).status_code == 404
    assert parts(google, {"name": "x", key: true}, data).json()[key] == true


# --- conditions


@pytest.mark.parametrize(
    ("verb", "there", "match", "expected"),
    [
        ("put", False, None, 200),
        ("put", False, "0", 200),
        ("put", False, "7", 412),
        ("put", True, None, 200),
        ("put", True, "0", 412),
        ("put", True, "7", 412),
        ("put", True, "same", 200),
        ("get", True, "same", 200),
        ("get", True, "7", 412),
        ("get", False, "7", 404),
        ("delete", True, None, 204),
        ("delete", True, "same", 204),
        ("delete", True, "7", 412),
        ("delete", False, None, 404),
        ("delete", False, "7", 404),
    ],
)
def test_a_condition(session, verb, there, match, expected):
    google = session()
    before = put(google, "x", b"old").json() if there else {}
    query = {"ifGenerationMatch": before["generation"] if match == "same" else match} if match else {}
    reply = put(google, "x", b"new", **query) if verb == "put" else google.request(verb, at("x"), params=query)
    assert reply.status_code == expected
    if expected == 412:
        assert why(reply) == (412, "conditionNotMet", NOT_MET)
        [one] = reply.json()["error"]["errors"]
        assert (one["locationType"], one["location"]) == ("header", "If-Match")
    left = google.get(at("x"), params={"alt": "media"})
    now = {"put": b"new", "get": b"old", "delete": None}[verb] if reply.ok else b"old" if there else None
    assert (left.content if left.ok else None) == now
    if verb == "put" and there and reply.ok:
        assert int(reply.json()["generation"]) > int(before["generation"])


def test_of_two_who_create_at_once_exactly_one_does(session, monkeypatch):
    google, start, writers = session(), Barrier(8), range(8)
    sandbox = google.get_adapter("https://").app.sandbox
    tick = sandbox.tick

    def slow_tick():
        """The clock advances between the look for an object and its write: others get the time to look, too."""
        time.sleep(0.05)
        return tick()

    monkeypatch.setattr(sandbox, "tick", slow_tick)

    def create(n: int) -> int:
        start.wait()
        return put(google, "lock", b"%d" % n, ifGenerationMatch=0).status_code

    with ThreadPoolExecutor(len(writers)) as pool:
        answers = list(pool.map(create, writers))
    assert sorted(answers) == [200, *[412] * 7]
    assert google.get(at("lock"), params={"alt": "media"}).content == b"%d" % answers.index(200)


# --- lists

NAMES = ["B", "a", "a-b", "a/1", "a/2/x", "a/2/y", "a/3", "b/1", "é", "\U0001f600"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, NAMES),
        ({"prefix": "a/"}, ["a/1", "a/2/x", "a/2/y", "a/3"]),
        ({"prefix": "a/", "delimiter": "/"}, ["a/1", "a/2/|", "a/3"]),
        ({"delimiter": "/"}, ["B", "a", "a-b", "a/|", "b/|", "é", "\U0001f600"]),
        ({"startOffset": "a/2/y"}, ["a/2/y", "a/3", "b/1", "é", "\U0001f600"]),
        ({"prefix": "nothing"}, []),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 3, 1000, 5000])
def test_a_list(session, query, expected, size):
    google = session()
    for name in reversed(NAMES):
        assert put(google, name).ok
    found, token = [], ""
    while token is not None:
        page = google.get(OBJECTS, params={**query, "maxResults": size, "pageToken": token}).json()
        assert page["kind"] == "storage#objects"
        own = [item["name"] for item in page.get("items", [])] + [f"{prefix}|" for prefix in page.get("prefixes", [])]
        assert len(own) <= size
        found += sorted(own)
        assert page.get("nextPageToken") != token
        token = page.get("nextPageToken")
    assert found == expected


def test_a_page_has_at_most_a_thousand(session):
    google = session()
    sandbox = google.get_adapter("https://").app.sandbox
    for n in range(1001):
        sandbox.storage.write(BUCKET, f"{n:04}", b"", {"contentType": "text/plain"})
    for asked in ({}, {"maxResults": 0}, {"maxResults": 2000}):
        assert len(google.get(OBJECTS, params=asked).json()["items"]) == 1000


# --- buckets and permissions


def test_which_buckets_there_are(session, told):
    google = session(told("buckets: [{name: acme-audit, retention: 30d}]"))
    plain = google.get(f"{ROOT}/storage/v1/b/{BUCKET}").json()
    assert (plain["kind"], plain["name"], plain["location"]) == ("storage#bucket", BUCKET, "US-CENTRAL1")
    assert plain["iamConfiguration"]["uniformBucketLevelAccess"] == {"enabled": True}
    assert "retentionPolicy" not in plain
    kept = google.get(f"{ROOT}/storage/v1/b/acme-audit").json()
    assert kept["retentionPolicy"]["retentionPeriod"] == str(30 * 86400)
    for url in ("", "/o", "/o/x", "/iam/testPermissions?permissions=storage.objects.get"):
        gone = (404, "notFound", "The specified bucket does not exist.")
        assert why(google.get(f"{ROOT}/storage/v1/b/elsewhere{url}")) == gone
    assert why(google.post(UPLOAD.replace(BUCKET, "elsewhere"), params={"uploadType": "media", "name": "x"})) == gone


def test_what_is_retained_stays(session, told):
    google = session(told(f"buckets: [{{name: {BUCKET}, retention: 3s}}]"))
    assert put(google, "x", b"old").json()["retentionExpirationTime"] == "2026-03-11T13:30:04.000Z"
    # https://github.com/sitespeedio/sitespeed.io/issues/2749, before object retention was added to the words
    words = (
        f"Object '{BUCKET}/x' is subject to bucket's retention policy or object retention and cannot be deleted or "
        "overwritten until 2026-03-11T06:30:04.000000-07:00"
    )
    assert why(google.delete(at("x"))) == why(put(google, "x", b"new")) == (403, "retentionPolicyNotMet", words)
    assert google.get(at("x"), params={"alt": "media"}).content == b"old"
    for n in range(3):  # each write takes a second
        assert put(google, f"y{n}").ok
    assert google.delete(at("x")).status_code == 204


ASKS = {
    "storage.objects.create": ("object", lambda google: put(google, "new")),
    "storage.objects.get": ("object", lambda google: google.get(at("x"))),
    "storage.objects.delete": ("object", lambda google: google.delete(at("x"))),
    "storage.objects.list": ("bucket", lambda google: google.get(OBJECTS)),
    "storage.buckets.get": ("bucket", lambda google: google.get(f"{ROOT}/storage/v1/b/{BUCKET}")),
}


@pytest.mark.parametrize("permission", ASKS)
def test_a_permission(session, told, permission):
    kind, ask = ASKS[permission]
    # https://github.com/fsspec/gcsfs/issues/546 (an object), https://github.com/meilisearch/cloud-providers/issues/58 (a bucket)
    words = (
        f"{CALLER} does not have {permission} access to the Google Cloud Storage {kind}. "
        f"Permission '{permission}' denied on resource (or it may not exist)."
    )
    assert why(ask(session(told(f"deny: [{permission}]")))) == (403, "forbidden", words)
    assert ask(session(told("deny: [storage.objects.update]"))).status_code in (200, 404)


CREATOR, VIEWER, READER = "storage.objectCreator", "storage.objectViewer", "storage.legacyBucketReader"


@pytest.mark.parametrize(
    ("role", "may"),
    [
        (CREATOR, {"create"}),
        (VIEWER, {"get", "list"}),
        ("storage.objectUser", {"create", "replace", "get", "list", "delete"}),
        ("storage.objectAdmin", {"create", "replace", "get", "list", "delete"}),
        (READER, {"list", "bucket"}),
    ],
)
def test_what_a_role_may(session, told, role, may):
    google = session(told(f"roles: [roles/{role}]"))
    sandbox = google.get_adapter("https://").app.sandbox
    sandbox.storage.write(BUCKET, "x", b"", {"contentType": "text/plain"})
    asks = {
        "create": lambda: put(google, "new", ifGenerationMatch=0),
        "replace": lambda: put(google, "x"),
        "get": ASKS["storage.objects.get"][1],
        "list": ASKS["storage.objects.list"][1],
        "delete": ASKS["storage.objects.delete"][1],
        "bucket": ASKS["storage.buckets.get"][1],
    }
    answers = {
        name: (ask if name in ("create", "replace") else lambda ask=ask: ask(google))() for name, ask in asks.items()
    }
    assert {name for name, answer in answers.items() if answer.ok} == may
    assert {answer.status_code for answer in answers.values() if not answer.ok} == {403}


def test_to_replace_is_to_delete(session, told):
    google = session(told("deny: [storage.objects.delete]"))
    assert put(google, "x", b"old", ifGenerationMatch=0).ok
    assert "storage.objects.delete" in why(put(google, "x", b"new"))[2]
    assert why(put(google, "x", b"new", ifGenerationMatch=0)) == (412, "conditionNotMet", NOT_MET)
    assert google.get(at("x"), params={"alt": "media"}).content == b"old"


def test_which_permissions_are_held(session, told):
    url, asked = f"{ROOT}/storage/v1/b/{BUCKET}/iam/testPermissions", ["storage.objects.get", "storage.objects.create"]
    held = session(told("deny: [storage.objects.create]")).get(url, params={"permissions": asked}).json()
    assert held == {"kind": "storage#testIamPermissionsResponse", "permissions": ["storage.objects.get"]}
    none = session(told("roles: []")).get(url, params={"permissions": asked}).json()
    assert none == {"kind": "storage#testIamPermissionsResponse"}
    assert why(session().get(url, params={"permissions": "run.services.get"}))[:2] == (400, "invalid")


# --- what is refused, and what breaks


@pytest.mark.parametrize(
    ("method", "url", "query"),
    [
        ("POST", UPLOAD, {"uploadType": "resumable", "name": "x"}),
        ("POST", UPLOAD, {"uploadType": "media", "name": "x", "ifMetagenerationMatch": "1"}),
        ("GET", at("x"), {"ifGenerationNotMatch": "1"}),
        ("GET", at("x"), {"softDeleted": "true"}),
        ("DELETE", at("x"), {"ifMetagenerationMatch": "1"}),
        ("GET", OBJECTS, {"softDeleted": "true"}),
        ("GET", OBJECTS, {"matchGlob": "*"}),
        ("PATCH", at("x"), {}),
    ],
)
def test_what_is_not_here_is_refused(session, method, url, query):
    google = session()
    put(google, "x")
    assert google.request(method, url, params=query).status_code == 501


def test_a_field_that_is_not_kept_is_refused(session):
    assert parts(session(), {"name": "x", "temporaryHold": True}, b"").status_code == 501


@pytest.mark.parametrize("said", [b"no json", b"3"])
def test_a_malformed_upload(session, said):
    assert why(parts(session(), said, b""))[0] == 400


def test_an_upload_without_its_parts(session):
    reply = session().post(UPLOAD, params={"uploadType": "multipart"}, data=b"x")
    assert why(reply) == (400, "badContent", "Malformed multipart body.")


def test_a_wrong_page(session):
    assert why(session().get(OBJECTS, params={"maxResults": "many"})) == (400, "invalid", "Invalid argument.")


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (401, "authError"),
        (403, "forbidden"),
        (412, "conditionNotMet"),
        (429, "rateLimitExceeded"),
        (503, "backendError"),
    ],
)
def test_a_fault_has_its_envelope(session, told, status, reason):
    google = requests.Session()  # one that does not refresh its credentials
    google.mount(
        "https://", session(told(f"faults: [{{route: /storage/v1/, status: {status}}}]")).get_adapter("https://")
    )
    assert why(google.get(at("x")))[:2] == (status, reason)


def test_an_object_is_no_upload_of_a_deployment(session):
    google = session()
    assert google.put(f"{ROOT}/{BUCKET}/x?Signature=1", data=b"x").status_code == 403


# --- Google's own client, over loopback


@pytest.fixture
def bucket(tmp_path, monkeypatch, told):
    """A function `bucket(world)` → the bucket in Google's client, which finds the sandbox by its environment."""
    servers = []

    def make(world: str = ""):
        served = serve(gcp_sandbox.app(INVENTORY, told(world)))
        servers.append(served.__enter__())
        for name, value in environment(served.url, PROJECT, tmp_path / "cli").items():
            if name == "STORAGE_EMULATOR_HOST":
                monkeypatch.setenv(name, value)
        return storage.Client(project=PROJECT).bucket(BUCKET)

    yield make
    for served in servers:
        served.__exit__()


def test_a_record_through_googles_client(bucket):
    here = bucket()
    blob = here.blob("runs/1/report.json")
    blob.metadata = {"by": "ann"}
    blob.upload_from_string(b"\x00\r\nhello", "application/json", if_generation_match=0, checksum="crc32c")
    assert blob.media_link.startswith("http://127.0.0.1:")
    with pytest.raises(PreconditionFailed, match="At least one of the pre-conditions"):
        here.blob("runs/1/report.json").upload_from_string(b"other", if_generation_match=0)
    found = here.get_blob("runs/1/report.json")
    assert (found.metadata, found.content_type, found.size) == ({"by": "ann"}, "application/json", 8)
    for checksum in ("md5", "crc32c"):
        assert found.download_as_bytes(checksum=checksum) == b"\x00\r\nhello"
    again = here.blob("runs/1/report.json")
    again.upload_from_string(b"new", if_generation_match=found.generation)
    assert again.generation > found.generation
    with pytest.raises(NotFound, match="No such object"):
        found.download_as_bytes()
    with pytest.raises(PreconditionFailed):
        again.delete(if_generation_match=found.generation)
    again.delete(if_generation_match=again.generation)
    assert here.get_blob("runs/1/report.json") is None


def test_lists_through_googles_client(bucket):
    here = bucket()
    for n in range(5):
        here.blob(f"runs/{n}/a").upload_from_string(b"")
    names = [f"runs/{n}/a" for n in range(5)]
    assert [blob.name for blob in here.list_blobs(prefix="runs/", page_size=2)] == names
    assert [blob.name for blob in here.list_blobs(start_offset="runs/3")] == names[3:]
    listed = here.list_blobs(prefix="runs/", delimiter="/", page_size=2)
    assert list(listed) == []
    assert listed.prefixes == {f"runs/{n}/" for n in range(5)}


def test_a_bucket_through_googles_client(bucket):
    here = bucket(f"buckets: [{{name: {BUCKET}, retention: 1d}}]")
    here.reload()
    assert (here.retention_period, here.location) == (86400, "US-CENTRAL1")
    assert here.iam_configuration.uniform_bucket_level_access_enabled
    assert here.test_iam_permissions(["storage.objects.get"]) == ["storage.objects.get"]
    here.blob("x").upload_from_string(b"")
    with pytest.raises(Forbidden, match="retention policy"):
        here.blob("x").delete()


def test_a_large_upload_is_refused_and_says_so(bucket):
    with pytest.raises(GoogleAPICallError, match="uploadType media and multipart only"):
        bucket().blob("x").upload_from_string(b"x" * (8 * 2**20 + 1), retry=None)
