"""Gates: whether a change may start. Pure, like all checks; a gate passes on ok and warn, never on unknown."""

from __future__ import annotations

from datetime import timedelta

from runbook.checks.base import ALERT, OK, WARN, gap_or_missing_findings, must, one
from runbook.checks.roles import elevated
from runbook.config.schema import Settings
from runbook.model.command import command
from runbook.model.facts import Fact
from runbook.model.findings import Findings, join
from runbook.model.moment import Moment
from runbook.model.rows import (
    EtlRun,
    Permission,
    Rehearsed,
    Revision,
    SchedulerJob,
    Service,
    Snapshot,
    SourceState,
    Table,
)


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
    parts = (_source(source), _way_back(service), idle(runs, settings, moment), elevated(access, settings, moment))
    return join((*parts, rehearsed(rehearsal, settings, moment, source)))


def safe_to_route(
    service: Fact[Service], revisions: Fact[Revision], access: Fact[Permission], settings: Settings, moment: Moment
) -> Findings:
    """At least two revisions are ready, no change is in progress, and the roles are held."""
    found = gap_or_missing_findings("revisions", revisions, "exists")
    if not found:
        ready = sum(r.ready for r in revisions.rows)
        value = f"{ready} of {len(revisions.rows)} ready"
        hint = "there is no revision to roll back to; deploy a fixed version."
        found = must("revisions", f"{ready} ready", value, "two or more", ready > 1, hint)
    return join((found, _still(service), elevated(access, settings, moment)))


def safe_to_run(
    service: Fact[Service], runs: Fact[EtlRun], access: Fact[Permission], settings: Settings, moment: Moment
) -> Findings:
    """The function is ACTIVE and none of its runs is in progress; if unknown, treat it as unsafe."""
    return join((_active(service), idle(runs, settings, moment), elevated(access, settings, moment)))


def safe_to_copy(
    tables: Fact[Table], snapshots: Fact[Snapshot], access: Fact[Permission], settings: Settings, moment: Moment
) -> Findings:
    """The tables could be read, the backup dataset exists, and the roles are held.

    A table without a backup of the last day is a warning, not an alert, because the backup runbook fixes it. A table
    that is in params but not in the dataset is a warning, too: it cannot be backed up.
    """
    found = join(
        (gap_or_missing_findings("tables", tables, "exists"), gap_or_missing_findings("backups", snapshots, "exists"))
    )
    if not found:
        found = join((_backed_up(tables, snapshots, settings, moment), _known(tables, settings)))
    return join((found, elevated(access, settings, moment)))


def _backed_up(tables: Fact[Table], snapshots: Fact[Snapshot], settings: Settings, moment: Moment) -> Findings:
    """How many tables have a backup of the last day. Ages are rounded to hours: daily jobs do not run to the second."""
    newest: dict[str, float] = {}
    for row in snapshots.rows:
        hours = (moment.at - row.taken) / timedelta(hours=1)
        newest[row.table] = min(hours, newest.get(row.table, hours))
    names = [r.table for r in tables.rows]
    bare = [name for name in names if name not in newest]
    old = {name: newest[name] for name in names if name in newest and round(newest[name]) > 24}
    value = f"{len(names) - len(bare) - len(old)} of {len(names)} tables have a backup of the last day"
    value += f"; none: {', '.join(bare)}" if bare else ""
    value += f"; oldest: {max(old, key=old.__getitem__)}, {max(old.values()):.0f} h" if old else ""
    verdict = WARN if bare or old else OK
    hint = command("backup", {"environment": settings.environment})
    return one("backups", settings.datasets.backup, value, "at most 24 h old", verdict, hint)


def _known(tables: Fact[Table], settings: Settings) -> Findings:
    """A warning if a table in params is not in the dataset; no finding otherwise."""
    known, there = settings.tables, {r.table for r in tables.rows}
    named = {name for f in settings.functions for name in f.tables} | {t.name for t in known.freshness}
    gone = sorted((named | {known.etl_runs.name, known.scores.name}) - there)
    value = f"do not exist, so not backed up: {', '.join(gone)}"
    hint = "correct the tables in params, or find out who deleted them."
    limit = "every table in params"
    return one("tables", settings.datasets.main, value, limit, WARN, hint) if gone else Findings()


def safe_to_alter(
    tables: Fact[Table], access: Fact[Permission], rehearsal: Fact[Rehearsed], settings: Settings, moment: Moment
) -> Findings:
    """The table could be read, the same change was tested in staging, and the roles are held."""
    parts = (gap_or_missing_findings("tables", tables, "exists"), elevated(access, settings, moment))
    return join((*parts, rehearsed(rehearsal, settings, moment)))


