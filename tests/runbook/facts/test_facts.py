"""What each fact says of the sandbox: its rows, its gaps and what is absent. test_sql.py compares the values of the queries."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from hashlib import md5
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from google.auth.credentials import AnonymousCredentials
from google.auth.transport.requests import AuthorizedSession
from google.cloud import bigquery

from runbook import facts
from runbook.cloud.client import Cloud
from runbook.config.request import request
from runbook.facts.base import bq_line, observe
from runbook.model.actions import CopyTable
from runbook.model.operations import needed
from tests.layout import offered

CHICAGO = ZoneInfo("America/Chicago")


def raw(cloud: Any, table: str) -> Iterator[dict[str, Any]]:
    """All rows of a table by tabledata.list: no SQL on the way, and past the door, which does not let it through."""
    session = AuthorizedSession(AnonymousCredentials())
    session.mount("https://", cloud.transport)
    client = bigquery.Client(cloud.settings.project, AnonymousCredentials(), _http=session)
    for row in client.list_rows(f"{cloud.settings.table(table)}"):
        yield dict(row.items())


def day(when: datetime) -> date:
    return when.astimezone(CHICAGO).date()


def world_file(tmp_path: Any, text: str) -> str:
    path = tmp_path / "world.yaml"
    path.write_text("about: A test.\nnow: 2026-03-11T13:30:00Z\n" + text)
    return str(path)


# Two functions of one system, and one that is alone in its own; which of their runs have no end, and of those, which are
# outlived by a later success: (system, status, _outlived) → runs.
ENDLESS = """runs:
  - {select: {name: gmail-sync}, since: 4h, until: 2h, outcome: running}
  - {select: {name: salesforce-accounts-sync}, since: 4h, outcome: running}
  - {select: {name: calendar-sync}, since: 2h, outcome: running}
