"""What several plans need: one row of a fact, the flags of every gcloud line, and a run of a function."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from shlex import quote
from typing import Any

from runbook.config.request import Request
from runbook.config.schema import Settings, address_variable
from runbook.display.text import Row
from runbook.model.command import command
from runbook.model.errors import Refused
from runbook.model.facts import Fact
from runbook.model.operations import Notify, RunOnce
from runbook.model.plan import Change, Plan


def rows_of(fact: Fact, name: str) -> tuple[Row, ...]:
    """The rows of a fact that was seen whole. Raises Refused where it was not: nothing can be planned on that."""
    why = [*(f"{n} does not exist" for n in fact.absent), *(f"{g.subject}: {g.why}" for g in fact.gaps)]
    if why:
        raise Refused(f"nothing can be planned for {name}", "; ".join(why), next="mend that, run again.")
    return fact.rows


def row_of(fact: Fact, name: str) -> Row:
    """The first row of a fact that was seen whole and is not empty. Raises Refused."""
    for row in rows_of(fact, name):
        return row
    raise Refused(f"nothing can be planned for {name}", f"{fact.name}: nothing there", next="mend that, run again.")


def again(request: Request, runbook: str, **values: Any) -> str:
    """The command that runs a runbook where this request is."""
    place = {name: request.values.get(name, "") for name in ("environment", "world")}
    return command(runbook, {**place, **values})


def flags(settings: Settings) -> str:
    """Where the system is, as gcloud wants it."""
    return f"--region={settings.region} --project={settings.project}"


def run_once(function: str, settings: Settings) -> Change:
    """One run of a function, as the scheduler starts it: its own identity, its own arguments, no token of ours."""
    line = f"gcloud scheduler jobs run {function} --location={settings.region} --project={settings.project}"
    return Change(RunOnce(function=function), "", line, no_undo="what a run has written stays written")


def message(contact: str, title: str, text: str, once: str = "") -> Change:
    """A message to a contact; `once` names what it is sent for only once, else that is the plan's application."""
    line = f"apprise -t {quote(title)} -b {quote(text)} ${address_variable(contact)}"
    args = Notify(contact=contact, title=title, message=text, once=once)
    return Change(args, "", line, no_undo="what was said stays said")


def announced(plan: Plan, contacts: Iterable[str], settings: Settings) -> Plan:
    """A plan whose first changes tell contacts what is about to happen (guide: Pre-Maintenance Checklist)."""
    if not plan.changes:
        return plan
    about = dict.fromkeys(change.resource for change in plan.changes)
    title = f"{settings.environment}: {plan.origin['runbook']} begins: {', '.join(about)}"
    lines = [f"{c.action}, {c.resource}: {c.before} → {c.after}" for c in plan.changes]
    text = "\n".join([*lines, f"Reason: {plan.reason or 'none given'}"])
    return replace(plan, changes=(*(message(contact, title, text) for contact in contacts), *plan.changes))


def tried(seen: Fact, settings: Settings, digest: str = "") -> dict[str, str]:
    """What stands in a signed plan about a trial in staging; `digest` is that of the source, where there is one."""
    said = "none available" if not settings.staging else f"not in {settings.staging}"
    rows = [row["record"] for row in seen.rows if row["_source"] == digest]
    return {"tried in staging": rows[0] if rows else said}
