"""The P1 page: how bad it is, why, what to do next and whom to call (guide: Incident Response, Contacts)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from runbook import draw, limits, record
from runbook.diagnosis import Cause, Causes, Pattern, diagnose
from runbook.errors import Refused
from runbook.incident import open_p1
from runbook.moment import Moment, moment_of
from runbook.plan import Change, Plan
from runbook.plans.parts import message, names_of, rows_of
from runbook.report import command
from runbook.request import Request
from runbook.rows import Finding, Findings, Row, Shown, Verdict
from runbook.settings import QUICK, Function, Settings
from runbook.sick import Seen as Evidence
from runbook.store import Store

if TYPE_CHECKING:
    from runbook.run import Run, Seen

# The guide's table "Severity Levels": response times.
ANSWER = {"P1": timedelta(minutes=15), "P2": timedelta(hours=1), "P3": timedelta(hours=4), "P4": timedelta(days=1)}
ENGINEERS = {"bad_data": "team-lead", "unknown": "team-lead", "permission": "security", "region_outage": "gcp-support"}


@cache
def patterns() -> tuple[Pattern, ...]:
    """The phrases of `patterns.yaml`."""
    raw = yaml.load((Path(__file__).parent / "patterns.yaml").read_text(encoding="utf-8"), Loader=QUICK)
    return tuple(Pattern(r["cause"], re.compile(r["says"], re.IGNORECASE), r.get("hint", False)) for r in raw)


@dataclass(frozen=True)
class Page:
    """A severity, its causes, and the steps for each; `findings` are the same for the verdict.

    `near` is what ran into a limit, against that limit (see runbook.limits).
    """

    severity: str
    why: str
    answer_by: datetime
    causes: Causes
    steps: tuple[Row, ...]
    people: tuple[Row, ...]
    near: tuple[Row, ...] = ()

    @property
    def findings(self) -> Findings:
        """One finding for each cause, and an unknown for each thing that could not be seen."""
        rows = [
            Finding("cause", _few(c.functions), c.cause.replace("_", " "), "none",
                    Verdict.unknown if c.confidence == "unknown" else Verdict.alert, _first(self.steps, c))
            for c in self.causes
        ]  # fmt: skip
        rows += [
            Finding("seen", "", f"could not see {text}", "all of it", Verdict.unknown) for text in self.causes.blind
        ]
        if not rows:
            rows = [Finding("cause", "all functions", "nothing is broken", "none", Verdict.ok)]
        return Findings(tuple(rows))

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        verdict = {"P1": "alert", "P2": "alert", "P3": "warn"}.get(self.severity, "ok")
        text = f"{self.severity}: {self.why}"
        if self.causes:
            text += f". Answer by {draw.show(self.answer_by)}"
        return draw.page(draw.banner(text, verdict))

    def notice(self, request: Request, seen: Seen, gates: Findings, settings: Settings, moment: Moment) -> Plan:
        """A message to each contact in `request.tell` who was not told of this incident yet, or why there is none."""
        empty = Plan("notify", "", (), {}, Findings(), notes=("nobody is named in `tell`.",))
        try:
            changes = self._messages(names_of(request.tell), request.incident, seen, settings)
        except Refused as refusal:
            return replace(empty, refusal=refusal)
        if request.tell and not changes:
            return replace(empty, notes=("everybody who is named was told already.",))
        return replace(empty, changes=changes, notes=())

    def _messages(self, contacts: Sequence[str], incident: str, seen: Seen, settings: Settings) -> tuple[Change, ...]:
        if missing := [name for name in contacts if name not in settings.contacts]:
            known = ", ".join(settings.contacts)
            what = f"there is no contact {missing[0]}"
            raise Refused(what, f"there is: {known}", next="name one of these in `tell`.")
        if contacts and not incident:
            what = "a message is sent once an incident"
            raise Refused(what, "no incident is named", next="give -p incident=INC-…")
        told = {row["contact"] for row in rows_of(seen.told, "a message")} if contacts else set()
        title = f"{incident}, {self.severity}: {self.why}"
        lines = [f"{settings.project}, {settings.region}. Answer by {draw.show(self.answer_by)}.", *_told(self)]
        return tuple(message(c, title, "\n".join(lines), incident) for c in contacts if c not in told)

    @property
    def what_next(self) -> Shown:
        """The steps, one row each, with commands to copy."""
        return Shown(draw.table(self.steps, "nothing to do"))

    @property
    def whom_to_call(self) -> Shown:
        """Contacts by role, and the text of a support case."""
        return Shown(draw.table(self.people))


def _notebook(line: str) -> str:
    """The runbook that a command runs, "" for any other command."""
    return line.split()[2] if line.startswith("runbook run ") else ""


def _few(names: Sequence[str]) -> str:
    """Up to three names; of more, two and how many more: a line must fit a screen."""
    return ", ".join(names) if len(names) <= 3 else f"{', '.join(names[:2])} and {len(names) - 2} more"


def _first(steps: Sequence[Row], cause: Cause) -> str:
    return next((s["do"] for s in steps if s["cause"] == cause.cause.replace("_", " ")), "")


def page(run: Run, seen: Seen) -> Page:
    """Everything that can be said from what was seen."""
    facts = [getattr(seen, name) for name in Evidence._fields]
    causes = diagnose(Evidence(*facts), patterns(), run.settings, run.moment)
    near = limits.near(causes, Evidence(*facts), patterns(), run.settings)
    detected = run.request.values.get("detected_at", "")
    began = moment_of(detected, run.moment.at, run.settings.zone).at
    severity, why = _severity(causes, run.settings)
    if severity == "P1" and (named := run.request.values.get("incident", "")):
        open_p1(Store(record.folder_of(run.settings)), named, run.moment.at)
    answer = run.moment.local(began + ANSWER[severity])
    place = {key: run.request.values.get(key, "") for key in ("environment", "world")}
    steps = [
        {"cause": c.cause.replace("_", " "), "do": said, "command": line, "notebook": _notebook(line)}
        for c in causes
        for said, line in _steps(c, run.settings, place | {"incident": run.request.values.get("incident", "")}, near)
    ]
    found = Page(severity, why, answer, causes, tuple(steps), tuple(_people(causes, severity, run.settings)), near)
    run.judge("causes", found.findings, *facts)
    return found


def _severity(causes: Causes, settings: Settings) -> tuple[str, str]:
    """By the guide's table: how much of the system is sick, and whether it is a major feature."""
    sick = {s.function.name for s in causes.sick}
    total = len(settings.functions)
    if not sick:
        return "P4", "nothing is broken that could be seen" if causes.blind else "nothing is broken"
    if len(sick) * 2 >= total:
        return "P1", f"{len(sick)} of {total} functions do not work"
    scores = [f.name for f in settings.functions if settings.tables.scores.name in f.tables]
    systems = {f.source_system for f in settings.functions}
    down = [s for s in sorted(systems) if all(f.name in sick for f in settings.functions if f.source_system == s)]
    if set(scores) & sick:
        return "P2", f"account scoring does not work ({_few(sorted(sick))})"
    if down or len(sick) > 2:
        return "P2", f"{', '.join(down) or f'{len(sick)} functions'} down: {_few(sorted(sick))}"
    return "P3", f"{len(sick)} of {total} functions down: {_few(sorted(sick))}"


