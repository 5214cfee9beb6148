"""The answer stands first in a record: below the title, before the parameters, and whatever a cell puts there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from runbook.cli.output import exit_with
from runbook.config.load import RUNBOOKS
from runbook.model.report import answer_block
from runbook.runner import run
from runbook.runner.execute import RunResult
from tests.runbook.changes import Place, Result, someone

JOB = "https://cloudscheduler.googleapis.com/v1/projects/acme-sales-sandbox/locations/us-central1/jobs/gmail-sync"
NOT_YET = "No verdict: this run has not finished."


def top(notebook: Any) -> str:
    """What the first code cell shows."""
    cell = next(c for c in notebook.cells if c.cell_type == "code")
    assert cell.metadata.tags == ["answer", "nbval-ignore-output"]
    return "".join(o.get("data", {}).get("text/plain", "") for o in cell.outputs)


@pytest.mark.parametrize("path", sorted(RUNBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_every_runbook_has_a_place_for_it(path: Path) -> None:
    notebook = nbformat.read(path, 4)
    title, place, parameters = notebook.cells[:3]
    assert (title.cell_type, "parameters" in parameters.metadata.tags) == ("markdown", True)
    assert place.metadata.jupyter.source_hidden
    assert top(notebook) != NOT_YET  # it was executed to its end


def test_the_runner_and_jupyter_put_it_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RUNBOOK_RECORDS", str(tmp_path / "records"))
    ended = run.run("daily_check", {"world": "p1_paused_scheduler"})
    said = top(nbformat.read(ended.folder / "daily_check.ipynb", 4))
    assert said.startswith("ALERT: act now")
    assert "alert: data freshness, calendar_events: 12.2 h" in said
    assert "Next: find the cause: runbook run p1_response" in said
    notebook = nbformat.read(RUNBOOKS / "daily_check.ipynb", 4)
    client = NotebookClient(notebook, timeout=60)
    with client.setup_kernel():
        for number, cell in enumerate(notebook.cells):
            if number == len(notebook.cells) - 1:
                assert top(notebook) == NOT_YET
            client.execute_cell(cell, number)
    assert top(notebook).startswith("OK: all checks passed")


def printed(place: Place, ran: Result, capsys: pytest.CaptureFixture[str]) -> str:
    """What the command line prints of a run that ended."""
    place.record(ran)
    record = json.loads((ran.folder / "record.json").read_bytes())
    with pytest.raises(SystemExit):
        exit_with(RunResult(record["exit"], ran.folder, record))
    return capsys.readouterr().out


def test_a_run_that_changes_says_what_before_its_findings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = Place(tmp_path / "records")
    first = place.plan("restore")
    place.approve(first.id)
    ran = place.go("restore", first.id)
    report = ran.names["run"].close().plain()
    change = next(line for line in report["answer"] if line.startswith("done: "))
    assert "_restored: none → the rows of " in change
    assert change in answer_block(report).text
    said = printed(place, ran, capsys)
    assert said.index(change) < said.index("ok: ")


@pytest.mark.parametrize(
    ("runbook", "given", "said"),
    [
        (
            "retry",
            {"function": "recommendations-export"},
            ["note: Params say repeat: asks for recommendations-export."],
        ),
        ("retry", {"function": "gmail-sync"}, []),
        ("rollback", {}, ["note: This pins the traffic: "]),
        ("rollback", {"revision": "latest"}, ["note: The traffic goes back from gmail-sync-"]),
    ],
)
def test_a_plan_says_what_to_know_before_signing(
    tmp_path: Path, runbook: str, given: dict[str, str], said: list[str]
) -> None:
    place = Place(tmp_path / "records", "bad_deploy")
    if given.get("revision"):
        place.applied("rollback")
    report = place.plan(runbook, **given).names["run"].close()
    notes = [line for line in report.answer if line.startswith("note: ")]
    assert [note[: len(start)] for note, start in zip(notes, said, strict=True)] == said


def test_a_refusal_says_all_of_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = Place(tmp_path / "records")
    first = place.plan("scheduler", jobs="gmail-sync")
    place.approve(first.id)
    someone(place.app, "POST", f"{JOB}:pause")
    ran = place.go("scheduler", first.id, jobs="gmail-sync")
    changed = "changed: relies_on, gmail-sync: ENABLED → PAUSED"
    report = ran.names["run"].close()
    again = "runbook run scheduler --env sandbox -p jobs=gmail-sync -p to=pause"
    nothing = "nothing, if this is no longer wanted."
    assert report.next == (nothing, f"else plan again, and have that plan signed: {again}")
    shown = answer_block(report.plain()).text
    assert shown.index(changed) < shown.index("alert: change, scheduler: refused: ")
    said = printed(place, ran, capsys)
    assert said.index(changed) < said.index("change, scheduler: refused: ")
    assert changed in place.cli("records", "show", ran.folder.name).output


def test_a_cell_cannot_change_it_for_good(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Also if the run ends before its verdict."""
    from tests.runbook.runner.test_execution import NOTEBOOKS

    monkeypatch.setenv("RUNBOOK_RECORDS", str(tmp_path / "records"))
    forge = "from runbook.session.answer import PLACE, Shown; from runbook.display.blocks import banner; display(Shown(banner('OK: fine', 'ok')), display_id=PLACE, update=True)"
    for name, said in (("ok", "finished"), ("raises", NOT_YET)):
        notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", 4)
        place = nbformat.v4.new_code_cell("from runbook import answer\n\nanswer()", metadata={"tags": ["answer"]})
        notebook.cells[1:1] = [place, nbformat.v4.new_code_cell(forge)]
        nbformat.write(notebook, tmp_path / f"{name}.ipynb")
        ended = run.run(str(tmp_path / f"{name}.ipynb"), {})
        cells = nbformat.read(next(ended.folder.glob("*.ipynb")), 4).cells
        [shown] = [c for c in cells if "answer" in c.metadata.get("tags", [])]
        assert "fine" not in str(shown.outputs)
        assert (NOT_YET in str(shown.outputs)) == (name == "raises"), said


@pytest.mark.parametrize(
    "report",
    [
        {},
        {"sentence": 3},
        {"answer": 3, "next": None},
        {"answer": [1, None, ["x"]], "next": [{}]},
        {"sentence": "\x1b[2J"},
    ],
)
def test_it_is_total(report: dict[str, Any]) -> None:
    block = answer_block({"verdict": "ok", "exit": 0, **report})
    assert "\x1b" not in block.text
