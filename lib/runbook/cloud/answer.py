"""Reads an answer of a Google API: its JSON object, the list in it, and the token of the next page."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from runbook.cloud.failures import CannotRead

MOST_PAGES = 500
PORTAL = "check for a proxy or a login portal, then repeat this run."

# What Google's libraries raise for an answer, or a credentials file, of another form than they expect.
UNREADABLE = (ArithmeticError, AssertionError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


def objects(page: dict[str, Any], key: str) -> list[Any]:
    """A list in an answer; [] if it is missing. Raises CannotRead if it is not a list."""
    found = page.get(key)
    if not isinstance(found, list | None):
        raise CannotRead(f"`{key}` in the answer is not a list", "repeat this run; if it happens again, report it.")
    return found or []


def token_of(page: dict[str, Any], seen: set[str]) -> str:
    """The token of the next page; "" on the last page. Raises CannotRead for a repeated token, or after 500 pages."""
    token = page.get("nextPageToken") or ""
    if not isinstance(token, str) or token in seen or len(seen) == MOST_PAGES:
        raise CannotRead("the pages of this list do not end", "repeat this run; if it happens again, report it.")
    seen |= {token} - {""}
    return token


def paged(ask: Callable[[str], dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Every page of a list: `ask` answers a token with its page, "" with the first one. Raises as `token_of`."""
    seen = set[str]()
    yield (page := ask(""))
    while token := token_of(page, seen):
        yield (page := ask(token))


@contextmanager
def readable(api: str = "BigQuery") -> Iterator[None]:
    """Turn the errors of Google's clients about an unexpected answer into CannotRead."""
    from google.auth.exceptions import GoogleAuthError

    try:
        yield
    except GoogleAuthError:  # some are ValueErrors
        raise
    except UNREADABLE as error:
        why = f"{api}'s answer cannot be read ({type(error).__name__})"
        next = PORTAL if isinstance(error, json.JSONDecodeError) else "repeat this run; if it happens again, report it."
        raise CannotRead(why, next) from None


def _parsed(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def json_object(content: bytes) -> dict[str, Any]:
    """The JSON object in a body, which is UTF-8 whatever its header says. Raises CannotRead for anything else."""
    body = _parsed(content)
    if not isinstance(body, dict):
        raise CannotRead("the answer is not a JSON object", PORTAL)
    return body


def answered(response: Any, may_be_empty: bool = False) -> dict[str, Any]:
    """The JSON object of an answer; with `may_be_empty`, {} for an empty one. Raises Google errors and CannotRead."""
    from google.api_core.exceptions import from_http_status

    if 200 <= response.status_code < 300:  # `ok` is also true for 600 and more
        return {} if may_be_empty and not response.content else json_object(response.content)
    body = _parsed(response.content)
    body = body[0] if isinstance(body, list) and body else body  # methods that stream answer with a list
    error = body.get("error", body) if isinstance(body, dict) else response.content.decode("utf-8", "replace")
    error = error if isinstance(error, dict) else {"message": str(error or response.reason)}
    lists = {k: error[k] for k in ("errors", "details") if isinstance(error.get(k), list)}
    raise from_http_status(response.status_code, str(error.get("message", "no message")), response=response, **lists)
