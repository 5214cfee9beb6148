"""The files of a record store in Cloud Storage: created once, read and listed, by the JSON API.

Its sessions have a guard of their own, which allows only this (`RecordGuard`). The bucket does not follow the target of
a run: a rehearsal is recorded, too. STORAGE_EMULATOR_HOST, the variable of Google's own clients, names a sandbox's.
"""

import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache, cached_property
from typing import Any
from urllib.parse import SplitResult, parse_qsl, quote, unquote

from requests import PreparedRequest

from runbook.cloud.answer import PORTAL, answered, objects, paged, readable
from runbook.cloud.failures import CannotRead, gap
from runbook.cloud.guard import ReadOnlyGuard
from runbook.model import NoRecord, Taken

API = "https://storage.googleapis.com"
TIMEOUT_S = 30
ONLY_NEW = {"uploadType": "media", "ifGenerationMatch": "0"}
BYTES = "application/octet-stream"
LABELLED = ONLY_NEW | {"uploadType": "multipart"}


class RecordGuard(ReadOnlyGuard):
    """Allows create-only uploads, reads and lists below one prefix of one bucket, and nothing else.

    `old` is the one object that may be deleted now: a file of a run's record, or "".
    """

    hosts = frozenset(("storage.googleapis.com",))
    old = ""

    def __init__(self, transport: Any, bucket: str, prefix: str):
        super().__init__(transport)
        self.uploads, self.objects = (f"{path}/storage/v1/b/{bucket}/o" for path in ("/upload", ""))
        self.prefix = prefix

    def _unlisted(self, request: PreparedRequest, url: SplitResult) -> str:
        given = parse_qsl(url.query, keep_blank_values=True)
        asked, (place, _, quoted), name = dict(given), url.path.partition("/o/"), ""
        if (request.method, url.path) == ("POST", self.uploads):
            name = asked.pop("name", "")
            name = name if asked == ONLY_NEW or (asked == LABELLED and _only_labels(request)) else ""
        elif (request.method, url.path) == ("GET", self.objects):
            name = asked.get("prefix", "")
        elif (request.method, f"{place}/o", given) == ("DELETE", self.objects, []):
            name = self.old if quoted == quote(self.old, safe="") else ""
        elif (request.method, f"{place}/o") == ("GET", self.objects) and "/" not in quoted:
            name = unquote(quoted)
        once = len(given) == len(dict(given)) and not any("$" in key for key in dict(given))  # who knows which counts
        below = name.startswith(self.prefix) and ".." not in name.split("/")
        mine = name and once and below and url.netloc in self.hosts
        return "" if mine else "a record store only creates, reads and lists its own objects"


def _multipart(content: bytes, labels: Mapping[str, str], edge: str) -> tuple[str, bytes]:
    """The type and the body of an upload with custom metadata.

    Source: https://cloud.google.com/storage/docs/uploading-objects#rest-upload-objects
    """
    about = b"Content-Type: application/json\r\n\r\n" + json.dumps({"metadata": labels}).encode()
    parts = about, f"Content-Type: {BYTES}\r\n\r\n".encode() + content
    body = b"".join(b"--%b\r\n%b\r\n" % (edge.encode(), part) for part in parts)
    return f"multipart/related; boundary={edge}", body + f"--{edge}--".encode()


def _only_labels(request: PreparedRequest) -> bool:
    """Whether an upload is what `_multipart` makes: with metadata, and no other name or access list in its body."""
    kind, body = str(request.headers.get("Content-Type")), request.body
    edge = kind.rpartition("=")[2]
    with suppress(ValueError, LookupError, TypeError, AttributeError):
        about, content = body.split(b"\r\n", 3)[3].split(f"\r\n--{edge}".encode())[:2]
        return (kind, body) == _multipart(content.split(b"\r\n", 3)[3], json.loads(about)["metadata"], edge)
    return False


@cache
def bucket_at(address: str, served: str) -> "Bucket":
    """The bucket at an address: one session, with its credentials, for the whole process."""
    return Bucket(address, served)


