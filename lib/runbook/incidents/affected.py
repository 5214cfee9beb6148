"""Which functions are broken, how that shows, since when, and what was said about each. Pure.

A function is *failing* when it does not exist, when its newest run failed or has no end, when a run that was due did
not start, or when its deployment failed; a lone error between good runs is noise.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from cronsim import CronSim

from runbook.config.schema import Function, Settings
from runbook.display.text import Row
from runbook.model.facts import Fact
from runbook.model.moment import Moment

SLACK = timedelta(minutes=3)  # between what is due and what starts, and between what is said and what is recorded


class Evidence(NamedTuple):
    """The facts of a diagnosis."""

    functions: Fact
    runs: Fact
    logs: Fact
    changes: Fact
    secrets: Fact
    jobs: Fact
    feeds: Fact


How = Literal["failed", "no end", "not started", "gone", "not deployed"]


@dataclass(frozen=True)
class FailingFunction:
    """A function that does not work: how that shows, also in words, since when, and when it last worked."""

    function: Function
    how: How
    symptom: str
    since: datetime
    last_good: datetime | None
    texts: tuple[str, ...] = field(default=(), repr=False)

    def news(self, seen: Evidence) -> list[str]:
        """What was said since it began to fail and, numbers aside, not before."""
        before = {
            _shape(r["text"])
            for r in seen.logs.rows
            if r["function"] == self.function.name and r["at"] < self.since - SLACK
        }
        return [text for text in self.texts if text and _shape(text) not in before]


def _shape(text: str) -> str:
    return re.sub(r"\d+", "#", text)


def find(seen: Evidence, settings: Settings, moment: Moment) -> Iterator[FailingFunction]:
    """All failing functions, in the order of params."""
    states = {r["name"]: r for r in seen.functions.rows}
    for function in settings.functions:
        state = states.get(function.name, {})
        found = _by_runs(function, seen.runs, settings, moment)
        if not state and seen.functions.rows and not seen.functions.gaps:
            shown = f"does not exist; {found.symptom}" if found else "does not exist"
            found = replace(found or FailingFunction(function, "gone", "", moment.at, None), how="gone", symptom=shown)
        elif found is None and state.get("state") == "FAILED":
            found = FailingFunction(
                function, "not deployed", "its deployment failed", state["updated"] or moment.at, None
            )
        elif found is None and state.get("state") == "DELETING":
            found = FailingFunction(function, "gone", "it is being deleted", state["updated"] or moment.at, None)
        if found:
            yield replace(found, texts=_said(found, seen, state))


def _by_runs(function: Function, fact: Fact, settings: Settings, moment: Moment) -> FailingFunction | None:
    """Whether it fails by its runs, newest first: failed, without an end, or not started when due."""
    runs = [r for r in fact.rows if r["function"] == function.name]
    limit = timedelta(seconds=function.timeout_s)
    bad: list[Row] = []
    for run in runs:
        if run["status"] == "success":
            break
        if run["status"] == "failed" or moment.at - run["started_at"] > limit:
            bad.append(run)
    good = next((r["started_at"] for r in runs if r["status"] == "success"), None)
    if bad:
        how: How = "failed" if bad[0]["status"] == "failed" else "no end"
        symptom = f"{len(bad)} failed" if how == "failed" else f"a run of {bad[0]['started_at']:%H:%M} has no end"
        return FailingFunction(
            function, how, symptom, bad[-1]["started_at"], good, tuple(r["error"] for r in bad if r["error"])
        )
    if fact.gaps or (fact.more and not runs):
        return None  # what did not start cannot be told
    late = _missed(function, runs[0]["started_at"] if runs else None, settings, moment)
    return FailingFunction(function, "not started", f"not started, due {late:%H:%M}", late, good) if late else None


def _missed(function: Function, newest: datetime | None, settings: Settings, moment: Moment) -> datetime | None:
    """The first scheduled run after the newest one that should have started by now."""
    start = (newest or moment.ago(24)).astimezone(settings.zone)
    due = next(CronSim(function.schedule, start + timedelta(minutes=1 if newest else 0))).astimezone(moment.at.tzinfo)
    return moment.local(due) if due < moment.at - SLACK else None


def _said(failing: FailingFunction, seen: Evidence, state: Mapping[str, str]) -> tuple[str, ...]:
    """What its failed runs noted, and what was logged about it from shortly before it began to fail; each once."""
    logged = [
        r["text"] for r in seen.logs.rows if r["function"] == failing.function.name and r["at"] >= failing.since - SLACK
    ]
    logged += [state["message"]] if state.get("message") else []
    return (
        *failing.texts,
        *(line for line in logged if not any(text in line or line in text for text in failing.texts)),
    )
