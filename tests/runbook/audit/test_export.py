"""An exported record or incident verifies where nothing is installed, and no changed byte of it does."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from runbook.approvals.signed import identity
from runbook.approvals.stored_plan import find
from runbook.audit.export import export
from runbook.audit.verify import attest
from runbook.config.load import ROOT, load_settings
from runbook.model.errors import BadInput, UnknownName
from runbook.records.proof import with_proof
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
            attest(SYSTEM, *identity(SYSTEM, "sandbox", "security", None, None))
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
    for text in (unpacked / "README.txt", ROOT / "docs" / "records.md"):
        assert "python3 -I verify.py" in text.read_text(encoding="utf-8")
        assert "python3 verify.py" not in text.read_text(encoding="utf-8")


def test_without_ssh_keygen_it_says_what_it_could_not_check(unpacked: Path, tmp_path: Path) -> None:
    code, said = verify(unpacked, str(tmp_path))
    assert (code, "there is no ssh-keygen" in said) == (4, True)


def damages() -> list[str]:
    return ["report", "notebook", "record", "plan", "approval", "keys", "missing", "added"]


@pytest.mark.parametrize("damage", damages())
def test_what_was_changed_does_not_verify(unpacked: Path, tmp_path: Path, damage: str) -> None:
    """Also if SHA256SUMS was made again, wherever a record, an id or a signature holds the content."""
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
    summed(copy)
    if damage not in ("missing", "added"):
        assert verify(copy)[0] == 1


def summed(copy: Path) -> None:
    """Somebody makes SHA256SUMS anew, for the files that are left of it."""
    sums = copy / "SHA256SUMS"
    names = [line.partition("  ")[2] for line in sums.read_text().splitlines()]
    kept = [name for name in names if (copy / name).exists()]
    sums.write_text("".join(f"{sha256((copy / name).read_bytes()).hexdigest()}  {name}\n" for name in kept))


def proved(record: Path, gone: str = "", **changed: Any) -> None:
    """Somebody takes a file out of a record, or changes its report, and makes all digests in record.json anew."""
    if gone:
        (record / gone).unlink()
    if changed:
        (record / "report.json").write_text(json.dumps(json.loads((record / "report.json").read_bytes()) | changed))
    said = json.loads((record / "record.json").read_bytes())
    del said["proof"]
    parts = {name: sha256((record / name).read_bytes()).hexdigest() for name in said["sha256"] if name != gone}
    (record / "record.json").write_bytes(with_proof(said | {"sha256": parts}))


def of_change(copy: Path) -> Path:
    """The record that applied the plan."""
    return next(path.parent for path in copy.glob("store/runs/*/approvals.json"))


def _approvals(copy: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    path = of_change(copy) / "approvals.json"
    said = json.loads(path.read_bytes())
    change(said)
    path.write_text(json.dumps(said))
    proved(path.parent)


FORGED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "the approvals of the store": (lambda copy: shutil.rmtree(copy / "store/approvals"), "is not in store/approvals"),
    "the approvals of the record": (lambda copy: proved(of_change(copy), "approvals.json"), "has no approvals.json"),
    "no signature": (lambda copy: _approvals(copy, lambda a: a.update(approvals=[])), "was not signed by team-lead"),
    "another time": (lambda copy: _approvals(copy, lambda a: a.update(at="2026-03-12T13:30:01Z")), "not for that time"),
    "another plan": (lambda copy: _approvals(copy, lambda a: a["content"].update(reason="x")), "names another plan"),
    "an operation that nobody signs": (
        lambda copy: _approvals(copy, lambda a: a["content"].update(operation="snapshot")),
        "has changes that no snapshot has",
    ),
    "another signature": (
        lambda copy: _approvals(copy, lambda a: a["approvals"][0].update(signature="x")),
        "approved by avery: not signed by them",
    ),
    "no role": (
        lambda copy: (copy / "keys/roles.yaml").write_text('{"people":{"avery":["manager"]}}'),
        "does not have the role team-lead",
    ),
    "another verdict": (
        lambda copy: proved(next(copy.glob("store/runs/*p1_response*")), verdict="ok", exit=0),
        "is not the record that blake attested",
    ),
    "no manifest counts": (
        lambda copy: (copy / "keys/attesters").write_text((copy / "keys/allowed_signers").read_text()),
        "store/manifests/000001: not signed by",
    ),
}


@pytest.mark.parametrize("forged", FORGED)
def test_a_change_without_its_approvals_and_another_record_are_wrong(
    unpacked: Path, tmp_path: Path, forged: str
) -> None:
    """With SHA256SUMS and every digest of a record made anew, as somebody may who can write to the store."""
    forge, why = FORGED[forged]
    shutil.copytree(unpacked, copy := tmp_path / "copy")
    forge(copy)
    summed(copy)
    code, said = verify(copy)
    assert code == 1, said
    assert [line for line in said.splitlines() if line.startswith("WRONG: ") and why in line], said


def test_the_zip_may_lie_beside_what_was_in_it_and_nothing_else(unpacked: Path, tmp_path: Path) -> None:
    shutil.copytree(unpacked, copy := tmp_path / "copy")
    shutil.copy(unpacked.parent / "INC-7.zip", copy / "as mailed.zip")
    assert verify(copy)[0] == 0
    with ZipFile(copy / "other.zip", "w") as other:
        other.writestr("SHA256SUMS", "")
    (copy / "none.zip").write_bytes(b"x")
    code, said = verify(copy)
    assert (code, said.count("is not in SHA256SUMS")) == (1, 2), said


def test_it_says_what_it_cannot_prove(unpacked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "manifest 1, signed by" in verify(unpacked)[1]
    assert "store/manifests/000001" in (unpacked / "README.txt").read_text()
    monkeypatch.setenv("RUNBOOK_RECORDS", str(tmp_path / "records"))
    export(SYSTEM, made(NOW), tmp_path / "one.zip")
    code, said = verify(unzipped(tmp_path / "one.zip"))
    assert (code, "Note: no manifest" in said) == (0, True), said
    assert "There is no signed list" in (tmp_path / "one" / "README.txt").read_text()


def unzipped(path: Path) -> Path:
    with ZipFile(path) as archive:
        archive.extractall(path.with_suffix(""))
    return path.with_suffix("")


def test_who_signed_alone_needed_an_open_incident(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNBOOK_RECORDS", str(tmp_path / "records"))
    monkeypatch.setattr("tests.runbook.changes.REQUESTER", "blake")
    place, given = Place(tmp_path / "records", world="no_etl"), {"incident": "INC-7"}
    place.open("INC-7")
    first = place.plan("retry", **given)
    with place.here():
        find(first.id).sign("on-call", "it cannot wait until morning", "blake", None, "")
    changed(done := place.go("retry", first.id, **given), NOW, **given)
    assert done.outcome.result != "refused", done.outcome.said
    changed(first, NOW, **given)
    with place.here():
        export(SYSTEM, "INC-7", tmp_path / "INC-7.zip")
    out = unzipped(tmp_path / "INC-7.zip")
    code, said = verify(out)
    assert code == 0, said
    [opening] = (out / "store/incidents/inc-7").iterdir()
    old = opening.read_text()
    opening.write_text(old.replace("everything is down", "everything is fine"))
    summed(out)
    code, said = verify(out)
    assert (code, "signed alone, and INC-7 was not open" in said) == (1, True), said
    opening.unlink()
    summed(out)
    code, said = verify(out)
    assert (code, "needed INC-7 to be open, which is not here" in said) == (4, True), said


def test_what_nobody_has_to_sign_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNBOOK_RECORDS", str(tmp_path / "records"))
    place = Place(tmp_path / "records")
    plan = place.plan("backup", tables="sf_accounts")
    name = changed(place.go("backup", plan.id, tables="sf_accounts"), NOW)
    with place.here():
        export(SYSTEM, name, tmp_path / "one.zip")
    code, said = verify(unzipped(tmp_path / "one.zip"))
    assert (code, f"Note: store/runs/{name}: snapshot, which nobody has to sign" in said) == (0, True), said


def test_one_record_and_what_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNBOOK_RECORDS", str(tmp_path / "records"))
    name = made(NOW)
    assert export(SYSTEM, name[-8:], tmp_path / "one.zip")[1] == [name]
    with pytest.raises(BadInput, match="0 records are named"):
        export(SYSTEM, "ffffffff", tmp_path / "none.zip")
    with pytest.raises(UnknownName, match="no record belongs to INC-9"):
        export(SYSTEM, "INC-9", tmp_path / "none.zip")
    assert store_of(SYSTEM)
