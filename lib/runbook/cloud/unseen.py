"""Which failures of a read are a gap: no answer, 401, 403, 429, 5xx. Any other means that the runbook is wrong."""

from __future__ import annotations

from runbook.rows import Gap


class Unseen(Exception):
    """A read that cannot be made, said before asking: raised by facts, turned into a gap."""

    def __init__(self, why: str, next: str = ""):
        super().__init__(why)
        self.why, self.next = why, next


def gap(error: Exception, subject: str) -> Gap | None:
    """The gap that a failed read leaves, in Google's words; None when the error is no gap and must be raised."""
    import requests
    from google.api_core import exceptions as google
    from google.auth.exceptions import GoogleAuthError

    if isinstance(error, Unseen):
        return Gap(subject, error.why, error.next)
    if isinstance(error, google.TooManyRequests) or _reasons(error) & {"quotaExceeded", "rateLimitExceeded"}:
        return Gap(subject, _said(error), "wait a minute (ten for a quota), then run again.")
    if isinstance(error, google.Forbidden | google.Unauthorized):
        return Gap(subject, _said(error), "ask for the role that daily_check names under “access”.")
    if isinstance(error, google.RetryError):
        return gap(error.cause, subject) if isinstance(error.cause, Exception) else Gap(subject, "no answer in time")
    if isinstance(error, google.MethodNotImplemented):
        return None
    if isinstance(error, google.ServerError):
        return Gap(subject, _said(error), "run again; if it stays, see the status page.")
    if isinstance(error, requests.RequestException | GoogleAuthError | ConnectionError | TimeoutError):
        return Gap(subject, f"no answer ({type(error).__name__})", "check the network, then run again.")
    return None


def _reasons(error: Exception) -> set[str]:
    """BigQuery's own reasons: a 403 may be a quota as well as a missing role."""
    return {str(e.get("reason")) for e in getattr(error, "errors", ()) if isinstance(e, dict)}


def _said(error: Exception) -> str:
    """The code and Google's sentence, without the URL and the details that its clients wrap around it."""
    code, message = getattr(error, "code", None), str(getattr(error, "message", error))
    if message.startswith(("GET http", "POST http")):
        message = message.split(": ", 1)[-1]
    return f"{int(code) if code else '?'} {message.splitlines()[0]}"
