"""Connects to the cloud of an environment: Google, the sandbox in this process, or a served sandbox."""

from __future__ import annotations

import os
from functools import partial
from typing import Any

from runbook.cloud.answer import UNREADABLE
from runbook.cloud.client import Cloud, no_credentials
from runbook.cloud.target import check_world, sandbox_app, target
from runbook.config.schema import Settings
from runbook.model.errors import BadInput, BadParameter, NoAnswer, NoCredentials

_SCOPE = "https://www.googleapis.com/auth/cloud-platform"


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

    try:
        credentials, _ = google.auth.default(scopes=[_SCOPE])
    except (GoogleAuthError, OSError, *UNREADABLE) as error:
        raise no_credentials(error) from None
    return _billed(credentials)


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
        hint = f"sign in again, or ask for roles/iam.serviceAccountTokenCreator on {account}."
        raise NoCredentials(f"{account} cannot be impersonated", str(error), next=hint) from None
    return made


def _billed(credentials: Any) -> Any:
    """Credentials without a quota project. A person's own credentials keep theirs.

    With a quota project, each call needs the permission serviceusage.services.use, which none of the required roles
    has (https://cloud.google.com/docs/quotas/set-quota-project).
    """
    from google.oauth2.credentials import Credentials

    person = getattr(credentials, "is_user", isinstance(credentials, Credentials))  # True for a workforce pool, too
    if person or not getattr(credentials, "quota_project_id", None):
        return credentials
    return credentials.with_quota_project(None)


def _served(settings: Settings, url: str, world: str) -> Cloud:
    import requests

    from runbook.cloud.transports import Loopback

    if world:
        what, why = f"world={world} while RUNBOOK_SANDBOX is set", f"the sandbox at {url} already has its own world"
        raise BadParameter(what, why, next="leave world empty, or unset RUNBOOK_SANDBOX.")
    try:
        about = requests.get(url, timeout=5).json()
    except (requests.RequestException, ValueError) as error:
        what = f"the sandbox at RUNBOOK_SANDBOX={url} does not answer"
        hint = "start it with `runbook sandbox`, or unset RUNBOOK_SANDBOX to use one in this process."
        raise NoAnswer(what, type(error).__name__, "Nothing was read.", hint) from None
    if about.get("project") != settings.project:
        why = f"its project is {about.get('project')}; the project of {settings.environment} is {settings.project}"
        hint = f"serve it with `runbook sandbox --env {settings.environment}`."
        raise BadInput(f"the sandbox at {url} serves another system", why, next=hint)
    return Cloud(settings, "sandbox", Loopback(url), world=str(about.get("world", "")))


def _in_process(settings: Settings, world: str) -> Cloud:
    app = sandbox_app(settings, world)
    from runbook.cloud.inprocess import InProcess  # after sandbox_app, which checks that its imports are installed

    return Cloud(settings, "sandbox", InProcess(app), world=app.sandbox.world.about)
