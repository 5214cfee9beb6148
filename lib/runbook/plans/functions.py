"""Plans for the code, the limits and the traffic of a function (guide: Deployment Checklist, Rollback Procedure)."""

from __future__ import annotations

from runbook.config.request import Request
from runbook.config.schema import Settings
from runbook.display.text import Row
from runbook.model.actions import RouteTraffic, UpdateFunction
from runbook.model.errors import Refused
from runbook.model.facts import Seen
from runbook.model.findings import Findings
from runbook.model.moment import Moment
from runbook.model.plan import Change, Plan
from runbook.model.rows import Service
from runbook.plans.base import again, flags, row_of, rows_of, run_once, tried


def deploy(request: Request, seen: Seen, gates: Findings, settings: Settings, moment: Moment) -> Plan:
    """Deploy new code, memory or timeout; then one test run. Empty if the function is already in the requested state.

    Without `source`, the code stays. If traffic is pinned, a separate change releases it: otherwise the new revision
    gets no traffic. Raises Refused.
    """
    name, now = request.function, row_of(seen.service, request.function)
    wanted: Row = {"memory": request.memory, "timeout_s": request.timeout_s}
    for row in rows_of(seen.source, name):
        wanted |= {"source": row.whole_digest, "runtime": request.runtime, "entry_point": request.entry_point}
    was = {"source": now.source, **{k: getattr(now, k) for k in ("runtime", "entry_point", "memory", "timeout_s")}}
    wanted = {key: value for key, value in wanted.items() if value not in ("", 0, None)}
    changes: list[Change] = []
    if any(was[key] != value for key, value in wanted.items()):
        changes.append(_update(request, was, wanted, now, settings))
    if changes and now.pinned:
        changes.append(_route(request, now, {"latest": 100}, settings))
    if changes and request.test_run:
        changes.append(run_once(name, settings))
    notes = [] if wanted else ["no change requested: set source, memory or timeout_s"]
    if now.pinned:
        notes.append(f"traffic is pinned to {now.serving}; until it is released, new code gets no traffic.")
    if changes:
        notes.append(f"if it fails: {again(request, 'rollback', function=name, revision=now.serving)}")
    relies = {"serving revision": now.serving, "traffic": now.traffic, "state": now.state}
    relies |= tried(seen.rehearsal, settings, wanted.get("source", ""))
    return Plan("deploy", request.reason, tuple(changes), relies, gates, watch=(name,), notes=tuple(notes))


def _update(request: Request, was: Row, wanted: Row, now: Service, settings: Settings) -> Change:
    name = request.function
    parts = {k: was[k] for k in wanted}
    words = [f"gcloud functions deploy {name} --gen2 {flags(settings)}"]
    options = {
        "source": "--source=.",
        "runtime": "--runtime={}",
        "entry_point": "--entry-point={}",
        "memory": "--memory={}",
        "timeout_s": "--timeout={}s",
    }
    words += [options[key].format(value) for key, value in wanted.items()]
    if "source" not in wanted:
        words.append(f"--source={now.code}")  # otherwise gcloud may deploy the code in the current directory
    undo = again(request, "rollback", function=name, revision=now.serving)
    if "source" not in wanted:
        undo = again(request, "deploy", function=name, **parts)
    args = UpdateFunction(function=name, before=parts, after=wanted, was=now.state)
    return Change(args, undo, " ".join(words))


def _route(request: Request, now: Service, to: dict[str, int], settings: Settings) -> Change:
    line = _traffic_line(now.service, to, settings)
    back = now.serving if now.pinned else "latest"
    undo = again(request, "rollback", function=now.function, revision=back)
    if len(now.targets) > 1:
        undo = _traffic_line(now.service, now.targets, settings)
    return Change(RouteTraffic(service=now.service, before=now.targets, after=to), undo, line)


def _traffic_line(service: str, to: dict[str, int], settings: Settings) -> str:
    shares = ",".join(f"{'LATEST' if name == 'latest' else name}={share}" for name, share in to.items())
    where = "--to-latest" if to == {"latest": 100} else f"--to-revisions={shares}"
    return f"gcloud run services update-traffic {service} {flags(settings)} {where}"


def rollback(request: Request, seen: Seen, gates: Findings, settings: Settings, moment: Moment) -> Plan:
    """Route all traffic to an earlier revision; empty if that revision already serves all traffic.

    An empty `request.revision` means the newest ready revision that is older than the serving one; `latest` releases a
    pin. Raises Refused if there is no such revision, if the named one is not ready, or if none is named and traffic is
    already pinned.
    """
    now = row_of(seen.service, request.function)
    target = _revision(request.revision, now, seen)
    to = {target: 100}
    changes = () if now.targets == to else (_route(request, now, to, settings),)
    notes = ()
    if target != "latest":
        notes = (
            "this pins the traffic: a later `gcloud functions deploy` gets none of it. To release the pin, run the "
            f"deploy runbook, or: {again(request, 'rollback', function=now.function, revision='latest')}",
        )
    relies = {"serving revision": now.serving, "traffic": now.traffic}
    return Plan("rollback", request.reason, changes, relies, gates, watch=(request.function,), notes=notes)


def _revision(wanted: str, now: Service, seen: Seen) -> str:
    if wanted == "latest":
        return wanted
    rows = list(rows_of(seen.revisions, now.function))
    if wanted:
        found = next((r for r in rows if r.revision == wanted), None)
        if found is None or not found.ready:
            why = "there is no such revision" if found is None else "it never became ready"
            ready = ", ".join(r.revision for r in rows if r.ready)
            raise Refused(f"{wanted} cannot serve", why, next=f"use a ready revision: {ready}.")
        return wanted
    ready = [r.revision for r in rows if r.ready]
    if now.pinned:
        raise Refused(
            f"traffic of {now.function} is already pinned: {now.traffic}",
            "after a rollback or with a traffic split, a person must choose the revision",
            next=f"run again with a revision: {', '.join(ready)}, latest.",
        )
    names = [r.revision for r in rows]
    older = rows[names.index(now.serving) + 1 :] if now.serving in names else []
    earlier = next((r.revision for r in older if r.ready), None)
    if earlier is None:
        raise Refused(
            f"{now.function} has no earlier revision for a rollback",
            f"{now.serving} serves; of {len(rows)} revisions, none is older and ready",
            next="deploy a fixed version.",
        )
    return earlier
