"""Incidents: a P1 that is open, and the post-mortem draft from the records of the runs that name it.

`p1_response` opens an incident when it is given a name and what it sees is a P1; that lasts a day. Only then may the
on-call engineer sign alone what the settings allow. The draft says nothing that is not in a record.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from runbook import record
from runbook.errors import UnknownName
from runbook.forms import checked_incident
from runbook.journal import Journal
from runbook.rows import Row
from runbook.settings import Settings
from runbook.store import Store, Taken

LASTS = timedelta(hours=24)

NO_CHANGE = "no record of this incident names a change that was made"


def open_p1(store: Store, incident: str, now: datetime) -> None:
    """Note in the record store that a P1 was seen; the first time counts. Raises BadParameter, NoRecord."""
    with suppress(Taken):
        store.create(_place(incident), json.dumps({"incident": incident, "opened_at": now.isoformat()}).encode())


def is_open(store: Store, incident: str, now: datetime) -> bool:
    """Whether a P1 of this name was opened within the last day."""
    raw = store.read(_place(incident))
    return raw is not None and now - datetime.fromisoformat(json.loads(raw)["opened_at"]) < LASTS


def _place(incident: str) -> str:
    return f"incidents/{checked_incident(incident).lower()}.json"


@dataclass(frozen=True)
class Told:
    """One run that named the incident: its folder, journal rows, and what its report and record say."""

    folder: Path
    rows: list[Row]
    report: Row
    record: Row

    @property
    def at(self) -> str:
        """When it began, in UTC."""
        return str(self.record.get("started_at") or self.rows[0]["time"])


def runs_of(system: Settings, incident: str) -> list[Told]:
    """The runs of an incident, oldest first. Raises UnknownName when there is none."""
    found = []
    for path in sorted(record.folder_of(system).glob("*/journal.jsonl")):
        rows = Journal(path.parent).read()
        if rows and rows[0].get("parameters", {}).get("incident") == checked_incident(incident):
            report, attested = record.read_report(path.parent), record.read_json(path.parent / "record.json")
            found.append(Told(path.parent, rows, report or {}, attested or {}))
    if not found:
        where = record.folder_of(system)
        raise UnknownName(f"no record names {incident}", f"looked in {where}", next="give runs -p incident=INC-….")
    return sorted(found, key=lambda told: told.at)


def draft(system: Settings, incident: str) -> Path:
    """Write the post-mortem draft as notebook and HTML, and return the notebook's path; raises as `runs_of`."""
    import nbformat
    from nbconvert import HTMLExporter

    told = runs_of(system, incident)
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(text) for text in _sections(incident, told)])
    for number, cell in enumerate(book.cells):
        cell.id = f"part-{number}"
    folder = record.folder_of(system) / f"incident-{incident}"
    record.probe(folder)
    path = folder / "post_mortem.ipynb"
    record.publish(path, (nbformat.writes(book) + "\n").encode())
    html, _ = HTMLExporter(template_name="basic").from_notebook_node(book)
    record.publish(folder / "post_mortem.html", html.encode())
    return path


def _sections(incident: str, told: list[Told]) -> list[str]:
    """The draft's parts, each from the records alone."""
    first = next((t.report for t in told if t.report), {})
    system = f"System: {first.get('project', 'unknown')}, {first.get('target', '')}."
    runs = [_row(t) for t in told]
    found = [f for t in told for f in t.report.get("findings", [])]
    impact = dict.fromkeys(f"{f['subject']}: {f['value']}" for f in found if f["verdict"] == "alert")
    unknown = dict.fromkeys(f"{f['check']}, {f['subject']}: {f['value']}" for f in found if f["verdict"] == "unknown")
    unended = [f"`{t.folder.name}` never gave a verdict" for t in told if not t.report]
    return [
        f"# {incident}: draft of the post-mortem\n\n{system}",
        "## Timeline\n\n| began (UTC) | runbook | who | verdict | record |\n|---|---|---|---|---|\n" + "\n".join(runs),
        "## Impact\n\n" + _list(impact, "no record says that anything was broken"),
        "## What was done, and by whom\n\n" + _list([line for t in told for line in _done(t)], NO_CHANGE),
        "## Open questions\n\n" + _list([*unknown, *unended], "none that a record names"),
    ]


def _row(told: Told) -> str:
    who, said = told.record.get("who", "not attested"), told.report.get("sentence", "no verdict")
    return f"| {told.at[:19]} | {told.rows[0].get('runbook')} | {who} | {said} | `{told.folder.name}` |"


def _done(told: Told) -> list[str]:
    """What a run wrote, who approved it, and whether it was seen to be done."""
    lines = []
    for row in told.rows:
        if row["kind"] == "APPLY":
            by = ", ".join(f"{a['approver']} as {a['role']} ({a['reason']})" for a in row["approvals"])
            said = f"plan {row['plan'][:12]}, approved by {by or 'nobody had to'}"
        elif row["kind"] == "INTENT":
            change = row["change"]
            said = f"{change['action']}, {change['resource']}: {change['before']} → {change['after']}"
        elif row["kind"] == "CONFIRM":
            said = f"seen afterwards: {row['state']}, {row['said']}"
        else:
            continue
        lines.append(f"{row['time'][:19]} {said}")
    return lines


def _list(lines: Any, none: str) -> str:
    return "\n".join(f"- {line}" for line in lines) or none
