"""The clients of one project, all behind one guard.

Google's clients are imported inside functions: that takes almost a second, and an error in the parameters must not
wait for it. Only this package imports `requests` or Google's clients.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property, partial
from itertools import count, islice
from typing import Any

from runbook.cloud.answer import UNREADABLE, answered, json_object, objects, paged, readable
from runbook.cloud.failures import CannotRead, sign_in
from runbook.cloud.target import Target
from runbook.config import Settings
from runbook.model import NoCredentials


def no_credentials(error: Exception) -> NoCredentials:
    """The error for Application Default Credentials that are missing, damaged, expired or revoked."""
    from google.auth.exceptions import GoogleAuthError, TransportError

    said = ": ".join(str(part) for part in error.args if isinstance(part, str | Exception)).strip()
    if not isinstance(error, GoogleAuthError | OSError):
        said = f"the file, or the answer of the token service, has another form ({type(error).__name__})"
    file = os.environ.get("GOOGLE_APPLICATION_CREDENTIALS")
    way = f"correct GOOGLE_APPLICATION_CREDENTIALS={file}, or unset it and {sign_in(error)}" if file else sign_in(error)
    way = "check the network, then repeat this run." if isinstance(error, TransportError) else way
    what, said = "no usable Google credentials on this machine", (said or type(error).__name__).splitlines()[0][:500]
    return NoCredentials(what, said, "No request was sent to Google Cloud.", way)


@dataclass
class Cloud:
    """The clients of one project, all behind one guard; `world` describes the sandbox's world.

    `transport` is an adapter of `requests`. `writer` makes the credentials for writes; without it, they are those for
    reads.
    """

    settings: Settings
    target: Target
    transport: Any
    credentials: Any = None
    world: str = ""
    writer: Callable[[], Any] | None = None
    locations: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        from google.auth.credentials import AnonymousCredentials

        self.credentials = self.credentials or AnonymousCredentials()

    @property
    def identity(self) -> str:
        """The identity of the credentials for reads. A person's own have no name without another API call."""
        if self.target == "sandbox":
            return "the sandbox needs none"
        found = getattr(self.credentials, "service_account_email", "") or getattr(self.credentials, "account", "")
        return found or f"{type(self.credentials).__name__} without a name"

    @cached_property
    def guard(self) -> Any:
        from requests.adapters import HTTPAdapter

        from runbook.cloud.guard import ReadOnlyGuard

        writer = HTTPAdapter() if self.target == "google" else None
        return ReadOnlyGuard(self.transport, self.settings.pages.values(), writer)

    @cached_property
    def session(self) -> Any:
        """An authorized `requests` session."""
        from google.auth.transport.requests import AuthorizedSession

        return self.guard.mounted(AuthorizedSession(self.credentials))

    @cached_property
    def writing(self) -> Any:
        """The session of writes. Google's library repeats a request that is answered 401; here nothing is repeated."""
        from google.auth.transport.requests import AuthorizedSession

        given = self.writer() if self.writer else self.credentials
        return self.guard.mounted(AuthorizedSession(given, refresh_status_codes=(), max_refresh_attempts=0))

    @cached_property
    def public(self) -> Any:
        """A `requests` session without credentials, for status pages and signed URLs."""
        import requests

        return self.guard.mounted(requests.Session())

    @cached_property
    def bigquery(self) -> Any:
        from runbook.cloud.bigquery import bigquery

        return bigquery.Client(project=self.settings.project, credentials=self.credentials, _http=self.session)

    @cached_property
    def logging(self) -> Any:
        # gRPC would go past the guard, and half of the time of this import is for it.
        os.environ.setdefault("GOOGLE_CLOUD_DISABLE_GRPC", "true")
        from google.cloud import logging

        given = {"credentials": self.credentials, "_http": self.session, "_use_grpc": False}
        return logging.Client(project=self.settings.project, **given)

    def get(self, api: str, path: str, **query: Any) -> dict[str, Any]:
        """One GET of a Google API; returns the answer as in its documentation. Raises Google's own exceptions.

        Changes and their read-backs use the REST API directly, because the guard must know a write's exact bytes.
        """
        with readable(api):
            return answered(self.session.get(f"https://{api}.googleapis.com/{path}", params=query, timeout=20))

    def ask(self, api: str, path: str, body: dict[str, Any], as_writer: bool = False) -> dict[str, Any]:
        """One read that is a POST, by the identity for reads or for writes. Raises Google's own exceptions."""
        session = self.writing if as_writer else self.session
        with readable(api):
            return answered(session.post(f"https://{api}.googleapis.com/{path}", json=body, timeout=20))

    def entries(self, wanted: str, most: int, pages: int = 0) -> list[dict[str, Any]]:
        """Log entries that match a filter, newest first, at most `most`; CannotRead if that takes more than `pages`.

        0 pages is no limit. An empty page with a token is not the last page (https://cloud.google.com/logging/docs/reference/v2/rest/v2/entries/list).

        Google's client sends the request; its `list_entries` is not used, because it hides pages, and because each of
        its entry objects asks the metadata server, past the guard. Raises Google's own exceptions, and CannotRead.
        """
        asked: dict[str, Any] = {"resourceNames": [f"projects/{self.settings.project}"], "filter": wanted}
        asked |= {"orderBy": "timestamp desc", "pageSize": min(most, 1000)}
        send = partial(self.logging.logging_api.api_request, "POST", "/entries:list", expect_json=False, timeout=20)

        asks = count()

        def ask(token: str) -> dict[str, Any]:
            with readable("logging"):
                if pages and next(asks) == pages:
                    raise CannotRead(f"there are too many entries: stopped after {pages} pages", "read them by hand.")
                return json_object(send(data=asked | ({"pageToken": token} if token else {})))

        return list(islice((entry for page in paged(ask) for entry in objects(page, "entries")), most))

    def location(self, dataset: str) -> str:
        """Where the jobs of a dataset run; asked once. Raises Google's own exceptions, and CannotRead."""
        if dataset not in self.locations:
            found = self.get("bigquery", f"bigquery/v2/projects/{self.settings.project}/datasets/{dataset}")
            if not (place := found.get("location")):
                raise CannotRead(
                    f"the answer does not say where {dataset} is", "repeat this run; if it stays, report it."
                )
            self.locations[dataset] = str(place)
        return self.locations[dataset]

    def write(self, method: str, url: str, body: bytes, headers: dict[str, str] | None = None) -> dict[str, Any]:
        """One write, sent once; the guard allows exactly this request. Raises Google's own exceptions.

        A signed upload URL must not carry our credentials
        (https://cloud.google.com/functions/docs/reference/rest/v2/projects.locations.functions/generateUploadUrl).
        """
        session = self.public if method == "PUT" else self.writing
        given = {"Content-Type": "application/json"} | (headers or {})
        with self.guard.allow_once(method, url, body):
            response = session.request(method, url, data=body, headers=given, timeout=60)
        return answered(response, may_be_empty=True)

    def pages(self, api: str, path: str, **query: Any) -> Iterator[dict[str, Any]]:
        """Every page of a list, up to the page without a token. Raises as `get`."""
        return paged(lambda token: self.get(api, path, **query, pageToken=token or None))

    def items(self, api: str, path: str, key: str, **query: Any) -> list[dict[str, Any]]:
        """All items of a list. Raises as `get`."""
        return [item for page in self.pages(api, path, **query) for item in objects(page, key)]

    def now(self) -> tuple[datetime, bool]:
        """The cloud's clock in UTC, from the Date header of a cheap read, and True; or this machine's clock, and False.

        Raises NoCredentials if the credentials are rejected before a request is sent.
        """
        import requests
        from google.auth.exceptions import GoogleAuthError, TransportError

        url = f"https://cloudresourcemanager.googleapis.com/v3/projects/{self.settings.project}:testIamPermissions"
        try:
            self.session.post(url, json={"permissions": ["bigquery.jobs.create"]}, timeout=10)
            date = self.guard.date
        except (requests.RequestException, TransportError):
            date = None
        except (GoogleAuthError, *UNREADABLE) as error:
            raise no_credentials(error) from None
        return (date, True) if date else (datetime.now(UTC).replace(microsecond=0), False)
