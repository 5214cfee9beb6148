"""Plans: each plan is a pure function `(request, seen, gates, settings, moment) -> Plan`.

In: a request and the current facts. Out: ordered changes, each with its undo, or a refusal. Nothing is written.
Start with base.py, then functions.py for an example.
"""

from runbook.plans.functions import deploy, retry, rollback, scheduler
from runbook.plans.secrets import retire_secret, rotate_secret
from runbook.plans.tables import backup, restore, schema_change
