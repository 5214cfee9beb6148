"""What to do after a run: the runbook to run with its parameters filled in, and whom to call."""

from __future__ import annotations

from runbook.context import Context
from runbook.model.command import command
from runbook.model.findings import Verdict
from runbook.model.outcome import Outcome


def next_steps(run: Context, outcome: Outcome | None, worst: Verdict) -> tuple[str, ...]:
    """The next steps of a run with this outcome and worst verdict, one a line.

    A look back calls nobody, whatever it found: that may be over by now.
    """
    given = run.request.values
    if outcome and outcome.result != "applied":
        return outcome.next or ("nothing.",)
    if run.moment.past:
        then = f"{run.moment.local(run.moment.at):%Y-%m-%d %H:%M %Z}"
        now = command(run.request.runbook, {k: v for k, v in given.items() if k != "as_of"})
        return (f"this looked back at {then}, and says nothing about now; to look at now: {now}",)
    place = {k: given[k] for k in ("environment", "world") if k in given}
    again = command(run.request.runbook, {**given, **run.again})
    if outcome:  # what it changed is there now: in an incident the P1 page says whether it was enough
        tied = {"incident": given.get("incident", "")}
        again = command("p1_response" if tied["incident"] else "daily_check", place | tied)
    if worst is Verdict.alert:
        call = run.settings.contacts.get("on-call")
        steps = [f"call {call.who} ({call.when})."] if call else []
        if run.request.runbook != "p1_response":
            steps.insert(0, f"find the cause: {command('p1_response', place)}")
        return (*steps, f"when it is mended, check again: {again}")
    if worst is Verdict.ok:
        return ("nothing; the next scheduled run looks again.",)
    return (f"when that is done, check again: {again}",)
