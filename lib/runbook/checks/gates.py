"""Gates: whether a change may start, whether this run's identity holds the roles it needs, and whether it worked.

Pure, like all checks; a gate passes on ok and warn, never on unknown.
"""

from collections.abc import Iterable
from datetime import timedelta

from runbook.checks.base import ALERT, HINTS, OK, WARN, gap_or_missing_findings, must, one
from runbook.config import Settings
from runbook.model import Fact, Findings, Moment, Verdict, join
from runbook.model.rows import EtlRun, LogEntry, Permission, Rehearsed, Revision, SchedulerJob, Service, SourceState


def safe_to_deploy(
    service: Fact[Service],
    source: Fact[SourceState],
    runs: Fact[EtlRun],
    access: Fact[Permission],
    rehearsal: Fact[Rehearsed],
    settings: Settings,
    moment: Moment,
) -> Findings:
    """The guide's four conditions for a deployment, a test in staging, no run or change in progress, and the roles."""
    parts = (_source(source), _way_back(service), idle(runs, settings, moment), elevated(access, settings))
    return join((*parts, rehearsed(rehearsal, settings, moment, source)))


def safe_to_route(
    service: Fact[Service], revisions: Fact[Revision], access: Fact[Permission], settings: Settings, moment: Moment
) -> Findings:
    """At least two revisions are ready, no change is in progress, and the roles are held."""
    ready = sum(r.ready for r in revisions.rows)
    value = f"{ready} of {len(revisions.rows)} ready"
    found = must("revisions", f"{ready} ready", value, "two or more", ready > 1, HINTS["no_way_back"])
    found = gap_or_missing_findings("revisions", revisions, "exists") or found
    return join((found, _still(service), elevated(access, settings)))


def safe_to_run(
    service: Fact[Service], runs: Fact[EtlRun], access: Fact[Permission], settings: Settings, moment: Moment
) -> Findings:
    """The function is ACTIVE and none of its runs is in progress; if unknown, treat it as unsafe."""
    return join((_active(service), idle(runs, settings, moment), elevated(access, settings)))


def safe_to_pause(jobs: Fact[SchedulerJob], access: Fact[Permission], settings: Settings, moment: Moment) -> Findings:
    """The jobs could be read, and the roles are held."""
    return join((gap_or_missing_findings("scheduler", jobs, "exists"), elevated(access, settings)))


def after_change(runs: Fact[EtlRun], errors: Fact[LogEntry], settings: Settings, moment: Moment) -> Findings:
    """Runs and errors since a change: `runs` and `errors` contain only what came after the change started."""
    name = runs.function
    newest = next(iter(runs.rows), None)
    verdict = {"success": OK, "failed": ALERT}.get(newest.status, WARN) if newest else WARN
    value = ": ".join(filter(None, (newest.status, newest.error))) if newest else "none yet: not verified"
    hint = "undo the change." if verdict is ALERT else HINTS["wait_for_a_run"]
    ran = one("run since then", name, value, "success", verdict, hint)
    said = f"{len(errors.rows)}" + (f"; newest: {errors.rows[0].text}" if errors.rows else "")
    logged = must("errors since then", name, said, "none", not errors.rows, "read the errors.")
    ran = gap_or_missing_findings("run since then", runs, "success") or ran
    return join((ran, gap_or_missing_findings("errors since then", errors, "none") or logged))


def rehearsed(
    rehearsal: Fact[Rehearsed], settings: Settings, moment: Moment, source: Fact[SourceState] | None = None
) -> Findings:
    """The same change was applied in staging first (guide: Test in non-prod); no finding without a staging environment.

    `source` is the code to deploy: only a test of exactly that code counts.
    """
    name, limit = settings.staging, "the same change was applied there"
    if not name or (seen := gap_or_missing_findings("applied in staging", rehearsal, limit)):
        return seen if name else Findings()
    digest = "".join(row.whole_digest for row in source.rows) if source else ""
    found = [row for row in rehearsal.rows if row.source == digest]
    value = f"{found[0].record}, {moment.local(found[0].at):%Y-%m-%d %H:%M}" if found else "not yet"
    hint = f"run, approve and apply the same change with --env {name} first."
    return must("applied in staging", name, value, limit, bool(found), hint)


