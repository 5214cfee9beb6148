"""Plans: what would have to change. Each is a pure function `(request, seen, gates, settings, moment) -> Plan`."""

from runbook.plans.scheduling import retry, scheduler
from runbook.plans.secret import retire_secret, rotate_secret
from runbook.plans.service import deploy, rollback
from runbook.plans.tables import backup, restore, schema_change

__all__ = [
    "backup",
    "deploy",
    "restore",
    "retire_secret",
    "retry",
    "rollback",
    "rotate_secret",
    "scheduler",
    "schema_change",
]
