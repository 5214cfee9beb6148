"""The record: published whole or not at all, begun and finished truthfully, and sealed only from a clean run."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runbook.audit.seal import seal
from runbook.config.load import RUNBOOKS, load_settings
from runbook.config.request import Request
from runbook.model.errors import BadInput, NoRecord, UnknownName
from runbook.model.report import MIME
from runbook.records.files import digest, probe, publish
from runbook.records.record import RESERVED_BYTES, begin, finish, new_directory, read_report, write_report

REQUEST = Request("daily_check", {"environment": "sandbox", "world": ""})
RUNBOOK = RUNBOOKS / "daily_check.ipynb"


@pytest.fixture
def records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RUNBOOK_RECORDS", str(tmp_path / "records"))
    return tmp_path / "records" / "sandbox"


def test_publish_replaces_and_leaves_nothing_beside(tmp_path: Path) -> None:
    place = tmp_path / "x.json"
    for content in (b"old", b"new", b""):
        publish(place, content)
        assert place.read_bytes() == content
    assert list(tmp_path.iterdir()) == [place]


def test_a_reader_never_sees_a_part(tmp_path: Path) -> None:
    """Another process reads while this one publishes; each time it finds one whole content."""
    place = tmp_path / "x"
    publish(place, b"0" * 99_999)
    code = (
        "import pathlib, sys; place = pathlib.Path(sys.argv[1]); seen = set()\n"
        "while b'9' not in seen: text = place.read_bytes(); seen |= {text[:1]}; assert text == text[:1] * 99_999"
    )
    reader = subprocess.Popen([sys.executable, "-c", code, str(place)])
    while reader.poll() is None:
        for number in b"123456789":
            publish(place, bytes([number]) * 99_999)
    assert reader.returncode == 0


def test_a_full_disk_keeps_the_old_content(tmp_path: Path) -> None:
    publish(tmp_path / "x", b"old")
    code = "import pathlib, sys; from runbook.records.files import publish; publish(pathlib.Path(sys.argv[1]), b'x' * 9999)"
    ended = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "x")],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)),
        capture_output=True,
        text=True,
    )
    assert "runbook.model.errors.NoRecord: NoRecord: the record of this run cannot be written" in ended.stderr
    assert "x: File too large\n  What was written before is still there." in ended.stderr
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("x", b"old")]


def blocked(tmp: Path) -> Path:
    """A path below a file, where not even an administrator can make a folder."""
    (tmp / "file").touch()
    return tmp / "file" / "x"


@pytest.mark.parametrize("write", [lambda p: probe(p), lambda p: publish(p, b"")], ids=["probe", "publish"])
def test_a_place_that_cannot_be_written(tmp_path: Path, write: Callable[[Path], None]) -> None:
    with pytest.raises(NoRecord) as raised:
        write(blocked(tmp_path))
    assert raised.value.observed.endswith(": Not a directory")
    assert "RUNBOOK_RECORDS" in raised.value.next


def test_a_probe_leaves_nothing(tmp_path: Path) -> None:
    probe(tmp_path / "a" / "b")
    assert [p.name for p in tmp_path.rglob("*")] == ["a", "b"]


def test_folders_of_runs_have_names_of_their_own(records: Path) -> None:
    system = load_settings("sandbox")
    folders = {new_directory(system, "daily_check") for _ in range(9)}
    assert {f.parent for f in folders} == {records}
    assert len(folders) == 9


def test_begin_says_running_and_finish_tells_the_rest(tmp_path: Path) -> None:
    marker = begin(tmp_path, REQUEST)
    kept = json.loads((tmp_path / "record.json").read_text())
    assert kept == marker
    assert (kept["how"], kept["status"], kept["ended_at"]) == ("runner", "running", None)
    assert kept["parameters"] == REQUEST.values
    assert kept["pid"] == os.getpid()
    (tmp_path / "daily_check.ipynb").write_text("{}")
    write_report(tmp_path, {"verdict": "alert", "exit": 3, "attested": False})
    whole = finish(tmp_path, marker, status="finished", why="all cells ran", exit=3, cells=[])
    assert json.loads((tmp_path / "record.json").read_text()) == whole
    assert (whole["verdict"], whole["status"]) == ("alert", "finished")
    assert json.loads((tmp_path / "report.json").read_text())["attested"] is True
    assert whole["sha256"] == {n: digest(tmp_path / n) for n in ("daily_check.ipynb", "report.json")}
    assert not (tmp_path / RESERVED_BYTES).exists()


@pytest.mark.parametrize("status", ["failed", "kernel_died", "timeout", "interrupted", "terminated"])
def test_a_report_of_a_run_that_did_not_finish_does_not_count(tmp_path: Path, status: str) -> None:
    marker = begin(tmp_path, REQUEST)
    write_report(tmp_path, {"verdict": "ok", "exit": 0, "attested": False})
    whole = finish(tmp_path, marker, status=status, why="", exit=1, cells=[])
    assert whole["verdict"] is None
    assert json.loads((tmp_path / "report.json").read_text())["attested"] is False


NO_REPORTS = [
    "",
    "{",
    "[]",
    "{}",
    '{"verdict": "ok"}',
    '{"verdict": "ok", "exit": 99}',
    '{"verdict": "fine", "exit": 0}',
    '{"verdict": null, "exit": 0}',
    '{"verdict": "ok", "exit": "0"}',
]


@pytest.mark.parametrize("text", NO_REPORTS)
def test_what_is_no_report(tmp_path: Path, text: str) -> None:
    (tmp_path / "report.json").write_text(text)
    assert read_report(tmp_path) is None


def test_a_digest_is_that_of_sha256sum(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    assert digest(tmp_path / "x") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


# --- seal -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A notebook as a person would save it in Jupyter."""
    return Path(shutil.copy(RUNBOOK, tmp_path / "saved.ipynb"))


