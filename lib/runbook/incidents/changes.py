"""Changes that may have broken a function: its own deployments, secrets and tables, shortly before it failed. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from runbook.incidents.affected import Evidence, FailingFunction
from runbook.model.rows import AuditedChange

MOST = 3  # changes shown for each function
SHORTLY = timedelta(minutes=20)  # after a change, a failure is its likely consequence
_DEPLOY = re.compile(r"UpdateFunction|CreateFunction|ReplaceService|UpdateService")


@dataclass(frozen=True)
class OwnChanges:
    """Changes that concern one failing function."""

    one: FailingFunction
    seen: Evidence

    def before(self, fits: Callable[[AuditedChange], Any], early: datetime | None = None) -> list[AuditedChange]:
        """Matching changes since its last successful run, or since shortly before the failure; newest first."""
        since = self.one.since
        early = early or min(since - SHORTLY, self.one.last_good or since)
        late = since + timedelta(minutes=1)
        return [c for c in self.seen.changes.rows if early <= c.at <= late and fits(c)][:MOST]

    def described(self, fits: Callable[[AuditedChange], Any]) -> list[str]:
        """The changes `before`, in words."""
        return [described(change) for change in self.before(fits)]

    def since_last_run(self, cause: str) -> list[AuditedChange]:
        """Its newest own change after its last run; a change of permissions counts if `cause` is permission."""
        runs = [r.started_at for r in self.seen.runs.rows if r.function == self.one.function.name]
        ran = max([self.one.since, *runs])

        later = (c for c in self.seen.changes.rows if c.at > ran)
        return [c for c in later if self.kind(c) or (cause == "permission" and "IamPolicy" in c.what)][:1]

    def kind(self, change: AuditedChange) -> str:
        """The cause that a change of its own code, secret or table suggests; "" for any other change."""
        if self.deploys(change):
            return "crash_after_deploy"
        return "secret" if self.of_secret(change) else "bad_data" if self.of_table(change) else ""

    def named(self, change: AuditedChange) -> bool:
        """Whether a change concerns the function itself, its service or its job."""
        mine = self.one.function
        return change.resource.rsplit("/", 1)[-1] in (mine.name, mine.service_name, mine.job_name)

    def deploys(self, change: AuditedChange) -> bool:
        """Whether a change is a deployment of the function."""
        return self.named(change) and bool(_DEPLOY.search(change.what))

    def of_secret(self, change: AuditedChange) -> str:
        """The name of the function's secret that was changed, or ""."""
        if "Secret" not in change.what:
            return ""
        return next((s for s in self.one.function.secrets if s in change.resource.split("/")), "")

    def of_table(self, change: AuditedChange) -> bool:
        """Whether a change concerns a table that the function writes."""
        return any(change.resource.endswith(f"/{table}") for table in self.one.function.tables)


def described(change: AuditedChange) -> str:
    """A change in words."""
    resource = change.resource.split("/", 1)[-1]
    return f"{change.what} of {resource} by {change.who} at {change.at:%H:%M}"
