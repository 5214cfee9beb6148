"""Facts: what can be read. Each function returns a read that `run.read` makes; nothing is asked before that."""

from runbook.facts.etl import etl_failures, etl_today, etl_week, freshness, scores
from runbook.facts.logs import errors
from runbook.facts.schema import schema
from runbook.facts.services import access, functions, jobs

__all__ = [
    "access",
    "errors",
    "etl_failures",
    "etl_today",
    "etl_week",
    "freshness",
    "functions",
    "jobs",
    "schema",
    "scores",
]
