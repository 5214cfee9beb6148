"""Cloud Scheduler v1: one job for each function, with its name and schedule, in the inventory's time zone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from cronsim import CronSim

from gcp_sandbox.http import ApiError, Call, route
from gcp_sandbox.services.functions.call import invoke, log
from gcp_sandbox.state import State
from gcp_sandbox.wire import fill, not_found, number, page, stamp
from gcp_sandbox.world.events import Attempt
from gcp_sandbox.world.failures import HTTP, KINDS
from gcp_sandbox.world.inventory import Function

_JOBS = "/v1/projects/{project}/locations/{location}/jobs"
_DEADLINE = 4
CODES = {status: code for code, status in HTTP.items()}


class Jobs:
    """Every job by name, as JSON resources. The job of a deleted function remains, and its calls fail."""

    def __init__(self, sandbox: State):
        self.sandbox = sandbox
        story = sandbox.story
        self.last_attempt = {attempt.function.name: attempt for attempt in story.attempts}
        gone = [f for f in sandbox.inventory.functions if story.state(f).state == "absent"]
        self.jobs = {f.job or f.name: self._draw(f) for f in [*story.functions, *gone]}

    def _draw(self, function: Function) -> dict[str, Any]:
        inventory, services = self.sandbox.inventory, self.sandbox.services
        said = self.sandbox.story.job(function)
        code = said.code or self._code(function)
        tried = self.last_attempt.get(function.name)
        # A world may have failed jobs without a call: their last attempt is the last tick of their schedule.
        told = [self._tick(function, reverse=True)] if said.state == "ENABLED" and code != 0 else []
        last = max([*told, *([tried.at] if tried else [])], default=None)
        changed = said.changed or timedelta(days=40 + number(function.name, below=90))
        named = {"here": inventory, "function": function, "job": function.job or function.name, "said": said}
        times = {"next": stamp(self._tick(function), 0), "changed": stamp(self.sandbox.story.now - changed, 0)}
        times["last"] = stamp(last) if last else None
        status = {"code": code} if code else {}
        return fill(__file__, "job", **named, **times, status=status if last else None, uri=services.uri(function.name))

    def _code(self, function: Function) -> int:
        """The result code of the last attempt."""
        found = self.last_attempt.get(function.name)
        if not found or not found.kind:
            return 13 if found and found.run and found.run.status == "failed" else 0
        if found.kind == "stuck" and found.run:
            return _DEADLINE if found.at + timedelta(seconds=function.timeout_s) < self.sandbox.story.now else 0
        ended = found.run is None or (found.run.ended_at and found.run.ended_at <= self.sandbox.story.now)
        return KINDS[found.kind].code if ended else 0

    def _tick(self, function: Function, reverse: bool = False) -> datetime:
        """The next or the last tick of the schedule."""
        story = self.sandbox.story
        return next(CronSim(function.schedule, story.now.astimezone(story.zone), reverse=reverse))


@route("cloudscheduler", "GET", _JOBS, "cloudscheduler.jobs.list")
def list_jobs(sandbox: State, call: Call, project: str, location: str) -> dict:
    """The jobs of the region; there is no list over all regions."""
    jobs = list(sandbox.jobs.jobs.values()) if location == sandbox.inventory.region else []
    return page(call, "jobs", jobs, 500)


@route("cloudscheduler", "GET", f"{_JOBS}/{{job}}", "cloudscheduler.jobs.get")
def get_job(sandbox: State, _call: Call, project: str, location: str, job: str) -> dict:
    """One job with its schedule, state and last attempt."""
    if job not in sandbox.jobs.jobs or location != sandbox.inventory.region:
        raise not_found("Job not found.", f"projects/{sandbox.inventory.project}/locations/{location}/jobs/{job}")
    return sandbox.jobs.jobs[job]


@route("cloudscheduler", "POST", f"{_JOBS}/{{job}}:run", "cloudscheduler.jobs.run")
def run_job(sandbox: State, call: Call, **names: str) -> dict:
    """Call the function now, regardless of the schedule and the state of the job."""
    job, name = get_job(sandbox, call, **names), names["job"]
    name = next((f.name for f in sandbox.inventory.functions if f.job == name), name)
    code = job.pop("status", {}).get("code", 0)
    rules = [r for f in sandbox.inventory.functions if f.name == name for r in sandbox.story.said("runs", f)]
    gone = name not in sandbox.services.services
    if gone or (rules and not rules[-1].until and rules[-1].outcome == "skipped"):
        # From the world: the call of this job does not reach its function.
        kind = "gone" if gone else rules[-1].kind
        function = next(f for f in sandbox.inventory.functions if f.name == name)
        if kind:
            log(sandbox, Attempt(function, sandbox.tick(), None, kind), scheduled=True)
    else:
        status, _ = invoke(sandbox, name, sandbox.services.target(name), scheduled=True)
        code = CODES[status]
    job |= {"lastAttemptTime": stamp(sandbox.tick()), **({"status": {"code": code}} if code else {})}
    return job


def _switch(verb: str, before: str, after: str) -> Callable[..., dict]:
    def handler(sandbox: State, call: Call, **names: str) -> dict:
        """Pause or resume one job; it must be in the other state."""
        job = get_job(sandbox, call, **names)
        if job["state"] != before:
            message = f"Job state must be {before} for {verb} to be called, but it is {job['state']}."
            raise ApiError(400, "FAILED_PRECONDITION", message)
        job |= {"state": after, "userUpdateTime": stamp(sandbox.tick(), 0)}
        return job

    return handler


# The permission to resume a job is not named after the method: https://cloud.google.com/scheduler/docs/reference/rest
route("cloudscheduler", "POST", f"{_JOBS}/{{job}}:pause", "cloudscheduler.jobs.pause")(
    _switch("PauseJob", "ENABLED", "PAUSED")
)

route("cloudscheduler", "POST", f"{_JOBS}/{{job}}:resume", "cloudscheduler.jobs.enable")(
    _switch("ResumeJob", "PAUSED", "ENABLED")
)
