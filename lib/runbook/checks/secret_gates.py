"""Gates of secrets: whether a version may be added, disabled or enabled. Pure."""

from runbook.checks.base import ALERT, HINTS, OK, UNKNOWN, WARN, gap_or_missing_findings, one
from runbook.checks.gates import elevated, rehearsed
from runbook.config import Settings
from runbook.model import Fact, Findings, Moment, command, join
from runbook.model.rows import EtlRun, Permission, Reader, Rehearsed, SecretVersion


def safe_to_rotate(
    versions: Fact[SecretVersion],
    users: Fact[Reader],
    access: Fact[Permission],
    rehearsal: Fact[Rehearsed],
    settings: Settings,
    moment: Moment,
) -> Findings:
    """The secret exists, its readers are known, not pinned and name `latest`, a test in staging, and the roles."""
    enabled = ", ".join(str(r.version) for r in versions.rows if r.state == "ENABLED")
    value = f"enabled: {enabled or 'none'}; newest {versions.rows[0].version if versions.rows else 'none'}"
    found = gap_or_missing_findings("secret", versions, "exists") or one("secret", "versions", value, "exists", OK)
    parts = (found, _users(users), _pins(users, settings), *map(_named, users.rows), elevated(access, settings))
    return join((*parts, rehearsed(rehearsal, settings, moment)))


def _pins(users: Fact[Reader], settings: Settings) -> Findings:
    """No reader's traffic is pinned: a new revision of a pinned function gets no traffic, so the secret stays old."""
    limit, place = "the newest revision serves", {"environment": settings.environment, "revision": "latest"}
    pinned = {row.function: row.revision for row in users.rows if row.pinned}
    hints = {name: HINTS["pinned"] + command("rollback", place | {"function": name}) for name in pinned}
    return join(one("readers", name, f"pinned to {at}", limit, ALERT, hints[name]) for name, at in pinned.items())


def _named(row: Reader, retired: int = 0) -> Findings:
    """A finding if a reader's revision names no version, or one other than `latest`; no finding otherwise.

    With `retired`, only that version and aliases, which may point to it, are an alert: other versions are not affected.
    """
    name, revision, limit = row.function, row.revision, "reads `latest`"
    others = [v for v in row.versions if v != "latest"]
    if not row.versions:
        return one("version in use", name, f"{revision} names no version", limit, UNKNOWN, HINTS["names_no_version"])
    if not others:
        return Findings()
    cut = not retired or any(v == str(retired) or not v.isdigit() for v in others)
    hint = ", or retire another version." if retired else ": a new version does not reach this revision."
    value, hint = f"{revision} names version {', '.join(others)}", HINTS["deploy_at_latest"] + hint
    return one("version in use", row.function, value, limit, ALERT if cut else WARN, hint)


def safe_to_retire(
    versions: Fact[SecretVersion],
    users: Fact[Reader],
    runs: Fact[EtlRun],
    access: Fact[Permission],
    settings: Settings,
    moment: Moment,
    to: str = "disable",
    version: int = 0,
) -> Findings:
    """No reader names the version to retire, and every reader of `latest` started after the newest version was created
    and ran successfully since. `version` 0 is the newest enabled version other than the latest.

    With `to` "enable" it is enough that the secret could be read: enabling a version breaks no reader.
    """
    found = gap_or_missing_findings("secret", versions, "exists")
    if to == "enable":
        found = found or one("secret", "versions", f"{len(versions.rows)} versions", "exists", OK)
    elif not found:
        newest = versions.rows[0] if versions.rows else None
        if newest and newest.state == "ENABLED":
            old = (r.version for r in versions.rows[1:] if r.state == "ENABLED")
            retired = version or max(old, default=-1)  # -1: no version to retire, so no reader is affected
            found = join((_in_use(newest, users, runs, settings), *(_named(row, retired) for row in users.rows)))
        else:
            state = f"version {newest.version} is {newest.state}" if newest else "no versions"
            found = one("secret", "newest version", state, "ENABLED", ALERT, HINTS["never_falls_back"])
    return join((found, elevated(access, settings)))


def _in_use(newest: SecretVersion, users: Fact[Reader], runs: Fact[EtlRun], settings: Settings) -> Findings:
    limit = f"started with version {newest.version} and ran successfully since"
    found, unknown = [_users(users)], gap_or_missing_findings("new version in use", runs, limit)
    for row in (r for r in users.rows if "latest" in r.versions):
        name, verdict, value, hint = row.function, OK, "ran successfully", ""
        good = [r for r in runs.rows if r.function == name and r.status == "success"]
        if row.since < newest.created:
            value, hint = "started before that version was created", "rotate_secret creates a new revision."
            verdict = ALERT
        elif not any(r.started_at > row.since for r in good):
            verdict, value = (UNKNOWN if unknown else ALERT), "no successful run since it started"
            hint = command("retry", {"environment": settings.environment, "function": name})
        found.append(one("new version in use", name, value, limit, verdict, hint))
    return join((*found, unknown))


def _users(users: Fact[Reader]) -> Findings:
    if seen := gap_or_missing_findings("readers", users, "known"):
        return seen
    names = ", ".join(dict.fromkeys(r.function for r in users.rows))
    value, verdict = (names, OK) if names else ("none in params", WARN)
    return one("readers", "functions", value, "known", verdict, "find out which functions read it.")
