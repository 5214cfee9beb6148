"""Changes, from the Admin Activity audit log (guide: P1 Playbook)."""

from __future__ import annotations

import re
from typing import NamedTuple

from runbook.cloud.client import Cloud
from runbook.display.text import Row
from runbook.facts.base import Ask, Read
from runbook.facts.fields import field, items, mapping, number, text, time_of
from runbook.facts.logs import KEPT_AUDIT, between, entries
from runbook.model.moment import Moment
from runbook.model.rows import AuditedChange

_ROBOT = re.compile(r"service-\d+@(gcf-admin-robot|serverless-robot-prod)\.iam\.gserviceaccount\.com")

# What a BigQuery job did to a table: https://cloud.google.com/bigquery/docs/reference/auditlogs/rest/Shared.Types/BigQueryAuditMetadata
_BY_JOB = ("tableDeletion", "tableCreation", "tableChange")


class _Call(NamedTuple):
    """An audited call, and its part in a long-running operation ("" for none)."""

    change: AuditedChange
    failed: bool
    operation: str
    first: bool


def changes(hours: float = 24) -> Ask:
    """Successful changes from the Admin Activity audit log, newest first.

    From at most 1,000 entries. Admin Activity is always on
    (https://cloud.google.com/logging/docs/audit#admin-activity). A gap if the period starts before the retention
    period.
    """

    def ask(cloud: Cloud, moment: Moment) -> Read:
        log = f"projects/{cloud.settings.project}/logs/cloudaudit.googleapis.com%2Factivity"
        wanted = f'logName="{log}" {between(hours, moment)}'
        return entries(cloud, "changes", wanted, _change, moment.ago(hours), KEPT_AUDIT, _made)

    return ask


def _change(entry: Row) -> _Call | None:
    """The call of one entry; None if it has no time, or neither a method nor a resource."""
    call = mapping(entry, "protoPayload")
    at = time_of(entry, "timestamp") or time_of(entry, "receiveTimestamp")
    method, resource = text(call, "methodName"), text(call, "resourceName")
    grants = [mapping(info).get("granted") for info in items(call, "authorizationInfo")]
    if not at or not (method or resource):
        return None
    caller = mapping(call, "authenticationInfo")
    who = text(caller, "principalEmail") or text(caller, "principalSubject") or "unknown"
    by_job = _BY_JOB if method.endswith("InsertJob") else ()
    changed = next((kind for kind in by_job if kind in mapping(call, "metadata")), "")
    place = "/".join(resource.split("/")[-4 if "/versions/" in resource else -2 :])
    change = AuditedChange(at, who, changed or method.rsplit(".", 1)[-1] or "unknown", place)
    failed = number(call, "status", "code") != 0 or (False in grants and True not in grants)
    first = field(entry, "operation", "first") is True
    return _Call(change, failed, text(entry, "operation", "id"), first)


def _made(calls: list[_Call]) -> list[AuditedChange]:
    """The changes among calls, without failed and denied calls, and with each long-running operation once.

    An operation has an entry for its start and one for its end; the row has the time of the start. Calls of Google's
    own service agents are left out, because they follow from a call that has an entry of its own.
    """
    failed = {call.operation for call in calls if call.failed} - {""}
    begun = {call.operation for call in calls if call.first}
    good = (call for call in calls if not call.failed and call.operation not in failed)
    once = (call.change for call in good if call.first or call.operation not in begun)
    return [change for change in once if not _ROBOT.fullmatch(change.who)]
