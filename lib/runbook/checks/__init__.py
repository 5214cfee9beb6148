"""Checks: facts in, findings out. Each is a pure function `(facts…, settings, moment) -> Findings`."""

from runbook.checks.daily import access, errors, etl_today, etl_week, freshness, functions, jobs, scores
from runbook.checks.gates import (
    after_change,
    after_copy,
    safe_to_alter,
    safe_to_copy,
    safe_to_deploy,
    safe_to_pause,
    safe_to_retire,
    safe_to_rotate,
    safe_to_route,
    safe_to_run,
)
from runbook.checks.system import schema

__all__ = [
    "access",
    "after_change",
    "after_copy",
    "errors",
    "etl_today",
    "etl_week",
    "freshness",
    "functions",
    "jobs",
    "safe_to_alter",
    "safe_to_copy",
    "safe_to_deploy",
    "safe_to_pause",
    "safe_to_retire",
    "safe_to_rotate",
    "safe_to_route",
    "safe_to_run",
    "schema",
    "scores",
]
