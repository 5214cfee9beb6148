"""Plans are pure: every case is data, in cases/plans.yaml. Then what their ids say, and what they do not."""

from __future__ import annotations

import builtins
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from shlex import quote
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from runbook import plans
from runbook.config.load import load_settings
from runbook.config.request import request
from runbook.display import is_plain
from runbook.model.errors import BadParameter, Refused
from runbook.model.facts import Fact, Gap, Seen
from runbook.model.findings import Finding, Findings, Verdict
from runbook.model.moment import Moment
from runbook.model.plan import Plan
from runbook.model.rows import (
    EtlRun,
    LogEntry,
    Reader,
    Rehearsed,
    Revision,
    SchedulerJob,
    SecretVersion,
    Service,
    Snapshot,
    SourceState,
    Table,
)
from runbook.plans.base import message
from runbook.session.run import Run
from tests.layout import offered
from tests.runbook.rows import AT, row

HOSTILE = yaml.safe_load((Path(__file__).parents[1] / "cases" / "hostile.yaml").read_text())

DATA = yaml.safe_load((Path(__file__).parents[1] / "cases" / "plans.yaml").read_text())
WORLD, CASES = DATA["world"], DATA["cases"]
SYSTEM = load_settings("sandbox")
MOMENT = Moment(AT, SYSTEM.zone)
KINDS = {
    **{"service": Service, "source": SourceState, "revisions": Revision, "errors": LogEntry, "runs": EtlRun},
    **{"versions": SecretVersion, "users": Reader, "tables": Table, "snapshots": Snapshot, "jobs": SchedulerJob},
    "rehearsal": Rehearsed,
}
GATES = Findings((Finding("gate", "x", "y", "z", Verdict.ok),))


def fact(name: str, given: Any) -> Fact:
    given = {"rows": given} if isinstance(given, list) else given
    made = []
    for values in given["rows"]:
        columns = {column: tuple(kind) for column, kind in values.get("columns", {}).items()}
        made.append(row(KINDS[name], **values | ({"columns": columns} if columns else {})))
    gaps = tuple(Gap(*pair) for pair in given.get("gaps", []))
    return Fact(name, tuple(made), "line", AT, "", gaps, absent=tuple(given.get("absent", [])))


def seen(case: dict[str, Any]) -> Seen:
    return Seen({name: fact(name, given) for name, given in (WORLD | case.get("seen", {})).items()})


def make(name: str, case: dict[str, Any], moment: Moment = MOMENT) -> Plan:
    return getattr(plans, name)(request(name, case.get("ask", {})), seen(case), GATES, SYSTEM, moment)


ALL = [pytest.param(name, case, id=f"{name}: {case['name']}") for name in CASES for case in CASES[name]]


@pytest.mark.parametrize(("name", "case"), ALL)
def test_plan(name: str, case: dict[str, Any]) -> None:
    if words := case.get("refused") or case.get("bad"):
        with pytest.raises(Refused if "refused" in case else BadParameter) as error:
            make(name, case)
        assert words in str(error.value)
        assert error.value.next
        return
    plan = make(name, case)
    found = [{**c.plain(), "line": c.line} for c in plan.changes]
    assert len(found) == len(case["expect"]), found
    for change, expected in zip(found, case["expect"], strict=True):
        assert {key: change[key] for key in expected} == expected
    assert plan.relies_on == case.get("relies", plan.relies_on)
    assert plan.watch == tuple(case.get("watch", plan.watch))
    assert plan.gates is GATES
    notes = case.get("notes", plan.notes)
    assert len(plan.notes) == len(notes)
    assert all(any(words in note for note in plan.notes) for words in notes), plan.notes


@pytest.mark.parametrize(("name", "case"), ALL)
def test_a_plan_belongs_to_an_operation_and_says_a_way_back_and_a_line(name: str, case: dict[str, Any]) -> None:
    if "expect" not in case:
        return
    plan = make(name, case)
    assert SYSTEM.operations[plan.operation].offered
    assert len(plan.whole_id) == 64
    for change in plan.changes:
        assert change.way_back.startswith(
            ("runbook run ", "add the old value again; then: runbook run ", "gcloud run ", "Not ", "Cannot ")
        )
        assert change.line.startswith(("gcloud ", "bq "))


