"""The commands for signing: `approve` a plan, `open` a P1, and `review` what one person did alone."""

import sys
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import click

from runbook.cli.complete import complete
from runbook.cli.output import JSON, aside, table_text
from runbook.model import BadInput, Refused, time_of


def _settings(_context: click.Context, _option: click.Parameter, name: str | None) -> Any:
    """The settings of the environment that a command names. Raises what `load_settings` raises."""
    from runbook.config.load import load_settings

    return load_settings(name or "sandbox")


def no_secret(_context: click.Context, option: click.Parameter, value: str) -> str:
    """A text without anything that looks like a secret, which would stay in the store. Raises BadParameter."""
    from runbook.config.validation import refuse_secret

    refuse_secret(str(option.name), value)
    return value


def in_words(context: click.Context, option: click.Parameter, value: str) -> str:
    """A text without a secret, that says something; "" if none is given. Raises BadParameter, BadInput."""
    if value and not any(map(str.isalnum, value)):
        raise BadInput(f"--{option.name} {value!r} says nothing", next="write why, in words.")
    return no_secret(context, option, value)


def given_words(context: click.Context, option: click.Parameter, value: str) -> str:
    """As `in_words`, but one must be given."""
    if not value:
        raise BadInput(f"--{option.name} is empty", next="write why, in words.")
    return in_words(context, option, value)


_PARAMS = "params/<ENV>.yaml; the default is sandbox."
_ENV = partial(click.option, "--env", envvar="RUNBOOK_ENV", shell_complete=complete("environment"), help=_PARAMS)
ENV = _ENV("environment")  # its name, None if it is not given
SYSTEM = _ENV("system", callback=_settings)  # its settings
_NAME = "Your name among the approvers; in the sandbox avery or blake."
_WHO = click.option("--as", "who", envvar="RUNBOOK_PERSON", help=_NAME)
_KEY = click.option("--key", type=click.Path(path_type=Path), help="Your private SSH key, or an agent's .pub file.")
_YES = click.option("--yes", is_flag=True, help="Sign without a prompt.")
_REASON = click.option("--reason", required=True, callback=given_words, help="Why; it is part of what you sign.")


def signs(command: Callable[..., None], who: Callable[..., Any] = _WHO) -> Callable[..., None]:
    """The options of every command that signs: `yes`, and who signs with which key, as `signed.identity` takes them."""
    return who(_KEY(_YES(command)))


def confirm(yes: bool, question: str) -> None:
    """Ask before signing. Raises Refused without a terminal, and after a no."""
    if not yes and not sys.stdin.isatty():
        said = "there is no terminal to confirm in"
        raise Refused("signing is not confirmed", said, next="review what is shown above, then add --yes.")
    if not yes and not click.confirm(question):
        raise Refused("not signed", "the answer was no", next="run the command again to sign.")


@click.command()
@click.argument("plan", metavar="PLAN|FILE", shell_complete=complete("plan"))
@click.option("--role", required=True, help="The role that you sign in, such as team-lead.")
@_REASON
@signs
@click.option("--override", default="", callback=in_words, help="Why the plan cannot wait for the preferred time.")
def approve(plan: str, role: str, reason: str, override: str, yes: bool, **by: Any) -> None:
    """Show a plan, and sign it with your own SSH key.

    If somebody sent you a plan file (plan.json), you need neither params nor the record store.

    \b
    runbook approve 3f2c91d0aa47 --role team-lead --reason "agreed"
    """
    from runbook.approvals.screen import screen
    from runbook.approvals.stored_plan import find, from_file

    alone = plan.endswith(".json")
    found = from_file(Path(plan)) if alone else find(plan)
    for name in found.stored.ignored:
        aside(f"Ignored a damaged plan file: {name}", err=True)
    found.require_signer(role, reason, override=override, **by)
    click.echo(screen(found))
    confirm(yes, f"Sign as {role}?")
    signed = found.sign(role, reason, override=override, **by)
    click.echo(f"Signed by {signed.approver} as {role}; valid from {signed.not_before} to {signed.expires_at}.")
    if alone:
        at = found.store.files.folder / f"approvals/{signed.plan}/{signed.nonce}.json"
        click.echo(f"Next: send {at} to {signed.requester}, who runs: runbook accept FILE")
        return
    _next_after(found, signed)


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
def accept(file: Path) -> None:
    """Add an approval to the store that was signed from a plan file."""
    from runbook.approvals.stored_plan import accept as accepted
    from runbook.approvals.stored_plan import find

    one = accepted(file)
    click.echo(f"{one.approver} approved it as {one.role}; valid from {one.not_before} to {one.expires_at}.")
    _next_after(find(one.plan, one.requester), one)


def _next_after(found: Any, signed: Any) -> None:
    """Print who must still sign; else who applies the plan, and from when on."""
    from runbook.display.text import DAY
    from runbook.records.plans import clock

    plan = signed.plan[:12]
    missing = [] if signed.break_glass else [role for role in found.rule.signers if role not in found.signed[0]]
    for role in missing:
        click.echo(f'Next: somebody who is {role} must sign, too: runbook approve {plan} --role {role} --reason "…"')
    if not missing:
        begins = clock(signed.not_before)
        when = f", from {begins.astimezone(found.system.zone):{DAY}} on" if begins > found.now else ""
        click.echo(f"Next: {signed.requester} applies it{when}: runbook apply {plan}")


