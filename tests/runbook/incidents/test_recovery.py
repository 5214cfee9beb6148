"""What an outage left short: days, tables, rows and the command, until a run has written what was missing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from runbook.config.load import load_settings
from runbook.incidents.affected import Evidence
from runbook.incidents.recovery import Short, short
from runbook.model.facts import Gap
from runbook.model.moment import Moment
from runbook.model.rows import EtlRun
from tests.runbook.incidents.test_diagnosis import seen_of
from tests.runbook.incidents.test_page import page

SYSTEM = load_settings("sandbox")
PLACE = {"environment": "sandbox", "world": "", "function": "", "incident": "INC-1"}


def said(seen: Evidence, moment: Moment) -> dict[str, Short]:
    return {row.function: row for row in short(seen, SYSTEM, moment, PLACE)}


def with_runs(seen: Evidence, function: str, change: Callable[[EtlRun], EtlRun | None]) -> Evidence:
    """The runs of one function changed, or left out."""
    rows = (change(r) if r.function == function else r for r in seen.runs.rows)
    return seen._replace(runs=replace(seen.runs, rows=tuple(r for r in rows if r)))


@pytest.fixture(scope="module")
def healthy() -> tuple[Evidence, Moment]:
    return seen_of("healthy")


def test_nothing_is_short_in_a_healthy_system(healthy: tuple[Evidence, Moment]) -> None:
    assert said(*healthy) == {}


def bad(moment: Moment, hours: float, until: float = 0, **change: Any) -> Callable[[EtlRun], EtlRun]:
    """Runs between so many hours ago are changed."""
    return lambda r: replace(r, **change) if moment.ago(hours) <= r.started_at <= moment.ago(until) else r


@pytest.mark.parametrize("change", [{"status": "failed", "records": None}, {"records": 0}], ids=["failed", "empty"])
def test_what_fails_or_writes_nothing_until_now_is_short(healthy: Any, change: dict[str, Any]) -> None:
    seen, moment = healthy
    found = said(with_runs(seen, "gmail-sync", bad(moment, 5.5, **change)), moment)
    [row] = found.values()
    assert (row.function, row.tables, row.missed_runs, row.ran_again) == ("gmail-sync", ["gmail_messages"], 6, None)
    assert row.days == [moment.today]
    assert row.rows_missing
    assert row.command == "runbook run retry --env sandbox -p function=gmail-sync -p incident=INC-1"


def test_a_run_that_is_missing_counts_as_one_that_failed(healthy: Any) -> None:
    seen, moment = healthy
    found = said(with_runs(seen, "gmail-sync", lambda r: None if r.started_at > moment.ago(5.5) else r), moment)
    assert [row.missed_runs for row in found.values()] == [6]


@pytest.mark.parametrize(("rows", "short_of"), [(60, True), (100_000, False)])
def test_after_a_repair_its_rows_show_whether_it_caught_up(healthy: Any, rows: int, short_of: bool) -> None:
    seen, moment = healthy
    seen = with_runs(seen, "gmail-sync", bad(moment, 8.5, 1, status="failed", records=None))
    seen = with_runs(seen, "gmail-sync", bad(moment, 1, records=rows))
    found = said(seen, moment)
    assert bool(found) is short_of
    for row in found.values():
        assert row.ran_again
        assert row.ran_again > moment.local(moment.ago(1))
        assert row.rows_missing
    shown = page(seen, moment)
    assert [f.check for f in shown.findings if f.verdict.name == "warn"] == ["data is missing"] * short_of
    assert not shown.causes


def test_a_single_miss_of_a_frequent_function_is_made_good_by_the_next_run(healthy: Any) -> None:
    seen, moment = healthy
    assert not said(with_runs(seen, "gmail-sync", bad(moment, 8.5, 7.5, status="failed")), moment)


@pytest.mark.parametrize("scored", [True, False])
def test_scores_are_proved_by_the_rows_of_the_day(healthy: Any, scored: bool) -> None:
    seen, moment = healthy
    yesterday = moment.today - timedelta(days=1)
    seen = with_runs(seen, "account-scoring", bad(moment, 30, 20, status="failed", records=None))
    rows = tuple(r for r in seen.scores.rows if scored or r.score_date != yesterday)
    found = said(seen._replace(scores=replace(seen.scores, rows=rows)), moment)
    assert [row.days for row in found.values()] == ([] if scored else [[yesterday]])
    # The run of today has written the scores of today: another one does not write those of yesterday.
    by_hand = "another run does not load it: ask Engineering lead to load it by hand"
    assert [(row.command, row.do) for row in found.values()] == ([] if scored else [("", by_hand)])


@pytest.mark.parametrize(("hours", "again"), [(1, True), (2, False)])
def test_a_run_that_did_not_catch_up_is_repeated_once(healthy: Any, hours: int, again: bool) -> None:
    seen, moment = healthy
    seen = with_runs(seen, "gmail-sync", bad(moment, 8.5, hours, status="failed", records=None))
    seen = with_runs(seen, "gmail-sync", bad(moment, hours, records=60))
    [row] = said(seen, moment).values()
    assert (bool(row.command), bool(row.do)) == (again, not again)


def test_runs_that_could_not_be_read_say_nothing(healthy: Any) -> None:
    seen, moment = healthy
    lost = seen._replace(runs=replace(seen.runs, rows=(), gaps=(Gap("runs", "403"),)))
    assert said(lost, moment) == {}


def test_what_must_never_be_run_by_hand_has_no_command(healthy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, moment = healthy
    never = [f.model_copy(update={"repeat": "never"}) for f in SYSTEM.functions]
    system = SYSTEM.model_copy(update={"functions": never})
    seen = with_runs(seen, "gmail-sync", bad(moment, 5.5, status="failed"))
    assert [row.command for row in short(seen, system, moment, PLACE)] == [""]
