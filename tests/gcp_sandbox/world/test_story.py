"""The story: one truth for runs, rows and log entries, the same every time."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from gcp_sandbox.world import failures, schema
from gcp_sandbox.world.inventory import Inventory
from gcp_sandbox.world.schema import load
from gcp_sandbox.world.story import Story
from tests.gcp_sandbox.conftest import INVENTORY

NOW = datetime(2026, 3, 11, 13, 30, tzinfo=UTC)


@pytest.fixture
def story(told):
    def make(said: str = "", **when: str) -> Story:
        return Story(Inventory.model_validate(INVENTORY), load(told(said, **when)))

    return make


def of(told: Story, name: str, hours: float = 24) -> list:
    return [r for r in told.runs if r.function.name == name and r.started_at > told.now - timedelta(hours=hours)]


@pytest.mark.parametrize(
    ("name", "runs_a_day"),
    [("gmail-sync", 24), ("calendar-sync", 12), ("salesforce-accounts-sync", 3), ("account-scoring", 1)],
)
def test_runs_follow_the_schedule(story, name, runs_a_day):
    runs = of(story(), name)
    assert len(runs) == runs_a_day
    assert {run.status for run in runs} == {"success"}
    assert all(run.finished_at > run.started_at for run in runs)


def test_schedules_are_in_the_teams_time_zone_across_a_change_of_the_clock(story):
    # Chicago went from UTC-6 to UTC-5 on 8 March 2026: 07:30 there was 13:30Z before and is 12:30Z since.
    hours = {r.started_at.date().day: r.started_at.hour for r in of(story(), "account-scoring", hours=8 * 24)}
    assert hours == {4: 13, 5: 13, 6: 13, 7: 13, 8: 12, 9: 12, 10: 12, 11: 12}


def test_the_last_rule_that_matches_a_run_wins(story):
    runs = of(
        story("""runs:
  - {select: {}, since: 6h, outcome: failed, error: everything}
  - {select: {name: gmail-sync}, since: 3h, until: 1h, outcome: skipped}
  - {select: {name: gmail-sync}, since: 1h, outcome: success}"""),
        "gmail-sync",
        hours=7,
    )
    assert [(r.started_at.hour, r.status, r.error) for r in runs] == [
        (7, "success", ""),
        (8, "failed", "everything"),
        (9, "failed", "everything"),
        (10, "failed", "everything"),
        (13, "success", ""),
    ]


def test_a_run_whose_end_is_not_yet_is_running(story):
    last = of(story(now="2026-03-11T13:05:25Z"), "gmail-sync")[-1]
    assert (last.status, last.finished_at, last.records) == ("running", None, 0)


def test_entries_are_told_by_runs_and_evenly_by_errors(story):
    entries = story("""runs: [{select: {name: gmail-sync}, since: 1h, outcome: failed, error: invalid_grant}]
