"""`runbook doctor`: what is missing before a runbook can work on an environment. It reads; it writes a probe file."""

from __future__ import annotations

import os
from pathlib import Path

from runbook import checks, facts, record
from runbook.cloud.connect import Cloud, connect
from runbook.errors import BadSettings, NoRecord, Refused
from runbook.facts.read import look
from runbook.moment import Moment
from runbook.rows import Finding, Findings, Verdict
from runbook.settings import Settings, address_variable, load
from runbook.signers import signers_of


def doctor(environment: str, world: str = "") -> Findings:
    """Credentials and identity, the clock, tables and columns, permissions and the role to ask for, the record store,
    who may approve, and whether those who are told first can be reached.

    Raises what `load` and `connect` raise: without usable params and credentials there is nothing else to look at.
    """
    system = load(environment)
    cloud = connect(system, world)
    now, certain = cloud.now()
    moment = Moment(now, system.zone)
    schema, access = (look(ask, cloud, moment) for ask in (facts.schema(), facts.access()))
    return Findings(
        (
            Finding("params", f"{environment}.yaml", "usable", "no placeholder, no error", Verdict.ok),
            Finding("credentials", "identity", _identity(cloud), "some identity", Verdict.ok),
            _clock(cloud, now.isoformat(), certain),
            *checks.schema(schema, system, moment),
            *checks.access(access, system, moment),
            _records(system),
            _approvers(system, cloud),
            *_addresses(system, cloud),
        )
    )


def _identity(cloud: Cloud) -> str:
    """Who the credentials are for; a person's own carry no name that could be read without another call."""
    if cloud.target == "sandbox":
        return "the sandbox asks for none"
    found = getattr(cloud.credentials, "service_account_email", "") or getattr(cloud.credentials, "account", "")
    return found or f"{type(cloud.credentials).__name__} without a name"


def _clock(cloud: Cloud, now: str, certain: bool) -> Finding:
    verdict = Verdict.ok if certain else Verdict.unknown
    hint = "" if certain else "check the network and proxies: no Google API answered."
    return Finding(
        "connection", cloud.target, f"its clock says {now}" if certain else "no answer", "answers", verdict, hint
    )


def _records(system: Settings) -> Finding:
    """Whether a run could keep its record: a probe file is written and removed."""
    place = record.folder_of(system)
    try:
        record.probe(Path(place))
    except NoRecord as error:
        return Finding("record store", str(place), error.observed, "writable", Verdict.alert, error.next)
    return Finding("record store", str(place), "writable", "writable", Verdict.ok)


def _approvers(system: Settings, cloud: Cloud) -> Finding:
    """Whether anybody may sign, and the approvals' store is seen by every machine that applies."""
    limit = "somebody, and a shared record store"
    try:
        people = signers_of(system, cloud.target, record.folder_of(system).parent)
    except (Refused, BadSettings) as error:
        return Finding("approvers", system.environment, error.observed or error.what, limit, Verdict.warn, error.next)
    if cloud.target == "google" and not system.records_shared:
        hint = "put the records where every machine sees them; then set records_shared: true."
        return Finding("approvers", system.environment, "the record store is not shared", limit, Verdict.warn, hint)
    return Finding("approvers", system.environment, ", ".join(sorted(people.roles)), limit, Verdict.ok)


def _addresses(system: Settings, cloud: Cloud) -> list[Finding]:
    """Whether each contact who is told before a change can be reached from this machine; nobody is called."""
    contacts = dict.fromkeys(["on-call", *(name for rule in system.operations.values() for name in rule.tell)])
    found = []
    for contact in (name for name in contacts if name in system.contacts):
        variable = address_variable(contact)
        if cloud.target == "sandbox":
            said, good = "nobody is called from a sandbox", True
        else:
            said, good = ("set", True) if os.environ.get(variable, "").strip() else ("not set here", False)
        hint = "" if good else f"set {variable} to an address of apprise; until then, tell them yourself."
        found.append(Finding("messages", contact, said, variable, Verdict.ok if good else Verdict.warn, hint))
    return found
