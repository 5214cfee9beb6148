"""Which of several texts about one failing function counts, and what makes a cause sure."""

from __future__ import annotations

import pytest

from runbook.incidents.affected import Line
from runbook.incidents.texts.codes import tables
from runbook.incidents.texts.weighing import weighed

EXPIRED = "requests.exceptions.HTTPError: 401 Client Error: Unauthorized for url: https://api.hubapi.com/x"
SESSION = "SalesforceExpiredSession: Expired session. Response content: [{'message': 'Session expired or invalid', 'errorCode': 'INVALID_SESSION_ID'}]"
LIMIT = "429 Too Many Requests: You have reached your ten_secondly_rolling limit. (RATE_LIMITS)"
MEMORY = "Memory limit of 512 MiB exceeded with 517 MiB used."
CRASHED = (
    "The request failed because either the HTTP response was malformed or connection to the instance had an error."
)
# Lines, the weightiest cause first.
CASES = {
    "its own last error before a storm of retries": (
        [Line(EXPIRED, "run"), *[Line(f"{LIMIT} retrying", "error")] * 9],
        "auth_error",
    ),
    "the newest run before older ones": ([Line(LIMIT, "run", newest=False), Line(SESSION, "run")], "auth_error"),
    "the platform before a bare exception": ([Line("KeyError: 'x'", "run"), Line(MEMORY, "platform")], "memory_limit"),
    "the reason before what follows from it": ([Line(CRASHED, "platform"), Line(MEMORY, "platform")], "memory_limit"),
    "an error before a warning": ([Line(LIMIT, "warning"), Line(SESSION, "error")], "auth_error"),
    "what is new before what was there": ([Line(LIMIT, "error", new=False), Line(SESSION, "error")], "auth_error"),
    "what went on proves nothing": ([Line(f"{LIMIT}, waited 10 s and went on", "warning")], None),
    "a request's own status is not the other side's": ([Line("500 POST /, 1.2 s", "platform")], None),
    "still running loses to anything else": (
        [Line("the run is still running", "error"), Line(MEMORY, "platform")],
        "memory_limit",
    ),
}


@pytest.mark.parametrize(("lines", "cause"), CASES.values(), ids=CASES)
def test_the_weightiest_text(lines: list[Line], cause: str | None) -> None:
    for order in (lines, lines[::-1]):
        found = weighed(order, tables(), "hubspot")
        assert (found[0].cause if found else None) == cause, found


@pytest.mark.parametrize(
    ("line", "plain"),
    [
        (Line(SESSION, "run"), True),
        (Line(SESSION, "warning"), False),
        (Line(SESSION, "run", newest=False), False),
        (Line(MEMORY, "platform"), True),
        (Line(MEMORY, "error"), False),  # a copy in the function's own log
        (Line(EXPIRED, "run"), False),  # a status alone
    ],
)
def test_only_a_code_or_the_platform_makes_a_cause_sure(line: Line, plain: bool) -> None:
    [found] = weighed([line], tables(), "salesforce")
    assert found.plain is plain
