"""What mends a cause, and the runbook that does it (guide: Common Issues & Fixes, Quick fixes). Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import NamedTuple

from runbook.config.schema import Function, Settings
from runbook.display.text import Row
from runbook.incidents.causes import Cause
from runbook.incidents.headroom import HIT, more
from runbook.model.command import command
from runbook.model.moment import Moment


class Step(NamedTuple):
    """What to do, the command that does it, and the runbook that this command runs; "" where there is none."""

    do: str
    line: str = ""
    runbook: str = ""


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
CHANGED = {*AGAIN, "crash_after_deploy", "bad_data", "unknown"}


def remedy_steps(
    cause: Cause, settings: Settings, moment: Moment, place: Mapping[str, str], headroom: Sequence[Row]
) -> list[Step]:
    """The fix of a cause, then a retry where one is needed; of what was changed after its last run, only the retry.

    `place` has environment, world and incident for the commands; `headroom` are the rows of `headroom_of`.
    """
    one = next(f for f in settings.functions if f.name == cause.functions[0])

    def run(do: str, runbook: str, **more: object) -> Step:
        where = {name: place[name] for name in ("environment", "world")}
        return Step(do, command(runbook, {**where, **more, "incident": place["incident"]}), runbook)

    if cause.changed_since_last_run and cause.cause in CHANGED:
        said = "it was changed after it last ran: run {} again, then look again"
        return [run(said.format(name), "retry", function=name) for name in cause.functions]
    retries = cause.functions if cause.cause in AGAIN else ()
    fixed = _fix(cause, one, settings, moment, headroom, run)
    return [*fixed, *(run(f"then run {name} again", "retry", function=name) for name in retries)]


def _fix(
    cause: Cause, one: Function, settings: Settings, moment: Moment, headroom: Sequence[Row], run: Callable[..., Step]
) -> list[Step]:
    if cause.cause in HIT:
        return [_limit(cause, one, headroom, run)]
    if cause.cause == "quota":
        return [_quota(cause, moment)]
    if cause.cause in ("secret", "auth_error"):
        return _credential(cause, one, run)
    do = FIXES[cause.cause]
    if cause.cause == "unknown":
        where = f"--gen2 --region={settings.region} --project={settings.project} --limit=50"
        return [Step(do, f"gcloud functions logs read {one.name} {where}")]
    code = "sample" if settings.environment == "sandbox" else "PATH"
    runbooks: dict[str, tuple[str, dict[str, str]]] = {
        "crash_after_deploy": ("rollback", {"function": one.name}),
        "paused_scheduler": ("scheduler", {"jobs": ",".join(cause.functions), "to": "resume"}),
        "stuck_etl": ("retry", {"function": one.name}),
        "failed_deployment": ("deploy", {"function": one.name, "source": code}),
    }
    if cause.cause not in runbooks:
        return [Step(do)]
    runbook, values = runbooks[cause.cause]
    return [run(do, runbook, **values)]


def _limit(cause: Cause, one: Function, headroom: Sequence[Row], run: Callable[..., Step]) -> Step:
    wanted, why = more(cause.cause, one.name, headroom)
    if not wanted:
        return Step(why)
    option = {"memory_limit": "memory", "timeout": "timeout_s"}[cause.cause]
    return run(f"{FIXES[cause.cause]} ({why})", "deploy", function=one.name, **{option: wanted})


def _quota(cause: Cause, moment: Moment) -> Step:
    if cause.detail == "hours":
        return Step("it comes back when the day's quota does; or ask the provider for a higher one")
    if moment.at - cause.since > timedelta(hours=1):
        return Step(f"it has lasted since {cause.since:%H:%M}: call less often, or ask the provider for a higher limit")
    return Step("wait a minute; it comes back by itself")


def _credential(cause: Cause, one: Function, run: Callable[..., Step]) -> list[Step]:
    """Enable the version that was disabled; where none was, a new credential for whichever secret it is."""
    secrets = [cause.key] if cause.key in one.secrets else one.secrets
    if cause.cause == "secret" and cause.detail:
        back = {"secret": secrets[0], "version": cause.detail, "to": "enable"}
        return [run("enable the version again", "retire_secret", **back)]
    if not secrets:
        return [Step("get a new credential")]
    said = (
        "get a new credential; if it is {}, rotate that" if len(secrets) > 1 else "get a new credential, and rotate it"
    )
    return [run(said.format(s), "rotate_secret", secret=s) for s in secrets]