def test_a_saved_notebook_becomes_a_record(records: Path, saved: Path) -> None:
    folder = seal(saved)
    assert folder.parent == records
    assert sorted(p.name for p in folder.iterdir()) == ["daily_check.ipynb", "record.json", "report.json"]
    assert (folder / "daily_check.ipynb").read_bytes() == saved.read_bytes()
    kept, report = (json.loads((folder / name).read_text()) for name in ("record.json", "report.json"))
    assert (kept["how"], kept["status"], kept["verdict"], kept["exit"]) == ("sealed", "finished", "ok", 0)
    assert kept["parameters"] == {"environment": "sandbox", "world": "", "as_of": "", "incident": ""}
    assert {c["status"] for c in kept["cells"]} == {"completed"}
    assert [c["count"] for c in kept["cells"]] == [*range(1, len(kept["cells"]) + 1)]
    assert kept["cells"][-1]["step"] == "Verdict"
    assert kept["sha256"] == {n: digest(folder / n) for n in ("daily_check.ipynb", "report.json")}
    assert (report["attested"], report["folder"], report["verdict"]) == (False, str(folder), "ok")


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
    "never run": (clear, "code cells never ran"),
    "one cell not run": (lambda nb: code(nb, 3).update(execution_count=None), "1 of "),
    "last cell not run": (lambda nb: code(nb, -1).update(execution_count=None), "1 of "),
    "out of order": (
        lambda nb: code(nb, 3).update(execution_count=20),
        "not run from first to last, but as [1, 2, 3, 20,",
    ),
    "twice the same": (lambda nb: code(nb, 3).update(execution_count=3), "not run from first to last"),
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
        lambda nb: code(nb, 0).update(source='environment: str = "production"'),
        "it ran on sandbox, but its parameters now say production",
    ),
    "no parameters": (lambda nb: code(nb, 0)["metadata"].clear(), "0 cells are tagged `parameters`"),
    "nothing to run": (lambda nb: [c.update(source="") for c in nb["cells"]], "shows no verdict"),
    "no cells": (lambda nb: nb.pop("cells"), "KeyError: 'cells'"),
}


@pytest.mark.parametrize("spoil", SPOILS)
def test_what_cannot_be_sealed(records: Path, saved: Path, spoil: str) -> None:
    change, said = SPOILS[spoil]
    notebook = json.loads(saved.read_text())
    change(notebook)
    saved.write_text(json.dumps(notebook))
    with pytest.raises(BadInput) as raised:
        seal(saved)
    assert raised.value.what == "saved.ipynb cannot be sealed"
    assert said in raised.value.observed
    assert raised.value.effect == "No record was made."
    assert raised.value.next
    assert not records.exists()


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
    code(notebook, 0)["source"] = 'environment: str = "gone"'
    saved.write_text(json.dumps(notebook))
    with pytest.raises(UnknownName):
        seal(saved)


def test_a_record_is_made_once(records: Path, saved: Path) -> None:
    folder = seal(saved)
    before = {p: p.read_bytes() for p in folder.iterdir()}
    for again in (saved, folder / "daily_check.ipynb"):
        with pytest.raises(BadInput) as raised:
            seal(again)
        assert f"it has a record already: {folder / 'record.json'}" in raised.value.observed
    assert [*records.iterdir()] == [folder]
    assert {p: p.read_bytes() for p in folder.iterdir()} == before


def test_a_run_that_was_killed_is_not_sealed(records: Path) -> None:
    """Its notebook may look clean; its record says what is known."""
    folder = new_directory(load_settings("sandbox"), "daily_check")
    begin(folder, REQUEST)
    shutil.copy(RUNBOOK, folder / "daily_check.ipynb")
    with pytest.raises(BadInput) as raised:
        seal(folder / "daily_check.ipynb")
    assert "it has a record already" in raised.value.observed


def test_what_plain_papermill_injected_counts(records: Path, saved: Path) -> None:
    notebook = json.loads(saved.read_text())
    notebook["metadata"]["papermill"] = {"parameters": {"world": "many_errors"}}
    saved.write_text(json.dumps(notebook))
    kept = json.loads((seal(saved) / "record.json").read_text())
    assert kept["parameters"]["world"] == "many_errors"