"""


@pytest.mark.parametrize(
    ("drop", "salesforce"), [("", False), ("tables: [{name: etl_runs, drop: [function_name]}]", True)]
)
def test_a_run_without_an_end_is_outlived_by_a_later_success_of_the_same_function(
    sandbox: Any, tmp_path: Any, drop: str, salesforce: bool
) -> None:
    seen = observe(facts.etl_today(), *sandbox(world_file(tmp_path, ENDLESS + drop)))
    endless = {(r.source_system, r.outlived): r.runs for r in seen.rows if r.status == "running"}
    assert endless == {("gmail", True): 2, ("salesforce", salesforce): 1, ("google_calendar", False): 1}
    assert {r.outlived for r in seen.rows if r.status == "success"} == {False}
    assert bool(seen.gaps) == bool(drop)


def test_an_optional_column_that_is_not_there_is_a_gap(sandbox: Any, tmp_path: Any) -> None:
    world = "tables: [{name: etl_runs, drop: [error_message, function_name]}]\nruns: [{select: {}, outcome: failed}]"
    cloud, moment = sandbox(world_file(tmp_path, world))
    seen = observe(facts.etl_failures(), cloud, moment)
    assert {g.subject.split()[1] for g in seen.gaps} == {"error_message", "function_name"}
    assert seen.rows
    assert {(r.function, r.error) for r in seen.rows} == {(None, None)}


def test_columns_that_params_do_not_name_are_null_without_a_gap(sandbox: Any) -> None:
    cloud, moment = sandbox("many_errors")
    tables = cloud.settings.tables
    runs = tables.etl_runs.model_copy(update=dict.fromkeys(("error", "function", "finished_at", "records"), ""))
    cloud.settings = cloud.settings.model_copy(update={"tables": tables.model_copy(update={"etl_runs": runs})})
    for ask in (facts.etl_today(), facts.etl_week(), facts.etl_failures()):
        assert observe(ask, cloud, moment).gaps == ()
    assert observe(facts.etl_today(), cloud, moment).rows
    assert {(r.function, r.error) for r in observe(facts.etl_failures(), cloud, moment).rows} <= {(None, None)}


def test_a_required_column_that_is_not_there_is_a_gap(sandbox: Any, tmp_path: Any) -> None:
    cloud, moment = sandbox(world_file(tmp_path, "tables: [{name: etl_runs, drop: [status]}]"))
    seen = observe(facts.etl_today(), cloud, moment)
    assert not seen.rows
    assert "no column status" in seen.gaps[0].why


@pytest.mark.parametrize(
    ("world", "absent", "gap"),
    [
        ("{name: sf_accounts, absent: true}", ["sf_accounts"], []),
        ("{name: sf_accounts, drop: [last_modified_date]}", [], ["sf_accounts"]),
    ],
)
def test_one_bad_table_does_not_hide_the_others(
    sandbox: Any, tmp_path: Any, world: str, absent: list[str], gap: list[str]
) -> None:
    cloud, moment = sandbox(world_file(tmp_path, f"tables: [{world}]"))
    seen = observe(facts.freshness(), cloud, moment)
    assert list(seen.absent) == absent
    assert [g.subject for g in seen.gaps] == gap
    assert len(seen.rows) == len(cloud.settings.tables.freshness) - 1


def test_a_table_that_is_not_there_is_absent(sandbox: Any, tmp_path: Any) -> None:
    cloud, moment = sandbox(world_file(tmp_path, "tables: [{name: etl_runs, absent: true}]"))
    seen = observe(facts.etl_today(), cloud, moment)
    assert seen.absent == (cloud.settings.table("etl_runs"),)
    assert not seen.gaps


# Every read of a cloud, with what it is asked for; `source` asks none.
COPY = {"dataset": "sales_intelligence", "table": "gmail_messages", "operation": "SNAPSHOT"}
COPY |= {"to_dataset": "sales_intelligence_backup", "to_table": "gmail_messages_20260310"}
GIVEN = {
    "copies": ([CopyTable(**COPY)],),
    "revisions": ("gmail-sync",),
    "runs_of": ("gmail-sync",),
    "runs_of_users": ("gmail-oauth-token",),
    "service": ("gmail-sync",),
    "rehearsal": (request("deploy", {}),),
    "noticed": ("INC-7",),
    "notified": ("INC-7",),
    "users": ("gmail-oauth-token",),
    "versions": ("gmail-oauth-token",),
}
ALL = {name: getattr(facts, name)(*GIVEN.get(name, ())) for name in offered(facts) if name != "source"}
LOCAL = {"rehearsal", "noticed", "notified"}  # the record store is a folder
NO_PAST = {
    "access",
    "feeds",
    "functions",
    "jobs",
    "revisions",
    "secrets",
    "service",
    "snapshots",
    "tables",
    "users",
    "versions",
}


@pytest.mark.parametrize("fault", ["status: 403", "status: 429", "status: 500", "status: 503", "lost: before"])
def test_every_read_that_fails_is_a_gap(sandbox: Any, tmp_path: Any, fault: str) -> None:
    cloud, moment = sandbox(world_file(tmp_path, f"faults: [{{{fault}}}]"))
    for name, ask in ALL.items():
        if name in LOCAL:
            continue
        seen = observe(ask, cloud, moment)
        assert not seen.rows, name
        assert not seen.absent, name
        assert seen.gaps, name
        assert all(g.why for g in seen.gaps), name


def test_looking_back(sandbox: Any) -> None:
    cloud, moment = sandbox("healthy", "2026-03-10T08:30")
    for name, ask in ALL.items():
        seen = observe(ask, cloud, moment)
        assert bool(seen.gaps) == (name in NO_PAST), name
        assert seen.seen_at == datetime(2026, 3, 10, 13, 30, tzinfo=UTC)


def test_every_fact_has_a_line(sandbox: Any) -> None:
    cloud, moment = sandbox()
    for name, ask in ALL.items():
        assert ask(cloud, moment).line.startswith(("gcloud ", "bq ", "curl ", "ls ", "grep ")), name


def test_the_line_of_a_query_gives_each_value_its_type(sandbox: Any) -> None:
    values = {"a": 1, "b": 1.5, "c": True, "d": "x", "e": ("x", "y"), "f": date(2026, 3, 10)}
    line = bq_line(sandbox()[0], "SELECT 1", values)
    assert re.findall(r"--parameter=(\w):(\S+)", line.replace("'", "").replace('", "', '","')) == [
        ("a", "INT64:1"),
        ("b", "FLOAT64:1.5"),
        ("c", "BOOL:true"),
        ("d", "STRING:x"),
        ("e", 'ARRAY<STRING>:["x","y"]'),
        ("f", "DATE:2026-03-10"),
    ]


# --- what changing runbooks look at


def row(sandbox: Any, world: str, ask: Any) -> dict[str, Any]:
    [found] = observe(ask, *sandbox(world)).rows
    return found


def test_a_service(sandbox: Any) -> None:
    seen = row(sandbox, "healthy", facts.service("account-scoring"))
    assert (seen.state, seen.runtime, seen.entry_point) == ("ACTIVE", "python311", "main")
    assert (seen.memory, seen.timeout_s) == ("1Gi", 540)
    assert seen.traffic == "latest 100 %"
    assert (seen.pinned, seen.targets, seen.service) == (False, {"latest": 100}, "account-scoring")
    assert (seen.source, seen.reconciling) == ("", False)
    assert seen.code.startswith("gs://")


def test_a_service_whose_traffic_is_pinned(sandbox: Any) -> None:
    seen = row(sandbox, "pinned_traffic", facts.service("gmail-sync"))
    assert seen.pinned
    assert seen.targets == {seen.serving: 100}


def test_a_function_without_a_service_never_served(sandbox: Any, tmp_path: Any) -> None:
    world = world_file(tmp_path, "faults: [{route: 'GET run.googleapis.com', status: 404}]")
    seen = row(sandbox, world, facts.service("gmail-sync"))
    assert (seen.serving, seen.traffic, seen.pinned, seen.service) == ("", "", False, "gmail-sync")


@pytest.mark.parametrize("ask", [facts.service("nope"), facts.revisions("nope")])
def test_what_is_not_there_is_absent(sandbox: Any, ask: Any) -> None:
    seen = observe(ask, *sandbox())
    assert (seen.rows, seen.gaps, seen.absent) == ((), (), ("nope",))


def test_a_function_that_the_world_has_not(sandbox: Any) -> None:
    cloud, moment = sandbox("missing_function")
    names = {f.name for f in cloud.settings.functions} - {
        r.name for r in observe(facts.functions(), cloud, moment).rows
    }
    for name in names:
        assert observe(facts.service(name), cloud, moment).absent == (name,)
        assert observe(facts.revisions(name), cloud, moment).absent == (name,)
    assert len(names) == 1


def test_revisions_are_newest_first_and_say_who_serves(sandbox: Any) -> None:
    for world, serving in (("healthy", 0), ("bad_deploy", 0), ("pinned_traffic", 1)):
        cloud, moment = sandbox(world)
        seen = observe(facts.revisions("gmail-sync"), cloud, moment)
        made = [r.created for r in seen.rows]
        assert made == sorted(made, reverse=True)
        assert [r.traffic for r in seen.rows] == [100 if n == serving else 0 for n in range(len(made))]
        assert all(r.ready for r in seen.rows)
        assert {r.pinned for r in seen.rows} == {world == "pinned_traffic"}
        now = observe(facts.service("gmail-sync"), cloud, moment).rows[0]
        assert seen.rows[serving].revision == now.serving
    assert len(seen.rows) > 2
    assert not seen.more


def test_a_revision_that_never_became_ready(sandbox: Any, tmp_path: Any) -> None:
    world = "revisions: [{select: {name: gmail-sync}, age: 40m, failure: it did not listen}]"
    seen = observe(facts.revisions("gmail-sync"), *sandbox(world_file(tmp_path, world)))
    assert [r.ready for r in seen.rows] == [False] + [True] * (len(seen.rows) - 1)
    assert seen.rows[1].traffic == 100


def test_a_tag_takes_no_traffic_away() -> None:
    from runbook.facts.functions import _shares

    targets = [{"revision": "a", "percent": 90}, {"revision": "a", "tag": "test"}, {"percent": 10}, {"tag": "x"}]
    assert _shares(targets) == {"a": 90, "latest": 10}
    assert _shares([{"revision": "a", "percent": 40}, {"revision": "a", "percent": 60}]) == {"a": 100}


def test_versions_are_newest_first(sandbox: Any) -> None:
    seen = observe(facts.versions("gmail-oauth-token"), *sandbox("old_secret"))
    assert [(r.version, r.state) for r in seen.rows] == [(2, "ENABLED"), (1, "ENABLED")]
    assert seen.rows[0].created.replace(microsecond=0) == seen.seen_at - timedelta(days=365)
    assert "value" not in str(seen.rows)
    healthy = observe(facts.versions("gmail-oauth-token"), *sandbox())
    assert [(r.version, r.state) for r in healthy.rows] == [(2, "ENABLED"), (1, "DISABLED")]
    assert observe(facts.versions("nope"), *sandbox()).absent == ("nope",)


def test_more_than_nine_versions_are_in_the_order_of_their_numbers(sandbox: Any, tmp_path: Any) -> None:
    versions = ", ".join(f"{{age: {d}d}}" for d in range(12, 0, -1))
    world = world_file(tmp_path, f"secrets: [{{name: gmail-oauth-token, versions: [{versions}]}}]")
    seen = observe(facts.versions("gmail-oauth-token"), *sandbox(world))
    assert [r.version for r in seen.rows] == list(range(12, 0, -1))


def test_users_of_a_secret(sandbox: Any) -> None:
    cloud, moment = sandbox("pinned_traffic")
    seen = observe(facts.users("gmail-oauth-token"), cloud, moment)
    assert [(r.function, r.traffic, r.pinned) for r in seen.rows] == [
        ("gmail-sync", 100, True),
        ("calendar-sync", 100, False),
    ]
    for found in seen.rows:
        [serving] = [r for r in observe(facts.revisions(found.function), cloud, moment).rows if r.traffic]
        assert (found.revision, found.since) == (serving.revision, serving.created)
    nobody = observe(facts.users("nope"), cloud, moment)
    assert (nobody.rows, nobody.gaps, nobody.absent) == ((), (), ())


PINNED = "references: [{select: {name: gmail-sync}, secret: gmail-oauth-token, version: 1, volume: %s}]"


@pytest.mark.parametrize("volume", ["false", "true"])
def test_the_version_that_a_revision_names(sandbox: Any, tmp_path: Any, volume: str) -> None:
    world = world_file(tmp_path, PINNED % volume)
    seen = observe(facts.users("gmail-oauth-token"), *sandbox(world))
    assert {r.function: r.versions for r in seen.rows} == {"gmail-sync": ("1",), "calendar-sync": ("latest",)}


def _env(revision: dict[str, Any]) -> Any:
    revision["containers"][0]["env"] = [{"name": "T", "valueSource": {"secretKeyRef": {"secret": TOKEN}}}]


def _elsewhere(revision: dict[str, Any]) -> Any:
    revision["containers"] += [
        {"env": [{"name": "T", "valueSource": {"secretKeyRef": {"secret": TOKEN, "version": "7"}}}]}
    ]


TOKEN = "projects/123/secrets/gmail-oauth-token"
REVISIONS: dict[str, tuple[Callable[[dict[str, Any]], Any], list[str]]] = {
    "without a version": (_env, ["latest"]),
    "in a second container": (_elsewhere, ["7", "latest"]),
    "a volume without items": (lambda r: r.update(volumes=[{"name": "v", "secret": {"secret": TOKEN}}]), ["latest"]),
    "an alias": (
        lambda r: r.update(volumes=[{"secret": {"secret": TOKEN, "items": [{"path": "p", "version": "prod"}]}}]),
        ["latest", "prod"],
    ),
    "nowhere": (lambda r: r["containers"][0].pop("env"), []),
}


@pytest.mark.parametrize(("change", "expected"), REVISIONS.values(), ids=REVISIONS)
def test_how_a_revision_may_name_a_secret(sandbox: Any, change: Callable[..., Any], expected: list[str]) -> None:
    cloud, moment = sandbox()
    change(cloud.transport.app.sandbox.services.revisions["gmail-sync"][-1])
    seen = observe(facts.users("gmail-oauth-token"), cloud, moment)
    assert list(seen.rows[0].versions) == expected


def test_a_revision_whose_secrets_cannot_be_read_is_unknown(sandbox: Any) -> None:
    cloud, moment = sandbox()
    revisions = cloud.transport.app.sandbox.services.revisions["gmail-sync"]
    revisions[-1].pop("containers")
    seen = observe(facts.users("gmail-oauth-token"), cloud, moment)
    assert not seen.rows
    assert "does not show which secrets it reads" in seen.gaps[0].why
    revisions.pop()
    seen = observe(facts.users("gmail-oauth-token"), cloud, moment)
    assert "not every serving revision of gmail-sync" in seen.gaps[0].why


def test_a_user_that_is_not_there(sandbox: Any, tmp_path: Any) -> None:
    world = world_file(tmp_path, "functions: [{select: {name: calendar-sync}, state: absent}]")
    seen = observe(facts.users("gmail-oauth-token"), *sandbox(world))
    assert [r.function for r in seen.rows] == ["gmail-sync"]
    assert seen.absent == ("calendar-sync",)


def test_one_user_that_was_not_seen_is_a_gap_of_the_whole(sandbox: Any, tmp_path: Any) -> None:
    world = world_file(tmp_path, "faults: [{route: 'services/calendar-sync', status: 503}]")
    seen = observe(facts.users("gmail-oauth-token"), *sandbox(world))
    assert not seen.rows
    assert len(seen.gaps) == 1


@pytest.mark.parametrize("world", ["healthy", "still_running", "bad_deploy"])
def test_runs_of_a_function(sandbox: Any, world: str) -> None:
    cloud, moment = sandbox(world)
    runs = [r for r in raw(cloud, "etl_runs") if r["function_name"] == "gmail-sync"]
    newest = sorted((r for r in runs if r["started_at"] >= moment.ago(24)), key=lambda r: r["started_at"], reverse=True)
    keys = ("started_at", "status", "finished_at")
    seen = observe(facts.runs_of("gmail-sync"), cloud, moment)
    assert [(r.started_at, r.status, r.finished_at) for r in seen.rows] == [
        tuple(r[k] for k in keys) for r in newest[:20]
    ]
    assert [r.error for r in seen.rows] == [r["error_message"] for r in newest[:20]]
    first = seen.rows[0]
    assert (first.status, first.finished_at is None) == {
        "healthy": ("success", False),
        "still_running": ("running", True),
        "bad_deploy": ("failed", False),
    }[world]
    assert seen.name == "runs of gmail-sync"
    last_hour = observe(facts.runs_of("gmail-sync", hours=1), cloud, moment)
    assert [r.started_at for r in last_hour.rows] == [
        r["started_at"] for r in newest if r["started_at"] >= moment.ago(1)
    ]
    assert not observe(facts.runs_of("nope"), cloud, moment).rows


def test_runs_of_the_readers_of_a_secret(sandbox: Any) -> None:
    cloud, moment = sandbox("bad_deploy")
    readers = {"gmail-sync", "calendar-sync"}
    runs = [r for r in raw(cloud, "etl_runs") if r["function_name"] in readers and r["started_at"] >= moment.ago(48)]
    seen = observe(facts.runs_of_users("gmail-oauth-token"), cloud, moment)
    expected = Counter((r["function_name"], r["started_at"], r["status"]) for r in runs)
    assert Counter((r.function, r.started_at, r.status) for r in seen.rows) == expected
    assert [r.started_at for r in seen.rows] == sorted((r["started_at"] for r in runs), reverse=True)
    nobody = observe(facts.runs_of_users("nope"), cloud, moment)
    assert (nobody.rows, nobody.gaps) == ((), ())


def test_without_a_column_that_names_the_function_its_runs_are_a_gap(sandbox: Any) -> None:
    cloud, moment = sandbox()
    tables = cloud.settings.tables
    runs = tables.etl_runs.model_copy(update={"function": ""})
    cloud.settings = cloud.settings.model_copy(update={"tables": tables.model_copy(update={"etl_runs": runs})})
    for ask in (facts.runs_of("gmail-sync"), facts.runs_of_users("gmail-oauth-token")):
        seen = observe(ask, cloud, moment)
        assert not seen.rows
        assert "no column that names the function" in seen.gaps[0].why


def test_tables_and_their_columns(sandbox: Any) -> None:
    cloud, moment = sandbox()
    seen = observe(facts.tables(), cloud, moment)
    assert [r.table for r in seen.rows] == sorted(r.table for r in seen.rows)
    for found in seen.rows:
        assert found.rows == sum(1 for _ in raw(cloud, found.table))
        assert found.changed <= moment.at
        assert found.created == moment.ago(400 * 24)
    [scores] = [r for r in seen.rows if r.table == "account_recommendations"]
    assert scores.columns["score_date"] == ("DATE", "NULLABLE")
    assert list(scores.columns) == ["id", "account_id", "score_date", "value"]


@pytest.mark.parametrize("name", ["a b", "café", "x$y"])
def test_a_table_whose_name_the_guard_refuses_is_a_gap(sandbox: Any, monkeypatch: Any, name: str) -> None:
    cloud, moment = sandbox()
    listed = {"tableReference": {"tableId": name}, "type": "TABLE"}
    items = Cloud.items
    monkeypatch.setattr(Cloud, "items", lambda *given, **more: [*items(*given, **more), listed])
    seen = observe(facts.tables(), cloud, moment)
    assert seen.rows
    assert [gap.subject for gap in seen.gaps] == [name]


def test_snapshots_are_newest_first(sandbox: Any, tmp_path: Any) -> None:
    cloud, moment = sandbox(world_file(tmp_path, "snapshots: [{age: 48h, keep: 7d}, {age: 24h, keep: 2d}]"))
    tables = [r.table for r in observe(facts.tables(), cloud, moment).rows]
    seen = observe(facts.snapshots(), cloud, moment)
    assert [r.snapshot for r in seen.rows] == [f"{t}_{d}" for d in (20260310, 20260309) for t in tables]
    assert [r.table for r in seen.rows] == tables * 2
    assert {(r.taken, r.expires) for r in seen.rows} == {
        (moment.ago(24), moment.ago(-24)),
        (moment.ago(48), moment.ago(-120)),
    }


def test_a_table_in_the_backup_dataset_is_no_snapshot_and_the_other_way_round(sandbox: Any) -> None:
    cloud, moment = sandbox()
    before = [observe(ask(), cloud, moment).rows for ask in (facts.tables, facts.snapshots)]
    place, data = {"projectId": cloud.settings.project}, cloud.settings.datasets
    live = place | {"datasetId": data.main, "tableId": "sf_accounts"}
    for kind, dataset in (("COPY", data.backup), ("SNAPSHOT", data.main)):
        copy = {
            "sourceTable": live,
            "destinationTable": place | {"datasetId": dataset, "tableId": "stray"},
            "operationType": kind,
        }
        url = f"https://bigquery.googleapis.com/bigquery/v2/projects/{cloud.settings.project}/jobs"
        answer = cloud.write("POST", url, json.dumps({"configuration": {"copy": copy}}).encode())
        assert "errorResult" not in answer["status"]
        path = f"bigquery/v2/projects/{cloud.settings.project}/datasets/{dataset}/tables/stray"
        assert cloud.get("bigquery", path)["type"] == {"COPY": "TABLE"}.get(kind, kind)
    assert [observe(ask(), cloud, moment).rows for ask in (facts.tables, facts.snapshots)] == before


def test_no_snapshots_are_none_and_no_gap(sandbox: Any) -> None:
    seen = observe(facts.snapshots(), *sandbox("no_backup"))
    assert (seen.rows, seen.gaps, seen.absent) == ((), (), ())


def test_a_dataset_that_is_not_there(sandbox: Any) -> None:
    cloud, moment = sandbox()
    datasets = cloud.settings.datasets.model_copy(update={"backup": "nowhere"})
    cloud.settings = cloud.settings.model_copy(update={"datasets": datasets})
    seen = observe(facts.snapshots(), cloud, moment)
    assert (seen.rows, seen.gaps, seen.absent) == ((), (), ("nowhere",))


def test_a_table_that_was_not_seen_is_a_gap_of_the_whole(sandbox: Any, tmp_path: Any) -> None:
    world = world_file(tmp_path, "faults: [{route: 'tables/sf_accounts$', status: 403}]")
    seen = observe(facts.tables(), *sandbox(world))
    assert not seen.rows
    assert "403" in seen.gaps[0].why


# --- copied tables beside their sources


def copied(sandbox: Any, spoil: str = "", copy: dict[str, Any] = COPY, **settings: Any) -> tuple[Any, Any]:
    """The fact about one copy whose table was spoilt with a statement of DuckDB's, and the catalog."""
    cloud, moment = sandbox()
    cloud.settings = cloud.settings.model_copy(update=settings)
    catalog = cloud.transport.app.sandbox.bigquery.catalog
    if spoil:
        catalog.con.execute(spoil.format(t=f"{copy['to_dataset']}.{copy['to_table']}"))
    return observe(facts.copies([CopyTable(**copy)]), cloud, moment), catalog


