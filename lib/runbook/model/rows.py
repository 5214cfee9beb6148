"""The rows of facts: one class for each kind of fact. An INTERNAL field is for checks and plans; tables leave it out.

All times have a zone; the rows of a Fact are in the team's zone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from datetime import date, datetime, timedelta
from typing import Any

from runbook.model.facts import INTERNAL, FactRow

# --- BigQuery


class EtlCount(FactRow):
    """Runs of one source system with one status. `outlived`: they have no end, and a later run succeeded."""

    source_system: str
    status: str
    runs: int
    latest: datetime
    outlived: bool = field(metadata=INTERNAL)


class FailedRun(FactRow):
    started_at: datetime
    source_system: str
    function: str | None
    error: str | None


class EtlDay(FactRow):
    """Runs of one of the team's days."""

    date: date
    success: int
    failed: int


class EtlRun(FactRow):
    """One run; `function` is None if the row does not name it, `finished_at` if the run recorded no end.

    `records` are the rows that it wrote, None if no column has them.
    """

    started_at: datetime
    function: str | None
    source_system: str
    status: str
    finished_at: datetime | None = None
    error: str | None = None
    records: int | None = None


class ScoreDay(FactRow):
    score_date: date
    accounts: int


class TableAge(FactRow):
    """Both times are None for an empty table."""

    table_name: str
    newest: datetime | None
    minutes_stale: int | None


class Table(FactRow):
    """`columns`: name → (type, mode), as in tables.get."""

    table: str
    rows: int
    mb: float
    changed: datetime | None
    created: datetime | None = field(metadata=INTERNAL)
    columns: Mapping[str, tuple[str, str]] = field(metadata=INTERNAL)


class Snapshot(FactRow):
    """A snapshot of `table`."""

    snapshot: str
    table: str
    rows: int
    mb: float
    taken: datetime
    expires: datetime | None


class Copy(FactRow):
    """A copied table and its source. `no_checksum` says why there are no checksums."""

    copy: str
    copy_rows: int
    source_rows: int
    copy_checksum: Any
    source_checksum: Any
    no_checksum: str = ""


class Column(FactRow):
    table: str
    column: str
    type: str


# --- Cloud Functions, Cloud Run, Cloud Scheduler, Secret Manager


class FunctionState(FactRow):
    """A function as Cloud Functions lists it; `message` says why it is not ACTIVE."""

    name: str
    region: str
    state: str
    memory: str
    timeout_s: int
    updated: datetime | None
    message: str


class Service(FactRow):
    """A function and its Cloud Run service. `serving` is the revision with the most traffic.

    `pinned`: a new revision would not get all traffic. `targets`: percent by revision. `source` is the digest of the
    deployed code, `code` its place. `reconciling`: a change is in progress.
    """

    function: str
    state: str
    runtime: str
    entry_point: str
    memory: str
    timeout_s: int
    serving: str
    traffic: str
    pinned: bool
    updated: datetime | None
    targets: Mapping[str, int] = field(metadata=INTERNAL)
    service: str = field(metadata=INTERNAL)
    source: str = field(metadata=INTERNAL)
    code: str = field(metadata=INTERNAL)
    reconciling: bool = field(metadata=INTERNAL)


class Revision(FactRow):
    """`traffic` in percent. `secrets`: (secret, version) pairs; None if the revision does not show them."""

    revision: str
    created: datetime
    ready: bool
    traffic: int
    pinned: bool = field(metadata=INTERNAL)
    secrets: tuple[tuple[str, str], ...] | None = field(metadata=INTERNAL)


class Reader(FactRow):
    """A serving revision that reads a secret. It read the secret at `since`. `versions`: those that it names."""

    function: str
    revision: str
    since: datetime
    traffic: int
    versions: tuple[str, ...]
    pinned: bool = field(metadata=INTERNAL)


class Quota(FactRow):
    """A quota of the project that was exceeded, `times` samples of it, the last at `last`.

    `used` is the most in one period of the limit (`per`: in a minute, in a day or at once), None if that cannot be
    compared: the limit is one for each user or of another period, or there is no usage. `limit` is None if unknown.
    """

    metric: str
    limit_name: str
    location: str
    used: int | None
    limit: int | None
    per: str
    times: int
    last: datetime


class SecretVersion(FactRow):
    secret: str
    version: int
    state: str
    created: datetime


class SchedulerJob(FactRow):
    """`code` is a google.rpc.Code of the last attempt: 0 is success. `function` is the one that it calls, or ""."""

    name: str
    state: str
    schedule: str
    zone: str
    last_attempt: datetime | None
    code: int
    message: str
    function: str = field(metadata=INTERNAL)


# --- Cloud Logging, IAM, status pages


class LogEntry(FactRow):
    """A log entry; that of a request has the time of the request's end.

    `ours` is false for an entry of anything but a function in params. `call`: the entry only says that a call failed,
    which took so long at most. `platform`: Google wrote it, not the function. `bare`: a line without a severity that
    does not look like a crash; it may be anything.
    """

    at: datetime
    function: str
    severity: str
    text: str
    revision: str = field(metadata=INTERNAL)
    ours: bool = field(metadata=INTERNAL)
    call: timedelta | None = field(default=None, metadata=INTERNAL)
    platform: bool = field(default=False, metadata=INTERNAL)
    bare: bool = field(default=False, metadata=INTERNAL)


class AuditedChange(FactRow):
    """A successful call from the Admin Activity audit log."""

    at: datetime
    who: str
    what: str
    resource: str


class Permission(FactRow):
    """Whether this run's identity holds a permission that a role must grant."""

    role: str
    permission: str
    held: bool


class OpenIncident(FactRow):
    """An open incident on a status page; `what` names its products, `where` its locations ("global" is each one).

    `severity` is low, medium or high, or "" if the page does not say.
    """

    feed: str
    title: str
    what: str
    where: tuple[str, ...]
    since: datetime | None
    severity: str = ""


# --- the checkout, the record store


class SourceState(FactRow):
    """The code to deploy. `tests` is the last line of pytest; the lists name files and locations."""

    source: str
    commit: str
    not_committed: tuple[str, ...]
    review: str
    tests: str
    looks_like_a_secret: tuple[str, ...]
    digest: str
    passed: bool = field(metadata=INTERNAL)
    whole_digest: str = field(metadata=INTERNAL)


class Noticed(FactRow):
    """When an incident was noticed, by a record of its pages."""

    record: str
    at: datetime


class Notified(FactRow):
    contact: str
    at: datetime


class Rehearsed(FactRow):
    """A run that applied the same change in staging; `source` is the digest of its code."""

    record: str
    environment: str
    at: datetime
    source: str = field(metadata=INTERNAL)