FIXES = {  # the guide's table "Common Issues & Fixes"
    "memory_limit": "give it more memory",
    "timeout": "give it more time, or make it faster",
    "crash_after_deploy": "go back to the revision that worked",
    "paused_scheduler": "ask who paused it and why; then resume it",
    "stuck_etl": "see whether it still works; when its limit has passed, run it again",
    "capacity": "wait a minute; if it lasts, raise its maximum of instances",
    "dependency_outage": "wait until the other side has mended it; its status page tells",
    "region_outage": "wait, and open a support case; nothing here mends it",
    "permission": "give back the permission that was taken away",
    "bad_data": "find out what changed in the data or the table; mend the function, or add the column",
    "unknown": "read the function's logs; nothing that is known fits",
}
AGAIN = {"memory_limit", "timeout", "secret", "auth_error", "quota", "capacity", "dependency_outage", "permission"}


def _steps(cause: Cause, settings: Settings, place: Row, near: Sequence[Row]) -> list[tuple[str, str]]:
    """The fix of a cause, as a sentence and the runbook that does it; then a retry where that is needed."""
    by_name = {f.name: f for f in settings.functions}
    one, tie = by_name[cause.functions[0]], {"incident": place["incident"]}
    here = {key: value for key, value in place.items() if key != "incident"}

    def line(runbook: str, **more: Any) -> str:
        return command(runbook, {**here, **more})

    lines = {
        "crash_after_deploy": lambda: line("rollback", function=one.name, **tie),
        "paused_scheduler": lambda: line("scheduler", jobs=",".join(cause.functions), to="resume", **tie),
        "stuck_etl": lambda: line("retry", function=one.name, **tie),
        "unknown": lambda: f"gcloud functions logs read {one.name} --v2 --region={settings.region}",
    }
    if cause.cause in limits.HIT:
        wanted, why = limits.more(cause.cause, one.name, near)
        option = {"memory_limit": "memory", "timeout": "timeout_s"}[cause.cause]
        given = line("deploy", function=one.name, **{option: wanted}) + " -p source=" if wanted else ""
        found = [(f"{FIXES[cause.cause]} ({why})" if wanted else why, given)]
    elif cause.cause in FIXES:
        found = [(FIXES[cause.cause], lines.get(cause.cause, str)())]
    else:
        found = _special(cause, one, line)
    retried = cause.functions if cause.cause in AGAIN else ()
    return [*found, *((f"then run {name} again", line("retry", function=name, **tie)) for name in retried)]


