"""The post-mortem draft of an incident. It contains only what the records of its runs contain."""

import re
from collections.abc import Iterator
from contextlib import suppress
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

from runbook.config.schema import Settings
from runbook.config.validation import checked_incident
from runbook.display.text import Row
from runbook.model.errors import Broken, UnknownName
from runbook.records.files import json_of, probe, publish
from runbook.records.journal import rows_of
from runbook.records.notes import notes_of
from runbook.records.record import is_report, records_directory, store_of

FINDING = {"check", "subject", "value", "verdict"}
NO_CHANGE = "the records of this incident contain no change"


class IncidentRun(NamedTuple):
    """One run with the parameter `incident`: its name, journal rows, report and record."""

    name: str
    rows: list[Row]
    report: Row
    record: Row

    @property
    def at(self) -> str:
        """When it started, in UTC."""
        return str(self.record.get("started_at") or self.rows[0]["time"])


def runs_of(system: Settings, incident: str) -> list[IncidentRun]:
    """The runs of an incident, oldest first. Raises UnknownName if there are none."""
    found, store = [], store_of(system)
    for place in store.children("runs"):
        report, *markers = (json_of(store.content(f"{place}/{name}.json")) for name in ("report", "record", "begin"))
        marker = next((one for one in markers if isinstance(one, dict)), {})  # a lost machine has left only its begin
        rows = [{"kind": "START", "time": str(marker.get("started_at")), **marker}]
        with suppress(Broken):  # what cannot be read is no row; the run is listed by its marker
            rows = rows_of(store.content(f"{place}/journal.jsonl"), f"{store}/{place}") or rows
        given = rows[0].get("parameters")
        if isinstance(given, dict) and given.get("incident") == checked_incident(incident):
            found.append(IncidentRun(Path(place).name, rows, report if is_report(report) else {}, marker))
    if not found:
        hint = f"give each run the parameter -p incident={incident}."
        raise UnknownName(f"no record belongs to {incident}", f"searched {store}/runs", next=hint)
    return sorted(found, key=lambda one: one.at)


def draft(system: Settings, incident: str) -> Path:
    """Write the post-mortem draft as notebook and HTML, and return the notebook's path; raises as `runs_of`."""
    import nbformat
    from nbconvert import HTMLExporter

    runs = runs_of(system, incident)
    texts = enumerate(_sections(incident, runs, notes_of(system, incident)))
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(text, id=f"part-{n}") for n, text in texts])
    folder = records_directory(system) / f"incident-{incident}"
    probe(folder)
    path = folder / "post_mortem.ipynb"
    publish(path, (nbformat.writes(book) + "\n").encode())
    html, _ = HTMLExporter(template_name="basic").from_notebook_node(book)
    publish(folder / "post_mortem.html", html.encode())
    return path


def _sections(incident: str, runs: list[IncidentRun], notes: list[Row]) -> list[str]:
    """The sections of the draft, from the records and the notes only."""
    first = next((run.report for run in runs if run.report), {})
    system = _cell(f"System: {first.get('project', 'unknown')}, {first.get('target', '')}.")
    noted = [f"| {_cell(note['at'][:19])} | note | {_cell(note['who'])} | {_cell(note['text'])} | |" for note in notes]
    rows = sorted([*map(_row, runs), *noted])
    found = [f for run in runs for f in run.report.get("findings", []) if isinstance(f, dict) and f.keys() >= FINDING]
    impact = dict.fromkeys(f"{f['subject']}: {f['value']}" for f in found if f["verdict"] == "alert")
    unknown = dict.fromkeys(f"{f['check']}, {f['subject']}: {f['value']}" for f in found if f["verdict"] == "unknown")
    unended = [f"`{run.name}` has no verdict" for run in runs if not run.report]
    return [
        f"# {incident}: draft of the post-mortem\n\n{system}",
        "## Timeline\n\n| began (UTC) | runbook | who | verdict | record |\n|---|---|---|---|---|\n" + "\n".join(rows),
        "## Impact\n\n" + _list(impact, "the records contain no alert"),
        "## Actions, and who approved them\n\n" + _list([line for run in runs for line in _done(run)], NO_CHANGE),
        "## Open questions\n\n" + _list([*unknown, *unended], "none in the records"),
    ]


def _row(run: IncidentRun) -> str:
    who, said = run.record.get("who", "not attested"), run.report.get("sentence", "no verdict")
    return f"| {' | '.join(map(_cell, (run.at[:19], run.rows[0].get('runbook'), who, said)))} | `{run.name}` |"


def _cell(text: object) -> str:
    """Somebody's words: one line, no HTML, no link or image, and no new column of a table."""
    return re.sub(r"([|\[])", r"\\\1", escape(" ".join(str(text).split()), quote=False))


def _done(run: IncidentRun) -> Iterator[str]:
    """What a run wrote, who approved it, and whether it was verified."""
    try:
        for row in run.rows:
            at = row["time"][:19]
            if row["kind"] == "APPLY":
                by = ", ".join(f"{a['approver']} as {a['role']} ({a['reason']})" for a in row["approvals"])
                yield f"{at} plan {row['plan'][:12]}, {f'approved by {by}' if by else 'no approval required'}"
            elif row["kind"] == "INTENT":
                yield "{} {action}, {resource}: {before} → {after}".format(at, **row["change"])
            elif row["kind"] == "CONFIRM":
                yield f"{at} state afterwards: {row['state']}, {row['said']}"
    except (LookupError, TypeError, AttributeError) as error:
        yield f"`{run.name}`: a row of its journal cannot be read ({type(error).__name__})"


def _list(lines: Any, none: str) -> str:
    return "\n".join(f"- {_cell(line)}" for line in lines) or none
