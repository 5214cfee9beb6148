"""What lies in the record store may be anybody's: nothing of it is believed, run or shown before it is verified."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from runbook.approvals.signed import Note
from runbook.approvals.stored_plan import find
from runbook.approvals.verify import terms_of
from runbook.cli.main import main
from runbook.cloud.connect import connect
from runbook.config.load import load_settings
from runbook.display import is_plain
from runbook.model.actions import CopyTable, RouteTraffic, RunOnce, SetJobState
from runbook.model.canonical import canonical, plan_id
from runbook.model.errors import Broken, Exit, Refused
from runbook.model.plan import Change, change_of
from runbook.records.plans import naming, parse
from tests.runbook.changes import CHANGING, REQUESTER, Place, Result, things

HOSTILE = yaml.safe_load((Path(__file__).parents[1] / "cases" / "hostile.yaml").read_text())
SYSTEM = load_settings("sandbox")
PAUSE = Change(SetJobState(job="calendar-sync", before="ENABLED", after="PAUSED"), "resume it")
COPY = {"dataset": "sales_intelligence", "to_dataset": "sales_intelligence_backup", "operation": "SNAPSHOT"}
SNAPSHOT = Change(CopyTable(**COPY, table="sf_accounts", to_table="mine", keep_days=1), "none")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "records")


def forged(place: Place, change: dict[str, Any] | None = None, **content: Any) -> str:
    """The id of a plan file that somebody wrote who can write in the store; its id is that of its content."""
    content = {
        **{"operation": "rollback", "runbook": "rollback", "reason": "", "relies_on": {}, "commit": "sandbox"},
        **{"environment": "sandbox", "project": SYSTEM.project, "target": "sandbox"},
        **{"parameters": {"environment": "sandbox"}, "changes": [change or PAUSE.plain()]},
        **content,
    }
    rule = SYSTEM.operations[content["operation"]]
    with place.here():
        cloud = connect(SYSTEM, "")
        terms = terms_of(rule, "casey", cloud.now()[0]).model_dump()
    whole = plan_id(content)
    path = place.folder / "plans" / whole[:12] / "20990101t000000000000-00000000.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(canonical({"schema": 1, "id": whole, "content": content, "terms": terms}))
    return whole


def begun(place: Place, plan: str, change: dict[str, Any]) -> None:
    """A journal that says that this plan was being applied."""
    row = {"time": "2026-03-11T13:30:00", "owner": "0" * 8, "who": "x", "number": 1}
    rows = (row | {"kind": "INTENT", "change": change}, row | {"kind": "CLOSE", "result": "stopped", "final": False})
    for number, one in enumerate(rows, 1):
        place.store.create(f"applied/{plan[:12]}/20260311t133000-00000000/{number:04d}", json.dumps(one).encode())


def unharmed(place: Place, before: dict[str, Any], ran: Result) -> None:
    """Nothing was written, and it was not said that anything was."""
    assert ran.error is None
    assert ran.outcome.result == "refused", (ran.outcome.result, ran.outcome.said)
    assert place.wire.writes == []
    assert things(place.app) == before


# --- what is run (T2)


def test_a_plan_file_cannot_name_a_notebook(place: Place, tmp_path: Path) -> None:
    marker, book = tmp_path / "it-ran", tmp_path / "mine.ipynb"
    cell = {"cell_type": "code", "metadata": {"tags": ["parameters"]}, "outputs": [], "execution_count": None}
    cell["source"] = f'environment: str = "sandbox"  # x\nopen({str(marker)!r}, "w")'
    book.write_text(json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    plan = forged(place, runbook=str(book))
    done = CliRunner().invoke(main, ["apply", plan[:12]], env={"RUNBOOK_RECORDS": str(place.records)})
    assert done.exit_code == Exit.REFUSED, done.output
    assert "the plan names no runbook of its operation" in done.output
    assert not marker.exists()
    assert not list(place.records.rglob("*.ipynb"))


def test_what_nobody_signed_runs_no_code_that_it_names(place: Place, tmp_path: Path) -> None:
    marker = tmp_path / "it-ran"
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "test_it.py").write_text(f"open({str(marker)!r}, 'w')")
    change = Change(RunOnce(function="gmail-sync", job="gmail-sync", repeat="safe"), "none").plain()
    given = {"environment": "sandbox", "source": str(tmp_path / "code")}
    plan = forged(place, change, operation="deploy", runbook="deploy", parameters=given)
    env = {"RUNBOOK_RECORDS": str(place.records), "RUNBOOK_PERSON": REQUESTER}
    done = CliRunner().invoke(main, ["apply", plan[:12]], env=env)
    assert done.exit_code == Exit.REFUSED, done.output
    assert "not yet approved as team-lead" in done.output
    assert ": runbook approve" in done.output
    assert not marker.exists()


def test_a_plan_belongs_to_the_environment_in_whose_store_it_lies(place: Place) -> None:
    change = Change(RouteTraffic(service="gmail-sync", before={"a": 100}, after={"b": 100}), "none").plain()
    plan = forged(place, change, environment="production")
    with place.here(), pytest.raises(Refused, match="the plan names two environments"):
        find(plan)
    given = {"environment": "production", "parameters": {"environment": "production"}}
    plan = forged(place, change, **given)
    with place.here(), pytest.raises(Refused, match="for another environment"):
        find(plan)


def test_a_plan_without_a_change_is_none(place: Place) -> None:
    plan = forged(place, operation="snapshot", runbook="backup", changes=[])
    with place.here(), pytest.raises(Refused, match="the plan contains no change"):
        find(plan)


# --- what is applied (T3)


FORGED: dict[str, dict[str, Any]] = {
    "an operation that needs nobody, with another action": {"operation": "snapshot", "runbook": "rollback"},
    "an operation that needs nobody, of its own runbook": {"operation": "snapshot", "runbook": "backup"},
    "the operation of the runbook, with another action": {},
}


@pytest.mark.parametrize("case", FORGED)
def test_an_unfinished_plan_that_was_forged_is_not_applied(place: Place, case: str) -> None:
    plan = forged(place, **FORGED[case])
    begun(place, plan, PAUSE.plain())
    before = things(place.app)
    unharmed(place, before, place.run("rollback", approved_plan=plan))


def test_an_unfinished_backup_is_only_what_todays_code_would_back_up(place: Place) -> None:
    first = place.plan("backup", tables="sf_accounts")
    content = dict(first.names["plan"].content)
    plan = forged(place, **content | {"changes": [SNAPSHOT.plain()]})
    begun(place, plan, SNAPSHOT.plain())
    before = things(place.app)
    unharmed(place, before, place.run("backup", tables="sf_accounts", approved_plan=plan, apply=True))


def test_a_journal_cannot_change_what_was_approved(place: Place) -> None:
    first = place.plan("scheduler", jobs="gmail-sync")
    place.approve(first.id)
    begun(place, first.id, PAUSE.plain())  # says that calendar-sync was to be paused
    done = place.go("scheduler", first.id, jobs="gmail-sync")
    assert done.outcome.result == "applied", done.outcome.said
    states = {name: job["state"] for name, job in place.app.sandbox.jobs.jobs.items()}
    assert [name for name, state in states.items() if state == "PAUSED"] == ["gmail-sync"]


# --- what is shown (T4, T5)


@pytest.mark.parametrize("name", CHANGING)
def test_the_text_of_a_change_is_made_from_what_it_does(tmp_path: Path, name: str) -> None:
    here = Place(tmp_path / name, world={"retire_secret": "old_secret"}.get(name, "healthy"))
    plan = here.plan(name, **CHANGING[name]).names["plan"]
    for change in plan.changes:
        row = json.loads(canonical(change.plain()))
        assert change_of(row, name, plan.operation).plain() == change.plain()
        for key in ("resource", "before", "after"):
            with pytest.raises(Refused, match="text differs from what it would do"):
                change_of(row | {key: "something harmless"}, name, plan.operation)
        with pytest.raises(Refused, match="has no action"):
            change_of(row, "daily_check", plan.operation)


def test_damaged_files_of_a_plan_are_ignored_and_named(place: Place) -> None:
    first = place.plan("rollback")
    [path] = (place.folder / "plans" / first.id).iterdir()
    newer = path.with_name("20990101t000000000000-00000000.json")
    for damage in (b"{", b"[]", b"", b"\xff", path.read_bytes().replace(b"rollback", b"rollbakk")):
        newer.write_bytes(damage)
        with place.here():
            found = find(first.id)
        assert found.content["runbook"] == "rollback"
        assert [line.startswith(str(newer)) for line in found.stored.ignored] == [True]


@pytest.mark.parametrize("kind", HOSTILE["keys"])
def test_why_a_file_is_ignored_is_one_visible_line(kind: str) -> None:
    """Also for a list or a page, which no terminal guards; the name of a key is part of the reason."""
    text, ignored = json.dumps({HOSTILE["keys"][kind]: 1}), list[str]()
    with naming(ignored, "plans/x: "):
        parse(text.encode(), "plan", 1000, Note)
    with naming(ignored, "plans/x: "):
        raise ValueError(HOSTILE["keys"][kind])
    assert [is_plain(line) and line.startswith("plans/x: ") for line in ignored] == [True, True]


# --- what is said after writes (W4)


@pytest.fixture
def partitioned(tmp_path: Path) -> Callable[[str], Place]:
    def make(name: str) -> Place:
        world = tmp_path / "world.yaml"
        like = "old_secret" if name == "retire_secret" else "healthy"
        world.write_text(f"like: {like}\nabout: A test.\ntables: [{{name: etl_runs, filter: started_at}}]\n")
        return Place(tmp_path / "records", world=str(world))

    return make


@pytest.mark.parametrize("name", ["retry", "deploy", "rotate_secret", "retire_secret", "rollback", "daily_check"])
def test_runs_may_want_a_bound_in_time(
    partitioned: Callable[[str], Place], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = partitioned(name)
    monkeypatch.setenv("RUNBOOK_SECRET_ENV", "NEW_VALUE")
    monkeypatch.setenv("NEW_VALUE", "a new value")
    if name == "daily_check":
        assert here.run(name).names["run"].close().verdict.name == "ok"
    else:
        done = here.applied(name, **CHANGING[name])
        assert not [f for f in done.names["run"].findings["confirm"] if f.verdict.name == "unknown"]


def test_after_a_write_no_error_says_that_nothing_was_changed(place: Place) -> None:
    first = place.plan("rollback")
    place.approve(first.id)
    done = place.run("rollback", approved_plan=first.id)
    assert done.outcome.result == "applied"
    with place.here(), pytest.raises(Broken) as error:
        done.names["run"].query("SELECT nonsense(")
    said = str(error.value)
    assert "Nothing was changed" not in said
    assert f"Before this error, changes of plan {first.id} were sent:" in said
    assert "2. route traffic, gmail-sync: done" in said
    assert f"runbook apply {first.id}" in said


def test_a_query_that_fails_between_writes_is_no_silence(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    first = place.plan("retry")
    place.approve(first.id)
    monkeypatch.setattr("runbook.facts.etl.newest_run", lambda *_: ("SELECT nonsense(", {}))
    done = place.go("retry", first.id)
    assert done.outcome.result == "unknown"
    assert "not started: could not read: BigQuery does not accept the query" in done.outcome.said
    assert done.outcome.next[0] == f"check each change again, and go on: runbook apply {first.id}"