def _special(cause: Cause, one: Function, line: Any) -> list[tuple[str, str]]:
    if cause.cause == "quota":
        text = " ".join(cause.evidence)
        if "lasts for hours" in text:
            return [("it comes back when the day's quota does; or ask the provider for a higher one", "")]
        return [("wait a minute; it comes back by itself", "")]
    secrets = [cause.key] if cause.key in one.secrets else one.secrets
    if cause.cause == "secret":
        version = re.search(r"version (\d+), is DISABLED", " ".join(cause.evidence))
        if version:
            back = {"secret": secrets[0], "version": int(version[1]), "to": "enable"}
            return [("enable the version again", line("retire_secret", **back))]
    if len(secrets) < 2:
        return [
            ("get a new credential, and rotate the secret", "".join(line("rotate_secret", secret=s) for s in secrets))
        ]
    return [(f"get a new credential; if it is {s}, rotate that", line("rotate_secret", secret=s)) for s in secrets]


def _people(causes: Causes, severity: str, settings: Settings) -> list[Row]:
    roles = ["on-call"] if severity in ("P1", "P2") else []
    roles += [ENGINEERS[c.cause] for c in causes if c.cause in ENGINEERS]
    known = [role for role in dict.fromkeys([*roles, "team-lead"]) if role in settings.contacts]
    return [{"role": role, "who": settings.contacts[role].who, "for": settings.contacts[role].when} for role in known]


def support_case(run: Run, found: Page) -> Shown:
    """A support case's text, ready to paste."""
    head = f"Project {run.settings.project}, region {run.settings.region}. Severity {found.severity}: {found.why}."
    return Shown(draw.verbatim("\n".join((head, *_told(found)))))


def _told(found: Page) -> list[str]:
    """The causes, one a line, and what could not be seen."""
    lines = [
        f"- {c.cause.replace('_', ' ')} ({c.confidence}) since {draw.show(c.since)}: {'; '.join(c.evidence)}"
        for c in found.causes
    ]
    return [*lines, *(f"- could not see {text}" for text in found.causes.blind)]
