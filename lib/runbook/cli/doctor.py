"""`runbook doctor`: what is missing before a runbook can work on an environment. It reads; it writes a probe file."""

from __future__ import annotations

import os

from runbook import checks, facts
from runbook.approvals.signers import signers_of
from runbook.checks.base import ALERT, OK, UNKNOWN, WARN, one
from runbook.cloud.client import Cloud
from runbook.cloud.connect import connect
from runbook.config.load import load_settings
from runbook.config.schema import Settings, address_variable
from runbook.facts.base import observe
from runbook.model.errors import BadSettings, NoRecord, Refused
from runbook.model.findings import Findings, join
from runbook.model.moment import Moment
from runbook.records.files import probe
from runbook.records.record import records_directory


def doctor(environment: str, world: str = "") -> Findings:
    """Credentials and identity, the clock, tables and columns, permissions and the role to ask for, the record store,
    who may approve, and whether those who are told first can be reached.

    Raises what `load` and `connect` raise: without usable params and credentials there is nothing else to look at.
    """
    system = load_settings(environment)
    cloud = connect(system, world)
    now, clock_trusted = cloud.now()
    moment = Moment(now, system.zone)
    schema, access = (observe(ask, cloud, moment) for ask in (facts.schema(), facts.access()))
    clock = f"its clock says {now.isoformat()}" if clock_trusted else "no answer"
    hint = "check the network and proxies: no Google API answered."
    return join(
        (
            one("params", f"{environment}.yaml", "usable", "no placeholder, no error", OK),
            one("credentials", "identity", _identity(cloud), "some identity", OK),
            one("connection", cloud.target, clock, "answers", OK if clock_trusted else UNKNOWN, hint),
            checks.schema(schema, system, moment),
            checks.access(access, system, moment),
            _records(system),
            _approvers(system, cloud),
            _addresses(system, cloud),
        )
    )


def _identity(cloud: Cloud) -> str:
    """Who the credentials are for; a person's own carry no name that could be read without another call."""
    if cloud.target == "sandbox":
        return "the sandbox asks for none"
    found = getattr(cloud.credentials, "service_account_email", "") or getattr(cloud.credentials, "account", "")
    return found or f"{type(cloud.credentials).__name__} without a name"


def _records(system: Settings) -> Findings:
    """Whether a run could keep its record: a probe file is written and removed."""
    place = records_directory(system)
    try:
        probe(place)
    except NoRecord as error:
        return one("record store", str(place), error.observed, "writable", ALERT, error.next)
    return one("record store", str(place), "writable", "writable", OK)


def _approvers(system: Settings, cloud: Cloud) -> Findings:
    """Whether anybody may sign, and the approvals' store is seen by every machine that applies."""
    limit = "somebody, and a shared record store"
    try:
        people = signers_of(system, cloud.target, records_directory(system).parent)
    except (Refused, BadSettings) as error:
        return one("approvers", system.environment, error.observed or error.what, limit, WARN, error.next)
    if cloud.target == "google" and not system.records_shared:
        hint = "put the records where every machine sees them; then set records_shared: true."
        return one("approvers", system.environment, "the record store is not shared", limit, WARN, hint)
    return one("approvers", system.environment, ", ".join(sorted(people.roles)), limit, OK)


def _addresses(system: Settings, cloud: Cloud) -> Findings:
    """Whether each contact who is told before a change can be reached from this machine; nobody is called."""
    contacts = dict.fromkeys(["on-call", *(name for rule in system.operations.values() for name in rule.notify)])
    found = []
    for contact in (name for name in contacts if name in system.contacts):
        variable = address_variable(contact)
        good = cloud.target == "sandbox" or bool(os.environ.get(variable, "").strip())
        said = "nobody is called from a sandbox" if cloud.target == "sandbox" else "set" if good else "not set here"
        hint = f"set {variable} to an address of apprise; until then, tell them yourself."
        found.append(one("messages", contact, said, variable, OK if good else WARN, hint))
    return join(found)
