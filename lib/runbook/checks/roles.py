"""Whether this run's identity holds the roles it needs, and whom to ask for missing ones. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from runbook.checks.base import ALERT, OK, WARN, gap_or_missing_findings, one
from runbook.config.schema import Settings
from runbook.model.facts import Fact
from runbook.model.findings import Findings, Verdict, join
from runbook.model.moment import Moment
from runbook.model.rows import Permission


def access(seen: Fact[Permission], settings: Settings, moment: Moment) -> Findings:
    """This run's identity holds the permissions of the guide's required roles; the hint says whom to ask."""
    return held("access", seen, settings.roles.required, WARN, settings)


def held(check: str, seen: Fact[Permission], roles: Iterable[str], lacking: Verdict, settings: Settings) -> Findings:
    """Whether each role grants all its permissions; if not, the verdict is `lacking`, and the hint says whom to ask."""
    if gone := gap_or_missing_findings(check, seen, "held"):
        return gone
    found = []
    for role in roles:
        missing = [r.permission for r in seen.rows if r.role == role and not r.held]
        value = f"lacks {', '.join(missing)}" if missing else "held"
        found.append(one(check, role, value, "held", lacking if missing else OK, settings.ask_for(role)))
    return join(found)


def elevated(access: Fact[Permission], settings: Settings, moment: Moment) -> Findings:
    """Whether this identity holds the elevated roles; the hint says which role to request, and from whom."""
    return held("elevated access", access, dict.fromkeys(r.role for r in access.rows), ALERT, settings)
