"""Plans for secrets (guide: Updating Secrets). No plan contains a value; destroying a version is not offered."""

from dataclasses import replace

from runbook.config import Request, Settings
from runbook.model import Findings, Moment, Seen
from runbook.model.actions import AddVersion, Restart, SetVersionState
from runbook.model.plan import Change, Plan
from runbook.model.rows import Reader
from runbook.plans.base import again, new_revision, note, refused, row_of, rows_of, run_once, tried

STATES = {"disable": "DISABLED", "enable": "ENABLED"}


def rotate_secret(request: Request, seen: Seen, gates: Findings, settings: Settings, moment: Moment) -> Plan:
    """Add a version; then restart each function that reads the secret, and run it once. Old versions stay."""
    name, newest = request.secret, row_of(seen.versions, request.secret).version
    new = newest + 1
    line = f"gcloud secrets versions add {name} --data-file=- --project={settings.project}"
    undo = f"add the old value again; then: {again(request, 'retire_secret', secret=name, version=new, to='disable')}"
    changes = [Change(AddVersion(secret=name, before=newest, after=new), undo, line)]
    readers: dict[str, Reader] = {}
    for row in rows_of(seen.users, name):
        readers.setdefault(row.function, row)  # with split traffic, there is one row for each revision
    for function, row in readers.items():
        changes += [_restart(request, new, row, settings), run_once(function, settings)]
    disable = again(request, "retire_secret", secret=name, version=newest)
    notes = (note("wrong_value"), note("old_version", disable=disable))
    relies = _states(seen) | tried(seen.rehearsal, settings)
    return Plan("secret", request.reason, tuple(changes), relies, gates, watch=tuple(readers), notes=notes)


def _restart(request: Request, version: int, reader: Reader, settings: Settings) -> Change:
    """A new revision of a function. A secret in an environment variable is read only when a revision starts."""
    service = settings.named(reader.function).service_name
    args = Restart(service=service, revision=reader.revision, secret=request.secret, version=version)
    return new_revision(request, args, reader.function, f"runbook-secret-version={version}", settings.flags)


def retire_secret(request: Request, seen: Seen, gates: Findings, settings: Settings, moment: Moment) -> Plan:
    """Disable an old version after the new one is verified in use, or enable a version again.

    `version` 0 means the newest version that can be changed. Empty if there is none, or if it is already in the
    requested state. Raises Refused.
    """
    name, newest = request.secret, row_of(seen.versions, request.secret).version
    states = {r.version: r.state for r in seen.versions.rows}
    back = "enable" if request.to == "disable" else "disable"
    after = STATES[request.to]
    old = [v for v, state in states.items() if state == STATES[back] and (v != newest or request.to == "enable")]
    wanted = request.version or max(old, default=0)
    none = Plan("secret", request.reason, (), _states(seen), gates)
    if not wanted:
        return none
    if states.get(wanted, "DESTROYED") == "DESTROYED":
        raise refused("no_such_version", secret=name, version=wanted, known=", ".join(map(str, states)))
    if wanted == newest and request.to == "disable":
        raise refused("newest_version", secret=name, version=wanted)
    if states[wanted] == after:
        return none
    line = f"gcloud secrets versions {request.to} {wanted} --secret={name} --project={settings.project}"
    undo = again(request, "retire_secret", secret=name, version=wanted, to=back)
    args = SetVersionState(secret=name, version=wanted, before=states[wanted], after=after)
    return replace(none, changes=(Change(args, undo, line),))


def _states(seen: Seen) -> dict[str, str]:
    """The newest five versions with their states."""
    return {f"version {r.version}": r.state for r in seen.versions.rows[:5]}
