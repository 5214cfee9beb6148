"""Whether this run's identity holds the roles that are needed, and whom to ask for those that it lacks. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from runbook.checks.base import ALERT, OK, WARN, gap_or_missing_findings, one
from runbook.config.schema import Settings
from runbook.model.facts import Fact
from runbook.model.findings import Findings, Verdict, join
from runbook.model.moment import Moment


def access(seen: Fact, settings: Settings, moment: Moment) -> Findings:
    """This run's identity holds what the guide's required roles bring; a role that is missing says whom to ask."""
    return held("access", seen, settings.roles.required, WARN, settings)


def held(check: str, seen: Fact, roles: Iterable[str], lacking: Verdict, settings: Settings) -> Findings:
    """Whether each role brings all its permissions, else the verdict `lacking`; it says of whom to ask for the role."""
    if gone := gap_or_missing_findings(check, seen, "held"):
        return gone
    ask = settings.contacts[settings.roles.ask].who
    found = []
    for role in roles:
        missing = [r["permission"] for r in seen.rows if r["role"] == role and not r["held"]]
        value = f"lacks {', '.join(missing)}" if missing else "held"
        found.append(one(check, role, value, "held", lacking if missing else OK, f"ask {ask} for {role}."))
    return join(found)


def elevated(access: Fact, settings: Settings, moment: Moment) -> Findings:
    """Whether this identity holds the elevated roles; a missing one says which to ask for, and of whom."""
    return held("elevated access", access, dict.fromkeys(r["role"] for r in access.rows), ALERT, settings)
