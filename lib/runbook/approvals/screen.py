"""What an approver sees before they sign: what would change and the way back, what was checked, who asks, and why.

It fits 80 columns. Gates, and what an incident's page said, are as of the planning run and not signed: `apply` checks
the gates again.
"""

import textwrap
from collections.abc import Iterator
from typing import Any

from runbook.approvals.proved import faults
from runbook.approvals.stored_plan import Found
from runbook.display.text import visible
from runbook.model.actions import Notify
from runbook.records import is_report, json_of, mapping

WIDTH = 80
NEWEST = 50  # runs in which the page of an incident is looked for


def screen(found: Found) -> str:
    """The text of a plan for its approver."""
    content, terms, incident = found.content, found.stored.file.terms, str(found.parameters.get("incident", ""))
    title = f"{content['operation']} on {content['environment']} ({content['target']}, {content['project']})"
    about = {
        "asked by": f"{terms.requester}, who applies it",
        "reason": content["reason"] or "none given",
        "risk": f"{terms.risk}; signed by {' and '.join(terms.signers) or 'nobody'}",
        "when": found.preferred,
        "code": f"commit {content['commit']}",
        "record": f"{found.stored.file.record or 'unknown'} in {found.store}",
        "incident": f"{incident}: {_page_of(found, incident)}" if incident else "",
        "relies on": "; ".join(f"{key}: {value}" for key, value in content["relies_on"].items()),
        "parameters": ", ".join(f"{k}={v}" for k, v in found.parameters.items() if v not in ("", content["reason"])),
    }
    lines = [f"Plan {found.stored.file.id[:12]}: {title}", "", *_table(about)]
    for text in dict.fromkeys(c["args"]["message"] for c in content["changes"] if c["action"] == Notify.action):
        lines += ["", "Message to the contacts", *(line for part in text.split("\n") for line in _wrapped("   ", part))]
    gates = [(gate.verdict, f"{gate.check}, {gate.subject}: {gate.value}") for gate in found.stored.file.gates]
    shown = [line for verdict, text in gates for line in _wrapped(f"   {verdict:8}", text)] or ["   nothing"]
    lines += ["", "Found when it was planned; checked again before it is applied", *shown, "", "What would change"]
    for number, change in enumerate(content["changes"], 1):
        lines += _wrapped(f"{number}. ", f"{change['action']}, {change['resource']}")
        parts = {name: change[name] for name in ("before", "after")} | {"undo": change["undo"] or change["no_undo"]}
        exactly = {name: value for name, value in change["args"].items() if name not in ("before", "after", "message")}
        lines += _table(parts | {"exactly": ", ".join(f"{k}={v}" for k, v in exactly.items())}, "   ")
    return visible("\n".join(lines)) + "\n"


def _table(rows: dict[str, Any], indent: str = "  ") -> Iterator[str]:
    for name, value in rows.items():
        if value not in ("", None):
            yield from _wrapped(f"{indent}{name:10}  ", str(value))


def _wrapped(head: str, text: str) -> list[str]:
    """A line with its head, and more lines below if the screen is too narrow."""
    given = {"initial_indent": head, "subsequent_indent": " " * len(head), "break_long_words": True}
    return textwrap.wrap(" ".join(text.split()) or "-", WIDTH, break_on_hyphens=False, **given)


def _page_of(found: Found, incident: str) -> str:
    """What the newest page of an incident said, in its own words, and where its record is."""
    store = found.store
    for name in [n for n in store.children("runs") if "-p1_response-" in n][: -NEWEST - 1 : -1]:
        report, record = (mapping(json_of(store.content(f"{name}/{part}.json"))) for part in ("report", "record"))
        if is_report(report) and mapping(record.get("parameters")).get("incident") == incident:
            wrong = faults(store, run := name.removeprefix("runs/"))
            doubts = [f"do not rely on it: {why}" for why in wrong[:1]]
            return f"“{report.get('sentence')}” ({'; '.join((run, *doubts))})"
    return "no page of it is in the record store"
