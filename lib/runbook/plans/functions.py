"""Plans for functions: code, limits, traffic, a rerun, and the states of the scheduler jobs that start them.

Guide: Deployment Checklist, Rollback Procedure, Quick fixes.
"""

from runbook.config import Request, Settings, names_of
from runbook.model import Findings, Moment, Refused, Row, Seen
from runbook.model.actions import RestartService, RouteTraffic, SetJobState, UpdateFunction
from runbook.model.plan import Change, Plan
from runbook.model.rows import Service
from runbook.plans.base import again, new_revision, note, refused, row_of, rows_of, run_once, tried

STATES = {"pause": "PAUSED", "resume": "ENABLED"}


def deploy(request: Request, seen: Seen, gates: Findings, settings: Settings, moment: Moment) -> Plan:
    """Deploy new code, memory or timeout, or restart; then one test run. Empty if nothing has to change.

    Without `source`, the code stays. If traffic is pinned, a separate change releases it: otherwise the new revision
    gets no traffic. Raises Refused.
    """
    name, now = request.function, row_of(seen.service, request.function)
    wanted: Row = {"memory": request.memory, "timeout_s": request.timeout_s}
    for row in rows_of(seen.source, name):
        wanted |= {"source": row.whole_digest, "runtime": request.runtime, "entry_point": request.entry_point}
    was = {k: getattr(now, k) for k in ("source", "runtime", "entry_point", "memory", "timeout_s")}
    wanted = {key: value for key, value in wanted.items() if value not in ("", 0, None)}
    changes: list[Change] = []
    if any(was[key] != value for key, value in wanted.items()):
        changes.append(_update(request, was, wanted, now, settings))
    elif request.restart:
        changes.append(_restart(request, now, settings))
    if changes and now.pinned:
        changes.append(_route(request, now, {"latest": 100}, settings))
    if changes and request.test_run:
        changes.append(run_once(name, settings))
    notes = [] if wanted or request.restart else ["no change was requested (set source, memory, timeout_s or restart)"]
    if now.pinned:
        notes.append(note("pinned", serving=now.serving))
    if changes:
        notes.append(f"If it fails: {again(request, 'rollback', function=name, revision=now.serving)}")
    relies = {"serving revision": now.serving, "traffic": now.traffic, "state": now.state}
    relies |= tried(seen.rehearsal, settings, wanted.get("source", ""))
    return Plan("deploy", request.reason, tuple(changes), relies, gates, watch=(name,), notes=tuple(notes))


def _update(request: Request, was: Row, wanted: Row, now: Service, settings: Settings) -> Change:
    name, before = request.function, {k: was[k] for k in wanted}
    if "source" in wanted:
        code, undo = ".", again(request, "rollback", function=name, revision=now.serving)
    else:  # without its place, gcloud may deploy the code in the current directory
        code, undo = now.code, again(request, "deploy", function=name, **before)
    options = {"source": "--source={}", "runtime": "--runtime={}", "entry_point": "--entry-point={}"}
    options |= {"memory": "--memory={}", "timeout_s": "--timeout={}s"}
    words = [options[key].format(value) for key, value in {**wanted, "source": code}.items()]
    args = UpdateFunction(function=name, before=before, after=wanted, was=now.state)
    return Change(args, undo, " ".join([f"gcloud functions deploy {name} --gen2 {settings.flags}", *words]))


def _restart(request: Request, now: Service, settings: Settings) -> Change:
    """A new revision of the same code (guide: ETL stuck)."""
    args = RestartService(service=now.service, revision=now.serving)
    return new_revision(request, args, now.function, f"runbook-restart={now.serving}", settings.flags)


def _route(request: Request, now: Service, to: dict[str, int], settings: Settings) -> Change:
    line = _traffic_line(now.service, to, settings)
    undo = again(request, "rollback", function=now.function, revision=now.serving if now.pinned else "latest")
    if len(now.targets) > 1:
        undo = _traffic_line(now.service, now.targets, settings)
    return Change(RouteTraffic(service=now.service, before=now.targets, after=to), undo, line)


def _traffic_line(service: str, to: dict[str, int], settings: Settings) -> str:
    shares = ",".join(f"{'LATEST' if name == 'latest' else name}={share}" for name, share in to.items())
    where = "--to-latest" if to == {"latest": 100} else f"--to-revisions={shares}"
    return f"gcloud run services update-traffic {service} {settings.flags} {where}"


def rollback(request: Request, seen: Seen, gates: Findings, settings: Settings, moment: Moment) -> Plan:
    """Route all traffic to an earlier revision; empty if that revision already serves all traffic.

    An empty `request.revision` means the newest ready revision that is older than the serving one; `latest` releases a
    pin. Raises Refused if there is no such revision, if the named one is not ready, or if none is named and traffic is
    already pinned.
    """
    now = row_of(seen.service, request.function)
    to = {_revision(request.revision, now, seen): 100}
    changes = () if now.targets == to else (_route(request, now, to, settings),)
    pins = note("pins", release=again(request, "rollback", function=now.function, revision="latest"))
    newest = next((r.revision for r in seen.revisions.rows if r.ready), now.serving)
    back = (note("newest", newest=newest, serving=now.serving),) if newest != now.serving else ()
    notes = back if "latest" in to else (pins,)
    relies = {"serving revision": now.serving, "traffic": now.traffic}
    return Plan("rollback", request.reason, changes, relies, gates, watch=(request.function,), notes=notes)


def _revision(wanted: str, now: Service, seen: Seen) -> str:
    if wanted == "latest":
        return wanted
    rows = rows_of(seen.revisions, now.function)
    ready = [r.revision for r in rows if r.ready]
    if wanted in ready:
        return wanted
    if wanted:
        why = "it never became ready" if any(r.revision == wanted for r in rows) else "there is no such revision"
        raise Refused(f"{wanted} cannot serve", why, next=f"use a ready revision: {', '.join(ready)}.")
    if now.pinned:
        raise refused("no_person_chose", function=now.function, traffic=now.traffic, ready=", ".join(ready))
    names = [r.revision for r in rows]
    older = names[names.index(now.serving) + 1 :] if now.serving in names else []
    if earlier := [name for name in older if name in ready]:
        return earlier[0]
    raise refused("no_earlier_revision", function=now.function, serving=now.serving, count=len(rows))


def retry(request: Request, seen: Seen, gates: Findings, settings: Settings, moment: Moment) -> Plan:
    """Run a function again. A run "may trigger processing" (guide: Quick Reference), so it is a change with a plan."""
    name = request.function
    if settings.named(name).repeat == "never":
        raise refused("never_again", function=name)
    now, runs = row_of(seen.service, name), rows_of(seen.runs, name)
    relies = {"serving revision": now.serving, "last run": runs[0].status if runs else "none in 24 h"}
    notes = (note("asks", function=name),) if settings.named(name).repeat == "asks" else ()
    return Plan("retry", request.reason, (run_once(name, settings),), relies, gates, watch=(name,), notes=notes)


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
            raise refused("neither_enabled_nor_paused", job=name, state=before)
        line = f"gcloud scheduler jobs {request.to} {name} --location={settings.region} --project={settings.project}"
        undo = again(request, "scheduler", jobs=name, to="resume" if request.to == "pause" else "pause")
        changes.append(Change(SetJobState(job=name, before=before, after=state), undo, line))
    return Plan("scheduler", request.reason, tuple(changes), {n: rows[n].state for n in names}, gates)
