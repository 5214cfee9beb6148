"""A run of a function, by its scheduler job, and the states of jobs.

https://cloud.google.com/scheduler/docs/reference/rest/v1/projects.locations.jobs/run
"""

from runbook.apply.actions.base import Action, Change, Cloud, Observation, SecretValue, Send, State, side


def _job(cloud: Cloud, name: str) -> str:
    return cloud.settings.resource("jobs", name)


def _observe_run(cloud: Cloud, change: Change) -> Observation:
    from runbook.cloud.query import select
    from runbook.facts.etl import newest_run

    rows = select(cloud, *newest_run(cloud, change.args.function), {"query": "newest_run"})
    newest = rows[0] if rows else {}
    stamp = newest["started_at"].isoformat() if newest else ""
    data = {"newest": stamp}
    since = change.notes.get("since")
    if since is None or stamp <= since:
        return Observation("old", "no newer run", data)
    if newest["status"] not in ("success", "failed"):
        return Observation("pending", "it is running", data)
    state: State = "new" if newest["status"] == "success" else "failed"
    return Observation(state, f"a run ended with {newest['status']}", data)


def _do_run(send: Send, cloud: Cloud, change: Change, observed: Observation, _: SecretValue) -> None:
    send("POST", f"https://cloudscheduler.googleapis.com/v1/{_job(cloud, change.args.job)}:run", {})


def _observe_job(cloud: Cloud, change: Change) -> Observation:
    found = cloud.get("cloudscheduler", f"v1/{_job(cloud, change.args.job)}")
    return side(found.get("state"), change, str(found.get("state")), found)


def _do_job(send: Send, cloud: Cloud, change: Change, observed: Observation, _: SecretValue) -> None:
    verb = "pause" if change.args.after == "PAUSED" else "resume"
    send("POST", f"https://cloudscheduler.googleapis.com/v1/{_job(cloud, change.args.job)}:{verb}", {})


ACTIONS = {"run once": Action(_observe_run, _do_run), "set job state": Action(_observe_job, _do_job)}
