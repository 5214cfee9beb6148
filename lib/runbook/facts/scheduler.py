"""The scheduler's jobs: their state, schedule and last attempt."""

from __future__ import annotations

from typing import Any

from runbook.cloud.client import Cloud
from runbook.facts.base import Answer, Ask, Read, readable
from runbook.facts.fields import field, last, mapping, number, text, time_of
from runbook.model.moment import Moment
from runbook.model.rows import SchedulerJob


def jobs() -> Ask:
    """The region's jobs, by name."""

    def ask(cloud: Cloud, moment: Moment) -> Read:
        project, region = cloud.settings.project, cloud.settings.region

        def see() -> Answer:
            path = f"v1/projects/{project}/locations/{region}/jobs"
            found = cloud.items("cloudscheduler", path, "jobs", pageSize=500)
            rows, lost = readable("scheduler jobs", found, _job, "inspect them: gcloud scheduler jobs list.")
            return Answer(sorted(rows, key=lambda r: r.name), gaps=tuple(lost))

        line = f"gcloud scheduler jobs list --location={region} --project={project}"
        return Read("scheduler jobs", line, see, no_history_of="Cloud Scheduler")

    return ask


def _job(found: Any) -> SchedulerJob | None:
    """The row of one job; None if it has no name. An unreadable status is code 2, UNKNOWN in google.rpc.Code."""
    none = field(found, "status") in (None, {}) or mapping(found, "status").get("code", "") == 0
    return (
        SchedulerJob(
            name=last(found, "name"),
            state=text(found, "state") or "STATE_UNSPECIFIED",
            schedule=text(found, "schedule"),
            zone=text(found, "timeZone") or "UTC",
            last_attempt=time_of(found, "lastAttemptTime"),
            code=0 if none else number(found, "status", "code", default=2),
            message=text(found, "status", "message"),
        )
        if last(found, "name")
        else None
    )