def safe_to_pause(jobs: Fact[SchedulerJob], access: Fact[Permission], settings: Settings, moment: Moment) -> Findings:
    """The jobs could be read, and the roles are held."""
    return join((gap_or_missing_findings("scheduler", jobs, "exists"), elevated(access, settings, moment)))


def rehearsed(
    rehearsal: Fact[Rehearsed], settings: Settings, moment: Moment, source: Fact[SourceState] | None = None
) -> Findings:
    """The same change was applied in staging first (guide: Test in non-prod); no finding without a staging environment.

    `source` is the code to deploy: only a test of exactly that code counts.
    """
    name, limit = settings.staging, "the same change was applied there"
    if not name or (seen := gap_or_missing_findings("tried in staging", rehearsal, limit)):
        return seen if name else Findings()
    digest = "".join(row.whole_digest for row in source.rows) if source else ""
    found = [row for row in rehearsal.rows if row.source == digest]
    value = f"{found[0].record}, {moment.local(found[0].at):%Y-%m-%d %H:%M}" if found else "not yet"
    hint = f"run, approve and apply the same change with --env {name} first."
    return must("tried in staging", name, value, limit, bool(found), hint)


def idle(runs: Fact[EtlRun], settings: Settings, moment: Moment) -> Findings:
    """No run of the function is in progress (guide: "ETL stuck"); a run past its time limit is only a warning."""
    name, limit = runs.function, "no run in progress"
    if seen := gap_or_missing_findings("running now", runs, limit):
        return seen
    timeout = next((f.timeout_s for f in settings.functions if f.name == name), 3600)
    going = [r for r in runs.rows if r.status not in ("success", "failed") and r.finished_at is None]
    if not going:
        return one("running now", name, "no", limit, OK)
    since, over = going[0].started_at, timedelta(seconds=timeout)
    words = f"since {moment.local(since):%H:%M}"
    if moment.at - since <= over + timedelta(minutes=1):
        return one("running now", name, words, limit, ALERT, f"wait at most {timeout} s, then check again.")
    hint = "the run never recorded its end."
    return one("running now", name, f"{words}, past its limit of {timeout} s", limit, WARN, hint)


def _source(source: Fact[SourceState]) -> Findings:
    if seen := gap_or_missing_findings("source", source, "tested, committed, reviewed, no secrets"):
        return seen
    if not source.rows:
        return one("source", "code", "not changed: nothing to test", "tested, committed, reviewed, no secrets", OK)
    found = []
    for row in source.rows:
        checks = [
            ("own tests, MOCK_MODE=1", row.tests, "pass", row.passed, "fix the tests or the code."),
            (
                "committed",
                ", ".join(row.not_committed) or "everything",
                "everything",
                not row.not_committed,
                "commit all files.",
            ),
            (
                "reviewed",
                row.review or "no reviewer",
                "a reviewer",
                bool(row.review),
                "add a Reviewed-by line to the commit message, or merge a pull request.",
            ),
            (
                "secrets in code",
                "; ".join(row.looks_like_a_secret) or "none",
                "none",
                not row.looks_like_a_secret,
                "remove it and rotate it; mark a false positive with “pragma: allowlist secret”.",
            ),
        ]
        found += [must("source", *check) for check in checks]
    return join(found)


def _way_back(service: Fact[Service]) -> Findings:
    found, hint = [_still(service)], "no revision serves; check its last deployment."
    for row in service.rows:
        serving = row.serving
        found.append(must("way back", row.function, serving or "none", "a revision serves", bool(serving), hint))
    return join(found)


def _still(service: Fact[Service]) -> Findings:
    """No deployment and no change of traffic is in progress."""
    if seen := gap_or_missing_findings("service", service, "no change in progress"):
        return seen
    row = service.rows[0]
    moves = row.reconciling or row.state == "DEPLOYING"
    value = "a change is in progress" if moves else f"{row.state}, {row.traffic}"
    return must("service", row.function, value, "no change in progress", not moves, "wait until the change is done.")


def _active(service: Fact[Service]) -> Findings:
    if seen := gap_or_missing_findings("service", service, "ACTIVE"):
        return seen
    row = service.rows[0]
    good = row.state == "ACTIVE"
    return must("service", row.function, row.state, "ACTIVE", good, "check its last deployment.")