def equal(seen: Any) -> tuple[bool, bool]:
    """Whether the one row says that the numbers of rows are equal, and the checksums."""
    [row] = seen.rows
    return row.copy_rows == row.source_rows, row.copy_checksum == row.source_checksum


SWAPPED = "UPDATE {t} SET id = (SELECT max(id) FROM {t}) WHERE id = (SELECT min(id) FROM {t})"
TWICE = "INSERT INTO {t} FROM {t} ORDER BY id LIMIT 1"
SHUFFLED = "CREATE OR REPLACE TABLE {t} AS FROM {t} ORDER BY md5(id)"


@pytest.mark.parametrize(
    ("spoil", "same"),
    [
        ("", (True, True)),
        (SHUFFLED, (True, True)),
        ("DELETE FROM {t} WHERE id = (SELECT min(id) FROM {t})", (False, False)),
        ("DELETE FROM {t}", (False, False)),
        (TWICE, (False, False)),
        (SWAPPED, (True, False)),
        (f"{TWICE}; DELETE FROM {{t}} WHERE id = (SELECT max(id) FROM {{t}})", (True, False)),
        ("UPDATE {t} SET value = NULL WHERE id = (SELECT min(id) FROM {t})", (True, False)),
        (
            "UPDATE {t} SET sent_at = sent_at + INTERVAL 1 MICROSECOND WHERE id = (SELECT max(id) FROM {t})",
            (True, False),
        ),
    ],
)
def test_a_copy_is_its_source_in_any_order_and_nothing_else(sandbox: Any, spoil: str, same: tuple[bool, bool]) -> None:
    seen, catalog = copied(sandbox, spoil)
    assert equal(seen) == same
    assert (seen.gaps, seen.absent) == ((), ())
    count = "SELECT count(*) FROM sales_intelligence.gmail_messages WHERE sent_at <= '2026-03-10 13:30:00+00'"
    assert seen.rows[0].source_rows == catalog.con.execute(count).fetchall()[0][0] > 400


