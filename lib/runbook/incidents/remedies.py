"""The fix of a cause, and the runbook that applies it (guide: Common Issues & Fixes, Quick fixes). Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from runbook.config.data_file import table
from runbook.config.schema import Function, Settings
from runbook.incidents.causes import Cause
from runbook.incidents.headroom import HIT, Headroom, more
from runbook.model.command import command
from runbook.model.moment import Moment


class Step(NamedTuple):
    """What to do, the command for it, and the runbook that the command runs; "" if there is none."""

    do: str
    line: str = ""
    runbook: str = ""


Run = Callable[..., Step]
FIXES: dict[str, dict[str, Any]] = table(__file__, "fixes.yaml")


def remedy_steps(
    cause: Cause, settings: Settings, moment: Moment, place: Mapping[str, str], headroom: Sequence[Headroom]
) -> list[Step]:
    """The fix of a cause, then a retry if needed; only the retry if something changed after the last run.

    `place` has environment, world and incident for the commands; `headroom` are the rows of `headroom_of`.
    """
    one = next(f for f in settings.functions if f.name == cause.functions[0])

    def run(do: str, runbook: str, **more: object) -> Step:
        where = {name: place[name] for name in ("environment", "world")}
        return Step(do, command(runbook, {**where, **more, "incident": place["incident"]}), runbook)

    known = FIXES.get(cause.cause, {})
    if cause.changed_since_last_run and (known.get("again") or known.get("changed")):
        said = "it changed after its last run: run {} again, then run this page again"
        return [run(said.format(name), "retry", function=name) for name in cause.functions]
    retries = cause.functions if known.get("again") else ()
    fixed = _fix(cause, one, settings, moment, headroom, run)
    return [*fixed, *(run(f"then run {name} again", "retry", function=name) for name in retries)]


def _fix(
    cause: Cause, one: Function, settings: Settings, moment: Moment, headroom: Sequence[Headroom], run: Run
) -> list[Step]:
    if cause.cause in HIT:
        return [_limit(cause, one, headroom, run)]
    if cause.cause == "quota":
        return [_quota(cause, moment)]
    if cause.cause in ("secret", "auth_error"):
        return _credential(cause, one, run)
    known = FIXES[cause.cause]
    names = {"function": one.name, "functions": ",".join(cause.functions), "region": settings.region}
    names |= {"project": settings.project, "source": "sample" if settings.environment == "sandbox" else "PATH"}
    if "runbook" not in known:
        return [Step(known["fix"], known.get("line", "").format_map(names))]
    return [run(known["fix"], known["runbook"], **{k: v.format_map(names) for k, v in known["with"].items()})]


def _limit(cause: Cause, one: Function, headroom: Sequence[Headroom], run: Run) -> Step:
    wanted, why = more(cause.cause, one.name, headroom)
    if not wanted:
        return Step(why)
    option = {"memory_limit": "memory", "timeout": "timeout_s"}[cause.cause]
    return run(f"{FIXES[cause.cause]['fix']} ({why})", "deploy", function=one.name, **{option: wanted})


def _quota(cause: Cause, moment: Moment) -> Step:
    if cause.detail == "hours":
        return Step("wait until the daily quota resets, or ask the provider for a higher quota")
    if moment.at - cause.since > timedelta(hours=1):
        return Step(f"failing since {cause.since:%H:%M}: call less often, or ask the provider for a higher limit")
    return Step("wait a minute; the quota resets by itself")


def _credential(cause: Cause, one: Function, run: Run) -> list[Step]:
    """Enable the disabled version; if none was disabled, get a new credential for the secret."""
    secrets = [cause.key] if cause.key in one.secrets else one.secrets
    if cause.cause == "secret" and cause.detail:
        back = {"secret": secrets[0], "version": cause.detail, "to": "enable"}
        return [run("enable the version again", "retire_secret", **back)]
    said = "get a new credential" + ("; if it is for {}, rotate it" if len(secrets) > 1 else " and rotate it")
    return [run(said.format(s), "rotate_secret", secret=s) for s in secrets] or [Step("get a new credential")]
