"""The fix of a cause, and the runbook that applies it (guide: Common Issues & Fixes, Quick fixes). Pure."""

import re
from collections import namedtuple
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from runbook.config import Function, Settings
from runbook.incidents.causes import Cause
from runbook.incidents.headroom import HIT, Headroom, more
from runbook.model import Fact, Moment, command, table
from runbook.model.rows import Quota

# What to do, the command for it, and the runbook that the command runs; "" if there is none.
Step = namedtuple("Step", "do line runbook", defaults=("", ""))
Run = Callable[..., Step]
_PRODUCTS = table(__file__, "products.yaml")
FIXES: dict[str, dict[str, Any]] = table(__file__, "fixes.yaml")
_UNSERVED = " (on Google: the sandbox has no answer to this command)"


def remedy_steps(
    cause: Cause, settings: Settings, moment: Moment, place: Mapping[str, str], headroom: Sequence[Headroom]
) -> list[Step]:
    """The fix of a cause, then a retry if needed; only the retry if something changed after the last run.

    `place` has environment, world and incident for the commands; `headroom` are the rows of `headroom_of`.
    """

    def run(do: str, runbook: str, **more: object) -> Step:
        where = {name: place[name] for name in ("environment", "world")}
        return Step(do, command(runbook, {**where, **more, "incident": place["incident"]}), runbook)

    def again(said: str) -> list[Step]:
        """One step for all functions, with the command for the first that may be started by hand."""
        may = [name for name in cause.functions if settings.named(name).repeat != "never"]
        if not may:
            return [Step("wait for the next scheduled run: params say that it must never be started by hand")]
        rest = f"; then, one by one, {', '.join(may[1:])}" if may[1:] else ""
        return [run(said.format(may[0]) + rest, "retry", function=may[0])]

    known = FIXES.get(cause.cause, {})
    if cause.changed_since_last_run and (known.get("again") or known.get("changed")):
        return again("it changed after its last run: run {} again, then run p1_response again")
    fixed = _fix(cause, settings, moment, headroom, run)
    if (cause.cause, cause.detail) == ("unknown", "no end"):
        fixed += again("its time limit has passed: if the logs do not say why it hangs, run {} again")
    if settings.environment == "sandbox":
        fixed = [step._replace(do=step.do + _UNSERVED * _is_unserved(step.line)) for step in fixed]
    return [*fixed, *(again("then run {} again") if known.get("again") else ())]


def _is_unserved(line: str) -> bool:
    """Whether the sandbox gives this command no answer: its logs, for one, are older than gcloud looks back."""
    return line.startswith("gcloud ") and not line.startswith("gcloud scheduler ")


def _fix(cause: Cause, settings: Settings, moment: Moment, headroom: Sequence[Headroom], run: Run) -> list[Step]:
    one = settings.named(cause.functions[0])
    if cause.cause in HIT:
        return [_limit(cause, one, headroom, run)]
    if cause.cause == "quota":
        return [_quota(cause, moment)]
    if cause.cause in ("secret", "auth_error"):
        return _credential(cause, one, run)
    if cause.cause == "paused_scheduler" and cause.key != "PAUSED":
        line = f"gcloud scheduler jobs describe {cause.detail.split(',')[0]} --location={settings.region}"
        return [Step("the job is disabled, not paused, so it cannot be resumed: find out why, then recreate it", line)]
    if cause.cause == "permission":
        return [_permission(cause, settings)]
    known = FIXES[cause.cause]
    names = {"function": one.name, "jobs": cause.detail, "region": settings.region, "project": settings.project}
    names["source"] = "sample" if settings.environment == "sandbox" else "PATH"
    others = ", ".join(cause.functions[1:]) if "{function}" in str(known) else ""
    rest = f" (the same for {others})" if others else ""
    if "runbook" not in known:
        return [Step(known["fix"] + rest, known.get("line", "").format_map(names))]
    return [run(known["fix"] + rest, known["runbook"], **{k: v.format_map(names) for k, v in known["with"].items()})]