def test_the_checksum_is_the_sum_over_the_rows(sandbox: Any) -> None:
    """Computed again, here, from the rows as JSON."""
    seen, catalog = copied(sandbox)
    rows = catalog.con.execute("SELECT to_json(t)::VARCHAR FROM sales_intelligence_backup.gmail_messages_20260310 t")
    total = sum(int(md5(text.encode()).hexdigest()[:15], 16) for (text,) in rows.fetchall())
    assert seen.rows[0].copy_checksum == total > 2**63  # more than an INT64 holds


def test_two_equal_rows_do_not_cancel_out(sandbox: Any) -> None:
    """One row twice more on one side, another row twice more on the other: for BIT_XOR these would be the same."""
    cloud, moment = sandbox()
    con, copy = cloud.transport.app.sandbox.bigquery.catalog.con, COPY | {"operation": "RESTORE", "table": "copied"}
    place = "sales_intelligence_backup.gmail_messages_20260310"
    post = "bigquery/v2/projects/acme-sales-sandbox/jobs"
    tables = [
        {"projectId": cloud.settings.project, "datasetId": d, "tableId": t}
        for d, t in [("sales_intelligence_backup", "gmail_messages_20260310"), ("sales_intelligence", "copied")]
    ]
    job = {"sourceTable": tables[0], "destinationTable": tables[1], "operationType": "RESTORE"}
    body = json.dumps({"configuration": {"copy": job}}).encode()
    cloud.write("POST", f"https://bigquery.googleapis.com/{post}", body)
    assert equal(observe(facts.copies([CopyTable(**copy)]), cloud, moment)) == (True, True)
    for table, which in (("sales_intelligence.copied", "min"), (place, "max")):
        one = f"INSERT INTO {table} FROM {table} WHERE id = (SELECT {which}(id) FROM {table})"
        con.execute(f"{one} LIMIT 1; {one} LIMIT 1")
    assert equal(observe(facts.copies([CopyTable(**copy)]), cloud, moment)) == (True, False)


