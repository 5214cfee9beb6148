"""An incident from its P1 to the post-mortem draft: who may sign alone, and that the draft says only what records say."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from runbook.approvals.stored_plan import find
from runbook.audit.index import Run, read_run, row_of
from runbook.audit.postmortem import draft, incident_page, runs_of
from runbook.config.load import load_settings
from runbook.model.errors import UnknownName
from runbook.model.findings import Verdict
from runbook.records.record import begin, finish
from tests.runbook.audit.made import NOW, changed, made
from tests.runbook.changes import REQUESTER, Died, Place


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setenv("RUNBOOK_RECORDS", str(tmp_path / "records"))
    return Place(tmp_path / "records", world="no_etl")


def test_alone_only_while_a_p1_is_open(place: Place) -> None:
    page = place.run("p1_response", incident="INC-7").names["page"]
    assert page.steps[-1].command == 'runbook open INC-7 --env sandbox --severity P1 --reason "…"'
    before = place.run("retry", incident="INC-7")
    assert before.outcome.result == "planned", before.outcome.said
    assert [step.split(" --")[1] for step in before.outcome.next[:-1]] == ["role team-lead"]
    place.open("INC-7")
    with patch("tests.runbook.changes.REQUESTER", "blake"):  # who is on call
        planned = place.run("retry", incident="INC-7")
    [alone] = [step for step in planned.outcome.next if "alone" in step]
    assert f"runbook approve {planned.outcome.plan.id} --role on-call --as blake " in alone
    assert not any("alone" in step for step in place.run("retry", incident="INC-8").outcome.next)
    place.app.sandbox.now += timedelta(hours=4)
    assert not any("alone" in step for step in place.run("retry", incident="INC-7").outcome.next)


def test_what_is_no_p1_proposes_to_open_nothing(tmp_path: Path) -> None:
    place = Place(tmp_path / "records", world="stale_scores")
    page = place.run("p1_response", incident="INC-7").names["page"]
    assert not any(step.command.startswith("runbook open") for step in page.steps)


def recorded(result: Any, minutes: int = 0, **given: str) -> str:
    """Let a run of this process have the record that a runner writes; return its name."""
    assert result.error is None, result.error
    return changed(result, NOW - timedelta(minutes=minutes), **given)


def test_the_draft_says_what_the_records_say(place: Place) -> None:
    first = recorded(place.run("p1_response", incident="INC-7"), incident="INC-7")
    recorded(place.run("retry", incident="INC-7"), incident="INC-7")
    recorded(place.run("daily_check"))
    system = load_settings("sandbox")
    told = runs_of(system, "INC-7")
    assert [t.runbook for t in told] == ["p1_response", "retry"]
    path, page = draft(system, "INC-7")
    text = path.read_text()
    assert "## Summary\n\nP1: " in text
    assert "first symptom" in text
    assert "the newest check" in text.partition("## What is open")[2]
    assert first.replace("_", "\\_") in text.partition("## What is open")[2]
    assert "The records of this incident contain no change." in text
    assert all(t.name in text for t in told)
    assert "daily_check" not in text
    html = page.read_text()
    assert "What was done, and by whom" in html
    assert "<style>" in html
    assert "http" not in html.replace("http-equiv", "").replace("https://cloud.google.com", "")


def test_the_whole_story_of_an_outage_and_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNBOOK_RECORDS", str(tmp_path / "records"))
    place, given = Place(tmp_path / "records", world="bad_deploy"), {"incident": "INC-7"}
    recorded(place.run("p1_response", **given), 50, **given)
    first = place.plan("rollback", reason="errors since 08:00", **given)
    recorded(first, 45, **given)
    place.approve(first.id)
    recorded(place.go("rollback", first.id, reason="errors since 08:00", **given), 40, **given)
    place.cli("note", "INC-7", "restarted the proxy by hand")
    healthy = Place(tmp_path / "records", world="healthy")
    recorded(healthy.run("p1_response", **given), 0, **given)
    text = draft(load_settings("sandbox"), "INC-7")[0].read_text()
    parts = dict(part.split("\n", 1) for part in text.split("\n## ")[1:])
    symptom, over, lasted, newest = [
        cell.strip() for cell in parts["Summary"].rstrip().splitlines()[-1].strip("| ").split("|")
    ]
    assert (symptom[:10], over, lasted, newest) == ("2026-03-11", "2026-03-11 08:30 CDT", lasted, "ok")
    hours, _, minutes = lasted.partition(" h ")
    began, ended = (datetime.fromisoformat(cell[:16]) for cell in (symptom, over))
    assert ended - began == timedelta(hours=int(hours), minutes=int(minutes.split()[0]))
    assert "crash" in parts["Causes"]
    assert "gmail" in parts["Impact"]
    assert "cause" not in parts["Impact"]
    assert "approved by avery as team-lead (looks right)" in parts["What was done, and by whom"]
    assert "route traffic" in parts["What was done, and by whom"]
    assert "by hand" in parts["What was done, and by whom"]
    still = parts["What is open"]
    assert "gmail-sync still serves an older revision (gmail-sync-00012-bko 100 %, by " in still
    assert "the revision that failed is not fixed: no later record lets the newest one serve" in still
    assert "no record shows a change that fixed" not in still
    assert (
        f"{REQUESTER} (a note that nobody signed): restarted the proxy by hand" in parts["What was done, and by whom"]
    )
    assert text.splitlines()[2].startswith("**PRACTICE DATA**")
    assert "<b>PRACTICE DATA</b>" in draft(load_settings("sandbox"), "INC-7")[1].read_text().partition("<h1>")[0]


def test_a_warning_is_no_recovery_while_the_function_still_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rollback that was only planned changes nothing, and a daily check that warns of the same function says so."""
    monkeypatch.setenv("RUNBOOK_RECORDS", str(tmp_path / "records"))
    place, given = Place(tmp_path / "records", world="bad_deploy"), {"incident": "INC-8"}
    recorded(place.run("p1_response", **given), 50, **given)
    recorded(place.plan("rollback", **given), 45, **given)
    daily = place.run("daily_check", **given)
    recorded(daily, 25, **given)
    assert json.loads((daily.folder / "report.json").read_bytes())["verdict"] == "warn"
    text = draft(load_settings("sandbox"), "INC-8")[0].read_text()
    assert "| no record shows it | not known | warn |" in text
    still = text.partition("## What is open")[2]
    assert "no record shows a recovery" in still
    assert "not ok since, by the newest finding: function now, gmail-sync: failed runs: 1" in still
    recorded(Place(tmp_path / "records", world="healthy").run("daily_check", **given), 0, **given)
    after = draft(load_settings("sandbox"), "INC-8")[0].read_text()
    assert "| 2026-03-11 08:30 CDT |" in after
    still = after.partition("## What is open")[2]
    assert "no record shows a change that fixed this cause: " in still
    assert "gmail-sync" in still
    assert "an older revision" not in still


