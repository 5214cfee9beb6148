"""The format of world files: the state and history of a sandbox. This module is its only documentation.

A world is a YAML file. Every key except `about` and `now` is optional; an unknown key and a `select` without a match
are errors. Whatever a world does not mention is healthy: every function is ACTIVE and ran on its schedule for the
last eight days successfully, every job is ENABLED, every table is fresh, and nothing logged an error.

    about: Gmail fails since yesterday.        # one sentence, shown to people
    now: 2026-03-11T13:30:00Z                  # the clock; it only advances 1 s with each write
    like: many_errors                          # start from this shipped world and add the keys below
    runs:                                      # what scheduled runs did; the last entry that matches a run wins
      - {select: {source_system: gmail}, since: 26h, until: 0h, outcome: failed, error: "invalid_grant", cure: secret}
      - {select: {name: account-scoring}, since: 26h, kind: memory}    # or a kind of failure, see below
      - {select: {name: gmail-sync}, since: 9h, outcome: success, rows: 0}    # how many rows each of them wrote
    errors:                                    # log entries, evenly spread between since and until
      - {select: {name: gmail-sync}, since: 24h, until: 0h, count: 6, text: "…", payload: json}    # or a JSON object
      - {select: {name: gmail-sync}, since: 3h, until: 2h, count: 1, kind: capacity}    # the lines of that kind
      - {select: {name: gmail-sync}, count: 1, text: "…", payload: stderr}             # without a severity
      - {select: {name: gmail-sync}, count: 1, text: "…", payload: system}             # a line of the platform, or
      - {select: {name: gmail-sync}, count: 1, text: "…", payload: request, status: 500, took: 2.8}    # of a request
    functions:                                 # outcome `absent` removes the function (and its Run service)
      - {select: {name: account-scoring}, state: FAILED, message: "Container Healthcheck failed"}
    tables:                                    # age of the newest row; or a missing table or column
      - {name: gmail_messages, stale: 30h, drop: [subject], changed: 31h}
      - {name: sf_accounts, absent: true}
      - {name: etl_runs, filter: started_at}   # partitioned by this column, and every query must bound it
    jobs:                                      # Cloud Scheduler; code 0 is success, else a google.rpc.Code
      - {select: {name: gmail-sync}, state: PAUSED, code: 13}
      - {select: {name: gmail-sync}, state: PAUSED, changed: 5h}    # has not called its function since then
    revisions:                                 # further deployments; with an `error` or a `kind` their runs fail,
      - {select: {name: gmail-sync}, age: 40m, error: "KeyError: 'id'"}         # with a `failure` they are not ready
      - {select: {name: gmail-sync}, age: 40m, failure: "Quota exceeded", code: 8}    # (`code` is a google.rpc.Code)
    traffic:                                   # all traffic pinned since then, `back` revisions before the newest
      - {select: {name: gmail-sync}, back: 1, since: 26h}
    deploys:                                   # failures of deployments from now on: build or healthcheck
      - {select: {name: gmail-sync}, outcome: healthcheck, message: "the message of a failed build"}
    denied: [{select: {name: gmail-sync}, age: 40m, by: ann@acme.example}]    # deployments that were refused
    secrets:                                   # versions, oldest first; default: a disabled and an enabled one
      - {name: hubspot-api-key, versions: [{age: 700d, state: DISABLED, changed: 6h}, {age: 365d}]}
    references:                                # how a function reads a secret; default: a variable with `latest`
      - {select: {name: gmail-sync}, secret: gmail-oauth-token, version: 1}    # with `volume: true` as a file
    grants:                                    # changes of the IAM policy; default member: the functions' account
      - {action: REMOVE, role: roles/bigquery.dataEditor, age: 50m, by: ann@acme.example, member: ""}
    incidents:                                 # on the status feeds; open if `until` is 0h
      - {feed: google, of: [Cloud Run], locations: [us-central1], since: 40m, until: 0h, severity: high}
      - {feed: hubspot, of: [CRM API], since: 40m}          # components; and Salesforce's instances, such as NA123
    snapshots: [{age: 24h, keep: 7d}]          # of every table; this is the default; [] is none
    quotas:                                    # that were exceeded; `held` is an allocation, else a rate each minute
      - {metric: bigquery.googleapis.com/quota/query/usage, limit_name: QueryUsagePerDay, limit: 1000, used: 1200}
      - {metric: run.googleapis.com/cpu_allocation, limit_name: Cpu, limit: 200, used: 199, held: true}
    web_app: 503                               # what its page answers, where the inventory has one; default: 200
    buckets: [{name: acme-audit, retention: 30d}]    # besides PROJECT-runbooks; `retention`: not deleted, not replaced
    unreachable: [us-central1]                 # locations that a list over all locations reports as unreachable
    roles: [roles/logging.viewer]              # the caller's only roles (roles.yaml); default: every permission
    deny: [bigquery.jobs.create]               # permissions that the caller lacks, whatever the roles grant
    faults:                                    # see gcp_sandbox/faults.py
      - {route: "POST .*/queries", latency_ms: 300}
    bulk: {functions: 1300, runs: 1000000, errors: 1000000}   # this many more, for load tests

`changed` is how long ago the change was made. Every change with a time is in the Admin Activity audit log: deployments,
traffic, jobs, secret versions, grants, tables. `by` names the person; the default is the deploying account.

A `kind` of failure sets the result of the run (unless `outcome` does) and the log entries: those of the function, with
the message of its source system, or those of the platform. The job gets the matching code, unless `jobs` sets one.

    auth  secret  permission  quota_seconds  quota_hours  bad_data  schema  dependency     the run failed and logs why
    exception                       a traceback on stderr without a severity; the run has no end
    memory  timeout  crash          stopped by the platform: logs nothing, no end, or `outcome: failed`
    stuck                           the first run has no end and is not stopped; later calls do nothing
    capacity  unauthenticated       refused before the function is called: no run
    gone                            the function did not exist: no run, and the job got 404; `absent` implies it
    silence                         no run and no log entry

A call of a function, or of its scheduler job, is one more run. It fails if its revision has an `error` or comes from a
main.py with SANDBOX_OUTCOME = "failed" at its top level (uploaded code is read, never executed); or if a `runs` rule
that reaches `now` says failed. A rule, and a revision's `kind`, last until their `cure`: `secret` (a revision with a
newer version), `enabled` (the newest version of each of its secrets is enabled), `memory` (changed), `timeout`
(longer), `code` (new).

Durations are a number and s, m, h or d, counted back from `now`. `select` names fields of a function: `name`,
`source_system`, `table`, `secret`; each is one value or a list; `{}` is every function.
"""