def test_two_empty_tables_are_the_same(sandbox: Any) -> None:
    cloud, moment = sandbox()
    con = cloud.transport.app.sandbox.bigquery.catalog.con
    for table in ("sales_intelligence.gmail_messages", "sales_intelligence_backup.gmail_messages_20260310"):
        con.execute(f"DELETE FROM {table}")
    seen = observe(facts.copies([CopyTable(**COPY | {"operation": "RESTORE"})]), cloud, moment)
    assert equal(seen) == (True, True)
    assert (seen.rows[0].copy_rows, seen.rows[0].copy_checksum) == (0, 0)


@pytest.mark.parametrize(
    ("more", "at"),
    [
        ({}, "TIMESTAMP:2026-03-10 13:30:00+00:00"),
        ({"operation": "COPY", "at": "@1773149400250"}, "TIMESTAMP:2026-03-10 13:30:00.250000+00:00"),
        ({"operation": "RESTORE", "dataset": "sales_intelligence_backup", "table": "sf_accounts_20260310"}, None),
    ],
    ids=["snapshot", "past", "restored"],
)
def test_the_line_and_the_query_say_of_when_the_source_is(sandbox: Any, more: dict[str, Any], at: str | None) -> None:
    seen, _ = copied(sandbox, copy=COPY | more)
    assert seen.line.startswith("bq query ")
    assert (f"--parameter=at:{at}" in seen.line) == ("FOR SYSTEM_TIME AS OF @at" in seen.sql) == (at is not None)
    assert equal(seen)[0] == ("table" not in more)


