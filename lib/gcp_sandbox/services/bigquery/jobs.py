"""BigQuery jobs: each job is done or failed as soon as it is inserted."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from gcp_sandbox import wire
from gcp_sandbox.http import ApiError
from gcp_sandbox.services.bigquery.googlesql.sql import Ref, invalid, unsupported
from gcp_sandbox.services.bigquery.result import Result
from gcp_sandbox.state import State

# What a copy needs on its source, and on the dataset of its destination. If it expires, add deleteSnapshot.
# https://cloud.google.com/bigquery/docs/table-snapshots-create, …/table-snapshots-restore, …/table-clones-create
# Unconfirmed for an ordinary copy: here it needs what a clone needs.
_NEEDED = {
    "SNAPSHOT": ("get getData createSnapshot", "create updateData"),
    "RESTORE": ("get getData restoreSnapshot", "create"),
    "CLONE": ("get getData", "create updateData"),
    "COPY": ("get getData", "create updateData"),
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_KINDS = ("query", "copy", "load", "extract")


@dataclass
class Job:
    """`configuration` is as it was sent; `copied` are the rows and bytes of a copy."""

    id: str
    project: str
    location: str
    configuration: dict
    created: datetime
    result: Result | None = None
    error: ApiError | None = None
    copied: tuple[int, int] = (0, 0)

    @property
    def type(self) -> str:
        return next((kind for kind in _KINDS if kind in self.configuration), "")

    @property
    def reference(self) -> dict:
        named = {"jobId": self.id} if self.id else {}
        return {"projectId": self.project, "location": self.location, **named}

    def resource(self) -> dict:
        name = f"{self.project}:{self.location}.{self.id}"
        link = f"https://bigquery.googleapis.com/bigquery/v2/projects/{self.project}/jobs/{self.id}"
        return {
            "kind": "bigquery#job",
            "etag": wire.etag(name),
            "id": name,
            "selfLink": f"{link}?location={self.location}",
            "user_email": f"engineer@{self.project}.iam.gserviceaccount.com",
            "configuration": {**self.configuration, "jobType": self.type.upper()},
            "jobReference": self.reference,
            "statistics": self._statistics(),
            "status": self.status(),
        }

    def status(self) -> dict:
        if not self.error:
            return {"state": "DONE"}
        said = {"reason": self.error.reason, "message": self.error.message}
        return {"state": "DONE", "errorResult": said, "errors": [said]}

    def _statistics(self) -> dict:
        times = {f"{word}Time": wire.millis(self.created) for word in ("creation", "start", "end")}
        if self.type == "copy":
            rows, size = self.copied
            return {**times, "copy": {"copiedRows": str(rows), "copiedLogicalBytes": str(size)}}
        if not self.result:
            return {**times, "query": {}}
        return {**times, "totalBytesProcessed": str(self.result.processed), "query": self._query(self.result)}

    def _query(self, result: Result) -> dict:
        dry = bool(self.configuration.get("dryRun"))
        made: dict[str, Any] = {
            "statementType": result.kind,
            "totalBytesProcessed": str(result.processed),
            "totalBytesBilled": "0" if dry else str(result.billed),
            "cacheHit": False,
        }
        if result.read:
            made["referencedTables"] = [ref.resource for ref in result.read]
        if result.routines:
            made["referencedRoutines"] = result.routines
        if dry:
            made["totalBytesProcessedAccuracy"] = "PRECISE"
            made["schema"] = {"fields": result.fields}
        if result.target:
            made |= {"ddlOperationPerformed": "ALTER", "ddlTargetTable": result.target.resource}
        return made


def submit(sandbox: State, configuration: dict, reference: dict) -> Job:
    """Run and store one job; a dry run is neither run nor stored.

    An error of the job is in the job, as in BigQuery; raises ApiError only for a dry run, for a duplicate id,
    and for what this sandbox does not support.
    """
    engine, project = sandbox.bigquery, sandbox.inventory.project
    dry = bool(configuration.get("dryRun"))
    made = wire.digest("job", len(engine.jobs), configuration)[:27]
    job_id = reference.get("jobId") or ("" if dry else f"job_{made}")
    location = reference.get("location") or engine.catalog.location
    job = Job(job_id, project, location, configuration, sandbox.now)
    if job.id in engine.jobs:
        message = f"Already Exists: Job {project}:{job.location}.{job.id}"
        raise ApiError(409, "ALREADY_EXISTS", message, "duplicate")
    try:
        _do(sandbox, job, dry)
    except ApiError as error:
        if dry or error.code == 501:
            raise
        job.error = error
    if not dry:
        engine.jobs[job.id] = job
    return job


def _do(sandbox: State, job: Job, dry: bool) -> None:
    if job.type == "query":
        asked = job.configuration["query"]
        if asked.get("destinationTable"):
            raise unsupported("queries with a destination table: use CREATE TABLE … AS SELECT")
        job.result = sandbox.bigquery.query(asked, dry, job.location)
    elif job.type == "copy":
        _copy(sandbox, job, dry)
    else:
        raise unsupported(f"a job of type {job.type or 'nothing'!r}")


def _copy(sandbox: State, job: Job, dry: bool) -> None:
    asked, engine = job.configuration["copy"], sandbox.bigquery
    if "destinationTable" not in asked or not (asked.get("sourceTable") or asked.get("sourceTables")):
        raise ApiError(400, "INVALID_ARGUMENT", "Required parameter is missing", "required")
    if len(asked.get("sourceTables") or []) > 1 or asked.get("writeDisposition") == "WRITE_APPEND":
        raise unsupported("a copy of several tables, or to the end of one")
    source, at = _ref(asked.get("sourceTable") or asked["sourceTables"][0], sandbox.now)
    (to, _), operation = _ref(asked["destinationTable"], sandbox.now), asked.get("operationType") or "COPY"
    if operation not in _NEEDED:
        raise invalid(f"Invalid value for operationType: {operation}")
    engine.catalog.within(job.location, source)
    write, when = asked.get("writeDisposition") or "WRITE_EMPTY", asked.get("destinationExpirationTime")
    _may_copy(sandbox, operation, source, to, bool(when))
    engine.catalog.find(source, located=True)
    if asked.get("createDisposition") == "CREATE_NEVER":
        engine.catalog.find(to, located=True)
    if not dry:
        expires = datetime.fromisoformat(str(when)) if when else None
        table = engine.catalog.copy(source, at, to, operation, write, expires)
        job.copied = (engine.catalog.count(table), engine.catalog.size(table))


def _may_copy(sandbox: State, operation: str, source: Ref, to: Ref, expires: bool) -> None:
    """Raises ApiError 403 for a copy that the caller may not make."""
    on_source, on_dataset = _NEEDED[operation]
    deletes = " deleteSnapshot" if operation == "SNAPSHOT" and expires else ""
    writes = " updateData" if sandbox.bigquery.catalog.get(to) else ""
    for verb in (on_source + deletes).split():
        sandbox.bigquery.require(f"bigquery.tables.{verb}", source)
    for verb in (on_dataset + writes).split():
        on = {"project": to.project, "dataset": to.dataset}
        sandbox.iam.require(f"bigquery.tables.{verb}", "bigquery", on)


def _ref(table: dict, now: datetime) -> tuple[Ref, datetime | None]:
    """A table, and the time of a decorator: table@MILLISECONDS, or @-MILLISECONDS ago."""
    name, _, when = table["tableId"].partition("@")
    millis = int(when) if when.lstrip("-").isdigit() else None
    since = now if millis is not None and millis < 0 else _EPOCH
    moment = None if millis is None else since + timedelta(milliseconds=millis)
    return Ref(table["projectId"], table["datasetId"], name if millis is not None else table["tableId"]), moment
