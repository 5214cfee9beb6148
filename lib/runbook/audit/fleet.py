"""What the record store has of an environment: whether it has reported, and what is new since the time before.

A run that did not happen leaves nothing behind. Only params, which name the environments, and the records together tell
who has not reported.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from runbook.audit.index import AHEAD, names_in, read_run, time_in
from runbook.config.load import load_settings
from runbook.model import RunbookError
from runbook.model.report import findings_of
from runbook.records import Store, store_of

EARLIER = 50  # records that are looked through for the one before
ORDER = ("missing", "alert", "unknown", "warn", "ok")


class Reported(NamedTuple):
    """What one environment reported: `said` is its sentence, or why it is missing; `new` what was fine before."""

    environment: str
    verdict: str
    said: str
    record: str = ""
    new: Sequence[str] = ()
    over: Sequence[str] = ()
    causes: Sequence[str] = ()


def reported(environment: str, runbook: str, since: datetime, by: datetime | None, why: Mapping[str, str]) -> Reported:
    """What an environment reported after `since`, or, given a time `by`, in the team's day in which that passed last.

    Never raises: what cannot be read is unknown. `why` has the error of each run that could not begin.
    """
    newest, before, left = None, None, ""
    try:
        system = load_settings(environment)
        store, start = store_of(system), _due(datetime.now(system.zone), by) if by else since
        names = [name for name in names_in(store) if f"-{runbook}-" in name]
        if ahead := [name for name in names if time_in(name) > datetime.now(UTC) + AHEAD]:  # it would hide all others
            left = f"{ahead[0]}: it is of a time to come, so a clock was wrong"
        for name in names[len(ahead) :][:EARLIER]:
            said, report = _read(store, name, runbook, environment)
            if time_in(name) >= start:
                newest = newest or (report and (name, report))
                left = left or f"{name}: {said}"
            elif report:
                before = report
                break
    except RunbookError as error:
        return Reported(environment, "unknown", why.get(environment) or f"{error.what}: {error.observed}")
    if not newest:
        last = "".join(f"; the newest is {name}" for name in names[len(ahead) :][:1]) or "; there is none"
        none = f"no {'other ' * bool(left)}run since {start:%Y-%m-%d %H:%M %Z}{last}"
        return Reported(environment, "missing", why.get(environment) or "; ".join(filter(None, (left, none))))
    name, report = newest
    bad, known = _bad(report), _bad(report if before is None else before)
    causes = sorted(_bad(report, ("alert", "unknown")))
    said = str(report.get("sentence"))
    return Reported(environment, report["verdict"], said, name, sorted(bad - known), sorted(known - bad), causes)


def _due(now: datetime, by: datetime) -> datetime:
    """The start of the team's day in which a report is due: today once it is `by`, until then yesterday."""
    day = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return day if now.time() >= by.time() else day - timedelta(days=1)


def _read(store: Store, name: str, runbook: str, environment: str) -> tuple[str, dict[str, Any] | None]:
    """The report of a run; without one, why it does not count: a record that does not verify says nothing."""
    run = read_run(store, name)
    rules = {
        "; ".join(run.faults): not run.faults,
        str(run.record.get("why")): run.ended,
        "its record is of another run": (run.runbook, run.given.get("environment")) == (runbook, environment),
        "it shows the past": not run.given.get("as_of"),
        "its machine's clock was wrong": run.report.get("target") != "google" or _on_time(name, run.report.get("at")),
    }
    said = next((why for why, met in rules.items() if not met), "")
    return said, None if said else run.report


def _on_time(name: str, at: object) -> bool:
    """Whether a record is of the time at which Google's clock said that it ran."""
    with suppress(ValueError, OverflowError):
        return abs(datetime.fromisoformat(str(at)).astimezone(UTC) - time_in(name)) <= AHEAD
    return False


def _bad(report: Mapping[str, Any], verdicts: Sequence[str] = ("alert", "unknown", "warn")) -> set[str]:
    return {f"{f['check']}, {f['subject']}" for f in findings_of(report) if f["verdict"] in verdicts}
