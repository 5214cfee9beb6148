"""The commands that read the record store: `plans` that wait, and an `incident` with its `note`s."""

from typing import Any

import click

from runbook.cli.complete import complete
from runbook.cli.output import JSON, aside, table_text
from runbook.cli.signing import SYSTEM, no_secret
from runbook.display.text import DAY, few, is_plain
from runbook.model import BadInput, NoRecord, RunbookError


@click.command()
@JSON
@SYSTEM
@click.option("--notify", is_flag=True, help="Send a message about each stale plan to its requester and signers.")
def plans(system: Any, notify: bool) -> None:
    """List the plans that can still be signed or applied.

    Each is planned again, to show what has changed since it was made.
    """
    from runbook.apply.attempts import attempts, unfinished_attempts
    from runbook.approvals.stored_plan import waiting

    rows, moved, damaged = [], [], list[str]()
    for found in waiting(system, damaged):
        try:
            begun = unfinished_attempts(found.store, found.stored.file.id)
            if not begun and attempts(found.store, found.stored.file.id):
                continue
            signed, _ = found.signed
        except RunbookError as error:  # such as an operation that params do not know
            moved.append(f"{found.stored.file.id[:12]}: {error.what}: {error.observed}")
            continue
        missing = [role for role in found.rule.signers if role not in signed]
        state, *why = _state(found, bool(signed), bool(begun), notify)
        row = {"plan": found.stored.file.id[:12], "operation": found.content["operation"]}
        row |= {"changes": few(_targets(found)), "by": found.stored.file.terms.requester}
        state += _not_before(found, signed) * (state == "unchanged")
        rows.append(row | {"signed": ", ".join(dict.fromkeys(signed)), "to sign": ", ".join(missing), "now": state})
        moved += [f"{row['plan']}: {line}" for line in why]
    click.echo(table_text(rows) or "No plan is waiting.")
    for line in [*moved, *(f"Ignored: {line}" for line in damaged)]:
        aside(line)


def _targets(found: Any) -> list[str]:
    """What a plan changes, each once; those who get a message are left out."""
    changes = [change for change in found.content["changes"] if change["action"] != "notify"]
    return [*dict.fromkeys(change["resource"] for change in changes)]


def _not_before(found: Any, signed: list[str]) -> str:
    """From when a plan may be applied, if that is later than now: by its signatures, or by its terms."""
    from runbook.approvals.verify import statements_of
    from runbook.records.plans import clock

    begins: dict[str, Any] = {}
    for one in statements_of(found.store, found.stored.file.id) if signed else ():
        begins[one.role] = min(clock(one.not_before), begins.get(one.role, clock(one.not_before)))
    known = [begins[role] for role in signed if role in begins] or [clock(found.stored.file.terms.not_before)]
    return f"; from {max(known).astimezone(found.system.zone):{DAY}}" if max(known) > found.now else ""


def _state(found: Any, signed: bool, begun: bool, notify: bool) -> list[str]:
    """Whether the same run would make the same plan now, and what has changed."""
    if begun:
        return ["begun, not finished"]
    if not signed and found.parameters.get("source"):  # planning runs the tests of a source
        return ["not signed: not planned again"]
    from runbook.context import Told
    from runbook.records.record import read_report
    from runbook.runner.run import run as run_again

    try:
        told = Told(compare=found.stored.file.id, notify=notify)
        done = run_again(found.content["runbook"], found.parameters, told=told)
    except NoRecord as error:  # whoever may only read the store still sees what waits
        return ["could not tell", f"{error.what}: {error.observed}"]
    outcome = (read_report(done.folder) or {}).get("outcome") or {}
    if outcome.get("result") == "planned":
        return ["unchanged"]
    lines = [line for line in str(outcome.get("said", "")).splitlines() if line.startswith(("changed: ", "notified: "))]
    return ["stale", *lines] if lines else ["could not tell", *(done.error or [str(outcome.get("said", ""))])]


@click.command()
@click.argument("name")
@click.argument("text", callback=no_secret)
@SYSTEM
def note(name: str, text: str, system: Any) -> None:
    """Add a note to an incident, such as what you did by hand.

    \b
    runbook note INC-7 "restarted the proxy by hand"
    """
    from runbook.config.validation import checked_incident
    from runbook.records.notes import add_note

    if not text.strip() or not is_plain(text) or len(text) > 500:
        raise BadInput("a note is one line of plain text", "at most 500 characters", next="shorten it, or add several.")
    place = add_note(system, checked_incident(name), text.strip())
    click.echo(f"Noted: {place}. It is part of: runbook incident {name}")


@click.command()
@JSON
@click.argument("name", shell_complete=complete("incident"))
@SYSTEM
def incident(name: str, system: Any) -> None:
    """List the records of an incident, and draft its post-mortem.

    \b
    runbook incident INC-7
    """
    from runbook.audit.index import row_of
    from runbook.audit.postmortem import draft, runs_of

    rows = (row_of(run, system) for run in runs_of(system, name))
    names = {"began (UTC)": "at", "runbook": "runbook", "verdict": "verdict", "record": "id"}
    click.echo(table_text([{title: row[key] for title, key in names.items()} for row in rows]))
    for path in draft(system, name):
        aside(f"Draft: {path}" + " (an older one was edited, and stays as it is)" * ("-" in path.stem))


COMMANDS = (plans, incident, note)
