"""`runbook doctor`: what is missing before a runbook can work on an environment. It reads; it writes a probe file."""

from __future__ import annotations

from pathlib import Path

from runbook import checks, facts, record
from runbook.cloud.connect import Cloud, connect
from runbook.errors import NoRecord
from runbook.facts.read import look
from runbook.moment import Moment
from runbook.rows import Finding, Findings, Verdict
from runbook.settings import Settings, load


def doctor(environment: str, world: str = "") -> Findings:
    """Credentials and identity, the clock, tables and columns, permissions and the role to ask for, the record store.

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