PINNED, LATEST = {"gmail-sync-00012": 100}, {"latest": 100}
CHANGES: dict[str, tuple[list[tuple[str, Any]], str]] = {
    "pinned": ([("route traffic", PINNED)], "the revision that failed is not fixed"),
    "released": ([("route traffic", PINNED), ("route traffic", LATEST)], ""),
    "deployed": ([("update function", {"memory": "1Gi"})], ""),
    "deployed while pinned": (
        [("route traffic", PINNED), ("update function", {"memory": "1Gi"})],
        "20260311T030000Z-x-0000 deployed does not serve",
    ),
    "deployed and released": (
        [("route traffic", PINNED), ("update function", {"memory": "1Gi"}), ("route traffic", LATEST)],
        "",
    ),
}


@pytest.mark.parametrize("case", CHANGES)
def test_what_is_open_after_changes(case: str) -> None:
    """The last change of a function says what serves; a change that is not done says nothing."""
    changes, still = CHANGES[case]
    runs = [check(1, P1, BROKEN)]
    for number, (action, after) in enumerate([*changes, ("notify", {})], 2):
        done = {"action": action, "resource": "gmail-sync", "status": "done", "args": {"after": after}, "after": "x"}
        undone = done | {"action": "route traffic", "resource": "embeddings", "status": "not attempted"}
        report = {"verdict": "ok", "exit": 0, "findings": [], "outcome": {"changes": [done, undone]}}
        runs.append(Run(f"20260311T{number:02}0000Z-x-0000", {"status": "finished"}, report, [], (), {}))
    runs.append(check(9, P1, "cause/all functions/ok"))
    html = incident_page(load_settings("sandbox"), "INC-7", runs).partition("What is open")[2]
    assert still in html
    assert ("gmail-sync still serves an older revision" in html) == bool(still)
    assert "embeddings still serves" not in html
    assert "no record shows a change that fixed" not in html


