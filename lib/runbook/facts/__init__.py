"""Facts: what can be read. Each function returns a read that `run.read` makes; nothing is asked before that."""

from runbook.facts.etl import etl_failures, etl_today, etl_week, freshness, recent_runs, runs_of, runs_of_users, scores
from runbook.facts.logs import errors
from runbook.facts.recent import changes, feeds
from runbook.facts.records import rehearsal, told
from runbook.facts.schema import schema
from runbook.facts.secret import secrets, users, versions
from runbook.facts.service import revisions, service
from runbook.facts.services import access, functions, jobs
from runbook.facts.source import source
from runbook.facts.tables import copies, snapshots, tables

__all__ = [
    "access",
    "changes",
    "copies",
    "errors",
    "etl_failures",
    "etl_today",
    "etl_week",
    "feeds",
    "freshness",
    "functions",
    "jobs",
    "recent_runs",
    "rehearsal",
    "revisions",
    "runs_of",
    "runs_of_users",
    "schema",
    "scores",
    "secrets",
    "service",
    "snapshots",
    "source",
    "tables",
    "told",
    "users",
    "versions",
]