errors: [{select: {name: [calendar-sync, gmail-sync]}, since: 4h, count: 4, text: x, payload: json}]""").entries
    assert entries == sorted(entries)
    assert [(e.at, e.function) for e in entries if e.text == "x"] == [
        (NOW - timedelta(hours=4 - n - 0.5), ("gmail-sync", "calendar-sync")[n % 2]) for n in range(4)
    ]
    failed = [e for e in entries if e.severity == "ERROR" and e.payload == "text"]
    assert [e.text for e in failed] == ["Run gmail-sync-202603111305 failed: invalid_grant"]


def test_rows_come_from_successful_runs_and_stop_where_the_table_is_stale(story):
    said = "runs: [{select: {table: sf_accounts}, since: 2h, outcome: failed}]\ntables: [{name: gmail_messages, stale: 30h}]"
    told = story(said)
    newest = {t.name: max(told.times(t)) for t in told.inventory.tables}
    assert NOW - newest["gmail_messages"] >= timedelta(hours=30)
    assert NOW - newest["gmail_messages"] < timedelta(hours=32)
    assert newest["sf_accounts"].hour in (9, 10), "05:00 in Chicago is 10:00Z"


def test_absent_functions_leave_no_runs_and_bulk_adds(story):
    told = story("functions: [{select: {name: gmail-sync}, state: absent}]\nbulk: {functions: 3, errors: 5}")
    assert [f.name for f in told.functions][-3:] == ["bulk-0000", "bulk-0001", "bulk-0002"]
    assert not of(told, "gmail-sync")
    bulk = [e for e in told.entries if e.text.startswith("bulk")]
    assert (len(bulk), bulk[-1].at) == (5, NOW)


R, A = "ERROR request ", "ERROR attempt AttemptFinished"
KINDS = [  # kind, status of its run (none: ""), its job's answer, what the log says besides that it started
    ("auth", "failed", 500, [R, "ERROR text INVALID_SESSION_ID", A]),
    ("secret", "failed", 500, [R, "ERROR text is in DISABLED state", A]),
    (
        "permission",
        "failed",
        500,
        [R, "ERROR text bigquery.tables.updateData denied on table acme-test:sales_intelligence.sf_accounts", A],
    ),
    ("quota_hours", "failed", 500, [R, "ERROR text REQUEST_LIMIT_EXCEEDED", A]),
    ("bad_data", "failed", 500, [R, "ERROR text Could not convert value", A]),
    ("schema", "failed", 500, [R, "ERROR text No such field", A]),
    ("dependency", "failed", 500, [R, "ERROR text 503 Service Unavailable", A]),
    (
        "memory",
        "running",
        503,
        [f"{R}malformed", "ERROR system Memory limit of 512 MiB exceeded", A, "WARNING system signal 9"],
    ),
    ("timeout", "running", 504, [f"{R}maximum request timeout", A]),
    ("crash", "running", 503, [f"{R}malformed", "WARNING system exit(1)", A]),
    ("exception", "running", 500, [R, "DEFAULT stderr KeyError: 'last_modified_date'", A]),
    ("stuck", "running", 0, [A]),
    ("capacity", "", 429, ["WARNING request no available instance", A]),
    ("unauthenticated", "", 403, ["WARNING request was not authenticated", A]),
    ("gone", "", 404, [A]),
    ("silence", "", None, []),
]


def test_every_kind_is_tried_and_documented():
    alike = {"quota_seconds": "quota_hours"}
    assert {alike.get(kind, kind) for kind in failures.KINDS} == {kind for kind, *_ in KINDS}, "add the kind to KINDS"
    unsaid = [kind for kind in failures.KINDS if not re.search(rf"\b{kind}\b", schema.__doc__)]
    assert unsaid == [], "name the kind in the docstring of gcp_sandbox/world/schema.py"


@pytest.mark.parametrize(("kind", "status", "answer", "said"), KINDS)
def test_a_kind_of_failure(story, kind, status, answer, said):
    name = "salesforce-accounts-sync"
    told = story(f"runs: [{{select: {{name: {name}}}, since: 4h, kind: {kind}}}]")
    runs = of(told, name, hours=4)
    assert [run.status for run in runs] == [status] * bool(status)
    assert [run.finished_at is None for run in runs] == [status == "running"] * bool(status)
    entries = [
        e for e in told.entries if e.function == name and e.at > NOW - timedelta(hours=4) and e.severity != "INFO"
    ]
    assert [f"{e.severity} {e.payload}" for e in entries] == [" ".join(line.split()[:2]) for line in said]
    assert all(line.split(" ", 2)[2] in e.text for line, e in zip(said, entries, strict=True))
    assert {e.run for e in entries} <= {run.id for run in runs} | {""}
    assert {e.status for e in entries if e.payload in ("request", "attempt")} == {answer} - {None}
    requests = [e for e in entries if e.payload == "request"]
    called = [a.at for a in told.attempts if a.function.name == name and a.at > NOW - timedelta(hours=4)]
    assert [e.at for e in requests] == called[: len(requests)]


def test_what_stopped_a_run_may_be_written_down_by_the_next(story):
    told = story("runs: [{select: {name: gmail-sync}, since: 1h, kind: memory, outcome: failed}]")
    run = of(told, "gmail-sync", hours=1)[0]
    assert (run.status, bool(run.finished_at)) == ("failed", True)
    assert "did not report an end" in run.error


def test_a_timeout_takes_all_the_time_there_is(story):
    told = story("runs: [{select: {name: account-scoring}, since: 2h, kind: timeout}]")
    run = of(told, "account-scoring", hours=2)[0]
    [line] = [e for e in told.entries if "maximum request timeout" in e.text]
    assert (line.at, line.took, line.status) == (run.started_at, 540, 504)  # the time of a request is its beginning


def test_what_is_called_while_a_run_is_stuck_does_nothing(story):
    told = story("runs: [{select: {name: gmail-sync}, since: 4h, kind: stuck}]")
    [run] = of(told, "gmail-sync", hours=4)
    waited = [e for e in told.entries if "is still in progress" in e.text]
    assert (len(waited), {e.severity for e in waited}) == (3, {"WARNING"})
    assert all(run.id in e.text for e in waited)


def test_a_revision_fails_in_its_kind_while_it_serves(story):
    said = "revisions: [{select: {name: gmail-sync}, age: 4h, kind: crash}]\ntraffic: [{select: {name: gmail-sync}, back: 1, since: 2h}]"
    assert [r.status for r in of(story(said), "gmail-sync", hours=4)] == ["running", "running", "success", "success"]


def test_a_failure_without_its_run(story):
    told = story("errors: [{select: {name: gmail-sync}, since: 3h, until: 2h, count: 2, kind: memory}]")
    found = [e for e in told.entries if e.severity != "INFO"]
    assert ([e.severity for e in found], {e.run for e in found}) == (["ERROR", "ERROR", "WARNING"] * 2, {""})


def test_a_tables_last_change_is_its_newest_write_or_what_somebody_did(story):
    quiet = story("runs: [{select: {table: sf_accounts}, since: 12h, outcome: failed}]")
    assert quiet.modified("sf_accounts") < NOW - timedelta(hours=12)
    assert NOW - quiet.modified("gmail_messages") < timedelta(minutes=30)
    changed = story("tables: [{name: sf_accounts, changed: 10m}]")
    assert changed.modified("sf_accounts") == NOW - timedelta(minutes=10)


def test_the_same_world_tells_the_same_story(story):
    assert story().runs == story().runs
    assert story().entries == story().entries


def test_a_run_that_wrote_nothing_leaves_no_rows(story):
    told = story("""runs:
  - {select: {name: gmail-sync}, since: 3h, outcome: success, rows: 0}""")
    runs = of(told, "gmail-sync", hours=6)
    assert [bool(r.records) for r in runs] == [True] * 3 + [False] * 3
    assert [bool(told.times_of(r)) for r in runs] == [True] * 3 + [False] * 3
    assert {r.status for r in runs} == {"success"}
