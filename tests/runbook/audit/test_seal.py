"""A notebook that was run in Jupyter becomes a record only after a clean run, and only once."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runbook.approvals.proved import faults
from runbook.audit.seal import seal
from runbook.config.load import RUNBOOKS, load_settings
from runbook.config.request import Request
from runbook.model.errors import BadInput, UnknownName
from runbook.model.report import MIME
from runbook.records.files import digest, write_json
from runbook.records.journal import Journal
from runbook.records.proof import examined
from runbook.records.record import begin, new_directory
from runbook.records.store import Store

REQUEST = Request("daily_check", {"environment": "sandbox", "world": ""})
RUNBOOK = RUNBOOKS / "daily_check.ipynb"


@pytest.fixture
def records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RUNBOOK_RECORDS", str(tmp_path / "records"))
    return tmp_path / "records" / "rehearsal" / "sandbox" / "runs"


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A notebook as a person would save it in Jupyter."""
    return Path(shutil.copy(RUNBOOK, tmp_path / "saved.ipynb"))


GIVEN = {"environment": "sandbox", "world": "", "as_of": "", "incident": ""}


def ran(saved: Path, **given: str) -> Path:
    """The folder that a session in Jupyter has left for this notebook: a journal and a report."""
    folder = new_directory(load_settings("sandbox"), "daily_check")
    Journal(folder).write("START", runbook="daily_check", parameters=GIVEN | given)
    report = shown(json.loads(saved.read_text()))
    write_json(folder / "report.json", {**report, "folder": str(folder), "attested": False})
    return folder


def test_a_saved_notebook_becomes_the_record_of_its_run(records: Path, saved: Path) -> None:
    folder = ran(saved)
    assert seal(saved) == folder
    names = ["daily_check.ipynb", "journal.jsonl", "report.json"]
    assert sorted(p.name for p in folder.iterdir()) == sorted([*names, "record.json"])
    assert (folder / "daily_check.ipynb").read_bytes() == saved.read_bytes()
    kept, report = (json.loads((folder / name).read_text()) for name in ("record.json", "report.json"))
    assert kept["parameters"] == GIVEN
    assert [c["count"] for c in kept["cells"]] == [*range(1, len(kept["cells"]) + 1)]
    assert kept["cells"][-1]["step"] == "Verdict"
    assert kept["started_at"] == Journal(folder).read()[0]["time"]
    assert kept["sha256"] == {n: digest(folder / n) for n in names}
    assert (report["attested"], report["folder"], report["verdict"]) == (False, str(folder), "ok")
    assert examined(Store(records.parent), folder.name).faults == ()


def test_a_sealed_record_claims_nothing_that_nobody_watched(records: Path, saved: Path) -> None:
    """Not even if the notebook says that it was applied (T10)."""
    notebook = json.loads(saved.read_text())
    shown(notebook)["outcome"] = {"result": "applied", "approvals": [{"approver": "avery", "role": "manager"}]}
    saved.write_text(json.dumps(notebook))
    ran(saved)
    folder = seal(saved)
    kept = json.loads((folder / "record.json").read_text())
    assert (kept["how"], kept["status"], kept["verdict"], kept["exit"]) == ("sealed", "sealed", None, None)
    assert {kept["commit"], kept["params_commit"]} == {"unknown"}
    assert (kept["digests"], kept["versions"]) == ({}, {})
    assert {c["status"] for c in kept["cells"]} == {"not watched"}
    [said] = faults(store := Store(records.parent), examined(store, folder.name))
    assert said.startswith("its changes are not proved to be approved")


@pytest.mark.parametrize("left", ["nothing", "no journal", "another report", "no start"])
def test_a_notebook_without_its_run_cannot_be_sealed(records: Path, saved: Path, left: str) -> None:
    if left != "nothing":
        folder = ran(saved)
        if left == "another report":
            write_json(folder / "report.json", {**json.loads((folder / "report.json").read_text()), "verdict": "warn"})
        else:
            (folder / "journal.jsonl").write_bytes(b"")
        if left == "no journal":
            (folder / "journal.jsonl").unlink()
    with pytest.raises(BadInput) as raised:
        seal(saved)
    assert "has this report and a journal" in raised.value.observed
    assert not [*records.glob("*/record.json")]


def test_a_secret_in_a_saved_notebook_is_not_sealed(records: Path, saved: Path) -> None:
    notebook = json.loads(saved.read_text())
    secret = "ghp_" + "a1B2" * 9
    code(notebook, 3)["outputs"].append({"output_type": "stream", "name": "stdout", "text": [f"token {secret}"]})
    saved.write_text(json.dumps(notebook))
    ran(saved)
    kept = (seal(saved) / "daily_check.ipynb").read_text()
    assert secret not in kept
    assert "(redacted: GitHub" in kept


def code(nb: dict[str, Any], number: int) -> dict[str, Any]:
    return [c for c in nb["cells"] if c["cell_type"] == "code"][number]


def shown(nb: dict[str, Any]) -> dict[str, Any]:
    return code(nb, -1)["outputs"][0]["data"][MIME]


