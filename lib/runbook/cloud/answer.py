"""Reads an answer of a Google API: its JSON object, the list in it, and the token of the next page."""

from __future__ import annotations

from typing import Any

from runbook.cloud.failures import CannotRead

MOST_PAGES = 500


def objects(page: dict[str, Any], key: str) -> list[Any]:
    """A list in an answer; [] if it is missing. Raises CannotRead if it is not a list."""
    found = page.get(key)
    if not isinstance(found, list | None):
        raise CannotRead(f"`{key}` in the answer is not a list", "run again; if it happens again, report it.")
    return found or []


def token_of(page: dict[str, Any], seen: set[str]) -> str:
    """The token of the next page; "" on the last page. Raises CannotRead for a repeated token, or after 500 pages."""
    token = page.get("nextPageToken") or ""
    if not isinstance(token, str) or token in seen or len(seen) == MOST_PAGES:
        raise CannotRead("the pages of this list do not end", "run again; if it happens again, report it.")
    seen |= {token} - {""}
    return token


def answered(response: Any) -> dict[str, Any]:
    """The JSON object of an answer; {} if it is empty. Raises Google's errors, and CannotRead if it is not JSON."""
    from google.api_core.exceptions import from_http_status

    try:
        body = response.json() if response.content else {}
    except ValueError:
        body = None
    if response.ok and isinstance(body, dict):
        return body
    if response.ok:
        raise CannotRead("the answer is not a JSON object", "check for a proxy or a login portal, then run again.")
    error = body.get("error", body) if isinstance(body, dict) else None
    error = error if isinstance(error, dict) else {"message": response.text or response.reason}
    lists = {k: error[k] for k in ("errors", "details") if isinstance(error.get(k), list)}
    raise from_http_status(response.status_code, str(error.get("message", "no message")), response=response, **lists)