class Bucket:
    """The objects below `prefix` of a bucket, by names such as `plans/1f…`. Every method raises NoRecord.

    The bucket is Google's, or that of a sandbox which is `served` at this address.
    """

    def __init__(self, address: str, served: str = ""):
        self.address, self.served = address.rstrip("/"), served
        self.bucket, _, prefix = self.address.removeprefix("gs://").partition("/")
        self.prefix = f"{prefix}/" if prefix else ""

    def __str__(self) -> str:
        return self.address

    @cached_property
    def session(self) -> Any:
        from google.auth.credentials import AnonymousCredentials
        from google.auth.transport.requests import AuthorizedSession

        from runbook.cloud.connect import own_credentials
        from runbook.cloud.transports import Loopback, network

        served = self.served if "://" in self.served else f"http://{self.served}"
        transport = Loopback(served) if self.served else network()
        session = AuthorizedSession(AnonymousCredentials() if self.served else own_credentials())
        return RecordGuard(transport, self.bucket, self.prefix).mounted(session)

    def create(self, name: str, content: bytes, labels: Mapping[str, str] | None = None) -> None:
        """Create an object, with labels as its custom metadata. Raises Taken if there is one with another content.

        One with the same content may be ours: the answer was lost, and the upload was repeated. Whoever must be the
        only one to create it puts something random into it (https://cloud.google.com/storage/docs/request-preconditions).
        """
        url, query = f"{API}/upload/storage/v1/b/{self.bucket}/o", (LABELLED if labels else ONLY_NEW)
        kind, data = _multipart(content, labels, secrets.token_hex(16)) if labels else (BYTES, content)
        asked = {"params": {**query, "name": self.prefix + name}, "headers": {"Content-Type": kind}}
        with self._reported(name):
            answer = self.session.post(url, data=data, timeout=TIMEOUT_S, **asked)
            if answer.status_code != 412:
                answered(answer)
            elif self.read(name) != content:
                raise Taken(name)

    def read(self, name: str) -> bytes | None:
        """The content of an object; None if there is none."""
        with self._reported(name):
            answer = self._get(name, alt="media")
            return None if answer is None else answer.content

    def delete(self, name: str) -> None:
        """Delete an object of a run; one that is gone is no fault. Only `runbook records prune` does."""
        guard = self.session.get_adapter(API)
        with self._reported(name):
            try:
                guard.old = f"{self.prefix}{name}" if name.startswith("runs/") else ""
                url = f"{API}/storage/v1/b/{self.bucket}/o/{quote(self.prefix + name, safe='')}"
                answer = self.session.delete(url, timeout=TIMEOUT_S)
            finally:
                guard.old = ""
            if answer.status_code != 404:
                answered(answer, may_be_empty=True)

    def identity(self, name: str) -> str:
        """What tells this very object from a copy of it, and from one that was restored: its generation."""
        with self._reported(name):
            answer = self._get(name, fields="generation")
            return "" if answer is None else str(answered(answer).get("generation"))

    def list(self, prefix: str, delimiter: str = "") -> Iterator[str]:
        """The names below a folder; with the delimiter "/", only those directly below it, of folders, too."""
        return (name for name, _ in self._listed(prefix, delimiter))

    def labels(self, prefix: str) -> dict[str, Any]:
        """The custom metadata of the objects below a folder, by name. Anybody who may update objects can edit it."""
        return dict(self._listed(prefix))

    def _listed(self, prefix: str, delimiter: str = "") -> Iterator[tuple[str, Any]]:
        asked = {"prefix": f"{self.prefix}{prefix}/", "delimiter": delimiter or None}
        asked["fields"], url = "items(name,metadata),prefixes,nextPageToken", f"{API}/storage/v1/b/{self.bucket}/o"

        def ask(token: str) -> dict[str, Any]:
            return answered(self.session.get(url, params=asked | {"pageToken": token or None}, timeout=TIMEOUT_S))

        with self._reported(prefix):
            for page in paged(ask):
                for item in (*objects(page, "items"), *({"name": name} for name in objects(page, "prefixes"))):
                    yield str(item.get("name")).removeprefix(self.prefix).rstrip("/"), item.get("metadata")

    def _get(self, name: str, **query: str) -> Any:
        """The answer to a read of one object; None if there is none."""
        url = f"{API}/storage/v1/b/{self.bucket}/o/{quote(self.prefix + name, safe='')}"
        answer = self.session.get(url, params=query, timeout=TIMEOUT_S)
        if answer.status_code == 404 and b"No such object" in answer.content:  # a missing bucket is a 404, too
            return None
        if answer.status_code != 200:
            answered(answer)
        # The page of a login portal lacks this header, which Google sends with an object's content:
        # https://github.com/floci-io/floci-gcp/issues/124 has a recorded answer.
        if "alt" in query and "X-Goog-Generation" not in answer.headers:
            raise CannotRead("the answer is not from Cloud Storage", PORTAL)
        return answer

    @contextmanager
    def _reported(self, name: str) -> Iterator[None]:
        try:
            with readable("storage"):
                yield
        except Exception as error:
            if (missing := gap(error, name, read=True)) is None:
                raise
            said, hint = missing.why, missing.next or "check the network and the bucket, then repeat this run."
            raise NoRecord("the record store cannot be used", f"{self.address}/{name}: {said}", next=hint) from None
