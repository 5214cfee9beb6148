"""Which failures of a read are a gap, in which words, and what to do next. Any other means that the runbook is wrong.

A gap is: no answer, a redirect, an answer that cannot be read, and any error that Google answers.
"""

from __future__ import annotations

import re
from typing import Any

from runbook.model.facts import Gap

SIGN_IN = "sign in again: gcloud auth application-default login."
_WAIT = "wait a minute (ten for a quota), then run again."
_BILLING = "ask who pays for {project} to link a billing account: gcloud billing projects describe {project}."
_ENABLE = "enable the API: gcloud services enable {service} --project={project}."

_CONSUMER = (
    "ask for roles/serviceusage.serviceUsageConsumer on {project}, or sign in without a quota project: "
    "gcloud auth application-default login --disable-quota-project."
)

_PROJECT = "correct `project` in params: Google does not know {project}, or does not let you use it."
_PERIMETER = "ask security about the VPC Service Controls perimeter; this message has an identifier for them."
_SCOPES = f"these credentials lack the scope cloud-platform; {SIGN_IN}"
_PERMISSION = "ask for a role with {permission} on {resource}."

# `details[].reason` of an answer (google.api.ErrorReason), or BigQuery's own `errors[].reason` → what to do next.
NEXT = {
    "ACCESS_TOKEN_EXPIRED": SIGN_IN,
    "ACCESS_TOKEN_SCOPE_INSUFFICIENT": _SCOPES,
    "ACCOUNT_STATE_INVALID": SIGN_IN,
    "BILLING_DISABLED": _BILLING,
    "CONSUMER_INVALID": _PROJECT,
    "CREDENTIALS_MISSING": SIGN_IN,
    "IAM_PERMISSION_DENIED": _PERMISSION,
    "RATE_LIMIT_EXCEEDED": _WAIT,
    "RESOURCE_PROJECT_INVALID": _PROJECT,
    "SECURITY_POLICY_VIOLATED": _PERIMETER,
    "SERVICE_DISABLED": _ENABLE,
    "USER_PROJECT_DENIED": _CONSUMER,
    "quotaExceeded": _WAIT,
    "rateLimitExceeded": _WAIT,
}

_BY_CODE = {401: SIGN_IN, 403: "ask for the roles under roles.required in params.", 429: _WAIT}
_WRONG = "this request is wrong, and asking again does not help: compare params, or report it."
_GCLOUD = "764086051850"  # the project of gcloud itself, which counts where credentials name none

# Older answers have no reason, only these words.
_WORDS = (
    (r"serviceUsageConsumer", "USER_PROJECT_DENIED"),
    (r"has not been used in project \S+ before or it is disabled", "SERVICE_DISABLED"),
    (r"requires billing|billing .{0,40}(disabled|not enabled)", "BILLING_DISABLED"),
    (r"insufficient authentication scopes", "ACCESS_TOKEN_SCOPE_INSUFFICIENT"),
    (r"prohibited by organization's policy|vpcServiceControls", "SECURITY_POLICY_VIOLATED"),
)


class CannotRead(Exception):
    """A read that cannot be made, or an answer that cannot be read: raised by facts, turned into a gap."""

    def __init__(self, why: str, next: str = ""):
        super().__init__(why)
        self.why, self.next = why, next


def gap(error: Exception, subject: str, read: bool = False) -> Gap | None:
    """The gap that a failed read leaves, in Google's words; None when the error is no gap and must be raised.

    A 501 is one only of a `read`, and only from Google: the sandbox says so what it lacks.
    """
    import requests
    from google.api_core import exceptions as google
    from google.auth.exceptions import GoogleAuthError, TransportError

    from runbook.cloud.guard import Redirected

    if isinstance(error, CannotRead):
        return Gap(subject, error.why, error.next)
    if isinstance(error, google.RetryError):
        return (
            gap(error.cause, subject, read) if isinstance(error.cause, Exception) else Gap(subject, "no answer in time")
        )
    if isinstance(error, google.MethodNotImplemented) and (not read or "gcp_sandbox" in str(error)):
        return None
    if isinstance(error, google.GoogleAPICallError):
        return Gap(subject, _said(error), _next(error))
    if isinstance(error, Redirected):
        return Gap(subject, str(error), "correct the address in params, or see what stands between.")
    if isinstance(error, GoogleAuthError) and not isinstance(error, TransportError):
        return Gap(subject, f"no usable credentials ({type(error).__name__})", SIGN_IN)
    if isinstance(error, requests.RequestException | GoogleAuthError | ConnectionError | TimeoutError):
        return Gap(subject, f"no answer ({type(error).__name__})", "check the network, then run again.")
    return None


def is_json(error: Any) -> bool:
    """Whether an error came from an API, and is not the page of a proxy or a front end."""
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    return "json" in headers.get("Content-Type", "json")


def _next(error: Any) -> str:
    """What to do after an error that was answered: by its reason, else by its words, else by its code."""
    given = [*_listed(getattr(error, "errors", ())), *_listed(getattr(error, "details", ()))]
    infos = {str(info.get("reason")): info for info in given if isinstance(info, dict)}
    said, code = str(error), int(error.code or 0)
    by_words = next((reason for words, reason in _WORDS if re.search(words, said, re.IGNORECASE)), "")
    reason = next((r for r in infos if r in NEXT), by_words)
    if reason:
        return _filled(NEXT[reason], infos.get(reason, {}).get("metadata"), said)
    denied = re.search(r"(?<![\w.])[a-z]+\.[a-zA-Z]+\.[a-zA-Z]+(?![\w.])", said.split(": ", 1)[-1])
    if code == 403 and denied and "ermission" in said:
        return _filled(_PERMISSION, {"permission": denied[0]}, said)
    return _BY_CODE.get(code, "run again; if it stays, see the status page." if code >= 500 else _WRONG)


def _filled(text: str, metadata: Any, said: str) -> str:
    """A next step with the names that an answer tells; where it tells none, with words for them."""
    told = metadata if isinstance(metadata, dict) else {}
    api = re.search(r"\b[a-z]+\.googleapis\.com", said.replace("console.developers.google.com", ""))
    project = re.search(r"\bproject[ =/]#?(\w[\w:.-]*\w)", said)
    names = {
        "service": told.get("service") or (api[0] if api else "API"),
        "project": str(told.get("consumer") or (project[1] if project else "PROJECT")).removeprefix("projects/"),
        "permission": told.get("permission") or "the permission that it names",
        "resource": told.get("resource") or "this project",
    }
    if text == NEXT["SERVICE_DISABLED"] and names["project"] == _GCLOUD:
        text = "name a project to bill: gcloud auth application-default set-quota-project PROJECT."
    return text.format(**names)


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []


def _said(error: Exception) -> str:
    """The code and Google's sentence, without the URL and the details that its clients wrap around it."""
    code, message = getattr(error, "code", None), str(getattr(error, "message", error))
    if message.startswith(("GET http", "POST http")):
        message = message.split(": ", 1)[-1]
    if title := re.search(r"<title>(.*?)</title>", message, re.IGNORECASE | re.DOTALL):
        message = title[1]
    return f"{int(code) if code else '?'} {next(iter(message.strip().splitlines()), 'no message')[:500]}"