def test_a_trial_in_staging_is_part_of_what_is_signed() -> None:
    staged = SYSTEM.model_copy(update={"staging": "staging"})
    trial = Rehearsed("20260310-rotate", "staging", AT, "")
    found = []
    for system, rows in ((SYSTEM, []), (staged, []), (staged, [trial]), (staged, [replace(trial, source="other")])):
        given = Seen({**seen({}).facts, "rehearsal": Fact("applied in staging", tuple(rows), "line", AT)})
        plan = plans.rotate_secret(request("rotate_secret", {}), given, GATES, system, MOMENT)
        found.append(plan.relies_on["applied in staging"])
    assert found == ["no staging environment", "not in staging", "20260310-rotate", "not in staging"]


def test_every_plan_has_cases_of_each_kind() -> None:
    assert set(CASES) == set(offered(plans))
    for name, cases in CASES.items():
        for change in cases[0]["expect"][:1]:
            assert {"action", "resource", "before", "after", "line"} <= set(change), name
            assert {"undo", "no_undo"} & set(change), name
        assert "relies" in cases[0], name
        assert any("refused" in case for case in cases), name
        assert any(case.get("expect") == [] for case in cases) or name in ("retry", "rotate_secret"), name


# --- pure


@pytest.mark.parametrize("name", sorted(CASES))
def test_nothing_is_asked_of_the_machine(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ask, given = request(name, {}), seen({})
    before = deepcopy(given.facts)

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("a plan did I/O")

    with monkeypatch.context() as shut:
        for where, what in [
            (builtins, "open"),
            (socket, "socket"),
            (subprocess, "Popen"),
            (os, "getenv"),
            (os, "listdir"),
            (time, "time"),
        ]:
            shut.setattr(where, what, refuse)
        plan = getattr(plans, name)(ask, given, GATES, SYSTEM, MOMENT)
        again = getattr(plans, name)(ask, given, GATES, SYSTEM, MOMENT)
        assert plan == again
        assert plan.whole_id == again.whole_id
    assert given.facts == before


# --- ids


def whole(name: str, case: dict[str, Any], target: str = "sandbox", system: Any = SYSTEM, at: Moment = MOMENT) -> Plan:
    """A plan as `run.plan` makes it, with what runs where and by which code."""
    cloud = SimpleNamespace(target=target)
    run = Run(request(name, case.get("ask", {})), system, cloud, at, True, Path(), None)  # type: ignore[arg-type]
    return run.plan(getattr(plans, name), seen(case), GATES)


@pytest.fixture(params=sorted(CASES))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def test_the_same_world_has_the_same_id(name: str) -> None:
    assert whole(name, {}).whole_id == whole(name, {}).whole_id


def _later(value: Any) -> Any:
    if isinstance(value, datetime):
        return value + timedelta(hours=1)
    if isinstance(value, dict):
        return {k: _later(v) for k, v in value.items()}
    return [_later(v) for v in value] if isinstance(value, list) else value


def test_times_do_not_move_an_id(name: str) -> None:
    moved = {fact: _later(rows) for fact, rows in WORLD.items()}
    assert moved != WORLD
    later = Moment(AT + timedelta(hours=2), SYSTEM.zone)  # the same day of the team's
    assert whole(name, {"seen": moved}, at=later).whole_id == whole(name, {}).whole_id


def test_a_moment_of_the_past_is_a_parameter_and_later_still_the_same_plan() -> None:
    ask = {"snapshot": "", "table": "gmail_messages", "at": "2026-03-10T09:00"}
    later = Moment(AT + timedelta(days=2), SYSTEM.zone)
    moved = {"tables": [{**T, "rows": 300, "changed": later.at}]}
    first = whole("restore", {"ask": ask})
    assert first.whole_id == whole("restore", {"ask": ask, "seen": moved}, at=later).whole_id
    assert first.changes


@pytest.mark.parametrize(
    ("name", "case", "made", "there"),
    [
        ("backup", {}, ["gmail_messages_20260311", "sf_accounts_20260311"], []),
        ("backup", {"ask": {"date": "20260310"}}, [], ["gmail_messages_20260310", "sf_accounts_20260310"]),
        ("backup", {"ask": {"date": "20260310", "tables": "sf_accounts"}}, [], ["sf_accounts_20260310"]),
        ("restore", {}, ["gmail_messages_20260310_restored"], []),
    ],
)
def test_what_is_there_already_is_confirmed_again_but_not_in_the_id(
    name: str, case: dict[str, Any], made: list[str], there: list[str]
) -> None:
    plan = whole(name, case)
    assert [[c.resource for c in some] for some in (plan.changes, plan.already_applied)] == [made, there]
    assert {c.action for c in plan.already_applied} <= {"copy table"}
    assert replace(plan, already_applied=()).whole_id == plan.whole_id


def test_a_restored_table_that_is_there_is_confirmed_again() -> None:
    restored = {**WORLD["tables"][0], "table": "gmail_messages_20260310_restored", "rows": 240}
    plan = whole("restore", {"seen": {"tables": [*WORLD["tables"], restored]}})
    first = whole("restore", {})
    assert (plan.changes, plan.already_applied) == ((), first.changes)


def test_gates_do_not_move_an_id(name: str) -> None:
    assert replace(whole(name, {}), gates=Findings()).whole_id == whole(name, {}).whole_id


def test_the_reason_is_signed_even_where_it_is_no_parameter(name: str) -> None:
    assert replace(whole(name, {}), reason="because").whole_id != whole(name, {}).whole_id


def test_reason_target_place_and_code_move_every_id(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [whole(name, {}).whole_id, whole(name, {"ask": {"reason": "because"}}).whole_id]
    monkeypatch.setattr("runbook.session.run.code", lambda: "a" * 40)
    ids.append(whole(name, {}, "google").whole_id)
    monkeypatch.setattr("runbook.session.run.code", lambda: "b" * 40)
    ids.append(whole(name, {}, "google").whole_id)
    for field, value in {"environment": "other", "project": "other-project"}.items():
        ids.append(whole(name, {}, system=SYSTEM.model_copy(update={field: value})).whole_id)
    assert len(set(ids)) == len(ids)


def test_what_is_approved_does_not_depend_on_the_approval(name: str) -> None:
    ids = {whole(name, {"ask": {"approved_plan": given}}).whole_id for given in ("", "0123456789ab")}
    assert len(ids) == 1


ANY: dict[str, list[dict[str, Any]]] = {
    "deploy": [{"memory": "1Gi"}, {"timeout_s": 10}, {"function": "calendar-sync"}, {"test_run": False}],
    "rollback": [{"revision": "gmail-sync-00009-ghi"}, {"incident": "INC-1"}],
    "rotate_secret": [{"secret": "hubspot-api-key"}],
    "retire_secret": [{"version": 2}, {"to": "enable"}],
    "backup": [{"tables": "sf_accounts"}, {"date": "20260310"}, {"keep_days": 7}],
    "restore": [
        {"into": "fresh"},
        {"snapshot": "sf_accounts_20260310"},
        {"snapshot": "", "table": "gmail_messages", "at": "2026-03-10T09:00"},
        {"snapshot": "", "table": "gmail_messages", "at": "2026-03-10T09:01"},
        {"snapshot": "", "table": "sf_accounts", "at": "2026-03-10T09:00"},
    ],
    "schema_change": [{"column": "sector"}, {"type": "INT64"}, {"mode": "REPEATED"}, {"table": "gmail_messages"}],
    "retry": [{"incident": "INC-1"}, {"function": "calendar-sync"}],
    "scheduler": [{"jobs": "gmail-sync,calendar-sync"}, {"to": "resume"}],
}


def test_parameters_move_an_id(name: str) -> None:
    ids = [whole(name, {"ask": ask}).whole_id for ask in [{}, *ANY[name]]]
    assert len(set(ids)) == len(ids)


NOW, V, U, T, S, J = (WORLD[k][0] for k in ("service", "versions", "users", "tables", "snapshots", "jobs"))
RELIED: dict[str, list[dict[str, Any]]] = {
    "deploy": [
        {"service": [{**NOW, "serving": "gmail-sync-00013-new"}]},
        {"service": [{**NOW, "traffic": "other", "targets": {"x": 100}}]},
        {"service": [{**NOW, "state": "FAILED"}]},
        {"service": [{**NOW, "runtime": "python310"}]},
        {"source": [{"source": "sample", "whole_digest": "2" * 40}]},
    ],
    "rollback": [
        {"service": [{**NOW, "serving": "gmail-sync-00010-def"}]},
        {"revisions": WORLD["revisions"][:1] + WORLD["revisions"][3:]},
    ],
    "rotate_secret": [
        {"versions": [{**V, "version": 4}, *WORLD["versions"]]},
        {"versions": [{**V, "state": "DISABLED"}, *WORLD["versions"][1:]]},
        {"users": [U]},
        {"users": [{**U, "revision": "gmail-sync-00013-new"}]},
    ],
    "retire_secret": [{"versions": [{**V, "version": 4}, *WORLD["versions"]]}, {"versions": WORLD["versions"][:2]}],
    "backup": [{"tables": [T]}, {"snapshots": [{**S, "snapshot": "sf_accounts_20260311"}]}],
    "restore": [],  # it relies on its snapshot alone, which is named and never changes
    "schema_change": [{"tables": [T, {**WORLD["tables"][1], "columns": {"id": ["STRING", "NULLABLE"]}}]}],
    "retry": [
        {"service": [{**NOW, "serving": "gmail-sync-00013-new"}]},
        {"runs": [{**WORLD["runs"][0], "status": "failed"}]},
    ],
    "scheduler": [{"jobs": [{**J, "state": "PAUSED"}]}],
}


def test_what_a_plan_relies_on_moves_its_id(name: str) -> None:
    found = {whole(name, {"seen": moved}).whole_id for moved in [{}, *RELIED[name]]}
    assert len(found) == len(RELIED[name]) + 1


def test_who_must_be_told_first_is_told_first(name: str) -> None:
    told, rule = whole(name, {}), SYSTEM.operations[whole(name, {}).operation]
    assert [c.resource for c in told.changes if c.action == "notify"] == rule.notify
    assert [c.action == "notify" for c in told.changes] == sorted(
        (c.action == "notify" for c in told.changes), reverse=True
    )
    for change in told.changes[: len(rule.notify)]:
        assert change.optional
        assert (
            change.line
            == f"apprise -t {quote(change.args.title)} -b {quote(change.args.message)} $RUNBOOK_NOTIFY_{change.resource.upper().replace('-', '_')}"
        )
        assert all(f"{c.action}, {c.resource}: " in change.args.message for c in told.changes[len(rule.notify) :])


def test_the_title_of_a_message_says_what_begins_where(name: str) -> None:
    plan = whole(name, {})
    titles = {c.args.title for c in plan.changes if c.action == "notify"}
    of = dict.fromkeys(c.resource for c in plan.changes if c.action != "notify")
    assert titles == ({f"sandbox: {name} begins: {', '.join(of)}"} if plan.rule and plan.rule.notify else set())


def test_what_params_do_not_allow_is_no_plan(name: str) -> None:
    rules = {k: rule for k, rule in SYSTEM.operations.items() if k != whole(name, {}).operation}
    plan = whole(name, {}, system=SYSTEM.model_copy(update={"operations": rules}))
    assert plan.changes == ()
    assert plan.refusal
    assert "is missing" in plan.refusal.observed


def test_nobody_is_told_of_nothing() -> None:
    assert whole("scheduler", {"ask": {"to": "resume"}}).changes == ()


def test_a_refusal_is_a_plan_without_changes() -> None:
    plan = whole("rollback", {"ask": {"revision": "nope"}})
    assert plan.refusal
    assert plan.refusal.what == "nope cannot serve"
    assert not plan.changes


# --- the notebooks' own plans, in processes with other hash seeds

IDS = """
import json, sys
from runbook.cloud.connect import connect
from runbook.config.load import RUNBOOKS, load_settings
from runbook.config.parameters import load_notebook
from runbook.facts.checkout import source_code
from runbook.session import run as module
cloud, ids = connect(load_settings("sandbox")), {}
source_code.run_tests = lambda *_: (True, "3 passed")  # which takes a second
module.connect_now = lambda *_: (cloud, *cloud.now())
for name in sys.argv[1:]:
    names = {}
    for cell in load_notebook(RUNBOOKS / f"{name}.ipynb")["cells"]:
        text = "".join(cell["source"]).replace('memory: str = ""', 'memory: str = "1Gi"')
        if cell["cell_type"] == "code" and "plan" not in names and not text.startswith("charts."):
            exec(text, names)
    ids[name] = names["plan"].whole_id
print(json.dumps(ids))
"""


def _ids(seed: str) -> str:
    words = [sys.executable, "-c", IDS, *sorted(CASES)]
    env = {**os.environ, "PYTHONHASHSEED": seed}
    return subprocess.run(words, env=env, capture_output=True, text=True, check=True, timeout=60).stdout


def _pairs() -> Iterator[str]:
    with ThreadPoolExecutor(2) as pool:
        yield from pool.map(_ids, ("1", "4242"))


def test_two_processes_with_other_hash_seeds_make_the_same_plans() -> None:
    first, second = _pairs()
    assert len(yaml.safe_load(first)) == len(offered(plans))
    assert first == second


@pytest.mark.parametrize("kind", HOSTILE["log_texts"])
def test_a_message_can_be_read_and_proved(kind: str) -> None:
    """Whoever makes it: what a plan contains must be printable, or its record is never proved."""
    words = HOSTILE["log_texts"][kind]
    made = message("on-call", words, f"one\n{words}")
    assert all(map(is_plain, [made.args.title, *made.args.message.split("\n")]))
    assert not [secret for secret in HOSTILE["secrets"] if secret in made.line + str(made.plain())]
