"""The post-mortem draft of an incident, from the records of the runs that name it; it says nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runbook.config.schema import Settings
from runbook.config.validation import checked_incident
from runbook.display.text import Row
from runbook.model.errors import UnknownName
from runbook.records.files import probe, publish, read_json
from runbook.records.journal import Journal
from runbook.records.record import read_report, records_directory

NO_CHANGE = "no record of this incident names a change that was made"


@dataclass(frozen=True)
class IncidentRun:
    """One run that named the incident: its folder, journal rows, and what its report and record say."""

    folder: Path
    rows: list[Row]
    report: Row
    record: Row

    @property
    def at(self) -> str:
        """When it began, in UTC."""
        return str(self.record.get("started_at") or self.rows[0]["time"])


def runs_of(system: Settings, incident: str) -> list[IncidentRun]:
    """The runs of an incident, oldest first. Raises UnknownName when there is none."""
    found = []
    for path in sorted(records_directory(system).glob("*/journal.jsonl")):
        rows = Journal(path.parent).read()
        if rows and rows[0].get("parameters", {}).get("incident") == checked_incident(incident):
            report, attested = read_report(path.parent), read_json(path.parent / "record.json")
            found.append(IncidentRun(path.parent, rows, report or {}, attested or {}))
    if not found:
        where = records_directory(system)
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
    folder = records_directory(system) / f"incident-{incident}"
    probe(folder)
    path = folder / "post_mortem.ipynb"
    publish(path, (nbformat.writes(book) + "\n").encode())
    html, _ = HTMLExporter(template_name="basic").from_notebook_node(book)
    publish(folder / "post_mortem.html", html.encode())
    return path


def _sections(incident: str, told: list[IncidentRun]) -> list[str]:
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


def _row(told: IncidentRun) -> str:
    who, said = told.record.get("who", "not attested"), told.report.get("sentence", "no verdict")
    return f"| {told.at[:19]} | {told.rows[0].get('runbook')} | {who} | {said} | `{told.folder.name}` |"


def _done(told: IncidentRun) -> list[str]:
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