def test_what_the_checksum_costs_is_both_tables_and_without_it_nothing(sandbox: Any) -> None:
    dear, catalog = copied(sandbox)
    size = catalog.size(catalog.get(catalog.ref("gmail_messages")))
    size += catalog.size(catalog.tables["sales_intelligence_backup", "gmail_messages_20260310"])
    billed = 2 * 10 * 2**20  # ten megabytes of each table at least
    at_cap, _ = copied(sandbox, cost_cap_gib=billed / 2**30)
    below, _ = copied(sandbox, cost_cap_gib=(billed - 1) / 2**30)
    at_read, _ = copied(sandbox, cost_cap_gib=size / 2**30)
    above, _ = copied(sandbox, cost_cap_gib=(size - 1) / 2**30)
    assert dear.rows[0].no_checksum == at_cap.rows[0].no_checksum == ""
    assert below.rows[0].no_checksum.startswith("it is billed as 0.02 GiB; cost_cap_gib is 0.01953")
    assert at_read.rows[0].no_checksum.startswith("it is billed as 0.02 GiB; cost_cap_gib is 3.4")
    assert above.rows[0].no_checksum.startswith("it reads 0.00 GiB; cost_cap_gib is 3.4")
    assert (above.rows[0].copy_checksum, above.rows[0].source_checksum) == (None, None)
    assert above.rows[0].copy_rows == dear.rows[0].copy_rows
    assert "MD5" not in above.sql + above.line
    assert not above.gaps


