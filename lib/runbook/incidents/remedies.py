"""What mends a cause, and the runbook that does it (guide: Common Issues & Fixes, Quick fixes). Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

from runbook.config.schema import Function, Settings
from runbook.display.text import Row
from runbook.incidents.causes import Cause
from runbook.incidents.headroom import HIT, more
from runbook.model.command import command
from runbook.model.moment import Moment

Step = tuple[str, str]  # what to do, and the command that does it or ""

FIXES = {
    "memory_limit": "give it more memory",
    "timeout": "give it more time, or make it faster",
    "crash_after_deploy": "go back to the revision that worked",
    "paused_scheduler": "ask who paused it and why; then resume it",
    "stuck_etl": "see whether it still works; when its limit has passed, run it again",
    "capacity": "wait a minute; if it lasts, raise its maximum of instances",
    "dependency_outage": "wait until the other side has mended it; its status page tells",
    "region_outage": "wait, and open a support case; nothing here mends it",
    "missing_function": "find out who took it away; deploy it again, or take it out of params",
    "failed_deployment": "what was there before still serves; mend the source, and deploy again",
    "permission": "give back the permission that was taken away: the evidence names it",
    "bad_data": "find out what changed in the data or the table; mend the function, or add the column",
    "unknown": "read the function's logs; nothing that is known fits",
}

# Where a run is needed to see whether it is mended, and where one that was changed since then may be mended already.
AGAIN = {"memory_limit", "timeout", "secret", "auth_error", "quota", "capacity", "dependency_outage", "permission"}

ACTED = {*AGAIN, "crash_after_deploy", "bad_data", "unknown"}


def remedy_steps(
    cause: Cause, settings: Settings, moment: Moment, place: Mapping[str, str], headroom: Sequence[Row]
) -> list[Step]:
    """The fix of a cause, then a retry where one is needed; of what was changed after its last run, only the retry.

    `place` has environment, world and incident for the commands; `near` are the rows of `limits.near`.
    """
    one = next(f for f in settings.functions if f.name == cause.functions[0])

    def line(runbook: str, **more: object) -> str:
        where = {name: place[name] for name in ("environment", "world")}
        return command(runbook, {**where, **more, "incident": place["incident"]})

    retries = [(name, line("retry", function=name)) for name in cause.functions]
    if cause.changed_since_last_run and cause.cause in ACTED:
        return [(f"it was changed after it last ran: run {name} again, then look again", c) for name, c in retries]
    fixed = _fix(cause, one, settings, moment, headroom, line)
    return [*fixed, *((f"then run {name} again", c) for name, c in retries if cause.cause in AGAIN)]


def _fix(
    cause: Cause, one: Function, settings: Settings, moment: Moment, headroom: Sequence[Row], line: Callable[..., str]
) -> list[Step]:
    if cause.cause in HIT:
        return [_limit(cause, one, headroom, line)]
    if cause.cause == "quota":
        return [_quota(cause, moment)]
    if cause.cause in ("secret", "auth_error"):
        return _credential(cause, one, line)
    code = "sample" if settings.environment == "sandbox" else "PATH"
    where = f"--gen2 --region={settings.region} --project={settings.project} --limit=50"
    lines = {
        "crash_after_deploy": line("rollback", function=one.name),
        "paused_scheduler": line("scheduler", jobs=",".join(cause.functions), to="resume"),
        "stuck_etl": line("retry", function=one.name),
        "failed_deployment": line("deploy", function=one.name, source=code),
        "unknown": f"gcloud functions logs read {one.name} {where}",
    }
    return [(FIXES[cause.cause], lines.get(cause.cause, ""))]


def _limit(cause: Cause, one: Function, headroom: Sequence[Row], line: Callable[..., str]) -> Step:
    wanted, why = more(cause.cause, one.name, headroom)
    if not wanted:
        return why, ""
    option = {"memory_limit": "memory", "timeout": "timeout_s"}[cause.cause]
    return f"{FIXES[cause.cause]} ({why})", line("deploy", function=one.name, **{option: wanted})


def _quota(cause: Cause, moment: Moment) -> Step:
    if cause.detail == "hours":
        return "it comes back when the day's quota does; or ask the provider for a higher one", ""
    if moment.at - cause.since > timedelta(hours=1):
        return f"it has lasted since {cause.since:%H:%M}: call less often, or ask the provider for a higher limit", ""
    return "wait a minute; it comes back by itself", ""


def _credential(cause: Cause, one: Function, line: Callable[..., str]) -> list[Step]:
    """Enable the version that was disabled; where none was, a new credential for whichever secret it is."""
    secrets = [cause.key] if cause.key in one.secrets else one.secrets
    if cause.cause == "secret" and cause.detail:
        back = line("retire_secret", secret=secrets[0], version=cause.detail, to="enable")
        return [("enable the version again", back)]
    if len(secrets) > 1:
        return [(f"get a new credential; if it is {s}, rotate that", line("rotate_secret", secret=s)) for s in secrets]
    return [("get a new credential, and rotate the secret", "".join(line("rotate_secret", secret=s) for s in secrets))]