@click.command("open")
@click.argument("incident")
@SYSTEM
@click.option("--severity", type=click.Choice(["P1", "unknown"]), required=True, help="As shown by p1_response.")
@click.option("--hours", type=click.IntRange(1, 24), default=4, show_default=True, help="How long it is open.")
@_REASON
@signs
def open_incident(incident: str, system: Any, severity: str, hours: int, reason: str, yes: bool, **by: Any) -> None:
    """Open a P1 incident as the on-call engineer.

    While it is open, you can sign alone for the operations with `alone_in_p1` in params.

    \b
    runbook open INC-7 --severity P1 --reason "all syncs are down"
    """
    from runbook.approvals import signed

    signed.checked_incident(incident)
    signers, now = _place(system)
    person, key = signed.identity(system, signers.target, signed.ON_CALL, **by)
    until = signed.utc_text(now + timedelta(hours=hours))
    values = signed.values_of(system, signers.target, person, signed.ON_CALL, reason, now)
    values |= {"incident": incident, "severity": severity, "until": until}
    click.echo(f"{incident} ({severity}) on {system.environment}, {signers.target}: open until {until}, for {person}.")
    confirm(yes, "Sign as on-call?")
    signed.put(signed.Opening, values, signed.store_of(system), signers, key, now)
    command = f"runbook review --env {system.environment}"
    click.echo(f"Signed. Somebody else must review it; until then, this lists it: {command}")


@click.command()
@click.argument("check")
@click.argument("subject")
@SYSTEM
@click.option("--until", "end", required=True, help="When the acknowledgement ends: 2026-03-12T09:00 (team's time).")
@click.option("--role", default="on-call", show_default=True, help="The role that you sign in.")
@_REASON
@signs
def ack(check: str, subject: str, system: Any, end: str, role: str, reason: str, yes: bool, **by: Any) -> None:
    """Acknowledge a finding of the daily check that is expected.

    Until the acknowledgement ends, the alert of this finding counts as a warning. Every verdict shows it.

    \b
    runbook ack "function now" calendar-sync --until 2026-03-13T09:00 --reason "paused on purpose"
    """
    from runbook.approvals import signed

    signers, now = _place(system)
    person, key = signed.identity(system, signers.target, role, **by)
    ends = time_of(end, system.zone, "until")
    if ends <= now:
        why = f"is not to come; the cloud's clock says {signed.utc_text(now)}"
        raise Refused(f"--until {end}", why, next="use a time to come, at most 31 days from now.")
    until = signed.utc_text(ends)
    _warn_of_unknown(signed.store_of(system), check, subject)
    click.echo(f"{check}, {subject} on {system.environment}, {signers.target}: known until {until}, by {person}.")
    confirm(yes, f"Sign as {role}?")
    values = signed.values_of(system, signers.target, person, role, reason, now)
    values |= {"check": check, "subject": subject, "until": until}
    signed.put(signed.Ack, values, signed.store_of(system), signers, key, now)
    click.echo("Signed. Until it ends, each daily check shows it.")


def _warn_of_unknown(store: Any, check: str, subject: str) -> None:
    """Say if the newest daily check has no such finding: a name that is mistyped acknowledges nothing."""
    from runbook.audit.index import names_in, read_run

    newest = next((name for name in names_in(store) if "-daily_check-" in name), "")
    found = [(one["check"], one["subject"]) for one in read_run(store, newest).findings] if newest else []
    if found and (check, subject) not in found:
        aside(f"Warning: the newest daily check has no finding “{check}, {subject}”: {newest}", err=True)


@click.command()
@JSON
@click.argument("which", default="")
@SYSTEM
@click.option("--role", default="team-lead", show_default=True, help="The role that you sign in.")
@click.option("--reason", default="", callback=in_words, help="What you found; required with an id. You sign it.")
@signs
def review(which: str, system: Any, role: str, reason: str, yes: bool, **by: Any) -> None:
    """List what one person signed alone and nobody has reviewed yet.

    With an id: sign that you have reviewed it.

    \b
    runbook review
    runbook review 1f3a90c2b7de --reason "it was a P1"
    """
    from runbook.approvals import signed

    signers, now = _place(system)
    store = signed.store_of(system)
    ignored: list[str] = []
    waiting = signed.awaiting(store, signers, ignored)
    for line in ignored:
        aside(f"Ignored: {line}", err=True)
    if not which:
        click.echo(table_text([_row(*item) for item in waiting.items()]) or "Nothing awaits a review.")
        return
    found = [item for item in waiting.items() if item[0].startswith(which)]
    if len(found) != 1:
        raise BadInput(f"{len(found)} things that await a review begin with {which}", next="see: runbook review")
    person, key = signed.identity(system, signers.target, role, **by)
    if signed.same_person_key(person) == signed.same_person_key(signed.actor(found[0][1])):
        raise Refused(f"{person} did this, so somebody else must review it")
    click.echo(table_text([_row(*found[0])]))
    confirm(yes, f"Sign as {role} that you reviewed it?")
    # The sandbox's clock begins anew with each process.
    values = signed.values_of(system, signers.target, person, role, reason, max(now, signed.since(found[0][1])))
    signed.put(signed.Review, values | {"of": found[0][0]}, store, signers, key, now)
    click.echo(f"Reviewed by {person} as {role}.")


def _place(system: Any) -> tuple[Any, Any]:
    """The signers of an environment, and the time of its cloud."""
    from runbook.approvals.signers import signers_of
    from runbook.cloud.connect import connect
    from runbook.cloud.target import target

    return signers_of(system, target(system.environment)), connect(system).now()[0]


def _row(digest: str, one: Any) -> dict[str, Any]:
    """An opening or a break-glass approval, for the list."""
    if hasattr(one, "severity"):
        did, at, who = f"opened as {one.severity} until {one.until}", one.at, one.person
    else:
        did, at, who = f"approved {one.operation}, plan {one.plan[:12]}", one.not_before, one.approver
    return {"id": digest[:12], "at": at, "who": who, "incident": one.incident, "did": did, "reason": one.reason}


COMMANDS = (approve, accept, open_incident, review, ack)
