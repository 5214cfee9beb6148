"""Copies and columns of tables, by jobs (https://cloud.google.com/bigquery/docs/reference/rest/v2/jobs/insert)."""

from datetime import timedelta

from runbook.apply.actions.base import Action, Change, Cloud, Observation, Row, SecretValue, Send


def _table(cloud: Cloud, dataset: str, table: str) -> Row:
    return {"projectId": cloud.settings.project, "datasetId": dataset, "tableId": table}


def _get_table(cloud: Cloud, dataset: str, table: str) -> Row | None:
    from google.api_core.exceptions import NotFound

    try:
        return cloud.get("bigquery", f"bigquery/v2/projects/{cloud.settings.project}/datasets/{dataset}/tables/{table}")
    except NotFound as error:
        if "dataset" in str(error.message).lower().partition("not found: ")[2][:10]:
            raise
        return None


def _observe_copy(cloud: Cloud, change: Change) -> Observation:
    at = change.args
    found, job = _get_table(cloud, at.to_dataset, at.to_table), _newest_job(cloud, change)
    if found is None:
        status = job["status"] if job else {}
        if job and status.get("state") != "DONE":
            return Observation("pending", "the job is running", job)
        if error := status.get("errorResult"):
            return Observation("failed", error.get("message", "the job failed"), job or {})
        return Observation("old", "the table does not exist")
    base = found.get("snapshotDefinition", {}).get("baseTableReference", {}).get("tableId")
    mine = base == at.table if at.is_snapshot else job is not None
    if found.get("type", "TABLE") != ("SNAPSHOT" if at.is_snapshot else "TABLE") or not mine:
        return Observation("other", f"another {found.get('type')} has that name", found)
    return Observation("new", f"{int(found.get('numRows', 0)):,} rows", found)


def _newest_job(cloud: Cloud, change: Change) -> Row | None:
    """The last job for a change. The job ids are the change's name with a number."""
    from google.api_core.exceptions import NotFound

    found = None
    for number in range(1, TRIES + 1):
        path = f"bigquery/v2/projects/{cloud.settings.project}/jobs/{change.args.job}_{number}"
        try:
            found = cloud.get("bigquery", path, location=_location(cloud, change)) | {"_number": number}
        except NotFound:
            return found
    return found


def _location(cloud: Cloud, change: Change) -> str:
    """Where the jobs of a change run: where its dataset is."""
    return cloud.location(getattr(change.args, "to_dataset", change.args.dataset))


TRIES = 20  # jobs for one change; a job id can be used only once, and Google keeps a job for months


def _do_copy(send: Send, cloud: Cloud, change: Change, observed: Observation, _: SecretValue) -> None:
    at = change.args
    source, to = _table(cloud, at.dataset, at.table + at.at), _table(cloud, at.to_dataset, at.to_table)
    copy: Row = {"sourceTable": source, "destinationTable": to, "operationType": at.operation}
    copy["writeDisposition"] = "WRITE_EMPTY"
    if at.keep_days:
        copy["destinationExpirationTime"] = f"{cloud.now()[0] + timedelta(days=at.keep_days):%FT%TZ}"
    _insert(send, cloud, change, {"copy": copy})


def _insert(send: Send, cloud: Cloud, change: Change, configuration: Row) -> None:
    """Insert a job with an id that depends on the change, so Google refuses one of two concurrent inserts."""
    from google.api_core.exceptions import BadRequest

    project, last = cloud.settings.project, _newest_job(cloud, change)
    name = f"{change.args.job}_{last['_number'] + 1 if last else 1}"
    job = {"jobReference": {"projectId": project, "jobId": name, "location": _location(cloud, change)}}
    url = f"https://bigquery.googleapis.com/bigquery/v2/projects/{project}/jobs"
    if error := send("POST", url, {**job, "configuration": configuration}).get("status", {}).get("errorResult"):
        raise BadRequest(error.get("message", "the job failed"))


def _observe_column(cloud: Cloud, change: Change) -> Observation:
    at = change.args
    found = _get_table(cloud, at.dataset, at.table) or {}
    fields = {f["name"]: (f["type"], f.get("mode", "NULLABLE")) for f in found.get("schema", {}).get("fields", [])}
    if at.column not in fields:
        return Observation("old", "the column does not exist", found)
    return Observation("new" if fields[at.column] == at.field else "other", str(fields[at.column]), found)


def _do_column(send: Send, cloud: Cloud, change: Change, observed: Observation, _: SecretValue) -> None:
    _insert(send, cloud, change, {"query": {"query": change.args.sql(cloud.settings.project), "useLegacySql": False}})


ACTIONS = {"copy table": Action(_observe_copy, _do_copy), "add column": Action(_observe_column, _do_column)}
