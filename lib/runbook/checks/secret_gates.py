"""Gates of secrets: whether a version may be added, or one be taken away from its readers. Pure."""

from __future__ import annotations

from runbook.checks.base import ALERT, OK, UNKNOWN, WARN, gap_or_missing_findings, one
from runbook.checks.gates import rehearsed
from runbook.checks.roles import elevated
from runbook.config.schema import Settings
from runbook.display.text import Row
from runbook.model.command import command
from runbook.model.facts import Fact
from runbook.model.findings import Findings, join
from runbook.model.moment import Moment


def safe_to_rotate(
    versions: Fact, users: Fact, access: Fact, rehearsal: Fact, settings: Settings, moment: Moment
) -> Findings:
    """The secret is there, its readers are known, get a new revision's traffic and name `latest`; tried in staging; one
    may."""
    found = gap_or_missing_findings("secret", versions, "exists")
    if not found:
        enabled = [r["version"] for r in versions.rows if r["state"] == "ENABLED"]
        newest = versions.rows[0]["version"] if versions.rows else "none"
        value = f"enabled: {', '.join(map(str, enabled)) or 'none'}; newest {newest}"
        found = one("secret", "versions", value, "exists", OK)
    parts = (found, _users(users), _pins(users), *map(_named, users.rows), elevated(access, settings, moment))
    return join((*parts, rehearsed(rehearsal, settings, moment)))


def _pins(users: Fact) -> Findings:
    """A reader whose traffic is pinned would start anew with code that does not serve, and gain nothing by it."""
    limit = "the newest revision serves"
    hint = "deploy a mended version, or release the pin: rollback with revision=latest."
    pinned = {row["function"]: row["revision"] for row in users.rows if row["_pinned"]}
    return join(one("readers", name, f"pinned to {at}", limit, ALERT, hint) for name, at in pinned.items())


def _named(row: Row, retired: int = 0) -> Findings:
    """Whether a reader's revision names other versions than `latest`, or none; nothing to find where it does not.

    With `retired` only that version, and an alias, which may stand for it, is an alert: nothing else is cut off.
    """
    revision, others = row["revision"], [v for v in row["versions"] if v != "latest"]
    limit = "reads `latest`"
    if not row["versions"]:
        hint = "find out which version its code reads; then name the secret in its deployment, or correct params."
        return one("version in use", row["function"], f"{revision} names no version", limit, UNKNOWN, hint)
    if not others:
        return Findings()
    cut = not retired or any(v == str(retired) or not v.isdigit() for v in others)
    hint = "deploy it with this secret at `latest` (gcloud functions deploy --update-secrets)"
    hint += ", or retire another version." if retired else ": a new version does not reach this revision."
    value = f"{revision} names version {', '.join(others)}"
    return one("version in use", row["function"], value, limit, ALERT if cut else WARN, hint)


def safe_to_retire(
    versions: Fact,
    users: Fact,
    runs: Fact,
    access: Fact,
    settings: Settings,
    moment: Moment,
    to: str = "disable",
    version: int = 0,
) -> Findings:
    """No reader names the version to retire, and every reader of `latest` started after the newest version was made and
    ran well since. `version` 0 is the newest enabled one beside the newest.

    To enable a version again, `to`, takes nothing away from anybody, so there it is enough that the secret was seen.
    """
    found = gap_or_missing_findings("secret", versions, "exists")
    if to == "enable":
        found = found or one("secret", "versions", f"{len(versions.rows)} seen", "exists", OK)
    elif not found:
        newest = versions.rows[0] if versions.rows else None
        if newest and newest["state"] == "ENABLED":
            old = (r["version"] for r in versions.rows[1:] if r["state"] == "ENABLED")
            retired = version or max(old, default=-1)  # -1: there is none, so nothing is cut off
            named = (_named(row, retired) for row in users.rows)
            found = join((_in_use(newest, users, runs, settings), *named))
        else:
            hint = "`latest` never falls back: enable it, or rotate, before anything is disabled."
            state = f"version {newest['version']} is {newest['state']}" if newest else "there is none"
            found = one("secret", "newest version", state, "ENABLED", ALERT, hint)
    return join((found, elevated(access, settings, moment)))


def _in_use(newest: Row, users: Fact, runs: Fact, settings: Settings) -> Findings:
    limit = f"started with version {newest['version']}, and ran well since"
    found, unknown = [_users(users)], gap_or_missing_findings("new version in use", runs, limit)
    for row in (r for r in users.rows if "latest" in r["versions"]):
        name, verdict, value, hint = row["function"], OK, "ran well", ""
        good = [r for r in runs.rows if r["function"] == name and r["status"] == "success"]
        if row["since"] < newest["created"]:
            verdict, value = ALERT, "it started before that version was made"
            hint = "rotate_secret starts it anew."
        elif not any(r["started_at"] > row["since"] for r in good):
            verdict, value = (UNKNOWN if unknown else ALERT), "no good run seen since it started"
            hint = command("retry", {"environment": settings.environment, "function": name})
        found.append(one("new version in use", name, value, limit, verdict, hint))
    return join((*found, unknown))


def _users(users: Fact) -> Findings:
    if seen := gap_or_missing_findings("readers", users, "known"):
        return seen
    names = ", ".join(dict.fromkeys(r["function"] for r in users.rows))
    if not names:
        return one("readers", "functions", "none by params", "known", WARN, "find out who reads it.")
    return one("readers", "functions", names, "known", OK)
