"""Connects to the cloud of an environment: Google, the sandbox in this process, or a served sandbox.

A kernel process begins to connect, and to read the cloud's clock, while it still imports its modules.
"""

import os
from concurrent import futures
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any

from runbook.cloud.answer import UNREADABLE
from runbook.cloud.client import Cloud, no_credentials
from runbook.cloud.target import check_world, sandbox_app, target
from runbook.config import Settings, load_settings
from runbook.model import BadInput, BadParameter, NoAnswer, NoCredentials, text_of

LIMIT_S = 30  # how long a run waits for the connection that was begun before it connects by itself
_SCOPE = "https://www.googleapis.com/auth/cloud-platform"

Connected = tuple[Cloud, datetime, bool]  # a cloud, the time, and whether it comes from the cloud's clock
Begun = dict[tuple[str, str], futures.Future[Connected]]  # by environment and world; each can be taken once


def connect(settings: Settings, world: str = "") -> Cloud:
    """Connect to the cloud of one environment; `world` names the sandbox's world ("" is `healthy`).

    Raises BadParameter for a world on Google, what `sandbox_app` raises, NoCredentials, and NoAnswer if the sandbox at
    RUNBOOK_SANDBOX does not answer.
    """
    if target(settings.environment) == "google":
        if world:
            check_world(settings.environment, world)
        return _google(settings)
    if url := os.environ.get("RUNBOOK_SANDBOX"):
        return _served(settings, url, world)
    return _in_process(settings, world)


def _google(settings: Settings) -> Cloud:
    from runbook.cloud.transports import network

    credentials = impersonated(settings.read_as) if settings.read_as else own_credentials()
    writer = partial(impersonated, settings.apply_as) if settings.apply_as else own_credentials
    return Cloud(settings, "google", network(), credentials, writer=writer)


def own_credentials() -> Any:
    """This machine's Application Default Credentials. Raises NoCredentials."""
    import google.auth
    from google.auth.exceptions import GoogleAuthError
    from google.oauth2.credentials import Credentials

    try:
        credentials, _ = google.auth.default(scopes=[_SCOPE])
    except (GoogleAuthError, OSError, *UNREADABLE) as error:
        raise no_credentials(error) from None
    # With a quota project, each call needs the permission serviceusage.services.use, which none of the required roles
    # has (https://cloud.google.com/docs/quotas/set-quota-project). A person's own credentials keep theirs.
    person = getattr(credentials, "is_user", isinstance(credentials, Credentials))  # True for a workforce pool, too
    billed = not person and getattr(credentials, "quota_project_id", None)
    return credentials.with_quota_project(None) if billed else credentials


def impersonated(account: str) -> Any:
    """Short-lived credentials of a service account, from this machine's own. Raises NoCredentials.

    They need roles/iam.serviceAccountTokenCreator on the account
    (https://cloud.google.com/iam/docs/service-account-impersonation).
    """
    from google.auth import impersonated_credentials
    from google.auth.exceptions import GoogleAuthError
    from google.auth.transport.requests import Request

    made = impersonated_credentials.Credentials(own_credentials(), account, [_SCOPE])
    try:
        made.refresh(Request())
    except (GoogleAuthError, *UNREADABLE) as error:
        raise NoCredentials(**text_of(__file__, "no_impersonation", account=account, why=error)) from None
    return made


def _served(settings: Settings, url: str, world: str) -> Cloud:
    import requests

    from runbook.cloud.transports import Loopback

    if world:
        raise BadParameter(**text_of(__file__, "served_with_a_world", world=world, url=url))
    try:
        about = requests.get(url, timeout=5).json()
    except (requests.RequestException, ValueError) as error:
        raise NoAnswer(**text_of(__file__, "not_served", url=url, why=type(error).__name__)) from None
    if (found := about.get("project")) != settings.project:
        raise BadInput(**text_of(__file__, "another_system_is_served", url=url, found=found, settings=settings))
    return Cloud(settings, "sandbox", Loopback(url), world=str(about.get("world", "")))


def _in_process(settings: Settings, world: str) -> Cloud:
    app = sandbox_app(settings, world)
    from gcp_sandbox.inprocess import InProcess  # after sandbox_app, which checks that it is installed

    return Cloud(settings, "sandbox", InProcess(app), world=app.sandbox.world.about)


def prefetch(environment: str, world: str) -> Begun:
    """Begin to connect; nothing is begun if the sandbox is in this process."""
    if target(environment) == "sandbox" and not os.environ.get("RUNBOOK_SANDBOX"):
        return {}
    pool = futures.ThreadPoolExecutor(1)
    begun = pool.submit(lambda: _connected(load_settings(environment), world))
    pool.shutdown(wait=False)
    return {(environment, world): begun}


def connect_now(settings: Settings, world: str, begun: Begun) -> Connected:
    """Take the connection that was begun for this environment and world; connect if there is none, if it failed, or if
    it is not ready in time. Raises as `connect` and `Cloud.now`."""
    mine = begun.pop((settings.environment, world), None)
    with suppress(Exception):  # connecting again reports the error
        if mine:
            return mine.result(timeout=LIMIT_S)
    return _connected(settings, world)


def _connected(settings: Settings, world: str) -> Connected:
    cloud = connect(settings, world)
    return (cloud, *cloud.now())