def test_one_copy_that_is_not_seen_does_not_hide_the_others(sandbox: Any, tmp_path: Any) -> None:
    names = ["sf_accounts", "gmail_messages", "calendar_events", "hubspot_contacts"]
    made = [CopyTable(**COPY | {"table": name, "to_table": f"{name}_20260310"}) for name in names]
    made[2] = made[2].model_copy(update={"to_table": "nothing"})
    made[3] = made[3].model_copy(update={"table": "nothing"})
    world = world_file(tmp_path, "faults: [{route: 'tables/sf_accounts_20260310$', status: 403}]")
    cloud, moment = sandbox(world)
    seen = observe(facts.copies(made), cloud, moment)
    assert [r.copy for r in seen.rows] == ["gmail_messages_20260310"]
    assert seen.absent == ("nothing",)
    assert [g.subject for g in seen.gaps] == ["sf_accounts_20260310", "hubspot_contacts_20260310"]
    assert "nothing was not found" in seen.gaps[1].why
    assert [line.split()[1] for line in seen.line.splitlines()] == ["show", "query", "show", "show"]


@pytest.mark.parametrize(("hours", "kept"), [(7 * 24, True), (7 * 24 + 1, False)])
def test_a_past_that_is_not_kept_is_a_gap(sandbox: Any, hours: int, kept: bool) -> None:
    cloud, moment = sandbox()
    at = f"@{int(moment.ago(hours).timestamp() * 1000)}"
    seen = observe(facts.copies([CopyTable(**COPY | {"operation": "COPY", "at": at})]), cloud, moment)
    assert bool(seen.rows) == kept == (not seen.gaps)
    assert kept or "Cannot read before" in seen.gaps[0].why


def test_access_to_an_operation(sandbox: Any, tmp_path: Any) -> None:
    cloud, moment = sandbox(world_file(tmp_path, "deny: [run.services.update]"))
    for name, operation in cloud.settings.operations.items():
        seen = observe(facts.access(name), cloud, moment)
        assert {r.role for r in seen.rows} == set(operation.roles)
        for found in seen.rows:
            assert found.permission in set(cloud.settings.roles.elevated[found.role]) & needed(name)
            assert found.held == (found.permission != "run.services.update")
    deploy = observe(facts.access("deploy"), cloud, moment)
    assert len(deploy.rows) == 5
    assert [r.held for r in deploy.rows].count(False) == 1


def test_errors_come_from_every_kind_of_payload(sandbox: Any, tmp_path: Any) -> None:
    kinds = ["text", "json", "proto"]
    one = "{{select: {{name: gmail-sync}}, since: 2h, until: 1h, count: 2, text: kind {0} said so, payload: {0}}}"
    world = f"errors: [{', '.join(one.format(kind) for kind in kinds)}]"
    cloud, moment = sandbox(world_file(tmp_path, world))
    seen = observe(facts.errors(), cloud, moment)
    assert len(seen.rows) == 6
    assert [r.at for r in seen.rows] == sorted((r.at for r in seen.rows), reverse=True)
    assert all(any(f"kind {kind} said so" in r.text for r in seen.rows) for kind in kinds)
    assert {r.function for r in seen.rows} == {"gmail-sync"}
    assert not seen.more
    assert not observe(facts.errors(hours=0.5), cloud, moment).rows
    assert not observe(facts.errors(function="calendar-sync"), cloud, moment).rows


