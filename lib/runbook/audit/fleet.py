"""What the record store has of an environment: whether it has reported, and what is new since the time before.

A run that did not happen leaves nothing behind. Only params, which name the environments, and the records together tell
who has not reported.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, NamedTuple

from runbook.config.load import load_settings
from runbook.model.errors import NoRecord, RunbookError
from runbook.model.report import findings_of
from runbook.records.files import json_of
from runbook.records.record import is_report, store_of
from runbook.records.store import Store

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
    newest, before, left = None, None, "no run"
    try:
        system = load_settings(environment)
        store, start = store_of(system), _due(datetime.now(system.zone), by) if by else since
        names = sorted((n for n in store.children("runs") if f"-{runbook}-" in n), reverse=True)
        for name in names[:EARLIER]:
            at, said, report = _read(store, name, runbook, environment)
            if at >= start:
                newest = newest or (report and (name, report))
                left = f"{name[5:]}: {said}" if left == "no run" else left
            elif report:
                before = report
                break
    except RunbookError as error:
        return Reported(environment, "unknown", why.get(environment) or f"{error.what}: {error.observed}")
    if not newest:
        return Reported(environment, "missing", why.get(environment) or f"{left} since {start:%Y-%m-%d %H:%M %Z}")
    name, report = newest
    bad, known = _bad(report), _bad(report if before is None else before)
    causes = sorted(_bad(report, ("alert", "unknown")))
    said = str(report.get("sentence"))
    return Reported(environment, report["verdict"], said, name[5:], sorted(bad - known), sorted(known - bad), causes)


def _due(now: datetime, by: datetime) -> datetime:
    """The start of the team's day in which a report is due: today once it is `by`, until then yesterday."""
    day = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return day if now.time() >= by.time() else day - timedelta(days=1)


def _read(store: Store, name: str, runbook: str, environment: str) -> tuple[datetime, str, dict[str, Any] | None]:
    """When a run began, and its report; without one, why it does not count. Its record decides."""
    at = datetime.min.replace(tzinfo=UTC)
    with suppress(ValueError):
        at = datetime.strptime(name[5:21], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    try:
        content, record = store.read(f"{name}/report.json") or b"", json_of(store.read(f"{name}/record.json"))
    except NoRecord as error:  # a link, say
        return at, f"{error.what}: {error.observed}", None
    report = json_of(content)
    if not isinstance(record, dict):
        return at, "it has no record of its end", None
    given, sums = (part if isinstance(part := record.get(key), dict) else {} for key in ("parameters", "sha256"))
    rules = {
        str(record.get("why")): record.get("status") == "finished",
        "its record is of another run": (record.get("runbook"), given.get("environment")) == (runbook, environment),
        "it shows the past": not given.get("as_of"),
        "its report was changed later": sums.get("report.json") == sha256(content).hexdigest() and is_report(report),
    }
    said = next((why for why, met in rules.items() if not met), "")
    return at, said, None if said else report


def _bad(report: Mapping[str, Any], verdicts: Sequence[str] = ("alert", "unknown", "warn")) -> set[str]:
    return {f"{f['check']}, {f['subject']}" for f in findings_of(report) if f["verdict"] in verdicts}
