"""The closing checks (guide: Monitor during and after): the runs and errors of a function since a change started, and
whether copied tables have the same rows as their sources.
"""

import time
from dataclasses import replace

from runbook import checks, facts
from runbook.context import Context
from runbook.facts.base import observe_all
from runbook.model import Fact, Findings, Moment, Verdict, join
from runbook.model.actions import CopyTable
from runbook.model.outcome import Outcome

EVERY_S = 15


def since(run: Context, outcome: Outcome) -> Findings:
    """Watch the plan's functions for the rule's `watch_s`; end early on an alert.

    The sandbox's clock does not advance, so there the functions are checked once.
    """
    names, rule = outcome.plan.watch, outcome.plan.rule
    if not names:
        return Findings()
    end, before = time.monotonic() + (rule.watch_s if rule and run.cloud.target == "google" else 0), len(run.facts)
    while True:
        now = run.cloud.now()[0]
        run.moment = Moment(now, run.moment.zone)
        hours = max((now - outcome.began).total_seconds(), 1) / 3600
        asks = {f"runs {name}": facts.runs_of(name, hours) for name in names}
        seen = observe_all(run, asks | {f"errors {name}": facts.errors(hours, name) for name in names})
        found = join(_since(run, outcome, seen.facts[f"runs {name}"], seen.facts[f"errors {name}"]) for name in names)
        if found.worst is Verdict.alert or time.monotonic() >= end:
            run.checked |= {id(fact) for fact in run.facts[before:]}  # the last look counts
            return found
        time.sleep(EVERY_S)


def _since(run: Context, outcome: Outcome, runs: Fact, errors: Fact) -> Findings:
    fresh = replace(runs, rows=tuple(r for r in runs.rows if r.started_at > outcome.began))
    return checks.after_change(fresh, errors, run.settings, run.moment)


def backed_up(run: Context, outcome: Outcome) -> None:
    """Judge again which tables have a backup: the gate saw what was there before this run added snapshots."""
    added = [change.args for change in outcome.plan.changes if isinstance(change.args, CopyTable)]
    if outcome.result not in ("planned", "refused") and any(args.is_snapshot for args in added):
        asked = {"tables": facts.tables(), "snapshots": facts.snapshots(), "access": facts.access("snapshot")}
        seen = observe_all(run, asked)
        run.check(checks.safe_to_copy, seen.tables, seen.snapshots, seen.access)


def compared(run: Context, outcome: Outcome) -> Findings:
    """Compare every copied table of the plan, also those that were copied earlier, with its source.

    An attempt that resumes after a crash therefore verifies all copies, not only its own.
    """
    plan, statuses = outcome.plan, outcome.statuses
    done = [c for c, (status, _) in zip(plan.changes, statuses, strict=False) if status == "done"]
    copies = {c.resource: c.args for c in (*plan.already_applied, *done) if isinstance(c.args, CopyTable)}
    if outcome.result in ("planned", "refused") or not copies:
        return Findings()
    seen = observe_all(run, {"copies": facts.copies(list(copies.values()))}).copies
    run.checked.add(id(seen))
    return checks.after_copy(seen, run.settings, run.moment)
