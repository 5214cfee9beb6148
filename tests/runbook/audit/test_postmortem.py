"""An incident from its P1 to the post-mortem draft: who may sign alone, and that the draft says only what records say."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from runbook.approvals.stored_plan import find
from runbook.audit.postmortem import draft, runs_of
from runbook.config.load import load_settings
from runbook.model.errors import UnknownName
from tests.runbook.changes import REQUESTER, Place


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
    planned = place.run("retry", incident="INC-7")
    [alone] = [step for step in planned.outcome.next if "alone" in step]
    assert f"runbook approve {planned.outcome.plan.id} --role on-call --as {REQUESTER} " in alone
    assert not any("alone" in step for step in place.run("retry", incident="INC-8").outcome.next)
    place.app.sandbox.now += timedelta(hours=4)
    assert not any("alone" in step for step in place.run("retry", incident="INC-7").outcome.next)


def test_what_is_no_p1_proposes_to_open_nothing(tmp_path: Path) -> None:
    place = Place(tmp_path / "records", world="stale_scores")
    page = place.run("p1_response", incident="INC-7").names["page"]
    assert not any(step.command.startswith("runbook open") for step in page.steps)


def test_the_draft_says_what_the_records_say(place: Place) -> None:
    place.run("p1_response", incident="INC-7")
    place.run("retry", incident="INC-7")
    place.run("daily_check")
    system = load_settings("sandbox")
    told = runs_of(system, "INC-7")
    assert [t.rows[0]["runbook"] for t in told] == ["p1_response", "retry"]
    path = draft(system, "INC-7")
    text = "\n".join("".join(c["source"]) for c in json.loads(path.read_text())["cells"])
    assert told[0].report["sentence"] in text
    assert "the records of this incident contain no change" in text
    assert all(t.name in text for t in told)
    assert "daily_check" not in text
    html = path.with_suffix(".html").read_text()
    assert "Actions, and who" in html
    assert "http" not in html.replace("https://cloud.google.com", "")


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
        text = draft(load_settings("sandbox"), "INC-7").read_text()
    assert (run.report, run.at) == ({}, "2026-03-11T13:30:00")
    assert "`20260311T133000Z-p1_response-0000` has no verdict" in text


def test_words_of_a_record_are_words(place: Place) -> None:
    """A log's text, a reason or a whole forged record is no HTML, no link and no column of the draft (T15)."""
    bad = "<script>x()</script> | ![p](http://x.example/p)"
    finding = {"check": bad, "subject": bad, "value": bad, "verdict": "alert"}
    report = {"verdict": "alert", "exit": 1, "sentence": bad, "project": bad, "target": bad, "findings": [finding]}
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
        html = draft(load_settings("sandbox"), "INC-7").with_suffix(".html").read_text()
    assert [word for word in ("<script", "<img", ">p</a>") if word in html] == []
    timeline = html[html.index("<tbody>") : html.index("</tbody>")]
    assert (timeline.count("<tr>"), timeline.count("<td")) == (2, 10)
    assert html.count("&lt;script&gt;x()") > 10
