"""Closing checks: runs and errors since a change, and whether copied tables have the rows of their sources."""

from __future__ import annotations

from runbook.checks.base import ALERT, OK, WARN, gap_findings, gap_or_missing_findings, must, one
from runbook.config.schema import Settings
from runbook.model.facts import Fact
from runbook.model.findings import Findings, join
from runbook.model.moment import Moment
from runbook.model.rows import Copy, EtlRun, LogEntry


def after_change(runs: Fact[EtlRun], errors: Fact[LogEntry], settings: Settings, moment: Moment) -> Findings:
    """Runs and errors since a change: `runs` and `errors` contain only what came after the change started."""
    name = runs.function
    ran = gap_or_missing_findings("run since then", runs, "success")
    if not ran:
        newest = next(iter(runs.rows), None)
        verdict = {"success": OK, "failed": ALERT}.get(newest.status, WARN) if newest else WARN
        value = ": ".join(filter(None, (newest.status, newest.error))) if newest else "none yet: not verified"
        hint = "undo the change." if verdict is ALERT else "wait for a run to end, then run daily_check."
        ran = one("run since then", name, value, "success", verdict, hint)
    said = f"{len(errors.rows)}" + (f"; newest: {errors.rows[0].text}" if errors.rows else "")
    logged = must("errors since then", name, said, "none", not errors.rows, "read the errors.")
    return join((ran, gap_or_missing_findings("errors since then", errors, "none") or logged))


def after_copy(copies: Fact[Copy], settings: Settings, moment: Moment) -> Findings:
    """Whether each copied table has the rows of its source: the same number, and the same checksum.

    Equal counts without a checksum are a warning, not ok, because counts alone do not prove that the rows are equal.
    The warning blocks nothing; a higher cost cap allows the checksum.
    """
    found = [_same_rows(row) for row in copies.rows]
    hint = "find out who deleted it, and create it again."
    gone = [one("same rows", name, "does not exist", _SOURCE, ALERT, hint) for name in copies.absent]
    return join((*found, *gone, gap_findings("same rows", copies, _SOURCE)))


_SOURCE = "as the source"


def _same_rows(row: Copy) -> Findings:
    copied, source, verdict, hint = row.copy_rows, row.source_rows, OK, ""
    value = f"{copied:,} rows {'=' if copied == source else '≠'} {source:,} rows"
    if copied == source and row.copy_checksum is None:
        verdict, hint = WARN, "raise cost_cap_gib in params to compare the rows as well."
        value += f"; no checksum: {row.no_checksum}"
    elif copied == source:
        value += f", checksums {'equal' if row.copy_checksum == row.source_checksum else 'differ'}"
    if copied != source or row.copy_checksum != row.source_checksum:
        verdict = ALERT
        hint = "do not use this copy: create another one. Streamed rows can be missing for up to 90 minutes."
    return one("same rows", row.copy, value, _SOURCE, verdict, hint)
