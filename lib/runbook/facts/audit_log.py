"""Changes, from the Admin Activity audit log (guide: P1 Playbook)."""

from __future__ import annotations

import re

from runbook.cloud.client import Cloud
from runbook.display.text import Row
from runbook.facts.base import Ask, Read
from runbook.facts.fields import field, items, mapping, number, text, time_of
from runbook.facts.logs import KEPT_AUDIT, between, entries
from runbook.model.moment import Moment

_ROBOT = re.compile(r"service-\d+@(gcf-admin-robot|serverless-robot-prod)\.iam\.gserviceaccount\.com")


def changes(hours: float = 24) -> Ask:
    """Rows `at, who, what, resource` of successful changes from the Admin Activity audit log, newest first.

    From at most 1,000 entries. Admin Activity is always on
    (https://cloud.google.com/logging/docs/audit#admin-activity). A gap if the period starts before the retention
    period.
    """

    def ask(cloud: Cloud, moment: Moment) -> Read:
        log = f"projects/{cloud.settings.project}/logs/cloudaudit.googleapis.com%2Factivity"
        wanted = f'logName="{log}" {between(hours, moment)}'
        return entries(cloud, "changes", wanted, _change, moment.ago(hours), KEPT_AUDIT, _made)

    return ask


def _change(entry: Row) -> Row | None:
    """The row of one entry; None if it has no time, or neither a method nor a resource."""
    call = mapping(entry, "protoPayload")
    at = time_of(entry, "timestamp") or time_of(entry, "receiveTimestamp")
    method, resource = text(call, "methodName"), text(call, "resourceName")
    grants = [mapping(info).get("granted") for info in items(call, "authorizationInfo")]
    if not at or not (method or resource):
        return None
    return {
        "at": at,
        "who": text(call, "authenticationInfo", "principalEmail") or "unknown",
        "what": method.rsplit(".", 1)[-1] or "unknown",
        "resource": "/".join(resource.split("/")[-4 if "/versions/" in resource else -2 :]),
        "_details": str(call.get("request") or call.get("serviceData") or ""),
        "_failed": number(call, "status", "code") != 0 or (False in grants and True not in grants),
        "_operation": text(entry, "operation", "id"),
        "_first": field(entry, "operation", "first") is True,
    }


def _made(rows: list[Row]) -> list[Row]:
    """The changes among calls, without failed and denied calls, and with each long-running operation once.

    An operation has an entry for its start and one for its end; the row has the time of the start. Calls of Google's
    own service agents are left out, because they follow from a call that has an entry of its own.
    """
    failed = {row["_operation"] for row in rows if row["_failed"]} - {""}
    begun = {row["_operation"] for row in rows if row["_first"]}
    return [
        row
        for row in rows
        if not row["_failed"]
        and row["_operation"] not in failed
        and (row["_first"] or row["_operation"] not in begun)
        and not _ROBOT.fullmatch(row["who"])
    ]