def _permission(cause: Cause, settings: Settings) -> Step:
    """Grant what was removed, if the evidence has it; else what the message names, if it names one."""
    said = " ".join(cause.evidence)
    line = f"gcloud projects get-iam-policy {settings.project}"
    if "IamPolicy" in said:
        return Step("grant the removed role again: the evidence says when it was removed, and by whom", line)
    if named := re.search(r"\b[a-z]+\.[a-zA-Z]+\.[a-zA-Z]+\b(?! ?\()", re.sub(r"\S+\.(?:com|py|yaml)\S*", "", said)):
        return Step(f"ask for a role with {named[0]} for the account of the function", line)
    if cause.key != "permission" and cause.key not in cause.functions:
        return Step(f"ask the administrator of {cause.key} which permission our user or app lacks, and request it")
    return Step("find out which permission is missing, and request it", line)


def _limit(cause: Cause, one: Function, headroom: Sequence[Headroom], run: Run) -> Step:
    wanted, why = more(cause.cause, one.name, headroom)
    if not wanted:
        return Step(why)
    option = {"memory_limit": "memory", "timeout": "timeout_s"}[cause.cause]
    return run(f"{FIXES[cause.cause]['fix']} ({why})", "deploy", function=one.name, **{option: wanted})


def exceeded(cause: Cause, settings: Settings, quotas: Fact[Quota]) -> Iterator[Step]:
    """For a quota of Google: each of that product that was exceeded, with usage, limit and where to request more."""
    if cause.cause == "quota" and cause.key in ("google", *_PRODUCTS["titles"]):
        ask = f"request more: https://console.cloud.google.com/iam-admin/quotas?project={settings.project}"
        rows = [r for r in quotas.rows if re.search(_PRODUCTS["words"].get(cause.key, ""), r.metric)]
        for row in rows:
            used = "usage unknown" if row.used is None else f"{row.used:,} used {row.per}"
            limit = "limit unknown" if row.limit is None else f"the limit is {row.limit:,}"
            said = f"{row.metric}, {row.limit_name} ({row.location}): {used}, {limit}, last exceeded {row.last:%H:%M}"
            yield Step(f"{said}; {ask}")
        if not rows:
            why = quotas.gaps[0].why if quotas.gaps else "Cloud Monitoring lists no exceeded quota"
            yield Step(f"which quota, its usage and its limit are unknown ({why}); {ask}")


def _quota(cause: Cause, moment: Moment) -> Step:
    if "hours" in cause.detail:
        return Step("wait until the daily quota resets, or ask the provider for a higher quota")
    if moment.at - cause.since > timedelta(hours=1):
        return Step(f"failing since {cause.since:%H:%M}: call less often, or ask the provider for a higher limit")
    return Step("wait a minute; the quota resets by itself")


def _credential(cause: Cause, one: Function, run: Run) -> list[Step]:
    """Enable the disabled version; if none was disabled, a new credential for the secret that the evidence names."""
    secrets = [cause.key] if cause.key in one.secrets else sorted(one.secrets, key=lambda s: -_named(s, cause))
    if cause.cause == "secret" and cause.detail:
        return [run("enable the version again", "retire_secret", secret=secrets[0], version=cause.detail, to="enable")]
    best = [s for s in secrets if _named(s, cause) == _named(secrets[0], cause)] if secrets else []
    said = "get a new credential" + ("; if it is for {}, rotate it" if len(best) > 1 else " and rotate {}")
    return [run(said.format(s), "rotate_secret", secret=s) for s in best] or [Step("get a new credential")]


def _named(secret: str, cause: Cause) -> int:
    """How well the evidence fits a secret: its whole name, or the last word of it, such as key or secret."""
    said = " ".join(cause.evidence).lower()
    if re.search(rf"\b{re.escape(secret.lower())}\b", said):
        return 2
    words = set(re.split(r"[-_]", secret.lower()))
    if re.search(r"invalid_client_id|client id|client identifier", said) and "id" in words:
        return 1
    return int(bool(words & {"secret", "token", "key", "password"})) if "id" not in words else 0
