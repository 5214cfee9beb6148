"""The next steps after a run: the command to run, with its parameters, and whom to call."""

from dataclasses import replace
from shlex import quote

from runbook.context import Context
from runbook.model import Findings, Verdict, command
from runbook.model.outcome import Outcome


def next_steps(run: Context, outcome: Outcome | None, worst: Verdict) -> tuple[str, ...]:
    """The next steps of a run with this outcome and worst verdict, one per entry.

    A run with `as_of` calls no one, whatever it found: the problem may be over by now.
    """
    given = run.request.values
    if outcome and outcome.result != "applied":
        return outcome.next or ("nothing to do." if worst is Verdict.ok else "see the findings that are not ok.",)
    if run.moment.past:
        then = f"{run.moment.local(run.moment.at):%Y-%m-%d %H:%M %Z}"
        now = command(run.request.runbook, {k: v for k, v in given.items() if k != "as_of"})
        return (f"this run shows {then}, not the present; for the present, run: {now}",)
    place = {k: given[k] for k in ("environment", "world") if k in given}
    again = command(run.request.runbook, {**given, **run.again})
    if outcome:  # the change is applied; in an incident, p1_response shows whether it was enough
        tied = {"incident": given.get("incident", "")}
        again = command("p1_response" if tied["incident"] else "daily_check", place | tied)
    call = run.settings.contacts.get("on-call")
    if worst is Verdict.alert:
        steps = [f"call {call.who} ({call.when})."] if call else []
        if run.request.runbook != "p1_response":
            steps.insert(0, f"find the cause: {command('p1_response', place)}")
        return (*steps, f"when it is fixed, check again: {again}")
    if worst is Verdict.ok and call and run.request.runbook == "p1_response":
        return (f"if something is broken, call {call.who}.",)
    if worst is Verdict.ok:
        return ("nothing to do until the next scheduled run.",)
    return (f"then check again: {again}",)


def moved_on(run: Context, outcome: Outcome | None, found: Findings) -> Findings:
    """Findings whose next step is never the run that ends here: in its place they say what this run proposes, or did.

    A command for another runbook is for the world of this run.
    """
    given = run.request.values
    this, world = command(run.request.runbook, {"environment": given["environment"]}), given.get("world", "")
    there = f" --world {quote(world)}" if world else ""
    proposed = outcome.next if outcome else ()
    instead = "this run did it." if outcome and outcome.result == "applied" else (*proposed, this)[0]

    def step(said: str) -> str:
        return instead if said == this else said + there * said.startswith("runbook run ")

    return Findings(tuple(replace(f, next=step(f.next)) for f in found))
