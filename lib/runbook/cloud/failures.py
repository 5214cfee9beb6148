"""Turns failures of a read into gaps, with a reason and a next step. Any other failure is a bug in the runbook.

These failures are gaps: no answer, a redirect, an answer that cannot be read, and any error from Google.
"""

import re
from dataclasses import replace
from typing import Any

from runbook.config import Settings
from runbook.model import Gap, Row, table

_DATA = table(__file__, "next_steps.yaml")
STEPS: dict[str, str] = _DATA["steps"]
REASONS = {reason: STEPS[step] for reason, step in _DATA["reasons"].items()}
_GCLOUD = "764086051850"  # the project of gcloud itself, which Google uses if the credentials name none

LONG = 4_000  # characters of an error that are read; a page of a proxy may be huge


class CannotRead(Exception):
    """A read that is not possible, or an answer that cannot be read. Facts raise it; it becomes a gap."""

    def __init__(self, why: str, next: str = ""):
        super().__init__(why)
        self.why, self.next = why, next


def gap(error: Exception, subject: str, read: bool = False) -> Gap | None:
    """The gap for a failed read, in Google's words; None if the error is not a gap and must be raised.

    A 501 is a gap only for a `read`, and only from Google: from the sandbox, it means a missing feature.
    """
    import requests
    from google.api_core import exceptions as google
    from google.auth.exceptions import GoogleAuthError, TransportError

    from runbook.cloud.guard import Redirected

    if isinstance(error, CannotRead):
        return Gap(subject, error.why, error.next)
    if isinstance(error, google.RetryError):
        return gap(error.cause, subject, read) if error.cause else Gap(subject, "no answer in time")
    if isinstance(error, google.MethodNotImplemented) and (not read or "gcp_sandbox" in str(error)):
        return None
    if isinstance(error, google.GoogleAPICallError):
        next, permission = _next(error)
        return Gap(subject, _said(error), next, permission=permission)
    if isinstance(error, Redirected):
        return Gap(subject, str(error), "correct the address in params, or check for a proxy.")
    if isinstance(error, GoogleAuthError) and not isinstance(error, TransportError):
        return Gap(subject, f"no usable credentials ({type(error).__name__})", sign_in(error))
    if isinstance(error, requests.RequestException | GoogleAuthError | ConnectionError | TimeoutError):
        return Gap(subject, f"no answer ({type(error).__name__})", "check the network, then repeat this run.")
    return None


def sign_in(error: Exception) -> str:
    """The next step after credentials were refused."""
    return STEPS[next((step for words, step in _DATA["credentials"].items() if words in str(error)), "sign_in")]


def with_role(gap: Gap, settings: Settings) -> Gap:
    """The gap; for a missing permission, the next step is to ask for the role in params that grants it."""
    roles = [r for r, permissions in settings.roles.required.items() if gap.permission in permissions]
    return replace(gap, next=settings.ask_for(roles[0])) if roles else gap


def is_json(error: Any) -> bool:
    """Whether an error came from an API, not from a proxy or a front end."""
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    return "json" in headers.get("Content-Type", "json")


def _next(error: Any) -> tuple[str, str]:
    """The next step after an error from Google, and the permission that is missing, "" if that is not the cause.

    The step follows from the error's reason, else from its words, else from its code.
    """
    infos, said, code = _infos(error), _sentence(error), int(error.code or 0)
    by_words = next((reason for words, reason in _DATA["words"].items() if re.search(words, said, re.IGNORECASE)), "")
    reason = next((r for r in infos if r in REASONS), by_words)
    if reason and reason != "IAM_PERMISSION_DENIED":
        return _filled(REASONS[reason], infos.get(reason, {}), said), ""
    about = infos.get(reason, {})
    named = _named(about, said) if code == 403 else ""
    if reason or named:
        return _filled(STEPS["permission"], {**about, "permission": named}, said), named
    otherwise = "again" if code >= 500 else "wrong"
    return STEPS[_DATA["codes"].get(code, otherwise)], _wanted(error) if code == 403 else ""


def has_reason(error: Any) -> bool:
    """Whether an error has a reason with a next step of its own."""
    return bool(REASONS.keys() & _infos(error).keys())


def _infos(error: Any) -> dict[str, Row]:
    """The reasons of an error, each with the metadata that Google adds."""
    infos = [info for info in (*error.errors, *error.details) if isinstance(info, dict)]
    found = ((str(info.get("reason")), info.get("metadata")) for info in infos)
    return {reason: about if isinstance(about, dict) else {} for reason, about in found}


def _named(metadata: dict[str, Any], said: str) -> str:
    """The permission that a refusal names; "" if it names none."""
    if "permission to query table" in said:  # BigQuery's words for this one
        return "bigquery.tables.getData"
    found = re.search(r"(?<![\w.])[a-z]+\.[a-zA-Z]+\.[a-zA-Z]+(?![\w.])", said)
    return str(metadata.get("permission") or (found[0] if found and "ermission" in said else ""))


def _wanted(error: Any) -> str:
    """The permission that the refused request needs; "" if an API did not refuse it, or if it is no listed read."""
    from runbook.cloud.guard import permission_of

    request = getattr(getattr(error, "response", None), "request", None)
    return permission_of(str(request.method), str(request.url)) if request is not None and is_json(error) else ""


def _filled(text: str, given: Row, said: str) -> str:
    """A next step with the names from an answer; with general words for names that are missing."""
    api = re.search(r"\b[a-z]+\.googleapis\.com", said.replace("console.developers.google.com", ""))
    project = re.search(r"(?i)\bproject[ =/]#?(\w[\w:.-]*\w)", said)
    names = {
        "service": given.get("service") or (api[0] if api else "API"),
        "project": str(given.get("consumer") or (project[1] if project else "PROJECT")).removeprefix("projects/"),
        "permission": given.get("permission") or "the permission in this message",
        "resource": given.get("resource") or "this project",
    }
    if text == STEPS["enable"] and names["project"] == _GCLOUD:
        text = STEPS["set_project"]
    return text.format(**names)


def _sentence(error: Exception) -> str:
    message = str(getattr(error, "message", error))[:LONG].encode("utf-8", "replace").decode()
    return message.split(": ", 1)[-1] if message.startswith(("GET http", "POST http")) else message


def _said(error: Exception) -> str:
    """The code and Google's sentence, without the URL and the details that its clients add."""
    code, message = getattr(error, "code", None), _sentence(error)
    if title := re.search(r"<title>(.*?)</title>", message, re.IGNORECASE | re.DOTALL):
        message = title[1]
    return f"{int(code) if code else '?'} {next(iter(message.strip().splitlines()), 'no message')[:500]}"
