"""Helpers of every check: one finding, and findings for the gaps of a fact. Pure."""

from runbook.model import Fact, Finding, Findings, Verdict, join, table

ALERT, OK, UNKNOWN, WARN = Verdict.alert, Verdict.ok, Verdict.unknown, Verdict.warn
HINTS: dict[str, str] = table(__file__, "hints.yaml")


def one(check: str, subject: str, value: str, limit: str, verdict: Verdict, hint: str = "") -> Findings:
    """One finding; the hint is dropped if the verdict is ok."""
    return Findings((Finding(check, subject, value, limit, verdict, "" if verdict is OK else hint),))


def gap_or_missing_findings(check: str, fact: Fact, limit: str) -> Findings:
    """An unknown for each gap of a fact and an alert for each thing that does not exist; empty if there are neither."""
    gone = (one(check, name, "does not exist", limit, ALERT, "compare with params.") for name in fact.absent)
    return join((*gone, gap_findings(check, fact, limit)))


def gap_findings(check: str, fact: Fact, limit: str) -> Findings:
    """An unknown for each gap of a fact; the check itself handles what does not exist."""
    return join(one(check, g.subject, f"could not read: {g.why}", limit, UNKNOWN, g.next) for g in fact.gaps)


def must(check: str, subject: str, value: str, limit: str, good: bool, hint: str) -> Findings:
    """One finding: ok if `good`, else an alert."""
    return one(check, subject, value, limit, OK if good else ALERT, hint)
