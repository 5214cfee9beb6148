"""The read-only guard: every request to a cloud passes this adapter, which allows only the listed reads.

It checks method, host, path and body of each call of each client. It allows a query only after a dry run of the same
text through this guard, which must report a SELECT that calls no routine. It allows a job only as a dry run.
`tests/conformance` sends every method of Google's discovery documents to it.
"""

import json
import re
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from hashlib import sha256
from typing import Any, NamedTuple
from urllib.parse import SplitResult, urlsplit

import requests
from requests.adapters import BaseAdapter

from runbook.model import RequestBlocked, table, text_of

TIMEOUT_S = 20


class Listed(NamedTuple):
    """A read that is allowed: `*` in the path is one segment; `permission` is what it needs, "" for nothing."""

    method: str
    host: str
    path: str
    permission: str


_DATA = table(__file__, "reads.yaml")
_ROWS = [(api, *read) for api, reads in _DATA["reads"].items() for read in reads]
READS = tuple(Listed(method, f"{api}.googleapis.com", path, needs or "") for api, method, path, needs in _ROWS)
QUERY = ("bigquery.jobs.create", "bigquery.tables.getData")  # what a query and its dry run need

SEGMENT = r"[A-Za-z0-9_.-]+"  # what `*` stands for; a name with other characters is not sent
_PROJECT = rf"(?:[a-z0-9.-]+\.[a-z]+:)?{SEGMENT}"  # old projects have a domain: example.com:name
_JOBS = re.compile(rf"/bigquery/v2/projects/{_PROJECT}/jobs")
_QUERIES = re.compile(rf"/bigquery/v2/projects/{_PROJECT}/queries")

_READS = [(r, re.compile(re.escape(r.path).replace(r"\*", _PROJECT, 1).replace(r"\*", SEGMENT))) for r in READS]

# Only these hosts may receive credentials, and only their clocks are used. Status pages and upload URLs are not listed.
HOSTS = frozenset(read.host for read in READS)


class Redirected(requests.RequestException):
    """A host answered with a redirect, which is not followed because its target is not a listed read."""


