"""The language of worlds: what is true and what happened in a sandbox. This module is its only documentation.

A world is a YAML file. Every key but `about` and `now` may be left out; an unknown key, and a `select` that selects
nothing, is an error. What a world does not mention is healthy: every function is ACTIVE and ran on its schedule for the
last eight days with success, every job is ENABLED, every table is fresh, and nothing logged an error.

    about: Gmail fails since yesterday.        # one sentence, shown to people
    now: 2026-03-11T13:30:00Z                  # the clock; it stands still, and moves 1 s with each write
    like: many_errors                          # start from this shipped world and add the rest
    runs:                                      # what scheduled runs did; the last entry that matches a run wins
      - {select: {source_system: gmail}, since: 26h, until: 0h, outcome: failed, error: "invalid_grant", cure: secret}
      - {select: {name: account-scoring}, since: 26h, kind: memory}    # or in the words of a kind of failure, see below
    errors:                                    # log entries, evenly spread between since and until
      - {select: {name: gmail-sync}, since: 24h, until: 0h, count: 6, text: "…", payload: json}
      - {select: {name: gmail-sync}, since: 3h, until: 2h, count: 1, kind: capacity}    # what that kind writes
      - {select: {name: gmail-sync}, count: 1, text: "…", payload: stderr}             # without a severity
    functions:                                 # outcome `absent` removes the function (and its Run service)
      - {select: {name: account-scoring}, state: FAILED, message: "Container Healthcheck failed"}
    tables:                                    # newest row this long before the clock, or no such table, or column
      - {name: gmail_messages, stale: 30h, drop: [subject], changed: 31h}
      - {name: sf_accounts, absent: true}
      - {name: etl_runs, filter: started_at}   # partitioned by this column, and every query must bound it
    jobs:                                      # Cloud Scheduler; code 0 is success, else a google.rpc.Code
      - {select: {name: gmail-sync}, state: PAUSED, code: 13}
      - {select: {name: gmail-sync}, state: PAUSED, changed: 5h}    # and since then it did not call its function
    revisions:                                 # deployments beside the old ones; with an `error` or a `kind` its runs
      - {select: {name: gmail-sync}, age: 40m, error: "KeyError: 'id'"}    # fail so, with a `failure` it is not ready
    traffic:                                   # all traffic pinned since then to the revision `back` before the newest
      - {select: {name: gmail-sync}, back: 1, since: 26h}
    deploys:                                   # what deployments from now on come to: build or healthcheck (failures)
      - {select: {name: gmail-sync}, outcome: healthcheck, message: "the words of a build's failure"}
    denied: [{select: {name: gmail-sync}, age: 40m, by: ann@acme.example}]    # deployments that were refused
    secrets:                                   # versions, oldest first; else an old one that is off and a new one
      - {name: hubspot-api-key, versions: [{age: 700d, state: DISABLED, changed: 6h}, {age: 365d}]}
    references:                                # how a function names a secret; else each in a variable, as `latest`
      - {select: {name: gmail-sync}, secret: gmail-oauth-token, version: 1}    # with `volume: true` as a file
    grants:                                    # changes of the project's IAM policy; else of the functions' account
      - {action: REMOVE, role: roles/bigquery.dataEditor, age: 50m, by: ann@acme.example, member: ""}
    incidents:                                 # on the status feeds; one that lasts until 0h is open
      - {feed: google, of: [Cloud Run], locations: [us-central1], since: 40m, until: 0h, severity: high}
      - {feed: hubspot, of: [CRM API], since: 40m}          # components; and Salesforce's instances, such as NA123
    snapshots: [{age: 24h, keep: 7d}]          # of every table; left out, there is just this one; [] is none
    unreachable: [us-central1]                 # locations that do not answer a list over all locations
    deny: [bigquery.jobs.create]               # permissions that the caller lacks
    faults:                                    # see gcp_sandbox/faults.py
      - {route: "POST .*/queries", latency_ms: 300}
    bulk: {functions: 1300, runs: 1000000, errors: 1000000}   # this many more, for measuring

`changed` says how long ago somebody did what the entry says. Every change that tells its time is in the Admin Activity
audit log: deployments, traffic, jobs, secret versions, grants, tables; `by` names who, else the deploying account.

A `kind` of failure says what became of the run, unless `outcome` does, and what is written then: by the function, in
the words of its source system, or by the platform. The job gets the code that goes with it, unless `jobs` says one.

    auth  secret  permission  quota_seconds  quota_hours  bad_data  schema  dependency     its run failed and says why
    exception                       it raised: a traceback on stderr without a severity, and the run has no end
    memory  timeout  crash          stopped from outside: it says nothing, and the run has no end, or `outcome: failed`
    stuck                           its first run has no end, and nothing stopped it; what is called after does nothing
    capacity  unauthenticated       refused before it was called: no run
    silence                         no run, and nobody there to write a line

A call of a function, or of its scheduler job, is one more run. It fails if its revision has an `error` or comes from a
main.py with SANDBOX_OUTCOME = "failed" at its top level (uploaded code is read, never run); or if a `runs` rule that
reaches `now` says failed, until its `cure`: `secret` (a revision started with a newer version), `enabled` (the newest
version of each of its secrets is), `memory` (another), `timeout` (a longer one), `code`.

Durations are a number and s, m, h or d, counted back from `now`. `select` names fields of a function: `name`,
`source_system`, `table`, `secret`; each is one value or a list; `{}` is every function.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, timedelta
from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import AfterValidator, AwareDatetime, BeforeValidator, ValidationError, field_validator, model_validator

from gcp_sandbox.world.failures import KINDS
from gcp_sandbox.world.inventory import Function, Part

SHIPPED = Path(__file__).parents[1] / "worlds"
_QUICK = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same language, where libyaml is
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class BadWorld(ValueError):
    """A world that cannot be used: the message names the file and the key."""


def duration(text: object) -> timedelta:
    """Read "90s", "40m", "26h" or "2d"; what is a timedelta already stays one."""
    if isinstance(text, timedelta):
        return text
    if not (match := re.fullmatch(r"(\d+)([smhd])", str(text))):
        raise ValueError(f"{text!r} is not a duration such as 40m, 26h or 2d")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def _known(kind: str) -> str:
    if kind not in ("", *KINDS):
        raise ValueError(f"{kind!r} is none of {', '.join(KINDS)}")
    return kind


Ago = Annotated[timedelta, BeforeValidator(duration)]
Failure = Annotated[str, AfterValidator(_known)]


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_listed)]


class Select(Part):
    """Which functions: each field that is given must match."""

    name: Names = ()
    source_system: Names = ()
    table: Names = ()
    secret: Names = ()

    def of(self, functions: Sequence[Function]) -> list[Function]:
        """The functions that match. Raises BadWorld when there are none."""
        found = [f for f in functions if self._matches(f)]
        if not found:
            raise BadWorld(f"select {self.model_dump(exclude_defaults=True)} selects no function")
        return found

    def _matches(self, f: Function) -> bool:
        own = {"name": [f.name], "source_system": [f.source_system], "table": f.tables, "secret": f.secrets}
        return all(set(wanted) & set(own[field]) for field, wanted in self if wanted)


class Runs(Part):
    """What became of scheduled runs."""

    select: Select
    outcome: Literal["", "success", "failed", "running", "skipped"] = ""
    kind: Failure = ""
    since: Ago = timedelta(days=8)
    until: Ago = timedelta(0)
    error: str = ""
    cure: Literal["", "secret", "enabled", "memory", "timeout", "code"] = ""

    @model_validator(mode="after")
    def _says_what_became_of_it(self) -> Self:
        if not self.outcome and not self.kind:
            raise ValueError("an outcome or a kind is expected")
        return self


class Errors(Part):
    """Log entries beside those of runs."""

    select: Select
    count: int
    text: str = ""
    kind: Failure = ""
    since: Ago = timedelta(hours=24)
    until: Ago = timedelta(0)
    payload: Literal["text", "json", "proto", "stderr"] = "text"
    severity: Literal["WARNING", "ERROR", "CRITICAL"] = "ERROR"

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if bool(self.text) == bool(self.kind):
            raise ValueError("a text or a kind is expected")
        return self


class FunctionState(Part):
    select: Select
    state: Literal["ACTIVE", "FAILED", "DEPLOYING", "DELETING", "UNKNOWN", "absent"]
    message: str = ""


class TableState(Part):
    name: str
    stale: Ago = timedelta(0)
    absent: bool = False
    drop: tuple[str, ...] = ()
    filter: str = ""
    changed: Ago = timedelta(0)
    by: str = ""


class Job(Part):
    select: Select
    state: Literal["ENABLED", "PAUSED", "DISABLED", "UPDATE_FAILED"] = "ENABLED"
    code: int = 0
    changed: Ago = timedelta(0)
    by: str = ""


class Deployed(Part):
    select: Select
    age: Ago
    error: str = ""
    kind: Failure = ""
    failure: str = ""
    by: str = ""


class Pin(Part):
    select: Select
    back: int = 1
    since: Ago = timedelta(0)
    by: str = ""


class Deploy(Part):
    select: Select
    outcome: Literal["build", "healthcheck"]
    message: str = ""


class Denied(Part):
    select: Select
    age: Ago
    by: str = ""


class SecretVersion(Part):
    age: Ago
    state: Literal["ENABLED", "DISABLED", "DESTROYED"] = "ENABLED"
    changed: Ago = timedelta(0)
    by: str = ""


class Secret(Part):
    name: str
    versions: tuple[SecretVersion, ...]


class SecretReference(Part):
    select: Select
    secret: str
    version: Annotated[str, BeforeValidator(str)] = "latest"
    volume: bool = False


class Grant(Part):
    action: Literal["ADD", "REMOVE"]
    role: str
    age: Ago
    member: str = ""
    by: str = ""


class Incident(Part):
    feed: Literal["google", "hubspot", "salesforce"]
    of: tuple[str, ...]
    since: Ago
    until: Ago = timedelta(0)
    locations: tuple[str, ...] = ()
    severity: Literal["low", "medium", "high"] = "high"


class Snapshot(Part):
    age: Ago
    keep: Ago = timedelta(days=7)


class Fault(Part):
    """See gcp_sandbox/faults.py."""

    route: str = ".*"
    nth: int = 0
    status: int = 0
    lost: Literal["", "before", "after"] = ""
    latency_ms: int = 0
    stuck: bool = False

    @field_validator("route")
    @classmethod
    def _is_an_expression(cls, route: str) -> str:
        try:
            re.compile(route)
        except re.error as error:
            raise ValueError(f"{route!r} is not a regular expression: {error}") from None
        return route


class Bulk(Part):
    functions: int = 0
    runs: int = 0
    errors: int = 0


class World(Part):
    """One world as its file says it; see the top of this module."""

    about: str
    now: Annotated[AwareDatetime, AfterValidator(lambda now: now.astimezone(UTC))]
    runs: tuple[Runs, ...] = ()
    errors: tuple[Errors, ...] = ()
    functions: tuple[FunctionState, ...] = ()
    tables: tuple[TableState, ...] = ()
    jobs: tuple[Job, ...] = ()
    revisions: tuple[Deployed, ...] = ()
    traffic: tuple[Pin, ...] = ()
    deploys: tuple[Deploy, ...] = ()
    denied: tuple[Denied, ...] = ()
    secrets: tuple[Secret, ...] = ()
    references: tuple[SecretReference, ...] = ()
    grants: tuple[Grant, ...] = ()
    incidents: tuple[Incident, ...] = ()
    snapshots: tuple[Snapshot, ...] = (Snapshot(age="24h"),)
    unreachable: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    faults: tuple[Fault, ...] = ()
    bulk: Bulk = Bulk()


def shipped() -> list[str]:
    """The names of the worlds that come with the sandbox."""
    return sorted(path.stem for path in SHIPPED.glob("*.yaml"))


def load(world: str) -> World:
    """Read a shipped world by its name, or any other by the path of its file. Raises BadWorld."""
    raw = _read(world)
    try:
        return World.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        raise BadWorld(f"world {world}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def _read(world: str) -> dict:
    path = SHIPPED / f"{world}.yaml" if world in shipped() else Path(world)
    try:
        raw = yaml.load(path.read_text(encoding="utf-8"), Loader=_QUICK)
    except OSError as error:
        raise BadWorld(f"world {world!r} is none of {', '.join(shipped())}, and no file: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise BadWorld(f"world {world}: not YAML: {error}") from None
    if not isinstance(raw, dict):
        raise BadWorld(f"world {world}: a mapping of keys is expected")
    if "like" not in raw:
        return raw
    base = _read(raw.pop("like"))
    joined = {k: [*base[k], *raw[k]] for k in raw if isinstance(raw[k], list) and isinstance(base.get(k), list)}
    return {**base, **raw, **joined}
