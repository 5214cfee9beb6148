"""Which cloud a run talks to, decided once: Google, the sandbox in this process, or a sandbox that is being served.

Imports of Google's clients happen inside functions: they cost most of a second, and an error in the parameters should
not wait for them. Only this package imports `requests` or Google's clients.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent import futures
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from runbook.cloud.answer import answered, objects, token_of
from runbook.errors import BadInput, BadParameter, NoAnswer, NoCredentials, UnknownName
from runbook.settings import load, nearest

if TYPE_CHECKING:
    from requests.adapters import BaseAdapter

    from runbook.cloud.door import Door
    from runbook.settings import Settings

Target = Literal["google", "sandbox"]
_AHEAD: dict[tuple[str, str], futures.Future[tuple[Cloud, datetime, bool]]] = {}


def target(environment: str) -> Target:
    """The environment `sandbox`, or MOCK_MODE=1 as in the guide, is the sandbox; everything else is Google."""
    return "sandbox" if environment == "sandbox" or os.environ.get("MOCK_MODE") == "1" else "google"


def connect(settings: Settings, world: str = "") -> Cloud:
    """Open the cloud of one environment; `world` names the sandbox's world ("" is `healthy`).

    Raises BadParameter for a world on Google, what `sandbox_app` raises, NoCredentials, and NoAnswer when the sandbox
    at RUNBOOK_SANDBOX does not answer.
    """
    if target(settings.environment) == "google":
        if world:
            check_world(settings.environment, world)
        return _google(settings)
    if url := os.environ.get("RUNBOOK_SANDBOX"):
        return _served(settings, url, world)
    return _in_process(settings, world)


def connect_now(settings: Settings, world: str = "") -> tuple[Cloud, datetime, bool]:
    """Connect and ask for the time, see `connect` and `Cloud.now`; or take what `ahead` has begun."""
    begun = _AHEAD.pop((settings.environment, world), None)
    with suppress(Exception):  # whatever it was, it happens again here, where somebody is told
        if begun:
            return begun.result()
    return _asked(settings, world)


def _asked(settings: Settings, world: str) -> tuple[Cloud, datetime, bool]:
    cloud = connect(settings, world)
    return (cloud, *cloud.now())


def ahead(environment: str, world: str) -> None:
    """Begin to connect and to ask for the time while this process still imports what it needs for more than that."""
    if target(environment) == "sandbox" and not os.environ.get("RUNBOOK_SANDBOX"):
        return  # it is in this process: nothing to wait for
    pool = futures.ThreadPoolExecutor(1)
    _AHEAD[environment, world] = pool.submit(lambda: _asked(load(environment), world))
    pool.shutdown(wait=False)


def check_world(environment: str, world: str) -> None:
    """Raise BadParameter for a world on Google, UnknownName for one that is not there."""
    if target(environment) == "google":
        raise BadParameter(
            f"world={world} with environment={environment}",
            "only the sandbox has worlds; this environment is the real Google Cloud",
            next="leave world empty, or set MOCK_MODE=1 to rehearse in the sandbox.",
        )
    try:
        from gcp_sandbox.world import BadWorld, shipped
        from gcp_sandbox.world import load as load_world
    except ImportError:
        return  # `sandbox_app` says what to install
    try:
        load_world(world)
    except BadWorld as error:
        raise UnknownName("that world cannot be used", str(error), next=nearest(world, shipped())) from None


def sandbox_app(settings: Settings, world: str) -> Any:
    """The sandbox of one system in a world ("" is `healthy`).

    Raises BadInput where it is not installed, UnknownName for a world that is not there or does not fit the system.
    """
    try:
        import gcp_sandbox
        from gcp_sandbox.world import BadWorld
    except ImportError as error:
        raise BadInput(
            "the sandbox is not installed", str(error), next="install the extra: pip install -e '.[sandbox]'."
        ) from None
    try:
        return gcp_sandbox.app(settings.inventory(), world or "healthy")
    except BadWorld as error:
        raise UnknownName("that world cannot be used", str(error), next="see lib/gcp_sandbox/world.py.") from None


def _google(settings: Settings) -> Cloud:
    import google.auth
    from google.auth.exceptions import DefaultCredentialsError

    from runbook.cloud.door import network

    try:
        credentials, _ = google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
    except DefaultCredentialsError as error:
        raise no_credentials(error) from None
    return Cloud(settings, "google", network(), _billed(credentials))


def _billed(credentials: Any) -> Any:
    """Credentials without a quota project, but a person's own keep the one that they name.

    With one, each call needs the permission serviceusage.services.use, which none of the required roles has
    (https://cloud.google.com/docs/quotas/set-quota-project).
    """
    from google.oauth2.credentials import Credentials

    if isinstance(credentials, Credentials) or not getattr(credentials, "quota_project_id", None):
        return credentials
    return credentials.with_quota_project(None)


def no_credentials(error: Exception) -> NoCredentials:
    """What to tell someone whose Application Default Credentials are missing or no longer good."""
    return NoCredentials(
        "no usable Google credentials on this machine",
        str(error).splitlines()[0],
        "Nothing was asked of Google Cloud.",
        "run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS.",
    )


def _served(settings: Settings, url: str, world: str) -> Cloud:
    import requests

    from runbook.cloud.door import Loopback

    if world:
        raise BadParameter(
            f"world={world} while RUNBOOK_SANDBOX is set",
            f"the sandbox at {url} already is in a world of its own",
            next="leave world empty, or unset RUNBOOK_SANDBOX.",
        )
    try:
        about = requests.get(url, timeout=5).json()
    except (requests.RequestException, ValueError) as error:
        raise NoAnswer(
            f"the sandbox at RUNBOOK_SANDBOX={url} does not answer",
            type(error).__name__,
            "Nothing was asked.",
            "start it with `runbook sandbox`, or unset RUNBOOK_SANDBOX to have one in this process.",
        ) from None
    if about.get("project") != settings.project:
        raise BadInput(
            f"the sandbox at {url} is another system",
            f"it serves project {about.get('project')}; {settings.environment} is {settings.project}",
            next=f"serve it with `runbook sandbox --env {settings.environment}`.",
        )
    return Cloud(settings, "sandbox", Loopback(url), world=str(about.get("world", "")))


def _in_process(settings: Settings, world: str) -> Cloud:
    app = sandbox_app(settings, world)
    from runbook.cloud.inprocess import InProcess  # not before what it imports is known to be installed

    return Cloud(settings, "sandbox", InProcess(app), world=app.sandbox.world.about)


@dataclass
class Cloud:
    """The clients of one project, all behind one door; `world` says what is true in a sandbox."""

    settings: Settings
    target: Target
    transport: BaseAdapter
    credentials: Any = None
    world: str = ""

    def __post_init__(self) -> None:
        from google.auth.credentials import AnonymousCredentials

        self.credentials = self.credentials or AnonymousCredentials()

    @cached_property
    def door(self) -> Door:
        from requests.adapters import HTTPAdapter

        from runbook.cloud.door import Door

        writer = HTTPAdapter() if self.target == "google" else None
        return Door(self.transport, self.settings.feeds.values(), writer)

    def _behind_the_door(self, session: Any) -> Any:
        """Let every request of a session go through the door: no other adapter stays mounted."""
        session.adapters.clear()
        session.mount("", self.door)
        session.auth = lambda request: request  # else a .netrc of this machine may replace or add a credential
        return session

    @cached_property
    def session(self) -> Any:
        """An authorised `requests` session."""
        from google.auth.transport.requests import AuthorizedSession

        return self._behind_the_door(AuthorizedSession(self.credentials))

    @cached_property
    def public(self) -> Any:
        """A `requests` session without credentials, for status pages and signed URLs."""
        import requests

        return self._behind_the_door(requests.Session())

    @cached_property
    def bigquery(self) -> Any:
        from google.cloud import bigquery

        return bigquery.Client(project=self.settings.project, credentials=self.credentials, _http=self.session)

    def get(self, api: str, path: str, **query: Any) -> dict[str, Any]:
        """One GET of a Google API, as its documentation writes the answer. Raises Google's own exceptions.

        Changes and their read-backs use the plain API: a write must be known to the byte before it is sent.
        """
        return answered(self.session.get(f"https://{api}.googleapis.com/{path}", params=query, timeout=20))

    def ask(self, api: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """One of the few reads that are a POST. Raises Google's own exceptions."""
        return answered(self.session.post(f"https://{api}.googleapis.com/{path}", json=body, timeout=20))

    def entries(self, wanted: str, most: int) -> list[dict[str, Any]]:
        """Log entries that fit a filter, newest first, at most `most`; an empty page with a token is not the end.

        Google's own client would ask for the metadata server, past the door, whenever it reads an entry
        (https://cloud.google.com/logging/docs/reference/v2/rest/v2/entries/list). Raises Google's own exceptions.
        """
        asked: dict[str, Any] = {"resourceNames": [f"projects/{self.settings.project}"], "filter": wanted}
        asked |= {"orderBy": "timestamp desc", "pageSize": min(most, 1000)}
        found: list[dict[str, Any]] = []
        seen: set[str] = set()
        while True:
            answer = self.ask("logging", "v2/entries:list", asked)
            found += objects(answer, "entries")
            asked["pageToken"] = token_of(answer, seen)
            if len(found) >= most or not asked["pageToken"]:
                return found[:most]

    def write(self, method: str, url: str, body: bytes, headers: dict[str, str] | None = None) -> dict[str, Any]:
        """One write, sent once, through the door that opens for just this. Raises Google's own exceptions.

        A signed upload URL must not carry our credentials
        (https://cloud.google.com/functions/docs/reference/rest/v2/projects.locations.functions/generateUploadUrl).
        """
        session = self.public if method == "PUT" else self.session
        given = {"Content-Type": "application/json"} | (headers or {})
        with self.door.opened(method, url, body):
            response = session.request(method, url, data=body, headers=given, timeout=60)
        return answered(response)

    def pages(self, api: str, path: str, **query: Any) -> Iterator[dict[str, Any]]:
        """Every page of a list, until one without a token. Raises as `get`."""
        token, seen = "", set[str]()
        while True:
            page = self.get(api, path, **query, **({"pageToken": token} if token else {}))
            yield page
            token = token_of(page, seen)
            if not token:
                return

    def items(self, api: str, path: str, key: str, **query: Any) -> list[dict[str, Any]]:
        """All items of a list. Raises as `get`."""
        return [item for page in self.pages(api, path, **query) for item in objects(page, key)]

    def now(self) -> tuple[datetime, bool]:
        """The cloud's own clock in UTC, from the Date header of a cheap read; False where it had to be this machine's.

        Raises NoCredentials when the credentials are refused before anything could be asked.
        """
        import requests
        from google.auth.exceptions import GoogleAuthError, TransportError

        try:
            name = f"projects/{self.settings.project}"
            self.session.post(
                f"https://cloudresourcemanager.googleapis.com/v3/{name}:testIamPermissions",
                json={"permissions": ["bigquery.jobs.create"]},
                timeout=10,
            )
        except (requests.RequestException, TransportError):
            return datetime.now(UTC).replace(microsecond=0), False
        except GoogleAuthError as error:
            raise no_credentials(error) from None
        if not self.door.date:
            return datetime.now(UTC).replace(microsecond=0), False
        return self.door.date, True