class ReadOnlyGuard(BaseAdapter):
    """Mounted on every session, in front of the `transport` that sends. `feeds` are the URLs of the status pages.

    Writes go to `writer`, which never retries; `allow_once` allows one write. `date` is the latest time of the cloud's
    clock, in UTC. Raises RequestBlocked, before sending, for any request that is not a listed read, and for credentials
    to any host except Google's APIs; Redirected for a 3xx answer.
    """

    hosts = HOSTS  # those that may receive credentials

    def __init__(self, transport: BaseAdapter, feeds: Iterable[str] = (), writer: BaseAdapter | None = None):
        super().__init__()
        self.transport, self.feeds, self.writer = transport, frozenset(feeds), writer or transport
        self.date: datetime | None = None
        self._selects: set[str] = set()
        self._writes: set[tuple[str, str, str]] = set()

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:  # type: ignore[override]
        url, write = urlsplit(str(request.url)), self._takes(request)
        if reason := _credential_refusal(request, url.netloc, self.hosts) or ("" if write else self._refusal(request)):
            raise RequestBlocked(**text_of(__file__, "blocked", request=request, url=url, reason=reason))
        transport = self.writer if write else self.transport
        response = transport.send(request, **{**options, "timeout": options.get("timeout") or TIMEOUT_S})
        if 300 <= response.status_code < 400:
            raise Redirected(f"{url.hostname} answered {response.status_code}, a redirect, which is not followed")
        if url.netloc in HOSTS and not write:
            self.date = _clock(response.headers.get("Date")) or self.date
            self._learn(request, response)
        return response

    def mounted(self, session: Any) -> Any:
        """A session that sends every request through this guard: no other adapter stays mounted."""
        session.adapters.clear()
        session.mount("", self)
        session.auth = lambda request: request  # otherwise a .netrc file may replace or add a credential
        return session

    @contextmanager
    def allow_once(self, method: str, url: str, body: bytes) -> Iterator[None]:
        """Allow exactly this request, once. Only `Cloud.write` calls this."""
        key = (method, url, _digest(body))
        self._writes.add(key)
        try:
            yield
        finally:
            self._writes.discard(key)

    def _takes(self, request: requests.PreparedRequest) -> bool:
        if not self._writes or "x-http-method-override" in request.headers:
            return False
        body = request.body or b""
        key = (str(request.method), str(request.url), _digest(body.encode() if isinstance(body, str) else body))
        found = key in self._writes
        self._writes.discard(key)
        return found

    def close(self) -> None:
        self.transport.close()

    def is_select(self, sql: str) -> bool:
        """Whether a dry run has shown that exactly this text is a SELECT that calls no routine."""
        return _digest(sql.encode()) in self._selects

    def _refusal(self, request: requests.PreparedRequest) -> str:
        """Why this request is blocked; "" if it is allowed."""
        url = urlsplit(str(request.url))
        if url.scheme != "https" or "x-http-method-override" in request.headers:
            return "only https without a method override is allowed"
        return self._unlisted(request, url)

    def _unlisted(self, request: requests.PreparedRequest, url: SplitResult) -> str:
        """Why a request is none that this guard allows; "" if it is one."""
        method = request.method
        if (method == "GET" and str(request.url) in self.feeds) or _listed(str(method), url):
            return ""
        if url.netloc == "bigquery.googleapis.com" and method == "POST" and url.query in ("", "prettyPrint=false"):
            if _JOBS.fullmatch(url.path):
                return "" if _dry_run(_body(request)) else "a job may only be inserted as a dry run of a query"
            if _QUERIES.fullmatch(url.path):
                return self._query_refusal(_body(request))
        return "it is not in the list of reads"

    def _query_refusal(self, body: dict[str, Any]) -> str:
        if extra := body.keys() - _DATA["query_keys"]:
            return f"a query must not have {', '.join(sorted(extra))}"
        if body.get("useLegacySql") is not False or not int(body.get("maximumBytesBilled") or 0):
            return "a query needs useLegacySql=false and a maximumBytesBilled"
        if not self.is_select(str(body.get("query"))):
            return "no dry run has shown that this text is a SELECT without routines"
        return ""

    def _learn(self, request: requests.PreparedRequest, response: requests.Response) -> None:
        url = urlsplit(str(request.url))
        if request.method != "POST" or not _JOBS.fullmatch(url.path) or response.status_code != 200:
            return
        query = _dry_run(_body(request))
        try:
            answer = response.json()["statistics"]["query"]
            select = answer["statementType"] == "SELECT" and not answer.get("referencedRoutines")
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return  # an answer of another form proves nothing
        if query and select:
            self._selects.add(_digest(query.encode()))


def _listed(method: str, url: SplitResult) -> list[str]:
    """The permission of the listed read that this request is, "" if it needs none; [] if it is not listed."""
    return [r.permission for r, p in _READS if (r.method, r.host) == (method, url.netloc) and p.fullmatch(url.path)]


def permission_of(method: str, url: str) -> str:
    """The permission that a listed read needs; "" if it needs none, or if the request is not listed."""
    return next(iter(_listed(method, urlsplit(url))), "")


def _credential_refusal(request: requests.PreparedRequest, host: str, hosts: Collection[str]) -> str:
    """Why a request's credentials must not go to this host; "" if they may, or if there are none."""
    found = sorted({name.lower() for name in request.headers}.intersection(_DATA["credentials"]))
    return f"{', '.join(found)} may only be sent to Google's APIs" if found and host not in hosts else ""


def _clock(stamp: str | None) -> datetime | None:
    """The time of a Date header; None if it cannot be read."""
    try:
        read = parsedate_to_datetime(stamp or "")
    except ValueError:
        return None
    return read if read.tzinfo else read.replace(tzinfo=UTC)


def _body(request: requests.PreparedRequest) -> dict[str, Any]:
    try:
        body = json.loads(request.body or "{}")
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _dry_run(body: dict[str, Any]) -> str:
    """The SQL text of a job that is only the dry run of a query; "" for any other job."""
    job = body.get("configuration") or {}
    alone = set(job) <= {"query", "dryRun", "labels", "jobTimeoutMs", "jobType"}
    return str(job["query"].get("query", "")) if alone and job.get("dryRun") is True and job.get("query") else ""


def _digest(text: bytes) -> str:
    return sha256(text).hexdigest()
