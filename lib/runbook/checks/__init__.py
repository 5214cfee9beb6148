"""Checks of facts: each check is a pure function `(facts…, settings, moment) -> Findings`.

In: facts. Out: findings with a verdict; data that could not be read is unknown, never ok. daily.py has the checks of
the daily check, gates.py, secret_gates.py and tables.py decide whether a change may start, and whether it worked.
Start with base.py, then daily.py.
"""

from runbook.checks.daily import errors, etl_today, etl_week, freshness, functions, jobs, scores
from runbook.checks.gates import access, after_change, safe_to_deploy, safe_to_pause, safe_to_route, safe_to_run
from runbook.checks.secret_gates import safe_to_retire, safe_to_rotate
from runbook.checks.tables import after_copy, safe_to_alter, safe_to_copy, schema
