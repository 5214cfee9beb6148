"""The next steps after a run: the command to run, with its parameters, and whom to call."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from shlex import quote

from runbook.context import Context
from runbook.model import Findings, Verdict, command
from runbook.model.actions import AddVersion, SetJobState, SetVersionState
from runbook.model.outcome import Outcome
from runbook.model.plan import Plan


def next_steps(run: Context, outcome: Outcome | None, found: Findings) -> tuple[str, ...]:
    """The next steps of a run with this outcome and these findings, one per entry.

    A run with `as_of` calls no one, whatever it found: the problem may be over by now.
    """
    given, worst = run.request.values, found.worst
    if outcome and outcome.result != "applied":
        none = "nothing to do." if worst is Verdict.ok else "see the findings that are not ok."
        return tuple(_in_world(run, step) for step in outcome.next or (none,))
    if run.moment.past:
        then = f"{run.moment.local(run.moment.at):%Y-%m-%d %H:%M %Z}"
        now = command(run.request.runbook, {k: v for k, v in given.items() if k != "as_of"})
        return (f"this run shows {then}, not the present; for the present, run: {now}",)
    place = {k: given[k] for k in ("environment", "world") if k in given}
    again = command(run.request.runbook, {**given, **run.again})
    incident = given.get("incident", "")
    if outcome:  # the change is applied; in an incident, p1_response shows whether it was enough
        again = command("p1_response" if incident else "daily_check", place | {"incident": incident})
    left = tuple(_left(outcome.plan, place)) if outcome else ()
    minor = any(f.check == "severity" and f.subject in ("P3", "P4") for f in found)
    call = run.settings.contacts.get("team-lead" if minor else "on-call")
    if worst is Verdict.alert:
        steps = [f"call {call.who} ({call.when})."] if call else []
        if run.request.runbook != "p1_response":
            steps.insert(0, f"find the cause: {command('p1_response', place)}")
        return (*steps, f"when it is fixed, check again: {again}", *left)
    if outcome and (incident or outcome.plan.watch):
        return (f"check again: {again}", *left)
    if outcome and (left or worst is not Verdict.ok):
        return left or ("see the findings that are not ok.",)
    if worst is Verdict.ok and call and run.request.runbook == "p1_response":
        return (f"if something is broken, call {call.who}.",)
    if worst is Verdict.ok:
        return ("nothing to do until the next scheduled run.",)
    return (f"then check again: {again}",)


def _left(plan: Plan, place: Mapping[str, str]) -> Iterator[str]:
    """What an applied plan leaves to be done later, by its changes: a plan that resumes has no other source."""
    for change in plan.changes:
        args = change.args
        if isinstance(args, SetJobState) and args.after == "PAUSED":
            yield f"{args.job} does not run until it is resumed: {change.undo}"
        if isinstance(args, AddVersion | SetVersionState):
            for number in _old_versions(args, plan):
                line = command("retire_secret", place | {"secret": args.secret, "version": number})
                said = f"version {number} of {args.secret} is still enabled"
                yield f"{said}; when all that read it have run without errors, disable it: {line}"


def _old_versions(args: AddVersion | SetVersionState, plan: Plan) -> list[int]:
    """The enabled versions of a secret that are not its newest, after this change; of the five that the plan names.

    There are none to disable while the newest is not enabled, or right after somebody enabled one on purpose.
    """
    versions = [name for name in plan.relies_on if name.startswith("version ")]
    states = {int(name.removeprefix("version ")): plan.relies_on[name] for name in versions}
    states |= {args.after: "ENABLED"} if isinstance(args, AddVersion) else {args.version: args.after}
    if states[max(states)] != "ENABLED" or args.after == "ENABLED":
        return []
    return [number for number, state in states.items() if state == "ENABLED" and number != max(states)]


def moved_on(run: Context, outcome: Outcome | None, found: Findings) -> Findings:
    """Findings whose next step is never the run that ends here: in its place they say what this run proposes.

    What was applied is judged again after it, so what such a run leaves is for another one, of the same runbook. Every
    command is for the world of this run.
    """
    this = command(run.request.runbook, {"environment": run.request.values["environment"]})
    proposed = outcome.next if outcome else ()

    def step(said: str) -> str:
        return proposed[0] if said == this and proposed else _in_world(run, said)

    return Findings(tuple(replace(f, next=step(f.next)) for f in found))


def _in_world(run: Context, said: str) -> str:
    """A next step whose command, if it runs a runbook, is for the world of this run."""
    world = run.request.values.get("world", "")
    without = world and "runbook run " in said and "--world " not in said
    return f"{said} --world {quote(world)}" if without else said