from __future__ import annotations

import re
from datetime import UTC, timedelta
from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import AfterValidator, AwareDatetime, BeforeValidator, ValidationError, field_validator, model_validator

from gcp_sandbox.world.durations import Ago
from gcp_sandbox.world.failures import Failure
from gcp_sandbox.world.inventory import Part
from gcp_sandbox.world.roles import known
from gcp_sandbox.world.select import BadWorld, Select

SHIPPED = Path(__file__).parents[1] / "worlds"


class OfFunctions(Part):
    """What a world says of the functions that `select` matches."""

    select: Select


class Changed(Part):
    """What a person may have changed, some time ago."""

    changed: Ago = timedelta(0)
    by: str = ""


class Done(Part):
    """What a person did, some time ago."""

    age: Ago
    by: str = ""


class Runs(OfFunctions):
    """Results of scheduled runs."""

    outcome: Literal["", "success", "failed", "running", "skipped"] = ""
    kind: Failure = ""
    since: Ago = timedelta(days=8)
    until: Ago = timedelta(0)
    error: str = ""
    rows: int | None = None
    cure: Literal["", "secret", "enabled", "memory", "timeout", "code"] = ""

    @model_validator(mode="after")
    def _says_what_became_of_it(self) -> Self:
        if not self.outcome and not self.kind:
            raise ValueError("set an outcome or a kind")
        return self


class Errors(OfFunctions):
    """Log entries in addition to those of runs."""

    count: int
    text: str = ""
    kind: Failure = ""
    since: Ago = timedelta(hours=24)
    until: Ago = timedelta(0)
    payload: Literal["text", "json", "proto", "stderr", "system", "request"] = "text"
    severity: Literal["DEFAULT", "INFO", "WARNING", "ERROR", "CRITICAL"] = "ERROR"
    status: int = 0
    took: float = 0

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if bool(self.text) == bool(self.kind):
            raise ValueError("set a text or a kind, not both")
        if (self.payload == "request") != bool(self.status):
            raise ValueError("a request has a status, and nothing else has one")
        return self


