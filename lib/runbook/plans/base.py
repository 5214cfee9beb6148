"""Helpers for several plans: rows of a fact, a run of a function, and messages."""

from collections.abc import Iterable
from dataclasses import replace
from shlex import quote
from typing import Any, TypeVar

from runbook.config import Request, Scan
from runbook.config.schema import Settings, address_variable
from runbook.display import one_line, visible
from runbook.model import Fact, Refused, command, table
from runbook.model.actions import Notify, Restart, RestartService, RunOnce
from runbook.model.plan import Change, Plan

R = TypeVar("R")


def rows_of(fact: Fact[R], name: str) -> tuple[R, ...]:
    """The rows of a fact without gaps. Raises Refused if there are gaps: no plan can rely on them."""
    if fact.holes:
        raise Refused(f"no plan is possible for {name}", "; ".join(fact.holes), next="fix that, then repeat this run.")
    return fact.rows


def row_of(fact: Fact[R], name: str) -> R:
    """The first row of a fact without gaps. Raises Refused if there are gaps, or no rows."""
    if rows := rows_of(fact, name):
        return rows[0]
    raise Refused(f"no plan is possible for {name}", f"{fact.name}: no rows", next="fix that, then repeat this run.")


def refused(name: str, /, **given: object) -> Refused:
    """The refusal of this name in refusals.yaml."""
    return Refused(**{part: text.format(**given) for part, text in table(__file__, "refusals.yaml")[name].items()})


def note(name: str, /, **given: object) -> str:
    """The note of this name in notes.yaml."""
    return table(__file__, "notes.yaml")[name].format(**given)


def again(request: Request, runbook: str, **values: Any) -> str:
    """The command that runs a runbook in the environment and world of this request."""
    return command(runbook, {name: request.values.get(name, "") for name in ("environment", "world")} | values)


def run_once(function: str, settings: Settings) -> Change:
    """One run of a function, started by its scheduler job: with the job's identity and arguments, without a token."""
    known = settings.named(function)
    line = f"gcloud scheduler jobs run {known.job_name} --location={settings.region} --project={settings.project}"
    args = RunOnce(function=function, job=known.job_name, repeat=known.repeat)
    return Change(args, "", line, no_undo="Not possible: rows that a run has written stay.")


def new_revision(request: Request, args: Restart | RestartService, function: str, label: str, flags: str) -> Change:
    """A new revision of a function's service, whose undo is a rollback to the one before.

    gcloud copies labels into the revision, but not annotations, so the line sets a `label`.
    """
    line = f"gcloud run services update {args.service} {flags} --update-labels={label}"
    return Change(args, again(request, "rollback", function=function, revision=args.revision), line)


def message(contact: str, title: str, text: str, once: str = "") -> Change:
    """A message to a contact; `once` as in `Notify`. Its texts have no secret and no hidden character.

    Whoever makes it puts words of others into one line each: see `one_line`.
    """
    title, text = map(Scan().text, (one_line(title), visible(text)))
    line = f"apprise -t {quote(title)} -b {quote(text)} ${address_variable(contact)}"
    return Change(Notify(contact=contact, title=title, message=text, once=once), "", line, no_undo="Cannot be unsent.")


def announced(plan: Plan, contacts: Iterable[str], settings: Settings) -> Plan:
    """A plan that first notifies contacts about its changes (guide: Pre-Maintenance Checklist)."""
    if not plan.changes:
        return plan
    about = dict.fromkeys(change.resource for change in plan.changes)
    title = f"{settings.environment}: {plan.origin['runbook']} begins: {', '.join(about)}"
    lines = [f"{c.action}, {c.resource}: {c.before} → {c.after}" for c in plan.changes]
    text = "\n".join(map(one_line, [*lines, f"Reason: {plan.reason or 'none given'}"]))
    return replace(plan, changes=(*(message(contact, title, text) for contact in contacts), *plan.changes))


def tried(seen: Fact, settings: Settings, digest: str = "") -> dict[str, str]:
    """The line in a plan about its test in staging; `digest` is that of the source, "" without one."""
    none = f"not in {settings.staging}" if settings.staging else "no staging environment"
    return {"applied in staging": next((row.record for row in seen.rows if row.source == digest), none)}
