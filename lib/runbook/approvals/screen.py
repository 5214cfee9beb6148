"""What an approver sees before they sign: what would change and the way back, what was checked, who asks, and why.

It fits 80 columns; screen.txt.j2 has its form. Gates, and what an incident's page said, are as of the planning run and
not signed: `apply` checks the gates again.
"""

import textwrap
from pathlib import Path
from typing import Any

from runbook.approvals.proved import faults
from runbook.approvals.stored_plan import Found
from runbook.display.text import visible
from runbook.model.actions import Notify
from runbook.records import examined, is_report, json_of, mapping

WIDTH = 80
FORM = Path(__file__).with_name("screen.txt.j2")
NEWEST = 50  # runs in which the page of an incident is looked for


def screen(found: Found) -> str:
    """The text of a plan for its approver."""
    from jinja2 import StrictUndefined, Template  # here, because the import takes time

    content, incident = found.content, str(found.parameters.get("incident", ""))
    told = {"found": found, "file": found.stored.file, "terms": found.stored.file.terms, "content": content}
    told |= {"incident": incident, "page": _page_of(found, incident) if incident else ""}
    told["relies_on"] = [f"{key}: {value}" for key, value in content["relies_on"].items()]
    told["parameters"] = [f"{k}={v}" for k, v in found.parameters.items() if v not in ("", content["reason"])]
    messages = (change["args"]["message"] for change in content["changes"] if change["action"] == Notify.action)
    told |= {"messages": [*dict.fromkeys(messages)], "wrapped": _wrapped, "exactly": _exactly}
    form = Template(FORM.read_text(encoding="utf-8"), trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    return visible(form.render(told))


def _exactly(args: dict[str, Any]) -> str:
    """The arguments of a change that are not shown elsewhere."""
    return ", ".join(f"{k}={v}" for k, v in args.items() if k not in ("before", "after", "message"))


def _wrapped(head: str, text: object) -> str:
    """A line with its head, and more lines below if the screen is too narrow."""
    given = {"initial_indent": head, "subsequent_indent": " " * len(head), "break_long_words": True}
    return textwrap.fill(" ".join(str(text).split()) or "-", WIDTH, break_on_hyphens=False, **given)


def _page_of(found: Found, incident: str) -> str:
    """What the newest page of an incident said, in its own words, and where its record is."""
    store = found.store
    for name in [n for n in store.children("runs") if "-p1_response-" in n][: -NEWEST - 1 : -1]:
        report, record = (mapping(json_of(store.content(f"{name}/{part}.json"))) for part in ("report", "record"))
        if is_report(report) and mapping(record.get("parameters")).get("incident") == incident:
            wrong = faults(store, examined(store, run := name.removeprefix("runs/")))
            doubts = [f"do not rely on it: {why}" for why in wrong[:1]]
            return f"“{report.get('sentence')}” ({'; '.join((run, *doubts))})"
    return "no page of it is in the record store"