def clear(nb: dict[str, Any]) -> None:
    for cell in nb["cells"]:
        if cell["cell_type"] == "code":
            cell |= {"execution_count": None, "outputs": []}


# How the notebook is spoilt → what the refusal says.
SPOILS: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "never run": (clear, "code cells did not run"),
    "one cell not run": (lambda nb: code(nb, 3).update(execution_count=None), "1 of "),
    "last cell not run": (lambda nb: code(nb, -1).update(execution_count=None), "1 of "),
    "out of order": (lambda nb: code(nb, 3).update(execution_count=20), "not run in order: [1, 2, 3, 20,"),
    "twice the same": (lambda nb: code(nb, 3).update(execution_count=3), "not run in order"),
    "failed": (
        lambda nb: code(nb, 3)["outputs"].append({"output_type": "error", "ename": "KeyError"}),
        "a cell failed: KeyError",
    ),
    "no report": (lambda nb: code(nb, -1).update(outputs=[]), "shows no verdict"),
    "no verdict": (lambda nb: shown(nb).pop("verdict"), "shows no verdict"),
    "a verdict of its own": (lambda nb: shown(nb).update(verdict="fine"), "shows no verdict"),
    "no exit code": (lambda nb: shown(nb).pop("exit"), "shows no verdict"),
    "a runbook elsewhere": (lambda nb: shown(nb).update(runbook="../../x"), "shows no verdict"),
    "no environment": (lambda nb: shown(nb).pop("environment"), "shows no verdict"),
    "a report of text": (lambda nb: code(nb, -1)["outputs"][0]["data"].update({MIME: "ok"}), "shows no verdict"),
    "parameters were changed after": (
        lambda nb: code(nb, 1).update(source='environment: str = "production"'),
        "but its parameters now say",
    ),
    "no parameters": (lambda nb: code(nb, 1)["metadata"].clear(), "0 cells are tagged `parameters`"),
    "nothing to run": (lambda nb: [c.update(source="") for c in nb["cells"]], "shows no verdict"),
    "no cells": (lambda nb: nb.pop("cells"), "KeyError: 'cells'"),
}


@pytest.mark.parametrize("spoil", SPOILS)
def test_what_cannot_be_sealed(records: Path, saved: Path, spoil: str) -> None:
    change, said = SPOILS[spoil]
    notebook = json.loads(saved.read_text())
    if spoil.startswith("parameters"):
        ran(saved)
    change(notebook)
    saved.write_text(json.dumps(notebook))
    with pytest.raises(BadInput) as raised:
        seal(saved)
    assert raised.value.what == "saved.ipynb cannot be sealed"
    assert said in raised.value.observed
    assert raised.value.effect == "No record was made."
    assert raised.value.next
    assert not [*records.glob("*/record.json")]


@pytest.mark.parametrize("content", ["", "# notes", '{"cells": []}', "[]"])
def test_what_is_no_notebook_cannot_be_sealed(records: Path, saved: Path, content: str) -> None:
    saved.write_text(content)
    with pytest.raises(BadInput, match="cannot be sealed"):
        seal(saved)
    with pytest.raises(BadInput, match="cannot be sealed"):
        seal(saved.with_name("absent.ipynb"))
    assert not records.exists()


def test_a_committed_runbook_is_no_run(records: Path) -> None:
    with pytest.raises(BadInput, match="cannot be sealed") as raised:
        seal(RUNBOOK)
    assert "a committed runbook" in raised.value.observed


def test_an_environment_that_is_gone(records: Path, saved: Path) -> None:
    notebook = json.loads(saved.read_text())
    shown(notebook)["environment"] = "gone"
    code(notebook, 1)["source"] = 'environment: str = "gone"'
    saved.write_text(json.dumps(notebook))
    with pytest.raises(UnknownName):
        seal(saved)


def test_a_record_is_made_once(records: Path, saved: Path) -> None:
    ran(saved)
    folder = seal(saved)
    before = {p: p.read_bytes() for p in folder.iterdir()}
    for again in (saved, folder / "daily_check.ipynb"):
        with pytest.raises(BadInput) as raised:
            seal(again)
        assert f"it already has a record: {folder / 'record.json'}" in raised.value.observed
    assert [*records.iterdir()] == [folder]
    assert {p: p.read_bytes() for p in folder.iterdir()} == before


def test_a_run_that_was_killed_is_not_sealed(records: Path) -> None:
    """Its notebook may look clean; its record says what is known."""
    folder = new_directory(load_settings("sandbox"), "daily_check")
    begin(folder, REQUEST)
    shutil.copy(RUNBOOK, folder / "daily_check.ipynb")
    with pytest.raises(BadInput) as raised:
        seal(folder / "daily_check.ipynb")
    assert "it already has a record" in raised.value.observed


def test_what_plain_papermill_injected_counts(records: Path, saved: Path) -> None:
    notebook = json.loads(saved.read_text())
    notebook["metadata"]["papermill"] = {"parameters": {"world": "many_errors"}}
    saved.write_text(json.dumps(notebook))
    ran(saved, world="many_errors")
    kept = json.loads((seal(saved) / "record.json").read_text())
    assert kept["parameters"]["world"] == "many_errors"
