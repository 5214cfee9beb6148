"""The record of a run: published whole or not at all, begun and finished truthfully."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runbook.config.load import RUNBOOKS, load_settings
from runbook.config.request import Request
from runbook.config.secret_scan import Scan
from runbook.model.errors import NoRecord
from runbook.records.files import digest, probe, publish, write_json
from runbook.records.record import RESERVED_BYTES, begin, finish, new_directory, read_report

REQUEST = Request("daily_check", {"environment": "sandbox", "world": ""})
RUNBOOK = RUNBOOKS / "daily_check.ipynb"


@pytest.fixture
def records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RUNBOOK_RECORDS", str(tmp_path / "records"))
    return tmp_path / "records" / "rehearsal" / "sandbox" / "runs"


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
    assert "x: File too large\n  Earlier files are unchanged." in ended.stderr
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
    folders = {new_directory(system, "daily_check") for _ in range(2_000)}  # thousands in a second
    assert {f.parent for f in folders} == {records}


def test_begin_says_running_and_finish_tells_the_rest(tmp_path: Path) -> None:
    marker = begin(tmp_path, REQUEST)
    kept = json.loads((tmp_path / "record.json").read_text())
    assert kept == marker
    assert (kept["how"], kept["status"], kept["ended_at"]) == ("runner", "running", None)
    assert kept["parameters"] == REQUEST.values
    assert kept["pid"] == os.getpid()
    (tmp_path / "daily_check.ipynb").write_text("{}")
    write_json(tmp_path / "report.json", {"verdict": "ok", "exit": 0, "attested": True})  # as a cell may
    shown = {"verdict": "alert", "exit": 3}
    whole = finish(tmp_path, marker, shown, Scan(), status="finished", why="all cells ran", exit=3, cells=[])
    assert json.loads((tmp_path / "record.json").read_text()) == whole
    assert (whole["verdict"], whole["status"]) == ("alert", "finished")
    assert json.loads((tmp_path / "report.json").read_text()) == shown | {"folder": str(tmp_path), "attested": True}
    assert whole["sha256"] == {n: digest(tmp_path / n) for n in ("daily_check.ipynb", "report.json")}
    assert not (tmp_path / RESERVED_BYTES).exists()


@pytest.mark.parametrize("shown", [None, {"verdict": "ok", "exit": 0}], ids=["written", "shown"])
@pytest.mark.parametrize("status", ["failed", "kernel_died", "timeout", "interrupted", "terminated"])
def test_a_report_of_a_run_that_did_not_finish_does_not_count(tmp_path: Path, status: str, shown: Any) -> None:
    marker = begin(tmp_path, REQUEST)
    write_json(tmp_path / "report.json", {"verdict": "ok", "exit": 0, "attested": True})
    whole = finish(tmp_path, marker, shown, Scan(), status=status, why="", exit=1, cells=[])
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
