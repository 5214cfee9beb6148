"""Checks: facts in, findings out. Each is a pure function `(facts…, settings, moment) -> Findings`."""

from runbook.checks.daily import access, errors, etl_today, etl_week, freshness, functions, jobs, scores
from runbook.checks.system import schema

__all__ = ["access", "errors", "etl_today", "etl_week", "freshness", "functions", "jobs", "schema", "scores"]