def check(number: int, runbook: str, *found: str) -> Run:
    """A run as the store has it, one hour after another; `found` such as "cause/gmail-sync/alert"."""
    rows = [dict(zip(("check", "subject", "verdict"), one.split("/"), strict=True)) | {"value": "x"} for one in found]
    worst = max((Verdict[row["verdict"]] for row in rows), default=Verdict.ok)
    report = {
        "verdict": worst.name,
        "exit": int(worst.exit),
        "at": f"2026-03-11T{number + 12}:00:00+00:00",
        "findings": rows,
    }
    return Run(f"20260311T{number:02}0000Z-{runbook}-0000", {"status": "finished"}, report, [], (), {})


P1, DAILY, BROKEN = "p1_response", "daily_check", "cause/gmail-sync/alert"
RECOVERIES: dict[str, tuple[list[tuple[str, ...]], str]] = {
    "nothing was broken": ([(P1, "cause/all functions/ok")], ""),
    "all functions": ([(P1, BROKEN), (P1, "cause/all functions/ok")], "09:00"),
    "in another runbook": ([(P1, BROKEN), (DAILY, "function now/all functions/ok", "errors/last 24 h/warn")], "09:00"),
    "another check only": ([(P1, BROKEN), (DAILY, "errors/last 24 h/ok")], ""),
    "no finding at all": ([(P1, BROKEN), (P1,)], ""),
    "another function is ok": (
        [(P1, BROKEN), (DAILY, "function now/embeddings/ok", "function now/gmail-sync/warn")],
        "",
    ),
    "another one is broken": ([(P1, BROKEN), (P1, "cause/embeddings/alert")], ""),
    "again": ([(P1, BROKEN), (P1, "cause/all functions/ok"), (DAILY, "function now/gmail-sync/warn")], ""),
    "and over again": (
        [(P1, BROKEN), (P1, "cause/all functions/ok"), (DAILY, "function now/gmail-sync/warn"), (P1, "cause/x/ok")],
        "11:00",
    ),
    "a check at the start": (
        [(DAILY, "errors/x/alert", "scheduler/x/warn"), (DAILY, "errors/x/ok", "scores/x/warn")],
        "",
    ),
    "all of them": (
        [(DAILY, "errors/last 24 h/alert", "scheduler/x/warn"), (DAILY, "errors/last 24 h/ok", "scheduler/all/ok")],
        "09:00",
    ),
    "a gap is closed": ([(P1, "read/logs/unknown"), (P1, "cause/all functions/ok")], "09:00"),
    "what warns later is another thing": (
        [(P1, BROKEN), (P1, "cause/all functions/ok", "data is short/gmail-sync/warn")],
        "09:00",
    ),
}


@pytest.mark.parametrize("case", RECOVERIES)
def test_a_recovery_rests_on_findings(case: str) -> None:
    told, over = RECOVERIES[case]
    system = load_settings("sandbox")
    html = incident_page(system, "INC-7", [check(n, *one) for n, one in enumerate(told, 1)])
    found = re.search(r"Recovered 2026-03-11 (\d\d:\d\d) CDT", html)
    assert (found[1] if found else "") == over
    assert ("no record shows a recovery" in html) == (not over)


