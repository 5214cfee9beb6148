"""`runbook doctor`: what a runbook still needs to work on an environment. It reads, and writes one probe file.

`--roles` prints commands of gcloud for a person to review, and runs nothing: they create the least-privilege roles for
reading and for applying. Unconfirmed: that a custom role may have each of these permissions
(https://cloud.google.com/iam/docs/custom-roles-permissions-support); gcloud refuses it otherwise.
"""

import os
from pathlib import Path
from string import Template

from runbook import checks, facts
from runbook.approvals.signers import signers_of
from runbook.checks.base import ALERT, OK, UNKNOWN, WARN, one
from runbook.cloud.client import Cloud
from runbook.cloud.connect import connect, impersonated
from runbook.cloud.guard import QUERY, READS
from runbook.config import Settings, address_variable, load_settings
from runbook.facts.base import observe
from runbook.model import BadSettings, Findings, Moment, NoCredentials, NoRecord, Refused, join
from runbook.model.actions import ACT_AS
from runbook.model.operations import OPERATIONS, needed
from runbook.records import probe, records_directory, store_of
from runbook.records.store import broken_promise

# The permissions of the two roles, from the code's own lists.
READING = {*QUERY, *(read.permission for read in READS)} - {""}
# Of all operations; an applying run also reads. actAs is granted on the functions' accounts only, not on the project.
APPLYING = set().union(*map(needed, OPERATIONS)) - {ACT_AS}
SCRIPT = Path(__file__).with_name("roles.sh").read_text(encoding="utf-8")


def doctor(environment: str, world: str = "") -> Findings:
    """Check credentials and identity, the clock, tables and columns, permissions (with the role to ask for), the record
    store, the approvers, and the addresses of the contacts to notify.

    Raises what `load_settings` and `connect` raise: without usable params and credentials, nothing can be checked.
    """
    system = load_settings(environment)
    cloud = connect(system, world)
    now, clock_trusted = cloud.now()
    moment = Moment(now, system.zone)
    schema, access = (observe(ask, cloud, moment) for ask in (facts.schema(), facts.access()))
    clock = f"its clock reads {now.isoformat()}" if clock_trusted else "no answer"
    hint = "check the network and proxies: no Google API answered."
    params = one("params", f"{environment}.yaml", "usable", "no placeholder, no error", OK)
    identity = one("credentials", "identity", cloud.identity, "an identity", OK)
    connection = one("connection", cloud.target, clock, "answers", OK if clock_trusted else UNKNOWN, hint)
    reads = (checks.schema(schema, system, moment), checks.access(access, system, moment))
    here = (_apply_as(system, cloud), _records(system), _approvers(system, cloud), _addresses(system, cloud))
    return join((params, identity, connection, *reads, *here))


def _apply_as(system: Settings, cloud: Cloud) -> Findings:
    """Whether this machine may impersonate the account that applies; nothing if params name none."""
    if not system.apply_as:
        return Findings()
    try:
        if cloud.target == "google":
            impersonated(system.apply_as)
    except NoCredentials as error:
        return one("credentials", "apply_as", error.what, "may be impersonated", WARN, error.next)
    return one("credentials", "apply_as", system.apply_as, "may be impersonated", OK)


def _records(system: Settings) -> Findings:
    """Whether a run could write its record here, and whether the store keeps its promises: it keeps one small file."""
    store, limit = store_of(system), "creates a name once, reads and lists it"
    try:
        probe(records_directory(system))
        broken = broken_promise(store)
    except NoRecord as error:
        return one("record store", str(store), error.observed, limit, ALERT, error.next)
    hint = "use another store: with this one, an approval could be used twice."
    return one("record store", str(store), broken or "writable", limit, ALERT if broken else OK, hint)


def _approvers(system: Settings, cloud: Cloud) -> Findings:
    """Whether there are approvers, and whether every machine that applies plans shares the record store."""
    limit = "at least one, and a shared record store"
    try:
        people = signers_of(system, cloud.target)
    except (Refused, BadSettings, NoRecord) as error:
        return one("approvers", system.environment, error.observed or error.what, limit, WARN, error.next)
    if cloud.target == "google" and not store_of(system).shared:
        hint = "keep the records in gs://bucket/prefix, or in a directory that all share with records_shared: true."
        return one("approvers", system.environment, "the record store is not shared", limit, WARN, hint)
    return one("approvers", system.environment, ", ".join(sorted(people.roles)), limit, OK)


def _addresses(system: Settings, cloud: Cloud) -> Findings:
    """Whether each contact that a change notifies has an address on this machine. No message is sent."""
    contacts = dict.fromkeys(["on-call", *(name for rule in system.operations.values() for name in rule.notify)])
    found = []
    for contact in (name for name in contacts if name in system.contacts):
        variable = address_variable(contact)
        good = cloud.target == "sandbox" or bool(os.environ.get(variable, "").strip())
        said = "not needed in the sandbox" if cloud.target == "sandbox" else "set" if good else "not set here"
        hint = f"set {variable} to an apprise address; until then, notify them yourself."
        found.append(one("messages", contact, said, variable, OK if good else WARN, hint))
    return join(found)


def roles(system: Settings) -> str:
    """A script that creates two custom roles and two service accounts, and lets the team impersonate these."""
    values = {"project": system.project, "environment": system.environment}
    for name, key, account in (("reader", "read_as", system.read_as), ("applier", "apply_as", system.apply_as)):
        account = account or f"runbook-{name}@{system.project}.iam.gserviceaccount.com"
        values |= {key: account, name: account.partition("@")[0]}
        values[f"{name}_project"] = account.partition("@")[2].removesuffix(".iam.gserviceaccount.com")
    lists = {"reads": READING, "writes": APPLYING}
    return Template(SCRIPT).substitute(values, **{k: "\n".join(f"- {p}" for p in sorted(v)) for k, v in lists.items()})
