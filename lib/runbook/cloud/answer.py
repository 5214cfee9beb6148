"""An answer of a Google API: its JSON object, the list in it and the token of the next page, or why there is none."""

from __future__ import annotations

from typing import Any

from runbook.cloud.failures import CannotRead

MOST_PAGES = 500


def objects(page: dict[str, Any], key: str) -> list[Any]:
    """A list of an answer, [] where there is none. Raises CannotRead where that is another thing."""
    found = page.get(key)
    if not isinstance(found, list | None):
        raise CannotRead(f"`{key}` in the answer is no list", "run again; if it stays, report it.")
    return found or []


def token_of(page: dict[str, Any], seen: set[str]) -> str:
    """The token of the next page, "" on the last. CannotRead for one that leads nowhere new, or after too many."""
    token = page.get("nextPageToken") or ""
    if not isinstance(token, str) or token in seen or len(seen) == MOST_PAGES:
        raise CannotRead("the pages of this list do not end", "run again; if it stays, report it.")
    seen |= {token} - {""}
    return token


def answered(response: Any) -> dict[str, Any]:
    """The JSON object of an answer, {} for an empty one. Raises Google's errors; CannotRead for another form."""
    from google.api_core.exceptions import from_http_status

    try:
        body = response.json() if response.content else {}
    except ValueError:
        body = None
    if response.ok and isinstance(body, dict):
        return body
    if response.ok:
        raise CannotRead("the answer is no JSON object", "see what stands between (a proxy, a portal), then run again.")
    error = body.get("error", body) if isinstance(body, dict) else None
    error = error if isinstance(error, dict) else {"message": response.text or response.reason}
    lists = {k: error[k] for k in ("errors", "details") if isinstance(error.get(k), list)}
    raise from_http_status(response.status_code, str(error.get("message", "no message")), response=response, **lists)