def test_a_run_that_only_compared_a_plan_is_no_part_of_an_incident(place: Place) -> None:
    """`runbook plans` runs the runbook of each plan again, with its parameters; a record of a change stays one."""
    recorded(place.run("p1_response", incident="INC-7"), 9, incident="INC-7")
    first = place.plan("retry", incident="INC-7")
    recorded(first, 8, incident="INC-7")
    again = place.plan("retry", incident="INC-7")
    name = changed(again, NOW, compares=first.id, incident="INC-7")
    system = load_settings("sandbox")
    assert [run.runbook for run in runs_of(system, "INC-7")] == ["p1_response", "retry"]
    row = row_of(read_run(place.store, name), system)
    assert row["headline"].startswith(f"only compared with plan {first.id}: ")
    assert row["incident"] == ""
    written = read_run(place.store, name)._replace(rows=[{"kind": "WRITE"}])
    assert row_of(written, system)["incident"] == "INC-7"


def test_each_time_says_whose_clock_it_is_and_a_confirmation_what_was_confirmed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNBOOK_RECORDS", str(tmp_path / "records"))
    place, given = Place(tmp_path / "records", world="bad_deploy"), {"incident": "INC-7"}
    first = place.plan("rollback", **given)
    place.approve(first.id)
    recorded(place.go("rollback", first.id, **given), 0, **given)
    for path in draft(load_settings("sandbox"), "INC-7"):
        text = path.read_text()
        assert re.search(r"first symptom, clock of the sandbox", text, re.IGNORECASE)
        assert text.count("clock of this machine") == 2
        assert "(change 3: notify, team-lead)" in text
        assert "(change 2: route traffic, gmail-sync)" in text


def test_a_draft_that_somebody_edited_stays_as_it_is(place: Place) -> None:
    recorded(place.run("p1_response", incident="INC-7"), incident="INC-7")
    system = load_settings("sandbox")
    path, page = draft(system, "INC-7")
    assert draft(system, "INC-7") == [path, page]
    for number, words in enumerate(("what I know", "and more"), 2):
        path.write_text(path.read_text() + words)
        other = path.with_name(f"post_mortem-{number}.md")
        edited = path.read_text()
        said = place.cli("incident", "INC-7").output
        assert f"Draft: {other} (an older one was edited, and stays as it is)" in said
        assert f"Draft: {page}\n" in said
        assert path.read_text() == edited
        path = other
    assert len(list(path.parent.iterdir())) == 4


def test_an_incident_without_records(place: Place) -> None:
    with pytest.raises(UnknownName, match="no record belongs to INC-9"):
        runs_of(load_settings("sandbox"), "INC-9")


