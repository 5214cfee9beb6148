"""Reads of the system. Each function returns an `Ask`, which `run.read` executes; nothing is requested before that.

In: a `Cloud` and the moment. Out: a `Fact` with rows, the equivalent command, and a gap for everything that could not
be read. The content of an answer never raises. SQL is in sql/. Start with base.py, then etl.py for an example.
"""

from runbook.facts.checkout.source_code import source
from runbook.facts.etl import etl_failures, etl_today, etl_week, freshness, recent_runs, runs_of, runs_of_users, scores
from runbook.facts.functions import functions, jobs, revisions, service
from runbook.facts.logs import changes, errors
from runbook.facts.quotas import quotas
from runbook.facts.records import noticed, notified, rehearsal
from runbook.facts.secrets import access, secrets, users, versions
from runbook.facts.status_pages import feeds
from runbook.facts.tables import copies, schema, snapshots, tables
