"""What a run on a schedule reports: a line for Cloud Logging, and messages about alerts to the contacts in params.

    alerts/<the team's day>/<cause>        somebody was notified of an alert; <cause>-over: and that it is over

A cause is a finding's check and subject, and whether it is an alert or unknown: nobody may take what could not be read
for good news. It is notified once a day, in one message a run, and its end once. No plan holds these messages, nor
those of apply/ask.py; the journal of the run and the store have each.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from runbook.apply.notify import deliver
from runbook.cloud.target import target
from runbook.config import Request, Settings
from runbook.data_file import table
from runbook.display import one_line
from runbook.model import NoRecord, Refused, Taken, canonical, command
from runbook.model.report import findings_of
from runbook.records import Store, json_of, mapping, now, read_report, store_of

Write = Callable[..., None]
DAYS = 31  # an alert that nobody saw again for so long is no longer open


def log_line(ended: Any, whole: bool = False) -> str:
    """The result of a run (a `RunResult`) in one line of JSON, with the fields that Cloud Logging reads.

    `whole`: with its findings, its next steps and its outcome.

    Source: https://cloud.google.com/logging/docs/structured-logging
    """
    record, report = ended.record, read_report(ended.folder) or {}
    good = record["status"] == "finished"
    about = {"environment": record["parameters"]["environment"], "incident": record["parameters"].get("incident", "")}
    about |= {name: record[name] for name in ("runbook", "status", "verdict", "exit", "ended_at")}
    names = ("project", "target", *(("findings", "next", "outcome") if whole else ())) if good else ()
    about |= {name: report[name] for name in names if name in report} | {"record": ended.folder.name}
    about |= {"error": list(ended.error)} if ended.error else {}
    level = table(__file__, "alerts.yaml")["severity"][record["verdict"] if good else "none"]
    said = report.get("sentence", "") if good else f"No verdict: {record['why']}"
    return json.dumps({"severity": level, "message": f"{about['environment']}: {said}", **about}, ensure_ascii=False)


def notify(
    system: Settings, wanted: Request, report: Mapping[str, Any] | None, why: str, write: Write, record: str = ""
) -> None:
    """Notify the contacts of new alerts and unknowns, and of what is over. Never raises: `write` gets what fails.

    A run without a report is an alert, too; `why` says how it ended, or that it is missing. A run of a past moment
    notifies nobody. If the store cannot be used, nothing says who was notified before: each run notifies again.
    `write` adds a row to the journal: its kind, and its fields.
    """
    if wanted.values.get("as_of") or not system.alert_contacts:
        return
    about = {"check": f"the run of {wanted.runbook}", "subject": system.environment}
    itself = about | {"verdict": "ok" if report else "alert", "value": why}
    found = [itself, *findings_of(report or {})]
    day = datetime.now(UTC).astimezone(system.zone).date().isoformat()
    try:
        store, known = store_of(system), list[str]()
        with suppress(NoRecord):
            known = [name for place in store.children("alerts")[-DAYS:] for name in store.children(place)]
        bad = {f"alerts/{day}/{_cause(f)}": f for f in found if f["verdict"] in ("alert", "unknown")}
        new = {name: f for name, f in bad.items() if name not in known}
        over = {f"{name}-over": note for name, note in _over(store, known, found)}
        words = {"unknown": "no longer unknown"}
        said = ((note, words.get(note.get("verdict", ""), "no longer an alert")) for note in reversed(over.values()))
        ends = {_cause(note): f"{word}: {_said(note)}" for note, word in said}
        lines = [f"{f['verdict'].upper()} {_said(f)}" for f in sorted(new.values(), key=lambda f: f["verdict"])]
        counts = {**Counter(sorted(f["verdict"] for f in new.values())), "over": len(ends)}
        title = f"{wanted.runbook}: {', '.join(f'{count} {word}' for word, count in counts.items() if count)}"
        where = {name: wanted.values[name] for name in ("environment", "world") if name in wanted.values}
        lines += [*ends.values(), f"Next: {command('p1_response' if report else wanted.runbook, where)}"]
        text = "\n".join([*lines, *([f"Record: {record}"] if record else [])])
        if (new or over) and _send(system, title, text, write):
            for name, one in (new | over).items():
                with suppress(Taken, NoRecord):  # another run was faster
                    about = {key: str(one.get(key, "")) for key in ("check", "subject", "value", "verdict")}
                    store.create(name, canonical(about | {"at": now(), "record": record}))
    except Exception as error:  # noqa: BLE001 - the record must get its end; `runbook fleet` says what is missing
        with suppress(NoRecord):
            write("MESSAGE", contact="", title="", text="", result=f"failed: {error!r}")


def _cause(finding: Mapping[str, Any]) -> str:
    said = f"{finding['check']}\0{finding['subject']}" + "\0unknown" * (finding.get("verdict") == "unknown")
    return sha256(said.encode()).hexdigest()[:16]


def _said(finding: Mapping[str, Any]) -> str:
    return one_line(f"{finding['check']}, {finding['subject']}: {finding.get('value', '')}")[:300]


def _over(store: Store, known: list[str], found: list[Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Open alerts whose check found no alert and no unknown there now; a check that was not made says nothing."""
    for name in known:
        if name.endswith("-over") or f"{name}-over" in known:
            continue
        note = mapping(json_of(store.content(name)))
        again = [f for f in found if f["check"] == note.get("check")]
        still = any(f["verdict"] == "unknown" or (f["verdict"] == "alert" and _cause(f) in name) for f in again)
        if again and not still:
            yield name, note | {"value": f"it began {str(note.get('at'))[:16]} UTC"}


def _send(system: Settings, title: str, text: str, write: Write) -> bool:
    """Send a message to every contact, and say so in the journal; whether any was accepted."""
    accepted = False
    for contact in system.alert_contacts:
        said = "not sent: a rehearsal calls nobody"
        try:
            if target(system.environment) == "google":
                deliver(contact, f"{system.environment}: {title}", text)
                said = "accepted"
            accepted = True
        except Refused as error:
            said = f"{error.what}: {error.observed}"
        write("MESSAGE", contact=contact, title=title, text=text, result=said)
    return accepted