@pytest.mark.parametrize(
    ("severity", "name"),
    [("ERROR", "errors"), ("CRITICAL", "errors"), ("WARNING", "log entries"), ("INFO", "log entries")],
)
def test_warnings_are_not_called_errors(sandbox: Any, severity: str, name: str) -> None:
    assert observe(facts.errors(severity=severity), *sandbox()).name == name


@pytest.mark.parametrize(("count", "rows", "more"), [(999, 999, False), (1000, 1000, True), (1001, 1000, True)])
def test_errors_stop_at_one_page(sandbox: Any, tmp_path: Any, count: int, rows: int, more: bool) -> None:
    world = f"errors: [{{select: {{}}, since: 20h, until: 1h, count: {count}, text: x}}]"
    cloud, moment = sandbox(world_file(tmp_path, world))
    seen = observe(facts.errors(), cloud, moment)
    assert (len(seen.rows), seen.more) == (rows, more)


# The healthy world's now is 2026-03-11T08:30 in the team's time; what is asked for begins `hours` before `as_of`.
@pytest.mark.parametrize(
    ("ask", "hours", "as_of", "why"),
    [
        (facts.errors, 24, "", ""),
        (facts.errors, 30 * 24, "", ""),
        (facts.errors, 30 * 24 + 1, "", "keeps entries for 30 days by default"),
        (facts.errors, 24, "2026-02-10T07:30:00", ""),
        (facts.errors, 24, "2026-02-10T07:29:59", "keeps entries for 30 days by default"),
        (facts.errors, 24, "2026-01-10T09:00", "keeps entries for 30 days by default"),
        (facts.changes, 24, "2026-01-10T09:00", ""),
        (facts.changes, 400 * 24, "", ""),
        (facts.changes, 400 * 24 + 1, "", "keeps Admin Activity entries for 400 days"),
        (facts.changes, 24, "2025-01-10T09:00", "keeps Admin Activity entries for 400 days"),
    ],
)
def test_entries_that_are_deleted_by_now_are_a_gap(sandbox: Any, ask: Any, hours: int, as_of: str, why: str) -> None:
    cloud, moment = sandbox("healthy", as_of)
    gaps = observe(ask(hours=hours), cloud, moment).gaps
    assert [g.why for g in gaps] == [f"Cloud Logging {why}"] * bool(why)
    assert all("gcloud logging buckets list" in g.next for g in gaps)


def test_functions_say_which_location_did_not_answer(sandbox: Any) -> None:
    cloud, moment = sandbox("unreachable_region")
    seen = observe(facts.functions(), cloud, moment)
    assert [g.subject for g in seen.gaps] == ["functions in us-central1"]


# The loud function fills the first page; of the others, the second request reads all, or again a full page.
@pytest.mark.parametrize(("others", "only"), [(3, {"gmail-sync"}), (1000, set())])
def test_of_which_functions_there_may_be_more_errors(sandbox: Any, tmp_path: Path, others: int, only: set[str]) -> None:
    world, two = tmp_path / "storm.yaml", {"gmail-sync": (1200, "1h"), "calendar-sync": (others, "5h")}
    storms = [{"select": {"name": n}, "since": since, "count": count, "text": "x"} for n, (count, since) in two.items()]
    world.write_text(json.dumps({"about": "x", "now": "2026-04-14T19:40:00Z", "errors": storms}))
    seen = observe(facts.errors(), *sandbox(str(world)))
    assert (seen.more, seen.only) == (True, only)
    assert sum(r.function == "calendar-sync" for r in seen.rows) == min(others, 1000)


@pytest.mark.parametrize(("page", "cut"), [(8, ["lines without a severity of gmail-sync"]), (1000, [])])
def test_lines_without_a_severity_that_are_cut_off_are_a_gap(
    sandbox: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: int, cut: list[str]
) -> None:
    world = tmp_path / "chatter.yaml"
    failed = {"select": {"name": "gmail-sync"}, "since": "3h", "outcome": "failed", "error": "sync failed"}
    chatter = {
        "select": {"name": "gmail-sync"},
        "since": "20m",
        "count": 30,
        "payload": "stderr",
        "severity": "DEFAULT",
    }
    told = {"about": "x", "now": "2026-04-14T19:40:00Z", "runs": [failed], "errors": [{**chatter, "text": "page read"}]}
    world.write_text(json.dumps(told))
    monkeypatch.setattr("runbook.facts.logs.PAGE", page)
    cloud, moment = sandbox(str(world))
    assert [gap.subject for gap in observe(facts.errors(severity="WARNING"), cloud, moment).gaps] == cut
    assert not any(row.bare for row in observe(facts.errors(), cloud, moment).rows)
