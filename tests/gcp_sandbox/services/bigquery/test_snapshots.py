"""Snapshots, restoring, looking into the past and adding a column, through Google's own client and the real `bq`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from datetime import UTC, datetime, timedelta

import pytest
from google.api_core.exceptions import BadRequest, Conflict, Forbidden, GoogleAPICallError, NotFound, PreconditionFailed
from google.cloud.bigquery import CopyJobConfig, QueryJobConfig, ScalarQueryParameter
from google.cloud.functions_v2 import FunctionServiceClient

import gcp_sandbox
from gcp_sandbox.serve import environment, serve
from tests.gcp_sandbox.conftest import INVENTORY, PROJECT

GMAIL = f"projects/{PROJECT}/locations/us-central1/functions/gmail-sync"
NOW = datetime(2026, 3, 11, 13, 30, tzinfo=UTC)
MAIN, BACKUP = (f"{PROJECT}.{dataset}" for dataset in ("sales_intelligence", "sales_intelligence_backup"))
RUNS, TODAY, YESTERDAY = f"{MAIN}.etl_runs", f"{BACKUP}.etl_runs_20260311", f"{BACKUP}.etl_runs_20260310"
TABLES = ["account_recommendations", "etl_runs", "gmail_messages", "sf_accounts"]
KEPT = NOW + timedelta(days=30)


def copy(here, source: str, to: str, operation: str = "SNAPSHOT", job_id: str | None = None, **more):
    asked = CopyJobConfig(operation_type=operation, write_disposition="WRITE_EMPTY", **more)
    return here.bigquery.copy_table(source, to, job_config=asked, job_id=job_id, retry=None).result(retry=None)


def count(here, table: str, past: str = "") -> int:
    return here.rows(f"SELECT COUNT(*) FROM `{table}` {past}")[0][0]


def change(here) -> None:
    """One more run, and so one more row in the table of runs."""
    uri = here(FunctionServiceClient).get_function(name=GMAIL).service_config.uri
    assert here.session.post(uri, headers={"Authorization": "Bearer x"}).status_code == 200


def test_a_snapshot(cloud):
    here = cloud()
    copy(here, RUNS, TODAY, destination_expiration_time=KEPT.isoformat())
    made = here.bigquery.get_table(TODAY)
    base = here.bigquery.get_table(RUNS)
    assert (made.table_type, made.expires, made.created) == ("SNAPSHOT", KEPT, NOW + timedelta(seconds=1))
    assert made.snapshot_definition.base_table_reference == base.reference
    assert (made.num_rows, made.schema) == (base.num_rows, base.schema)
    change(here)
    assert count(here, TODAY) == made.num_rows < count(here, RUNS)
    with pytest.raises(BadRequest, match="snapshot and cannot be modified"):
        here.rows(f"ALTER TABLE `{TODAY}` ADD COLUMN note STRING")


def test_what_is_there_is_not_overwritten(cloud):
    here = cloud()
    copy(here, RUNS, TODAY)
    before = here.bigquery.get_table(TODAY)
    change(here)
    with pytest.raises(Conflict, match="Already Exists: Table"):
        copy(here, RUNS, TODAY)
    assert here.bigquery.get_table(TODAY).etag == before.etag
    with pytest.raises(NotFound, match="Not found: Table"):
        copy(here, f"{MAIN}.nothing", f"{BACKUP}.nothing")


def test_the_same_job_again(cloud):
    here = cloud()
    copy(here, RUNS, TODAY, job_id="backup-1")
    with pytest.raises(Conflict, match="Already Exists: Job"):
        copy(here, RUNS, f"{BACKUP}.other", job_id="backup-1")
    job = here.bigquery.get_job("backup-1", location="us-central1")
    assert (job.state, job.destination.table_id) == ("DONE", "etl_runs_20260311")


def test_after_a_lost_answer_the_job_is_there(cloud, told):
    here = cloud(told('faults: [{route: "POST .*/jobs$", nth: 1, lost: after}]'))
    with pytest.raises(Exception, match="lost after POST"):
        copy(here, RUNS, TODAY, job_id="backup-1")
    assert here.bigquery.get_job("backup-1", location="us-central1").error_result is None
    assert here.bigquery.get_table(TODAY).table_type == "SNAPSHOT"


def test_restore_from_a_snapshot(cloud):
    here = cloud()
    restored = f"{MAIN}.etl_runs_restored"
    copy(here, YESTERDAY, restored, "RESTORE")
    made = here.bigquery.get_table(restored)
    assert (made.table_type, made.num_rows) == ("TABLE", count(here, YESTERDAY))
    here.rows(f"ALTER TABLE `{restored}` ADD COLUMN note STRING")
    assert len(here.bigquery.get_table(YESTERDAY).schema) == len(here.bigquery.get_table(restored).schema) - 1
    with pytest.raises(BadRequest, match="RESTORE is not possible"):
        copy(here, RUNS, f"{MAIN}.other", "RESTORE")


@pytest.mark.parametrize("world", ["healthy", "no_backup"])
def test_yesterdays_snapshots(cloud, world):
    listed = list(cloud(world).bigquery.list_tables(BACKUP))
    assert [t.table_id for t in listed] == ([f"{t}_20260310" for t in TABLES] if world == "healthy" else [])
    assert {(t.table_type, t.created, t.expires) for t in listed} <= {
        ("SNAPSHOT", NOW - timedelta(days=1), NOW + timedelta(days=6))
    }


def test_a_snapshot_holds_what_was_there_then(cloud):
    here = cloud()
    assert here.rows(f"SELECT MAX(started_at) < TIMESTAMP '2026-03-10 13:30:00+00' FROM `{YESTERDAY}`") == [(True,)]
    assert count(here, YESTERDAY) == count(here, RUNS, "WHERE started_at <= TIMESTAMP '2026-03-10 13:30:00+00'")
    scores = f"{BACKUP}.account_recommendations_20260310"
    assert here.rows(f"SELECT MAX(score_date) FROM `{scores}`") == [(datetime(2026, 3, 10).date(),)]  # noqa: DTZ001


def test_an_expired_snapshot_is_gone(cloud, told):
    here = cloud(told("snapshots: [{age: 9d, keep: 8d}, {age: 2d}]"))
    assert {t.table_id[-8:] for t in here.bigquery.list_tables(BACKUP)} == {"20260309"}


def millis(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


PAST = "FOR SYSTEM_TIME AS OF"


def test_the_past_since_the_world_began(cloud):
    here = cloud()
    rows = count(here, RUNS)
    change(here)
    assert count(here, RUNS) == rows + 1
    assert count(here, RUNS, f"{PAST} TIMESTAMP '2026-03-11 13:30:00+00'") == rows
    assert count(here, RUNS, f"AS r {PAST} TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL 2 SECOND)") == rows
    assert count(here, RUNS, f"{PAST} CURRENT_TIMESTAMP()") == count(here, RUNS)
    asked = QueryJobConfig(query_parameters=[ScalarQueryParameter("at", "TIMESTAMP", NOW)])
    found = here.bigquery.query_and_wait(f"SELECT * FROM `{RUNS}` {PAST} @at", job_config=asked, retry=None)
    assert found.total_rows == rows
    back = CopyJobConfig(write_disposition="WRITE_TRUNCATE")
    here.bigquery.copy_table(f"{RUNS}@{millis(NOW)}", RUNS, job_config=back, retry=None).result(retry=None)
    assert count(here, RUNS) == rows
    assert count(here, RUNS, f"{PAST} TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL 1 SECOND)") == rows + 1


def test_the_past_before_is_the_storys(cloud):
    here = cloud()
    then = "TIMESTAMP '2026-03-09 12:00:00+00'"
    assert 0 < count(here, RUNS, f"{PAST} {then}") == count(here, RUNS, f"WHERE started_at <= {then}")
    assert count(here, f"{MAIN}.account_recommendations", f"{PAST} {then}") > 0


@pytest.mark.parametrize(
    ("past", "words"),
    [
        (
            "TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL 169 HOUR)",
            r"Invalid snapshot time 1772627400000 for table acme-test:sales_intelligence.etl_runs@1772627400000. "
            r"Cannot read before 1772631000000",
        ),
        ("TIMESTAMP_ADD(CURRENT_TIMESTAMP(), INTERVAL 1 HOUR)", "future"),
    ],
)
def test_a_past_that_is_not_kept(cloud, past, words):
    with pytest.raises(BadRequest, match=words):
        count(cloud(), RUNS, f"{PAST} {past}")


def test_a_table_has_no_past_before_it_was_made(cloud):
    here = cloud()
    copy(here, RUNS, f"{MAIN}.t", "CLONE")
    with pytest.raises(BadRequest, match="Cannot read before"):
        count(here, f"{MAIN}.t", f"{PAST} TIMESTAMP '2026-03-11 13:30:00+00'")


@pytest.mark.parametrize("decorator", [str(millis(NOW)), "-2000"])
def test_a_copy_of_the_past(cloud, decorator):
    here = cloud()
    rows = count(here, RUNS)
    change(here)
    copy(here, f"{RUNS}@{decorator}", TODAY)
    assert count(here, TODAY) == rows < count(here, RUNS)


def test_labels_and_expiry(cloud):
    here = cloud()
    copy(here, RUNS, TODAY)
    made = here.bigquery.get_table(TODAY)
    made.labels = {"runbook": "backup"}
    made = here.bigquery.update_table(made, ["labels"])
    assert (made.labels, made.table_type) == ({"runbook": "backup"}, "SNAPSHOT")
    made.labels, made.expires = {"runbook": None, "kept": "yes"}, KEPT
    updated = here.bigquery.update_table(made, ["labels", "expires"])
    assert (updated.labels, updated.expires) == ({"kept": "yes"}, KEPT)
    with pytest.raises(PreconditionFailed):
        here.bigquery.update_table(made, ["labels"])
    [listed] = [t for t in here.bigquery.list_tables(BACKUP) if t.table_id == "etl_runs_20260311"]
    assert (listed.labels, listed.expires) == ({"kept": "yes"}, KEPT)


def test_a_column_is_added(cloud):
    here = cloud()
    before = here.bigquery.get_table(RUNS)
    add = f"ALTER TABLE `{RUNS}` ADD COLUMN IF NOT EXISTS note STRING"
    dry = here.bigquery.query(add, job_config=QueryJobConfig(dry_run=True), retry=None)
    assert (dry.statement_type, here.bigquery.get_table(RUNS)) == ("ALTER_TABLE", before)
    job = here.bigquery.query(add, retry=None, job_retry=None)
    job.result()
    assert job.ddl_operation_performed == "ALTER"
    after = here.bigquery.get_table(RUNS)
    assert [(f.name, f.field_type, f.mode) for f in after.schema[len(before.schema) :]] == [
        ("note", "STRING", "NULLABLE")
    ]
    assert (after.num_rows, after.etag != before.etag) == (before.num_rows, True)
    here.rows(add)
    assert here.bigquery.get_table(RUNS).schema == after.schema
    for column in ("note STRING", "must STRING NOT NULL"):
        with pytest.raises(BadRequest, match=r"Column already exists|Cannot add required fields"):
            here.rows(f"ALTER TABLE `{RUNS}` ADD COLUMN {column}")
    for column in ("order STRING", "_PARTITIONDATE DATE", "`_table_suffix` STRING"):
        with pytest.raises(BadRequest, match=r"Unexpected keyword ORDER|reserved prefix"):
            here.rows(f"ALTER TABLE `{RUNS}` ADD COLUMN {column}")
    here.rows(f"ALTER TABLE `{RUNS}` ADD COLUMN `order` STRING")


@pytest.mark.parametrize(
    ("permission", "attempt"),
    [
        ("bigquery.tables.createSnapshot", lambda here: copy(here, RUNS, TODAY)),
        ("bigquery.tables.create", lambda here: copy(here, RUNS, TODAY)),
        ("bigquery.tables.getData", lambda here: copy(here, RUNS, TODAY)),
        ("bigquery.tables.get", lambda here: copy(here, RUNS, TODAY)),
        ("bigquery.tables.updateData", lambda here: copy(here, RUNS, TODAY)),
        ("bigquery.tables.create", lambda here: copy(here, YESTERDAY, f"{MAIN}.t", "RESTORE")),
        ("bigquery.tables.updateData", lambda here: copy(here, RUNS, f"{MAIN}.t", "COPY")),
        ("bigquery.tables.updateData", lambda here: copy(here, YESTERDAY, RUNS, "RESTORE")),
        ("bigquery.tables.get", lambda here: here.rows(f"ALTER TABLE `{RUNS}` ADD COLUMN note STRING")),
        ("bigquery.jobs.create", lambda here: copy(here, RUNS, TODAY)),
        ("bigquery.tables.restoreSnapshot", lambda here: copy(here, YESTERDAY, f"{MAIN}.t", "RESTORE")),
        ("bigquery.tables.update", lambda here: here.rows(f"ALTER TABLE `{RUNS}` ADD COLUMN note STRING")),
    ],
)
def test_permissions(cloud, told, permission, attempt):
    with pytest.raises(Forbidden, match=permission):
        attempt(cloud(told(f"deny: [{permission}]")))


KINDS = {
    "SELECT": "SELECT 1",
    "ALTER_TABLE": f"ALTER TABLE `{RUNS}` ADD COLUMN note STRING",
    "DELETE": f"DELETE FROM `{RUNS}` WHERE TRUE",
    "UPDATE": f"UPDATE `{RUNS}` SET status = 'success' WHERE TRUE",
    "INSERT": f"INSERT INTO `{RUNS}` (run_id) VALUES ('x')",
    "MERGE": f"MERGE `{RUNS}` USING `{RUNS}` ON FALSE WHEN NOT MATCHED THEN DELETE",
    "TRUNCATE_TABLE": f"TRUNCATE TABLE `{RUNS}`",
    "DROP_TABLE": f"DROP TABLE `{RUNS}`",
    "DROP_SNAPSHOT_TABLE": f"DROP SNAPSHOT TABLE `{YESTERDAY}`",
    "CREATE_TABLE": f"CREATE TABLE `{MAIN}.t` (a INT64)",
    "CREATE_TABLE_AS_SELECT": f"CREATE OR REPLACE TABLE `{MAIN}.t` AS SELECT 1 AS a",
    "CREATE_SNAPSHOT_TABLE": f"CREATE SNAPSHOT TABLE `{TODAY}` CLONE `{RUNS}`",
    "CREATE_VIEW": f"CREATE OR REPLACE VIEW `{MAIN}.v` AS SELECT 1 AS a",
    "CALL": "CALL sales_intelligence.p()",
    "SCRIPT": "SELECT 1; SELECT 2",
}


@pytest.mark.parametrize(("kind", "text"), KINDS.items(), ids=list(KINDS))
def test_a_dry_run_says_what_kind_a_statement_is_and_only_two_are_executed(cloud, kind, text):
    here = cloud()
    before = [here.bigquery.get_table(t).etag for t in (RUNS, YESTERDAY)]
    dry = here.bigquery.query(text, job_config=QueryJobConfig(dry_run=True), retry=None)
    assert dry.statement_type == kind
    if kind in ("SELECT", "ALTER_TABLE"):
        here.rows(text)
        return
    with pytest.raises(GoogleAPICallError, match="gcp_sandbox does not execute"):
        here.rows(text)
    assert [here.bigquery.get_table(t).etag for t in (RUNS, YESTERDAY)] == before


def test_what_is_not_understood_is_not_done(cloud):
    here = cloud()
    with pytest.raises(GoogleAPICallError, match="gcp_sandbox does not execute ALTER TABLE other"):
        here.rows(f"ALTER TABLE `{RUNS}` DROP COLUMN status")
    with pytest.raises(GoogleAPICallError, match="INFORMATION_SCHEMA"):
        here.rows("SELECT * FROM sales_intelligence.INFORMATION_SCHEMA.TABLES")
    table = here.bigquery.get_table(RUNS)
    table.description = "x"
    with pytest.raises(GoogleAPICallError, match="gcp_sandbox changes labels"):
        here.bigquery.update_table(table, ["description"])


@pytest.mark.full  # tests/conformance/test_clis.py runs each of these commands once
@pytest.mark.skipif(not shutil.which("bq"), reason="bq is not installed here")
def test_through_bq(tmp_path):
    with serve(gcp_sandbox.app(INVENTORY)) as served:
        env = {**os.environ, **environment(served.url, PROJECT, tmp_path)}
        runs, today = "sales_intelligence.etl_runs", "sales_intelligence_backup.etl_runs_20260311"

        def bq(*words: str) -> str:
            ran = subprocess.run(["bq", *words], env=env, capture_output=True, text=True, timeout=60)
            assert ran.returncode == 0, ran.stdout + ran.stderr
            return ran.stdout

        bq("cp", "--snapshot", "--no_clobber", "--expiration=604800", runs, today)
        shown = json.loads(bq("--format=json", "show", today))
        assert (shown["type"], shown["expirationTime"] > shown["creationTime"]) == ("SNAPSHOT", True)
        assert "already exists, skipping" in bq("cp", "--snapshot", "--no_clobber", runs, today)
        bq("cp", "--restore", "--no_clobber", today, "sales_intelligence.restored")
        bq("query", "--use_legacy_sql=false", f"ALTER TABLE {runs} ADD COLUMN note STRING")
        counted = "SELECT COUNT(*) AS n FROM sales_intelligence.{}".format
        one, other = (
            json.loads(bq("--format=json", "query", "--use_legacy_sql=false", counted(t)))
            for t in ("restored", "etl_runs")
        )
        assert one == other
        assert "note" in bq("show", "--schema", runs)
