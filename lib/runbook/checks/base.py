"""What every check uses: one finding, and what a fact could not see as findings. Pure."""

from __future__ import annotations

from runbook.model.facts import Fact
from runbook.model.findings import Finding, Findings, Verdict, join

ALERT, OK, UNKNOWN, WARN = Verdict.alert, Verdict.ok, Verdict.unknown, Verdict.warn


def one(check: str, subject: str, value: str, limit: str, verdict: Verdict, hint: str = "") -> Findings:
    """One finding; its hint stands only where not all is ok."""
    return Findings((Finding(check, subject, value, limit, verdict, "" if verdict is OK else hint),))


def gap_or_missing_findings(check: str, fact: Fact, limit: str) -> Findings:
    """What a fact could not see, as unknown, and what is not there, as an alert; empty when it saw everything."""
    gone = (one(check, name, "does not exist", limit, ALERT, "compare with params.") for name in fact.absent)
    return join((*gone, gap_findings(check, fact, limit)))


def gap_findings(check: str, fact: Fact, limit: str) -> Findings:
    """What a fact could not see, as unknown; what is not there is left to the check."""
    return join(one(check, g.subject, f"could not see: {g.why}", limit, UNKNOWN, g.next) for g in fact.gaps)


def must(check: str, subject: str, value: str, limit: str, good: bool, hint: str) -> Findings:
    """One finding: ok where it is good, else an alert."""
    return one(check, subject, value, limit, OK if good else ALERT, hint)
