"""The sentence of a report: its verdict, what that means, and how many findings there are of each."""

from __future__ import annotations

import pytest

from runbook.model.findings import Finding, Findings, Verdict
from runbook.model.report import Report

GOOD, BAD = (Finding("errors", "all", "1", "none", verdict) for verdict in (Verdict.ok, Verdict.alert))
UNREAD = Finding("errors", "all", "could not read: 403", "none", Verdict.unknown)
# Findings → the headline. Nothing checked is no failed read, and no all-clear either.
HEADLINES = [
    ((), "UNKNOWN: nothing was checked, so this is not an all-clear."),
    ((GOOD,), "OK: all checks passed (1 ok)."),
    ((GOOD, BAD), "ALERT: act now (1 alert, 1 ok)."),
    ((GOOD, UNREAD), "UNKNOWN: something could not be read, so this is not an all-clear (1 unknown, 1 ok)."),
]


@pytest.mark.parametrize(("found", "headline"), HEADLINES)
def test_the_headline(found: tuple[Finding, ...], headline: str) -> None:
    assert Report({}, Findings(found)).headline == headline