class FunctionState(OfFunctions):
    state: Literal["ACTIVE", "FAILED", "DEPLOYING", "DELETING", "UNKNOWN", "absent"]
    message: str = ""


class TableState(Changed):
    name: str
    stale: Ago = timedelta(0)
    absent: bool = False
    drop: tuple[str, ...] = ()
    filter: str = ""


class Job(OfFunctions, Changed):
    state: Literal["ENABLED", "PAUSED", "DISABLED", "UPDATE_FAILED"] = "ENABLED"
    code: int = 0


class Denied(OfFunctions, Done):
    """A deployment that was refused."""


class Deployed(OfFunctions, Done):
    error: str = ""
    kind: Failure = ""
    failure: str = ""
    code: int = 3


class Pin(OfFunctions):
    back: int = 1
    since: Ago = timedelta(0)
    by: str = ""


class Deploy(OfFunctions):
    outcome: Literal["build", "healthcheck"]
    message: str = ""


class SecretVersion(Done, Changed):
    state: Literal["ENABLED", "DISABLED", "DESTROYED"] = "ENABLED"


class Secret(Part):
    name: str
    versions: tuple[SecretVersion, ...]


class SecretReference(OfFunctions):
    secret: str
    version: Annotated[str, BeforeValidator(str)] = "latest"
    volume: bool = False


class Grant(Done):
    action: Literal["ADD", "REMOVE"]
    role: str
    member: str = ""


class Incident(Part):
    feed: Literal["google", "hubspot", "salesforce"]
    of: tuple[str, ...]
    since: Ago
    until: Ago = timedelta(0)
    locations: tuple[str, ...] = ()
    severity: Literal["low", "medium", "high"] = "high"


class Quota(Part):
    """A quota that was exceeded in each minute since then; `used` is in each minute, or held."""

    metric: str
    limit_name: str
    location: str = "global"
    limit: int
    used: int
    since: Ago = timedelta(minutes=40)
    held: bool = False


class Snapshot(Part):
    age: Ago
    keep: Ago = timedelta(days=7)


class Bucket(Part):
    name: str
    retention: Ago = timedelta(0)


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
    """The content of one world file; see the docstring of this module."""

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
    quotas: tuple[Quota, ...] = ()
    web_app: int = 200
    snapshots: tuple[Snapshot, ...] = (Snapshot(age="24h"),)
    buckets: tuple[Bucket, ...] = ()
    unreachable: tuple[str, ...] = ()
    roles: Annotated[tuple[str, ...], AfterValidator(known)] | None = None
    deny: tuple[str, ...] = ()
    faults: tuple[Fault, ...] = ()
    bulk: Bulk = Bulk()


def shipped() -> list[str]:
    """The names of the worlds that come with the sandbox."""
    return sorted(path.stem for path in SHIPPED.glob("*.yaml"))


def load(world: str) -> World:
    """Read a shipped world by its name, or any other by the path of its file. Raises BadWorld."""
    try:
        return World.model_validate(_read(world))
    except ValidationError as error:
        first = error.errors()[0]
        raise BadWorld(f"world {world}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def _read(world: str) -> dict:
    path = SHIPPED / f"{world}.yaml" if world in shipped() else Path(world)
    try:
        # CSafeLoader is faster, if libyaml is installed.
        raw = yaml.load(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except OSError as error:
        raise BadWorld(f"Unknown world {world!r} ({error.strerror}). Available: {', '.join(shipped())}") from None
    except yaml.YAMLError as error:
        raise BadWorld(f"world {world}: not valid YAML: {error}") from None
    if not isinstance(raw, dict):
        raise BadWorld(f"world {world}: not a YAML mapping")
    if "like" not in raw:
        return raw
    base = _read(raw.pop("like"))
    joined = {k: [*base[k], *raw[k]] for k in raw if isinstance(raw[k], list) and isinstance(base.get(k), list)}
    return {**base, **raw, **joined}