def test_of_two_who_plan_the_same_the_last_one_counts(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.open("INC-7")
    plans = []
    for who in (REQUESTER, "blake", REQUESTER, "blake"):
        monkeypatch.setattr("tests.runbook.changes.REQUESTER", who)
        plans.append(place.plan("retry", incident="INC-7").outcome.plan.id)
        with place.here():
            assert find(plans[-1]).stored.file.terms.requester == who
    assert len(set(plans)) == 1
    with place.here():
        signed = find(plans[0]).sign("on-call", "it cannot wait until morning", "blake", None, "")
    assert (signed.break_glass, signed.requester) == (True, "blake")


def test_a_run_whose_machine_was_lost_has_no_verdict(place: Place) -> None:
    """Of a run on a disk that is gone, the store has only the marker of its begin."""
    begin = {"runbook": "p1_response", "parameters": {"incident": "INC-7"}, "started_at": "2026-03-11T13:30:00"}
    place.store.create("runs/20260311T133000Z-p1_response-0000/begin.json", json.dumps(begin | {"who": "x@y"}).encode())
    with place.here():
        [run] = runs_of(load_settings("sandbox"), "INC-7")
        text = draft(load_settings("sandbox"), "INC-7")[0].read_text()
    assert (run.report, run.verdict) == ({}, "none")
    assert "20260311T133000Z-p1\\_response-0000 has no verdict" in text


def test_a_draft_says_what_it_leaves_out(place: Place) -> None:
    """What does not verify does not count, and nobody may take that for good news."""
    name = made(NOW, "p1_response", ("cause",), incident="INC-7")
    (place.folder / "runs" / name / "p1_response.ipynb").write_text("{}")
    path, page = draft(load_settings("sandbox"), "INC-7")
    for text in (path.read_text(), page.read_text()):
        for said in ("The records contain no alert", "The records name no cause"):
            assert f"{said}, apart from 1 that does not verify." in text


def test_words_of_a_record_are_words(place: Place) -> None:
    """A log's text, a reason or a whole forged record is no HTML, no link and no column of the draft (T15)."""
    bad = "<script>x()</script> | ![p](http://x.example/p)"
    finding = {"check": bad, "subject": bad, "value": bad, "verdict": "alert"}
    report = {
        "verdict": "alert",
        "exit": 3,
        "headline": bad,
        "answer": [bad],
        "sentence": bad,
        "project": bad,
        "target": bad,
        "findings": [finding],
    }
    begin = {"started_at": bad, "runbook": bad, "parameters": {"incident": "INC-7"}, "who": bad}
    change = {"action": bad, "resource": bad, "before": bad, "after": bad}
    by = [{"approver": bad, "role": bad, "reason": bad}]
    rows = [{"kind": "START", **begin}, {"kind": "APPLY", "plan": bad, "approvals": by}]
    rows += [{"kind": "INTENT", "change": change}, {"kind": "CONFIRM", "state": bad, "said": bad}]
    lines = [json.dumps({"time": "<img src=//x.ex/p>", **row}) for row in rows]
    files = {
        "report.json": json.dumps(report),
        "record.json": json.dumps(begin),
        "journal.jsonl": "\n".join(lines) + "\n",
    }
    for name, text in files.items():
        place.store.create(f"runs/20260311T133000Z-p1_response-0000/{name}", text.encode())
    note = {"at": "<script src=//x.ex>", "who": bad, "text": bad, "user": "x"}
    place.store.create("notes/inc-7/20260311t133000-00000000", json.dumps(note).encode())
    with place.here():
        path, page = draft(load_settings("sandbox"), "INC-7")
    assert "does not verify" in page.read_text()
    with place.here(), patch("runbook.audit.index.faults", lambda *_: ()):  # as if somebody had made it verify
        path, page = draft(load_settings("sandbox"), "INC-7")
    html, text = page.read_text(), path.read_text()
    assert [word for word in ("<script src", "<script>x", "<img", ">p</a>") if word in html + text] == []
    assert html.count("&lt;script&gt;x()") > 10
    timeline = text.partition("|---|---|---|---|---|\n")[2].partition("\n\n")[0].splitlines()
    assert len(timeline) == 2
    assert [len(re.findall(r"(?<!\\)\|", line)) for line in timeline] == [6, 6]
    assert "](" not in text.replace("\\](", "")


HOSTILE: list[Any] = [
    None,
    7,
    "x",
    [7],
    {"changes": 7},
    {"changes": [7, {}], "approvals": [7, {}]},
    "9999-12-31T23:59:59",
]


@pytest.mark.parametrize("value", HOSTILE, ids=str)
def test_a_record_of_any_form_stops_no_draft(value: Any) -> None:
    """Somebody may forge a record that proves itself: its words are shown, or left out (T13)."""
    report = dict.fromkeys(("at", "answer", "outcome", "findings", "project", "headline", "next"), value)
    report |= {"verdict": "alert", "exit": 3}
    forms = [report, report | {"answer": ["x since 2026-99-99 99:99 y"], "at": "0001-01-01T00:00:00+00:00"}]
    kinds = ("APPLY", "INTENT", "CONFIRM", "START")
    rows = [{"kind": kind, "time": "2026", "change": value, "approvals": value, "plan": value} for kind in kinds]
    record = {"person": value, "parameters": value, "versions": value}
    runs = [Run(f"20260311T13300{n}Z-p1_response-0000", record, form, rows, (), {}) for n, form in enumerate(forms)]
    assert "Not recovered" in incident_page(load_settings("sandbox"), "INC-7", runs)


class Stopped(Died, KeyboardInterrupt):
    """Ctrl-C, which the cells of a test do not catch either."""


def stopped(place: Place, killed: bool, **given: str) -> Any:
    """A deployment whose process ends when Google has got the change, with what its runner still writes."""

    def ends(_wire: Any, _number: int, sent: Any, go: Any) -> Any:
        answer = go()
        if sent.method == "PATCH":
            raise Died if killed else Stopped
        return answer

    plan = place.plan("deploy", **given).id
    place.approve(plan)
    place.wire.fault = ends
    first = place.go("deploy", plan, **given)
    assert isinstance(first.error, Died)
    place.wire.fault = None
    with place.here():
        marker = begin(first.folder, first.names["run"].request)
        (first.folder / "deploy.ipynb").write_text('{"cells": []}')
        if not killed:
            finish(first.folder, marker, status="interrupted", why="Ctrl-C", exit=130, cells=[])
    for _ in range(9):
        with place.resumed():
            done = place.go("deploy", plan, **given)
        recorded(done, **given)
        if done.outcome.result != "refused":
            break
    assert done.outcome.result == "applied", done.outcome.said
    recorded(place.go("deploy", plan, **given), **given)
    return first


DEPLOYED = {"function": "account-scoring", "memory": "2Gi", "reason": "it needs more", "incident": "INC-20"}


@pytest.mark.parametrize("how", ["killed", "killed on a machine that is lost", "stopped"])
def test_a_change_that_a_later_run_found_done_is_in_the_draft_once(how: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("RUNBOOK_RECORDS", str(tmp_path / "records"))
    place = Place(tmp_path / "records", world="stale_scores")
    first = stopped(place, how != "stopped", **DEPLOYED)
    if "lost" in how:
        (first.folder / "journal.jsonl").unlink()
        (first.folder / "record.json").rename(first.folder / "begin.json")
    path, page = draft(load_settings("sandbox"), "INC-20")
    text = path.read_text()
    done = text.partition("## What was done")[2].partition("\n## ")[0]
    [change] = [
        line for line in done.splitlines() if "update function, account-scoring: memory 1Gi → memory 2Gi" in line
    ]
    assert ("by a run whose journal is not here" in change) == ("lost" in how)
    assert "not proved" not in change
    resumed = "continued" if how == "stopped" else "taken over and continued"
    assert (
        f", {resumed} by {REQUESTER}, because: it needs more, approved by avery as team-lead (looks right; why" in done
    )
    assert done.index("update function") < done.index(f", {resumed} by") < done.index("run once, account-scoring")
    assert ("not proved: this run has no end" in done) == (how == "killed")
    assert "begun; no record shows how it ended" not in text
    assert "a change is in progress" not in text.partition("## Impact")[2].partition("## Causes")[0]
    assert "refused: plan " in text.partition("## Timeline")[2].partition("## Impact")[0]
    assert "verdict ALERT" not in text
    assert "update function" in page.read_text()


def test_a_change_that_nobody_continued_is_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNBOOK_RECORDS", str(tmp_path / "records"))
    place = Place(tmp_path / "records", world="stale_scores")
    with patch.object(Place, "resumed", side_effect=RuntimeError), pytest.raises(RuntimeError):
        stopped(place, killed=True, **DEPLOYED)
    text = draft(load_settings("sandbox"), "INC-20")[0].read_text()
    assert "update function, account-scoring: memory 1Gi → memory 2Gi (not proved: this run has no end)" in text
    still = text.partition("## What is open")[2]
    assert "update function, account-scoring: begun; no record shows how it ended" in still


def test_what_was_done_in_a_minute_is_in_the_order_of_the_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNBOOK_RECORDS", str(tmp_path / "records"))
    place, given = Place(tmp_path / "records", world="bad_deploy"), {"incident": "INC-7"}
    recorded(place.applied("rollback", **given), **given)
    for path in draft(load_settings("sandbox"), "INC-7"):
        text = path.read_text()
        begins, change, ends = (text.index(word) for word in ("rollback begins", "route traffic, gm", "rollback ended"))
        assert text.index("approved by avery") < begins < change < ends


def test_what_one_person_signed_alone_and_its_review_are_in_the_draft(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.runbook.changes.REQUESTER", "blake")
    place.open("INC-8")
    place.open("INC-7")
    plan = place.plan("retry", incident="INC-7").id
    with place.here():
        find(plan).sign("on-call", "it cannot wait", "blake", None, "")
    recorded(place.go("retry", plan, incident="INC-7"), incident="INC-7")
    system = load_settings("sandbox")
    text = draft(system, "INC-7")[0].read_text()
    done, _, still = text.partition("## What is open")
    assert "opened as P1 until 2026-03-11T17:30:00Z, signed by blake as on-call (everything is down)" in done
    assert done.count("opened as P1") == 1
    waiting = re.findall(
        r"nobody else has reviewed that (.*): (runbook review [0-9a-f]{12} --env sandbox) --reason", still
    )
    assert [what for what, _ in waiting] == ["blake opened it as P1", f"blake approved plan {plan} alone"]
    for number, (_, command) in enumerate(waiting, 1):
        said = place.cli(*command.split()[1:], "--reason", "I looked", "--as", "avery", "--yes")
        assert said.exit_code == 0, said.output
        path, page = draft(system, "INC-7")
        assert path.read_text().count("reviewed by avery as team-lead (I looked): that blake ") == number
        assert path.read_text().count("nobody else has reviewed") == page.read_text().count("nobody else has reviewed")
        assert path.read_text().count("nobody else has reviewed") == len(waiting) - number


def test_an_old_version_that_nobody_disabled_is_open() -> None:
    def run(number: int, action: str, **args: Any) -> Run:
        change = {"action": action, "resource": "x", "status": "done", "args": {"secret": "gmail-oauth-token", **args}}
        report = {"verdict": "ok", "exit": 0, "findings": [], "outcome": {"changes": [change], "result": "applied"}}
        return Run(f"20260311T{number:02}0000Z-x-0000", {"status": "finished"}, report, [], (), {})

    system, said = load_settings("sandbox"), "secret gmail-oauth-token, version 3: no record shows that it was disabled"
    added = run(1, "add secret version", before=3, after=4)
    for state, is_open in (("ENABLED", True), ("DISABLED", False)):
        assert (
            said in incident_page(system, "INC-7", [added, run(2, "set version state", version=3, after=state)])
        ) == (is_open)
    assert said in incident_page(system, "INC-7", [added])


def test_a_refused_change_is_no_symptom_and_no_relapse() -> None:
    """A second apply by mistake, or a message that was not accepted, says nothing of the system."""
    ok, refused = (P1, "cause/all functions/ok"), (P1, "cause/all functions/ok", "change/notify/alert")
    system = load_settings("sandbox")
    for told, over in (([(P1, BROKEN), ok, refused], "09:00"), ([refused, (P1, BROKEN), ok], "10:00")):
        html = incident_page(system, "INC-7", [check(n, *one) for n, one in enumerate(told, 1)])
        assert f"Recovered 2026-03-11 {over} CDT" in html
        symptom = re.search(r"First symptom.*?</dt><dd>2026-03-11 (\d\d:\d\d)", html)
        assert symptom
        assert symptom[1] == {"09:00": "08:00", "10:00": "09:00"}[over]
