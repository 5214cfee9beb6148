"""The scheduler's jobs: their state, schedule and last attempt."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

from runbook.cloud.client import Cloud
from runbook.config.schema import Settings
from runbook.facts.base import Answer, Ask, Read, readable
from runbook.facts.fields import field, last, mapping, number, text, time_of
from runbook.model.moment import Moment
from runbook.model.rows import SchedulerJob


def jobs() -> Ask:
    """The region's jobs, by name."""

    def ask(cloud: Cloud, moment: Moment) -> Read:
        project, region = cloud.settings.project, cloud.settings.region
        line = f"gcloud scheduler jobs list --location={region} --project={project}"

        def see() -> Answer:
            path = f"v1/projects/{project}/locations/{region}/jobs"
            found = cloud.items("cloudscheduler", path, "jobs", pageSize=500)
            row, look = partial(_job, cloud.settings), f"inspect them: {line}."
            return readable("scheduler jobs", found, row, look, lambda r: r.name)

        return Read("scheduler jobs", line, see, no_history_of="Cloud Scheduler")

    return ask


def _job(settings: Settings, found: Any) -> SchedulerJob | None:
    """The row of one job; None if it has no name. An unreadable status is code 2, UNKNOWN in google.rpc.Code."""
    name = last(found, "name")
    none = field(found, "status") in (None, {}) or mapping(found, "status").get("code", "") == 0
    if not name:
        return None
    return SchedulerJob(
        name=name,
        state=text(found, "state") or "STATE_UNSPECIFIED",
        schedule=text(found, "schedule"),
        zone=text(found, "timeZone") or "UTC",
        last_attempt=time_of(found, "lastAttemptTime"),
        code=0 if none else number(found, "status", "code", default=2),
        message=text(found, "status", "message"),
        function=called(settings, text(found, "httpTarget", "uri"), name),
    )


def called(settings: Settings, url: str, job: str) -> str:
    """The function that a job calls: by `job` in params, else by its target URL, else by its name; "" if unknown."""
    own = next((f.name for f in settings.functions if job and f.job == job), "")
    target = settings.function_of(_target(url))
    return own or target or next((f.name for f in settings.functions if f.name == job), "")


def _target(url: str) -> str:
    """The function or the service that a URL calls; "" if it calls none.

    https://REGION-PROJECT.cloudfunctions.net/FUNCTION, https://SERVICE-HASH-REGION.a.run.app,
    https://SERVICE-NUMBER.REGION.run.app.
    """
    found = re.match(r"https?://(?:[^/.]+---)?([^/.:?#]+)\.([^/:?#]+)(?::\d+)?/?([^/?#]*)", url)
    if not found:
        return ""
    first, domain, path = found.groups()
    if domain == "cloudfunctions.net":
        return path
    return first.rsplit("-", 2 if domain == "a.run.app" else 1)[0] if domain.endswith("run.app") else ""
