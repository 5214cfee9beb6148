"""Facts from the record store: when an incident was noticed, who was notified, and what was tested in staging."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from runbook.approvals.proved import faults
from runbook.cloud import Cloud
from runbook.config import Request, load_settings
from runbook.facts.base import Answer, Read, fact
from runbook.model import Gap, Moment, NoRecord, Row, RunbookError, time_of
from runbook.model.actions import UpdateFunction
from runbook.model.rows import Noticed, Notified, Rehearsed
from runbook.records import Store, examined, is_report, json_of, mapping, rows_of, store_of
from runbook.records.files import data_of

VERIFY = "runbook records verify {}"
NEWEST = 200  # number of a runbook's staging records that are read
OPEN = timedelta(days=3)  # for how long pages of an incident say when it was noticed

# Parameters that may differ in staging: where and why, and the path of the source, because its digest counts.
_FREE = {"environment", "world", "reason", "incident", "approved_plan", "apply", "ask", "source"}


@fact
def notified(cloud: Cloud, moment: Moment, incident: str) -> Read:
    """The contacts that got a message about an incident, by name."""
    store = store_of(cloud.settings)

    def see() -> Answer:
        rows, gaps = [], []
        for name in store.list(notified_place(incident)) if incident else []:
            try:
                note = data_of(store.read(name) or b"")
                rows.append(Notified(note["contact"], datetime.fromisoformat(note["at"])))
            except (NoRecord, ValueError, KeyError, TypeError) as error:
                gaps.append(Gap(name, f"this note cannot be read: {error}", "inspect it and move it away."))
        return Answer(rows, gaps=tuple(gaps))

    return Read("notified already", f"ls {notified_place(incident)}  # in the record store", see)


def notified_place(once: str, contact: str = "") -> str:
    """The store's key of a note that a contact was notified, or the prefix of all such notes."""
    return "/".join(part for part in ("notified", once.lower(), contact) if part)


@fact
def noticed(cloud: Cloud, moment: Moment, incident: str) -> Read:
    """When an incident was noticed, by the records of its pages that found something: the earliest; no row if none did.

    The pages of the last three days count, if their records verify, and their time is not later than now.
    """
    store, since = store_of(cloud.settings), datetime.now(UTC) - OPEN

    def see() -> Answer:
        known = store.children("runs") if incident else []
        names = [name for name in known if "-p1_response-" in name and name >= f"runs/{since:%Y%m%dT%H%M%SZ}"]
        with ThreadPoolExecutor(16) as pool:
            found = pool.map(lambda name: _noticed(store, Path(name).name, incident, cloud.settings.zone), names)
            return Answer(sorted((row for row in found if row and row.at <= moment.at), key=lambda row: row.at)[:1])

    return Read("noticed", "ls -d runs/*-p1_response-*  # in the record store", see)


def _noticed(store: Store, name: str, incident: str, zone: ZoneInfo) -> Noticed | None:
    given = mapping(mapping(json_of(store.content(f"runs/{name}/record.json"))).get("parameters"))
    if given.get("incident") != incident or faults(store, found := examined(store, name)):
        return None
    report = json_of(found.files.get("report.json"))
    if not is_report(report) or report["verdict"] not in ("alert", "unknown"):
        return None
    with suppress(RunbookError):
        return Noticed(name, time_of(str(given.get("detected_at") or report.get("at")), zone, "detected_at"))


@fact
def rehearsal(cloud: Cloud, moment: Moment, asked: Request) -> Read:
    """Runs that applied the same change in staging, newest first.

    The same change is the same runbook with the same parameters, except those in _FREE. No rows if
    params name no staging environment.
    """
    if not cloud.settings.staging:
        return Read("applied in staging", "grep staging: params/*.yaml  # not set", lambda: Answer(()))
    store = store_of(load_settings(cloud.settings.staging))

    def see() -> Answer:
        found = [name for name in store.children("runs") if f"-{asked.runbook}-" in name][: -NEWEST - 1 : -1]
        rows = [row for name in found if (row := _applied(store, name, _same(asked.values)))]
        wrong = {row.record: faults(store, examined(store, row.record)) for row in rows}
        good = [row for row in rows if not wrong[row.record]]
        gaps = [Gap(run, f"it does not verify: {said[0]}", VERIFY.format(run)) for run, said in wrong.items() if said]
        return Answer(good, gaps=() if good else tuple(gaps))

    return Read("applied in staging", f"ls -d runs/*-{asked.runbook}-*  # in the record store", see)


def _same(values: Row) -> Row:
    return {name: value for name, value in values.items() if name not in _FREE}


def _applied(store: Store, name: str, wanted: Row) -> Rehearsed | None:
    """The row of a run if it applied the wanted change successfully. Raises Broken for a damaged journal."""
    report = json_of(store.content(f"{name}/report.json"))
    rows = rows_of(store.content(f"{name}/journal.jsonl"), f"{store}/{name}")
    outcome = report.get("outcome", {}) if is_report(report) else {}
    applied = rows and outcome.get("result") == "applied" and report["verdict"] in ("ok", "warn")
    if not applied or _same(rows[0].get("parameters", {})) != wanted:
        return None
    sources = (c["args"]["after"].get("source", "") for c in outcome["changes"] if c["action"] == UpdateFunction.action)
    return Rehearsed(Path(name).name, report["environment"], datetime.fromisoformat(rows[0]["at"]), "".join(sources))