def idle(runs: Fact[EtlRun], settings: Settings, moment: Moment) -> Findings:
    """No run of the function is in progress (guide: "ETL stuck"); a run past its time limit is only a warning."""
    name, limit = runs.function, "no run in progress"
    if seen := gap_or_missing_findings("running now", runs, limit):
        return seen
    timeout = next((f.timeout_s for f in settings.functions if f.name == name), 3600)
    going = [r for r in runs.rows if r.status not in ("success", "failed") and r.finished_at is None]
    if not going:
        return one("running now", name, "no", limit, OK)
    since = going[0].started_at
    words = f"since {moment.local(since):%H:%M}"
    if moment.at - since <= timedelta(seconds=timeout, minutes=1):
        return one("running now", name, words, limit, ALERT, f"wait at most {timeout} s, then check again.")
    words += f", past its limit of {timeout} s"
    return one("running now", name, words, limit, WARN, "the run never recorded its end.")


def _still(service: Fact[Service]) -> Findings:
    """No deployment and no change of traffic is in progress."""
    if seen := gap_or_missing_findings("service", service, "no change in progress"):
        return seen
    row = service.rows[0]
    moves = row.reconciling or row.state == "DEPLOYING"
    value = "a change is in progress" if moves else f"{row.state}, {row.traffic}"
    return must("service", row.function, value, "no change in progress", not moves, "wait until the change is done.")


def _active(service: Fact[Service]) -> Findings:
    hint = "check its last deployment."
    found = (must("service", r.function, r.state, "ACTIVE", r.state == "ACTIVE", hint) for r in service.rows)
    return gap_or_missing_findings("service", service, "ACTIVE") or join(found)


def access(seen: Fact[Permission], settings: Settings, moment: Moment) -> Findings:
    """This run's identity holds the permissions of the guide's required roles; the hint says whom to ask."""
    return held("access", seen, settings.roles.required, WARN, settings)


def held(check: str, seen: Fact[Permission], roles: Iterable[str], lacking: Verdict, settings: Settings) -> Findings:
    """Whether each role grants all its permissions; if not, the verdict is `lacking`, and the hint says whom to ask."""
    if gone := gap_or_missing_findings(check, seen, "granted"):
        return gone
    found = []
    for role in roles:
        missing = [r.permission for r in seen.rows if r.role == role and not r.held]
        value = f"lacks {', '.join(missing)}" if missing else "granted"
        # A role for changes is better held for some hours only.
        hint = settings.ask_for(role) + (f" For some hours: {settings.for_hours(role)}" if lacking is ALERT else "")
        found.append(one(check, role, value, "granted", lacking if missing else OK, hint))
    return join(found)


def elevated(access: Fact[Permission], settings: Settings) -> Findings:
    """Whether this identity holds the elevated roles; the hint says which role to request, and from whom."""
    return held("elevated access", access, dict.fromkeys(r.role for r in access.rows), ALERT, settings)


def _source(source: Fact[SourceState]) -> Findings:
    limit = "tested, committed, review claimed, no secrets"
    if seen := gap_or_missing_findings("source", source, limit):
        return seen
    if not source.rows:
        return one("source", "code", "not changed: nothing to test", limit, OK)
    row = source.rows[0]
    left, leaks = ", ".join(row.not_committed), "; ".join(row.looks_like_a_secret)
    rules = (
        ("own tests, MOCK_MODE=1", row.tests, "pass", row.passed, "fix the tests or the code."),
        ("committed", left or "everything", "everything", not left, "commit all files."),
        ("review claimed", row.review or "none", "by the commit; unverified", bool(row.review), HINTS["to_review"]),
        ("secrets in code", leaks or "none", "none", not leaks, HINTS["to_clean"]),
    )
    return join(must("source", *rule) for rule in rules)


def _way_back(service: Fact[Service]) -> Findings:
    check, limit, hint = "rollback target", "a revision serves", "no revision serves; check its last deployment."
    serving = (must(check, r.function, r.serving or "none", limit, bool(r.serving), hint) for r in service.rows)
    return join((_still(service), *serving))
