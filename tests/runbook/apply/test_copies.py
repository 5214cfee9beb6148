"""Backups and restored tables, compared with their sources after they were made: whatever happens meanwhile."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from threading import Barrier
from typing import Any
from unittest.mock import patch

import pytest
import requests
import yaml

import gcp_sandbox
from runbook import facts
from runbook.config.load import ROOT, load_settings
from runbook.facts.base import observe
from runbook.model.actions import CopyTable
from runbook.model.findings import Finding, Verdict
from tests.runbook.changes import Died, Next, Place, Result, Sent, Wire, error_of, failing, someone
from tests.slices import rotating

TABLES = ("calendar_events", "gmail_messages", "sf_accounts")
BACKUP = {"tables": ",".join(TABLES)}
PAST = {"snapshot": "", "table": "gmail_messages", "at": "2026-03-10T09:00"}
RESTORED = "sales_intelligence.gmail_messages_20260310T0900_restored"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "records")


def same_rows(result: Result) -> list[Finding]:
    """What the closing cell says about copied tables; the verdict of the run has it once as well."""
    assert result.error is None, error_of(result)
    found = [f for f in result.names["run"].findings["confirm"] if f.check == "same rows"]
    report = result.names["run"].close()
    assert [f for f in report.findings if f.check in ("same rows", "not checked")] == found
    return found


def verdicts(result: Result) -> dict[str, str]:
    found = {f.subject: f.verdict.name for f in same_rows(result)}
    assert len(found) == len(same_rows(result))
    return found


COPYING = [("backup", BACKUP), ("restore", {}), ("restore", PAST), ("schema_change", {})]


@pytest.mark.parametrize(("copying", "location"), rotating(COPYING, ["US", "EU", "us-central1"]))
def test_jobs_run_where_the_datasets_are(tmp_path: Path, location: str, copying: tuple[str, dict[str, str]]) -> None:
    """R6: datasets are often in a multi-region, whatever the region of the functions is."""
    runbook, given = copying
    app = gcp_sandbox.app(load_settings("sandbox").inventory() | {"location": location})
    here = Place(tmp_path / "records", app=app)
    here.applied(runbook, **given)
    sent = [json.loads(one.body) for one in here.wire.writes if "/jobs" in one.path]
    assert {job["jobReference"]["location"] for job in sent} == {location}


@pytest.mark.parametrize("spoilt", TABLES)
def test_one_table_does_not_spoil_the_backup_of_the_others(place: Place, spoilt: str) -> None:
    """W5: each table is a change and a finding of its own."""
    plan = place.plan("backup", **BACKUP)
    place.wire.fault = failing(lambda sent: sent.write and spoilt.encode() in sent.body, status=400)
    done = place.go("backup", plan.id, **BACKUP)
    assert done.error is None, error_of(done)
    assert done.outcome.result == "failed"
    found = {
        change.args.table: status
        for change, (status, _) in zip(done.outcome.plan.changes, done.outcome.statuses, strict=True)
    }
    assert found == dict.fromkeys(TABLES, "done") | {spoilt: "failed"}
    assert {f.subject for f in done.outcome.findings if f.verdict is Verdict.alert} == {f"{spoilt}_20260311"}
    place.wire.fault = None
    again = place.plan("backup", **BACKUP)
    assert [change.args.table for change in again.outcome.plan.changes] == [spoilt]


def of_today(verdict: str = "ok") -> dict[str, str]:
    return {f"{table}_20260311": verdict for table in TABLES}


def count(place: Place, table: str, where: str = "true") -> int:
    return place.app.sandbox.bigquery.catalog.con.execute(f"SELECT count(*) FROM {table} WHERE {where}").fetchall()[0][
        0
    ]


def after_write(do: Callable[[], Any]) -> Callable[[Wire, int, Sent, Next], requests.Response]:
    """Once a write has been answered, something else happens."""

    def fault(_: Wire, __: int, sent: Sent, go: Next) -> requests.Response:
        answer = go()
        if sent.write:
            do()
        return answer

    return fault


def retried(place: Place) -> None:
    """Somebody runs gmail-sync, which writes into gmail_messages."""
    url = (
        "https://cloudscheduler.googleapis.com/v1/projects/acme-sales-sandbox/locations/us-central1/jobs/gmail-sync:run"
    )
    before = count(place, "sales_intelligence.gmail_messages")
    someone(place.app, "POST", url, {})
    assert count(place, "sales_intelligence.gmail_messages") > before


def test_every_snapshot_is_compared_with_its_table(place: Place) -> None:
    done = place.run("backup", apply=True, **BACKUP)
    assert done.outcome.result == "applied"
    assert verdicts(done) == of_today()
    rows = count(place, "sales_intelligence.gmail_messages")
    assert f"{rows} rows = {rows} rows, checksums equal" in [f.value for f in same_rows(done)]
    assert done.names["run"].close().findings.worst is Verdict.ok


def test_nothing_is_read_for_a_plan(place: Place) -> None:
    for name, given in (("backup", BACKUP), ("restore", {}), ("restore", PAST)):
        assert same_rows(place.plan(name, **given)) == []
    assert not [sent for sent in place.wire.seen if b"MD5" in sent.body]
    place.run("backup", apply=True, tables="sf_accounts")
    assert same_rows(place.plan("backup", **BACKUP)) == []  # one of three is there
    assert same_rows(place.run("backup", approved_plan="0" * 12, **BACKUP)) == []


def test_what_is_written_meanwhile_is_not_missed_in_the_copy(place: Place) -> None:
    place.wire.fault = after_write(lambda: retried(place))
    done = place.run("backup", apply=True, **BACKUP)
    assert verdicts(done) == of_today()
    copied = count(place, "sales_intelligence_backup.gmail_messages_20260311")
    assert copied < count(place, "sales_intelligence.gmail_messages")


@pytest.mark.parametrize(
    ("spoil", "value"),
    [
        ("DELETE FROM {t} WHERE rowid = 0", "≠"),
        ("UPDATE {t} SET value = value + 1 WHERE rowid = 0", "checksums differ"),
    ],
)
def test_a_copy_that_differs_is_an_alert(place: Place, spoil: str, value: str) -> None:
    con = place.app.sandbox.bigquery.catalog.con
    text = spoil.format(t="sales_intelligence_backup.sf_accounts_20260311")
    made = iter([lambda: None, lambda: None, lambda: con.execute(text)])  # sf_accounts is the third
    place.wire.fault = after_write(lambda: next(made)())
    done = place.run("backup", apply=True, **BACKUP)
    assert done.outcome.result == "applied"
    assert verdicts(done) == of_today() | {"sf_accounts_20260311": "alert"}
    [bad] = [f for f in same_rows(done) if f.verdict is Verdict.alert]
    assert value in bad.value
    assert bad.next
    assert done.names["run"].close().verdict is Verdict.alert


@pytest.mark.parametrize("status", [403, 429, 503])
def test_what_could_not_be_compared_is_unknown(place: Place, status: int) -> None:
    place.wire.fault = failing(lambda sent: b"MD5" in sent.body and b"gmail_messages" in sent.body, status=status)
    done = place.run("backup", apply=True, **BACKUP)
    assert done.outcome.result == "applied"
    assert verdicts(done) == of_today() | {"gmail_messages_20260311": "unknown"}
    assert done.names["run"].close().verdict is Verdict.unknown


@pytest.fixture
def cap_of_a_megabyte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system = yaml.safe_load((ROOT / "params" / "sandbox.yaml").read_text(encoding="utf-8"))
    (tmp_path / "sandbox.yaml").write_text(yaml.safe_dump(system | {"cost_cap_gib": 1 / 1024}), encoding="utf-8")
    monkeypatch.setenv("RUNBOOK_PARAMS", str(tmp_path))


def test_above_the_cost_cap_the_numbers_are_compared_and_that_is_said(place: Place, cap_of_a_megabyte: None) -> None:
    done = place.run("backup", apply=True, **BACKUP)
    assert verdicts(done) == of_today("warn")
    assert all("no checksum: it is billed as 0.02 GiB; cost_cap_gib is 0.0009" in f.value for f in same_rows(done))
    assert done.names["run"].close().verdict is Verdict.warn


# --- Applied again


@pytest.fixture
def died(place: Place) -> Callable[[str], tuple[Place, str]]:
    """A backup that died: after its second write, or when all was written and the comparison had begun."""

    def make(when: str) -> tuple[Place, str]:
        plan = place.plan("backup", **BACKUP).id

        def fault(wire: Wire, _: int, sent: Sent, go: Next) -> requests.Response:
            answer = go()
            if (b"MD5" in sent.body) if when == "comparing" else (len(wire.writes) == 2 and sent.write):
                raise Died
            return answer

        place.wire.fault = fault
        assert isinstance(place.run("backup", apply=True, **BACKUP).error, Died)
        place.wire.fault = None
        return place, plan

    return make


@pytest.mark.parametrize("by_id", [False, True])
def test_what_an_application_made_before_it_died_is_compared_by_the_next(died: Any, by_id: bool) -> None:
    here, plan = died("writing")
    again = here.run("backup", apply=True, approved_plan=plan if by_id else "", **BACKUP)
    assert again.outcome.result == "applied"
    assert len(again.outcome.plan.changes) == (3 if by_id else 1)
    assert verdicts(again) == of_today()


def test_where_nothing_is_left_to_do_the_comparison_still_is(died: Any) -> None:
    here, _ = died("comparing")
    again = here.run("backup", apply=True, **BACKUP)
    assert again.outcome.result == "nothing to do"
    assert verdicts(again) == of_today()
    here.app.sandbox.bigquery.catalog.con.execute("DELETE FROM sales_intelligence_backup.sf_accounts_20260311")
    assert verdicts(here.run("backup", **BACKUP))["sf_accounts_20260311"] == "alert"


# --- From a snapshot, or from the past


def test_a_restored_table_is_compared_with_its_snapshot(place: Place) -> None:
    retried(place)
    done = place.applied("restore")
    assert verdicts(done) == {"gmail_messages_20260310_restored": "ok"}
    assert verdicts(place.run("restore")) == {"gmail_messages_20260310_restored": "ok"}  # there is nothing to do
    place.app.sandbox.bigquery.catalog.con.execute(
        "UPDATE sales_intelligence.gmail_messages_20260310_restored SET value = 0 WHERE rowid = 5"
    )
    assert verdicts(place.run("restore")) == {"gmail_messages_20260310_restored": "alert"}


def test_a_table_is_restored_as_it_was(place: Place) -> None:
    first = place.plan("restore", **PAST)
    retried(place)
    assert place.plan("restore", **PAST).id == first.id
    done = place.applied("restore", **PAST)
    assert verdicts(done) == {RESTORED.split(".")[1]: "ok"}
    then = count(place, "sales_intelligence.gmail_messages", "sent_at <= TIMESTAMPTZ '2026-03-10 14:00:00+00'")
    assert count(place, RESTORED) == then < count(place, "sales_intelligence.gmail_messages")
    again = place.run("restore", **PAST)
    assert again.outcome.result == "refused"
    assert "already exists" in again.outcome.said


def test_what_was_lost_since_comes_back(place: Place) -> None:
    catalog = place.app.sandbox.bigquery.catalog
    table = catalog.get(catalog.ref("gmail_messages"))
    rows = count(place, table.name)
    catalog.past.keep(table)
    catalog.con.execute(f"DELETE FROM {table.name}")
    catalog.wrote(table)
    done = place.applied("restore", snapshot="", table="gmail_messages", at="2026-03-11T08:30", into="found_again")
    assert verdicts(done) == {"found_again": "ok"}
    assert (count(place, "sales_intelligence.found_again"), count(place, table.name)) == (rows, 0)


def test_a_moment_that_has_gone_before_it_is_applied_is_refused(place: Place) -> None:
    ask = PAST | {"at": "2026-03-04T07:30"}
    plan = place.plan("restore", **ask).id
    place.approve(plan)
    place.app.sandbox.now += timedelta(seconds=1)
    place.wire.seen.clear()
    late = place.go("restore", plan, **ask)
    assert late.outcome.result == "refused"
    assert "does not reach back to 2026-03-04T07:30" in late.outcome.said
    assert place.wire.writes == []


@pytest.mark.parametrize("given", [{"table": "gmail_messages", "at": "2026-03-10T09:00"}, {"snapshot": ""}])
def test_the_default_snapshot_does_not_win_in_silence(place: Place, given: dict[str, str]) -> None:
    assert "not from both or neither" in str(place.run("restore", **given).error)
    assert "plan" not in place.run("restore", **given).names


def test_copies_are_compared_at_the_same_time(sandbox: Any) -> None:
    together = Barrier(3)

    def select(*_: Any) -> list[dict[str, Any]]:
        together.wait(timeout=20)  # breaks, and raises, unless three are here at once
        columns = ("copy", "copy_rows", "source_rows", "copy_checksum", "source_checksum")
        return [dict.fromkeys(columns, 1)]

    copy = {"dataset": "sales_intelligence", "to_dataset": "sales_intelligence_backup", "operation": "SNAPSHOT"}
    made = [CopyTable(**copy, table=name, to_table=f"{name}_20260310") for name in TABLES]
    with patch("runbook.facts.tables.select", select):
        assert len(observe(facts.copies(made), *sandbox()).rows) == 3
