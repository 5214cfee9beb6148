"""Plans for a rerun of a function and for the states of scheduler jobs (guide: Quick fixes)."""

from __future__ import annotations

from runbook.config.request import Request
from runbook.config.schema import Settings
from runbook.config.validation import names_of
from runbook.model.actions import SetJobState
from runbook.model.errors import Refused
from runbook.model.facts import Seen
from runbook.model.findings import Findings
from runbook.model.moment import Moment
from runbook.model.plan import Change, Plan
from runbook.plans.base import again, row_of, rows_of, run_once

STATES = {"pause": "PAUSED", "resume": "ENABLED"}


def retry(request: Request, seen: Seen, gates: Findings, settings: Settings, moment: Moment) -> Plan:
    """Run a function again. A run "may trigger processing" (guide: Quick Reference), so it is a change with a plan."""
    now = row_of(seen.service, request.function)
    newest = next(iter(rows_of(seen.runs, request.function)), None)
    last = newest.status if newest else "none in 24 h"
    relies = {"serving revision": now.serving, "last run": last}
    change = run_once(request.function, settings)
    return Plan("retry", request.reason, (change,), relies, gates, watch=(request.function,))


def scheduler(request: Request, seen: Seen, gates: Findings, settings: Settings, moment: Moment) -> Plan:
    """Pause or resume jobs, except those that are already in that state. The undo returns each to its previous state.

    Raises Refused for a job that does not exist.
    """
    names = names_of(request.jobs)
    state, rows = STATES[request.to], {r.name: r for r in rows_of(seen.jobs, request.jobs)}
    if missing := [name for name in names if name not in rows]:
        raise Refused(f"there is no job {missing[0]}", next=f"use one of: {', '.join(rows) or 'no job found'}.")
    changes = []
    for name in names:
        before = rows[name].state
        if before == state:
            continue
        if before not in STATES.values():
            raise Refused(
                f"{name} is {before}",
                "only ENABLED jobs can be paused, and only PAUSED jobs resumed",
                next="inspect the job in Cloud Scheduler.",
            )
        back = "resume" if request.to == "pause" else "pause"
        line = f"gcloud scheduler jobs {request.to} {name} --location={settings.region} --project={settings.project}"
        undo = again(request, "scheduler", jobs=name, to=back)
        changes.append(Change(SetJobState(job=name, before=before, after=state), undo, line))
    return Plan("scheduler", request.reason, tuple(changes), {n: rows[n].state for n in names}, gates)
