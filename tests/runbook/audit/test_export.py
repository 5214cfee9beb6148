"""An exported record or incident verifies where nothing is installed, and no changed byte of it does."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from zipfile import ZipFile

import pytest

from runbook.audit.export import export
from runbook.config.load import load_settings
from runbook.model.errors import BadInput, UnknownName
from runbook.records.record import store_of
from tests.runbook.audit.made import NOW, changed, made
from tests.runbook.changes import Place

SYSTEM = load_settings("sandbox")


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The export of an incident with a page, and with a change that somebody approved."""
    here = tmp_path_factory.mktemp("export")
    place = Place(here / "records", world="bad_deploy")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUNBOOK_RECORDS", str(here / "records"))
        first = place.plan("rollback", incident="INC-7")
        place.approve(first.id)
        result = place.go("rollback", first.id, incident="INC-7")
        made(NOW - timedelta(hours=3), "p1_response", ("cause",), incident="INC-7")
        for one in (first, result):
            changed(one, NOW - timedelta(hours=2), incident="INC-7")
        with place.here():
            digest, names = export(SYSTEM, "INC-7", here / "INC-7.zip")
    assert re.fullmatch("[0-9a-f]{64}", digest)
    assert len(names) == 3
    with ZipFile(here / "INC-7.zip") as archive:
        archive.extractall(here / "out")
    return here / "out"


def verify(folder: Path, path: str | None = None) -> tuple[int, str]:
    """What verify.py says in a bare environment: the standard library, and ssh-keygen."""
    words = ["env", "-i", f"PATH={path or os.path.dirname(shutil.which('ssh-keygen') or '')}"]
    done = subprocess.run(
        [*words, os.path.realpath(sys.executable), "-I", "verify.py"], cwd=folder, capture_output=True, text=True
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout


def test_it_verifies_with_python_and_ssh_keygen_alone(unpacked: Path) -> None:
    code, said = verify(unpacked)
    assert code == 0, said
    assert "approved by avery as team-lead" in said
    assert "0 do not, 0 could not be made" in said
    assert "python3 verify.py" in (unpacked / "README.txt").read_text()


def test_without_ssh_keygen_it_says_what_it_could_not_check(unpacked: Path, tmp_path: Path) -> None:
    code, said = verify(unpacked, str(tmp_path))
    assert (code, "there is no ssh-keygen" in said) == (4, True)


def damages() -> list[str]:
    return ["report", "notebook", "record", "plan", "approval", "keys", "missing", "added"]


@pytest.mark.parametrize("damage", damages())
def test_what_was_changed_does_not_verify(unpacked: Path, tmp_path: Path, damage: str) -> None:
    """Also if SHA256SUMS was made again, wherever a record, an id or a signature holds the content."""
    from hashlib import sha256

    copy = tmp_path / "copy"
    shutil.copytree(unpacked, copy)
    places = {
        "report": "store/runs/*/report.json",
        "notebook": "store/runs/*/*.ipynb",
        "record": "store/runs/*/record.json",
    }
    places |= {"plan": "store/plans/*/*", "approval": "store/approvals/*/*", "keys": "keys/allowed_signers"}
    path = sorted(copy.glob(places.get(damage, "pages/*.html")))[0]
    old = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "added":
        path.with_name("more.html").write_text("more")
    elif damage == "keys":
        path.write_text("\n".join(line for line in old.decode().splitlines() if not line.startswith("avery")))
    else:
        where = old.index(b"ok" if damage == "report" else b"rollback" if damage in ("plan", "approval") else b"a")
        path.write_bytes(old[:where] + bytes([old[where] ^ 1]) + old[where + 1 :])
    code, said = verify(copy)
    assert (code, "WRONG: " in said) == (1, True), said
    sums = copy / "SHA256SUMS"
    names = [line.partition("  ")[2] for line in sums.read_text().splitlines()]
    kept = [name for name in names if (copy / name).exists()]
    sums.write_text("".join(f"{sha256((copy / name).read_bytes()).hexdigest()}  {name}\n" for name in kept))
    if damage not in ("missing", "added"):
        assert verify(copy)[0] == 1


def test_one_record_and_what_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNBOOK_RECORDS", str(tmp_path / "records"))
    name = made(NOW)
    assert export(SYSTEM, name[-8:], tmp_path / "one.zip")[1] == [name]
    with pytest.raises(BadInput, match="0 records are named"):
        export(SYSTEM, "ffffffff", tmp_path / "none.zip")
    with pytest.raises(UnknownName, match="no record belongs to INC-9"):
        export(SYSTEM, "INC-9", tmp_path / "none.zip")
    assert store_of(SYSTEM)
