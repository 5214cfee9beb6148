"""An exported record or incident verifies where nothing is installed, and no changed byte of it does.

What a seal finds is tested on a sealed export; everything else on one without a seal, with all digests made anew.
"""

from __future__ import annotations

import base64
import json
import os
import random
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
from runbook.approvals.signers import demo_folder
from runbook.approvals.ssh import EXPORTS, sign
from runbook.approvals.stored_plan import find
from runbook.audit.export import export
from runbook.audit.verify import attest
from runbook.config.load import ROOT, load_settings
from runbook.model.canonical import canonical
from runbook.model.errors import BadInput, Refused, UnknownName
from runbook.records.files import rendered
from runbook.records.notes import add_note
from runbook.records.proof import begun, with_proof
from runbook.records.record import store_of
from tests.runbook.audit.made import NOW, changed, made
from tests.runbook.changes import Died, Place
from tests.slices import every

SYSTEM = load_settings("sandbox")
VERIFIER = ROOT / "lib/runbook/audit/templates/verify.py.txt"


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The exports of an incident with a page, a note, and a change that somebody approved: with a seal and without."""
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
            add_note(SYSTEM, "INC-7", "restarted the proxy by hand")
            attest(SYSTEM, *(by := identity(SYSTEM, "sandbox", "security", None, None)))
            digest, names = export(SYSTEM, "INC-7", here / "INC-7.zip")
            export(SYSTEM, "INC-7", here / "sealed.zip", *by)
            shutil.copytree(demo_folder(SYSTEM), here / "approvers")
    assert re.fullmatch("[0-9a-f]{64}", digest)
    assert len(names) == 3
    unzipped(here / "INC-7.zip")
    unzipped(here / "sealed.zip")
    return here


@pytest.fixture(scope="module")
def unpacked(exported: Path) -> Path:
    """The export that nobody sealed."""
    return exported / "INC-7"


@pytest.fixture
def sealed(exported: Path, tmp_path: Path) -> Path:
    """A copy of the sealed export."""
    return Path(shutil.copytree(exported / "sealed", tmp_path / "sealed"))


@pytest.fixture
def copy(unpacked: Path, tmp_path: Path) -> Path:
    """A copy of the export that nobody sealed."""
    return Path(shutil.copytree(unpacked, tmp_path / "copy"))


def verify(folder: Path, path: str | None = None) -> tuple[int, str]:
    """What our verify.py says of a folder in a bare environment: the standard library, and ssh-keygen."""
    words = ["env", "-i", f"PATH={path or os.path.dirname(shutil.which('ssh-keygen') or '')}"]
    done = subprocess.run(
        [*words, os.path.realpath(sys.executable), "-I", VERIFIER, folder], capture_output=True, text=True
    )
    assert done.stderr == ""
    assert re.fullmatch(r"[ -~\n]+", done.stdout), done.stdout
    return done.returncode, done.stdout


def wrong(folder: Path, *why: str) -> None:
    """Assert that each of these is WRONG."""
    code, said = verify(folder)
    assert code == 1, said
    for one in why:
        assert [line for line in said.splitlines() if line.startswith("WRONG: ") and one in line], (one, said)


def test_it_verifies_with_python_and_ssh_keygen_alone(unpacked: Path, sealed: Path) -> None:
    code, said = verify(sealed)
    assert code == 0, said
    assert said.splitlines()[0].startswith("PRACTICE DATA: a rehearsal in the sandbox")
    run = of_change(sealed).name
    assert "approved by avery as team-lead: rollback, plan " in said
    assert f"used by {run}; valid from 2026-03-11T13:30:01Z (the clock of the sandbox, as the signer wrote)" in said
    assert "0 do not, 0 could not be made" in said
    for text in (unpacked / "README.txt", ROOT / "docs" / "export.md"):
        assert re.search("python3 -I ((out|INC-7)/)?verify.py", text.read_text(encoding="utf-8"))
        assert not re.search("python3 (out/)?verify.py", text.read_text(encoding="utf-8"))


def test_without_ssh_keygen_it_says_what_it_could_not_check(unpacked: Path, tmp_path: Path) -> None:
    code, said = verify(unpacked, str(tmp_path))
    assert (code, "there is no ssh-keygen" in said) == (4, True)


def damages() -> list[str]:
    return ["report", "notebook", "record", "plan", "approval", "keys", "missing", "added"]


@pytest.mark.parametrize("damage", every(2, damages()))
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
    """Somebody makes SHA256SUMS anew, for every file that is there, in the same order."""
    old = [line[66:] for line in (copy / "SHA256SUMS").read_text(errors="replace").splitlines()]
    there = [str(Path(at, name).relative_to(copy)) for at, _, names in os.walk(copy) for name in sorted(names)]
    names = [name for name in dict.fromkeys([*old, *there]) if name in there and (copy / name).is_file()]
    lines = [f"{sha256((copy / name).read_bytes()).hexdigest()}  {name}\n" for name in names]
    (copy / "SHA256SUMS").write_text("".join(line for line in lines if "  SHA256SUMS" not in line))


def named(copy: Path, **changed: Any) -> None:
    """Somebody makes export.json anew for the records that are there, takes away other pages, and adds all digests."""
    names = sorted(path.name for path in (copy / "store/runs").iterdir())
    about = json.loads((copy / "export.json").read_bytes()) | {"records": names} | changed
    (copy / "export.json").write_text(json.dumps(about))
    for page in (copy / "pages").iterdir():
        if page.stem not in (*names, about["incident"]):
            page.unlink()
    for name in names:
        (copy / f"pages/{name}.html").touch()
    summed(copy)


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


def _claims(copy: Path, outcome: dict[str, Any], of_a_change: bool = False) -> None:
    """Somebody writes into the report of a run that it changed something; by default of one that only planned."""
    found = {bool((path / "approvals.json").exists()): path for path in copy.glob("store/runs/*rollback*")}
    report = json.loads((found[of_a_change] / "report.json").read_bytes())
    proved(found[of_a_change], outcome=report["outcome"] | outcome)


FORGED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "the approvals of the store": (lambda copy: shutil.rmtree(copy / "store/approvals"), "is not in store/approvals"),
    "the approvals of the record": (lambda copy: proved(of_change(copy), "approvals.json"), "has no approvals.json"),
    "no signature": (lambda copy: _approvals(copy, lambda a: a.update(approvals=[])), "was not signed by team-lead"),
    "a result with a space": (lambda copy: _claims(copy, {"result": "applied "}), "has no approvals.json"),
    "a list of what is done": (lambda copy: _claims(copy, {"changes": [{"status": "done"}]}), "has no approvals.json"),
    "failed, but done": (lambda copy: _claims(copy, {"result": "failed", "changes": []}), "abandoned no attempt"),
    "other changes": (
        lambda copy: _claims(copy, {"changes": [{"action": "notify", "args": {}, "status": "done"}]}, True),
        "its report names other changes than were signed",
    ),
    "another approver": (
        lambda copy: _claims(copy, {"approvals": [{"approver": "mallory", "role": "manager"}]}, True),
        "it names other approvers",
    ),
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


# What an approver signs alone and writes into the store, and the terms that they write into the record → what is said.
ALONE: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "their own request": ({"requester": "avery"}, {"requester": "avery"}, "who requested it: keys/ do not allow that"),
    "in break-glass": (
        {"requester": "avery", "break_glass": True, "incident": "INC-7"},
        {"requester": "avery", "incident": "INC-7"},
        "who requested it: keys/ do not allow that",
    ),
    "as if they had": ({"break_glass": True}, {}, "it does not say whether they requested it"),
    "their mail's request": ({"requester": "Avery@x.org"}, {"requester": "Avery@x.org"}, "who requested it"),
    "for ten years": ({"expires_at": "2036-01-01T00:00:00Z"}, {}, "for longer than keys/operations.json allows"),
    "long before": (
        {"not_before": "2026-03-11T08:30:00Z", "expires_at": "2026-03-12T08:30:00Z"},
        {"valid_hours": 24.0},
        "for longer than keys/operations.json allows",
    ),
}


@pytest.mark.parametrize("what", ALONE)
def test_who_may_sign_alone_proves_no_more_than_apply_allows(copy: Path, exported: Path, what: str) -> None:
    record, (signs, terms, why) = of_change(copy), ALONE[what]
    copied = json.loads((record / "approvals.json").read_bytes())
    old = json.loads(copied["approvals"][0]["statement"])
    text = canonical(old | {"nonce": "0" * 32} | signs)
    one = {"statement": text.decode(), "signature": sign(text, exported / "approvers" / "avery", "sandbox")}
    _more(copy, f"store/approvals/{old['plan']}/{'0' * 32}.json", json.dumps(one))
    shutil.copy(copy / f"store/nonces/{old['nonce']}", copy / f"store/nonces/{'0' * 32}")
    _approvals(copy, lambda said: (said.update(approvals=[one]), said["terms"].update(terms)))
    summed(copy)
    wrong(copy, why)


NOTES: dict[str, Callable[[Path], Any]] = {
    "of another attempt": lambda path: written(path, "applied/", "applied/0"),
    "none": lambda path: path.unlink(),
}


@pytest.mark.parametrize("note", NOTES)
def test_the_store_says_which_attempt_used_an_approval(copy: Path, note: str) -> None:
    NOTES[note](first(copy, "store/nonces/*"))
    if note == "none":
        (copy / "store/nonces").rmdir()
    summed(copy)
    wrong(copy, "does not say that this attempt used the approval")


def written(path: Path, old: str, new: str) -> None:
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def first(copy: Path, pattern: str) -> Path:
    return sorted(copy.glob(pattern))[0]


SEALED: dict[str, Callable[[Path], Any]] = {
    "a page": lambda copy: written(copy / "pages/INC-7.html", "memory", "disk"),
    "a note": lambda copy: written(first(copy, "store/notes/*/*"), "proxy", "queue"),
    "a note is gone": lambda copy: first(copy, "store/notes/*/*").unlink(),
    "another note": lambda copy: shutil.copy(
        first(copy, "store/notes/*/*"), copy / "store/notes/inc-7/20260101t000000-00"
    ),
    "a journal of the store": lambda copy: written(first(copy, "store/applied/*/*/0003"), "POST", "GET"),
    "who requested a plan": lambda copy: written(
        first(copy, "store/plans/*/*"), '"requester":"casey"', '"requester":"x"'
    ),
    "the README": lambda copy: written(copy / "README.txt", "PRACTICE DATA", "REAL DATA"),
    "the verifier": lambda copy: written(copy / "verify.py", "return 1 if wrong", "return 0 if wrong"),
    "the roles": lambda copy: written(copy / "keys/roles.yaml", "manager", "on-call"),
    "who must sign": lambda copy: written(copy / "keys/operations.json", '"signers":["team-lead"]', '"signers":[]'),
    "who exported it": lambda copy: written(copy / "export.json", '"by":"blake"', '"by":"avery"'),
    "text after the seal": lambda copy: written(
        copy / "SHA256SUMS.sig", "END SSH SIGNATURE-----", "END SSH SIGNATURE-----\nx"
    ),
    "no seal": lambda copy: (copy / "SHA256SUMS.sig").unlink(),
}


@pytest.mark.parametrize("change", every(3, SEALED))
def test_what_differs_from_what_was_sealed_is_wrong(sealed: Path, change: str) -> None:
    """Also if SHA256SUMS was made anew; without a seal, nothing finds most of it."""
    sums = (sealed / "SHA256SUMS").read_bytes()
    summed(sealed)
    assert (sealed / "SHA256SUMS").read_bytes() == sums
    SEALED[change](sealed)
    summed(sealed)
    wrong(sealed, "SHA256SUMS.sig")


def test_the_seal_says_who_vouches_and_prints_each_key(sealed: Path, unpacked: Path, exported: Path) -> None:
    code, said = verify(sealed)
    assert code == 0
    assert "(pages, notes, store/applied/, README) is as blake exported it" in said.splitlines()[-1]
    for who, what in (("avery", "an approval"), ("blake", "manifest 1; blake, for the seal")):
        words = ["ssh-keygen", "-lf", str(exported / "approvers" / f"{who}.pub")]
        key = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()[1]
        assert f"Key {key}: of {who}, for {what}." in said
    assert said.splitlines()[-1].startswith(f"Sealed with the key {key}: ")  # that of blake
    code, said = verify(unpacked)
    assert (code, said.splitlines()[-1].split(":")[0]) == (4, "NOT SEALED")
    for part in ("pages/", "store/notes/", "store/applied/", "the terms and gates of plans", "README.txt"):
        assert part in said.splitlines()[-1]
    assert "notes in store/notes: 1; their authors did not sign them" in said


def test_a_seal_is_no_manifest_and_somebody_else_cannot_seal(sealed: Path, exported: Path) -> None:
    seal, sums, key = sealed / "SHA256SUMS.sig", (sealed / "SHA256SUMS").read_bytes(), exported / "approvers" / "blake"
    old = seal.read_text()
    seal.write_text(sign(sums, key, "sandbox"))
    wrong(sealed, "SHA256SUMS.sig: not signed by blake")
    seal.write_text(sign(sums, exported / "approvers" / "avery", "sandbox", EXPORTS))
    wrong(sealed, "SHA256SUMS.sig: not signed by blake")
    seal.write_text(old)
    assert verify(sealed)[0] == 0


def test_only_who_may_attest_can_seal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNBOOK_RECORDS", str(tmp_path / "records"))
    name = made(NOW)
    _, key = identity(SYSTEM, "sandbox", "security", None, None)
    with pytest.raises(Refused, match="casey"):
        export(SYSTEM, name, tmp_path / "one.zip", "casey", key)
    assert not (tmp_path / "one.zip").exists()


def _linked(path: Path, to: Path) -> None:
    """A link in place of a file or a folder, which is moved out of the archive."""
    shutil.move(path, to)
    path.symlink_to(to)


def _more(copy: Path, name: str, text: str = "{}") -> None:
    path = copy / name
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text(text)


def _twice(copy: Path) -> None:
    lines = (copy / "SHA256SUMS").read_text().splitlines(keepends=True)
    (copy / "SHA256SUMS").write_text("".join([f"{'0' * 64}{lines[0][64:]}", *lines]))


def _record(copy: Path, name: str, of: str = "*p1_response*", **changed: Any) -> Path:
    """Somebody writes a record under a new name, from one of the archive."""
    new = Path(shutil.copytree(first(copy, f"store/runs/{of}"), copy / "store/runs" / name))
    said = json.loads((new / "record.json").read_bytes()) | {"name": name}
    (new / "record.json").write_text(json.dumps(said))
    proved(new, **changed)
    return new


TREES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a linked record": (lambda c: _linked(first(c, "store/runs/*"), c.parent / "x"), "is a link"),
    "a link to a record": (lambda c: (c / "store/runs/20260101T000000Z-x-00000000").symlink_to(c.parent), "is a link"),
    "a linked page": (lambda c: _linked(c / "pages/INC-7.html", c.parent / "x"), "pages/INC-7.html: is a link"),
    "a linked note": (lambda c: _linked(first(c, "store/notes/*/*"), c.parent / "x"), "is a link"),
    "linked runs": (lambda c: _linked(c / "store/runs", c.parent / "x"), "store/runs: is a link"),
    "a link that leads nowhere": (lambda c: (c / "keys/revoked").symlink_to("nowhere"), "keys/revoked: is a link"),
    "a folder in a record": (
        lambda c: shutil.copytree(of_change(c), of_change(c) / "x"),
        "/x: is a folder that no export",
    ),
    "another folder": (lambda c: (c / "more").mkdir(), "more: is a folder that no export has"),
    "a file in runs": (lambda c: _more(c, "store/runs/x"), "store/runs/x: is no file that an export has"),
    "a file beside": (lambda c: _more(c, "json.py"), "json.py: is no file that an export has"),
    "another page": (lambda c: _more(c, "pages/INC-8.html"), "pages/INC-8.html: is no page of this export"),
    "a note of another incident": (lambda c: _more(c, "store/notes/inc-8/x"), "is not of this incident"),
    "a record that export.json does not name": (
        lambda c: _record(c, "x"),
        "store/runs/x: export.json does not name it",
    ),
    "a file of a record": (lambda c: _more(c, f"store/runs/{of_change(c).name}/x"), "/x: was added"),
    "a beginning": (
        lambda c: _more(c, f"store/runs/{of_change(c).name}/begin.json"),
        "/begin.json: is not of this run",
    ),
    "a name that looks alike": (lambda c: _more(c, "pages/INC-7\u0430.html"), "pages/INC-7\\u0430.html: is no file"),
    "an escape in a name": (lambda c: _more(c, "pages/\x1b[2K.html"), "pages/\\x1b[2K.html: is no file"),
    "a line break in a name": (lambda c: _more(c, "pages/INC-7.html\n"), "pages/INC-7.html\\n: is no file"),
    "a pipe": (lambda c: os.mkfifo(c / "keys/revoked"), "keys/revoked: is no file"),
    "a folder in place of a file": (
        lambda c: (c / "keys/revoked").mkdir(),
        "keys/revoked: is a folder that no export has",
    ),
    "a key twice in JSON": (
        lambda c: written(of_change(c) / "record.json", '"name"', '"name": "x", "name"'),
        "a key stands twice",
    ),
}


@pytest.mark.parametrize("change", FORGED | TREES)
def test_what_was_forged_or_is_unknown_to_the_format_is_wrong(copy: Path, change: str) -> None:
    """With SHA256SUMS made anew, and every digest of a record, as somebody may who can write to the store."""
    make, why = (FORGED | TREES)[change]
    make(copy)
    summed(copy)
    wrong(copy, why)


def test_a_file_that_is_listed_twice_is_wrong(copy: Path) -> None:
    _twice(copy)
    wrong(copy, "names a file again")


def test_the_beginning_of_a_record_is_as_it_was(copy: Path) -> None:
    record = of_change(copy)
    (record / "begin.json").write_bytes(rendered(begun(json.loads((record / "record.json").read_bytes()))))
    summed(copy)
    assert verify(copy)[0] == 4


@pytest.mark.parametrize("count", [8, pytest.param(300, marks=pytest.mark.full)])
def test_no_tree_makes_a_traceback(exported: Path, tmp_path: Path, count: int) -> None:
    """Random renames, links, empty files, folders in place of files, and rubbish: a sealed export is then WRONG."""
    for seed in range(count):
        chance, tree = random.Random(seed), Path(shutil.copytree(exported / "sealed", tmp_path / str(seed)))
        for _ in range(chance.randint(1, 3)):
            paths = sorted(path for path in tree.rglob("*") if not path.is_symlink())
            path, kind = chance.choice(paths), chance.randrange(7)
            other = path.with_name(chance.choice(["x", "a\x1bb", "\u0430", path.name.upper() + "A", "0001"]))
            if kind == 0 and not other.exists():
                path.rename(other)
            elif kind == 1:
                _linked(path, tmp_path / f"{seed}-{path.name}-{chance.random()}")
            elif path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
                if kind == 2:
                    path.mkdir()
                elif kind != 3:
                    rubbish = [
                        b"",
                        b"{}",
                        b"[]",
                        b"null",
                        b"[" * 100_000,
                        b"\xff\x00",
                        b'{"sha256":[],"proof":1}',
                        b"1" * 9999,
                    ]
                    path.write_bytes(chance.choice(rubbish))
        wrong(tree)
        if (tree / "SHA256SUMS").is_file() and not (tree / "SHA256SUMS").is_symlink() and chance.random() < 0.5:
            summed(tree)
            wrong(tree)


def test_a_record_that_was_dropped_is_wrong(copy: Path) -> None:
    """The manifest lists the records of each incident; without that list, the verifier says what it cannot know."""
    gone = first(copy, "store/runs/*p1_response*")
    shutil.rmtree(gone)
    named(copy)
    wrong(copy, f"store/runs/{gone.name}: is missing: the manifest lists it for INC-7")
    said = verify(copy)[1]
    assert "the newest in this archive (there may be newer ones), signed by blake" in said
    assert "lists 3 records, 2 of them are here" in said
    assert "of incident INC-7 the manifest lists 3 records; this archive holds 2 of them" in said


def _with_row(record: Path) -> None:
    """Somebody adds a row that names this record to the attempt, which has ended."""
    attempt = first(record.parents[2], "store/applied/*/*")
    row = json.dumps({"time": "x", "kind": "OPEN", "who": f"x, run {record.name}"})
    (attempt / f"{len([*attempt.iterdir()]) + 1:04d}").write_text(row)


COPIES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a manifest": (
        lambda c: shutil.copy(c / "store/manifests/000001", c / "store/manifests/000002"),
        "store/manifests/000002: is a copy: its number is 1",
    ),
    "an approval": (
        lambda c: shutil.copy(path := first(c, "store/approvals/*/*"), path.with_name(f"{'0' * 32}.json")),
        "is a copy, or lies where another approval belongs",
    ),
    "an approval with more in it": (
        lambda c: written(first(c, "store/approvals/*/*"), '{"signature"', '{"more": 1, "signature"'),
        "is not as it was written",
    ),
    "a change": (
        lambda c: _record(c, "20260311T143000Z-rollback-00000001", of_change(c).name),
        "for more than it was used for: store/applied has these runs of it: 20",
    ),
    "a change, and a row after the end of its attempt": (
        lambda c: _with_row(_record(c, "20260311T143000Z-rollback-00000001", of_change(c).name)),
        "for more than it was used for: store/applied has these runs of it: 20",
    ),
}


@pytest.mark.parametrize("what", COPIES)
def test_what_is_there_twice_counts_once(copy: Path, what: str) -> None:
    change, why = COPIES[what]
    change(copy)
    named(copy)
    wrong(copy, why)
    assert verify(copy)[1].count("approved by avery as team-lead") == 1


UNATTESTED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no manifest": (lambda c: shutil.rmtree(c / "store/manifests"), "NOT ATTESTED: no manifest"),
    "no attesters": (lambda c: (c / "keys/attesters").unlink(), "NOT ATTESTED: there is no keys/attesters"),
    "a forged record": (
        lambda c: _record(c, "x", verdict="ok", exit=0),
        "NOT ATTESTED: store/runs/x: no manifest here",
    ),
}


@pytest.mark.parametrize("why", UNATTESTED)
def test_what_no_manifest_lists_is_not_attested(copy: Path, why: str) -> None:
    UNATTESTED[why][0](copy)
    named(copy)
    code, said = verify(copy)
    assert (code, UNATTESTED[why][1] in said) == (4, True), said


def test_nothing_lies_beside_what_was_in_the_zip(copy: Path, exported: Path) -> None:
    """Another program may unpack a zip otherwise; and the name of an empty folder can tell a story."""
    shutil.copy(exported / "INC-7.zip", copy / "as mailed.zip")
    (copy / "store/approvals/REVOKED-by-avery").mkdir()
    (copy / "store/applied/000000000000").mkdir()
    wrong(
        copy,
        "as mailed.zip: is no file that an export has",
        "store/approvals/REVOKED-by-avery: is an empty folder",
        "store/applied/000000000000: is an empty folder",
    )


def test_a_text_in_a_signature_that_it_does_not_sign_is_wrong(exported: Path, tmp_path: Path) -> None:
    copy = unzipped(Path(shutil.copy(exported / "sealed.zip", tmp_path / "sealed.zip")))
    path = copy / "SHA256SUMS.sig"
    blob = base64.b64decode("".join(path.read_text().split("\n")[1:-2]))
    space = b"runbook-export-sandbox"
    at = blob.index(space) + len(space)
    assert blob[at : at + 4] == bytes(4)
    text = base64.b64encode(blob[:at] + (8).to_bytes(4, "big") + b"/LEAKED/" + blob[at + 4 :]).decode()
    path.write_text(f"-----BEGIN SSH SIGNATURE-----\n{text}\n-----END SSH SIGNATURE-----\n")
    wrong(copy, "SHA256SUMS.sig: not signed by")


def test_nothing_beside_the_verifier_runs(copy: Path) -> None:
    """Without -I, python3 would take a module from the folder of the script; so it stops."""
    (copy / "json.py").write_text("print('hijacked')")
    done = subprocess.run([sys.executable, "verify.py"], cwd=copy, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (4, "Nothing was checked. Run it as: python3 -I verify.py\n")


def test_it_says_what_it_cannot_prove(unpacked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    readme = (unpacked / "README.txt").read_text()
    assert "store/manifests/000001, the newest in this archive" in readme
    for words in ("PRACTICE DATA", "NOT SEALED", "has no time stamp", "`revoked`", '"attested": true', "-m zipfile -e"):
        assert words in readme
    monkeypatch.setenv("RUNBOOK_RECORDS", str(tmp_path / "records"))
    _, key = identity(SYSTEM, "sandbox", "security", None, None)
    export(SYSTEM, made(NOW), tmp_path / "one.zip", "blake", key)
    code, said = verify(unzipped(tmp_path / "one.zip"))
    assert (code, "NOT ATTESTED: no manifest" in said) == (4, True), said
    assert "There is no signed list" in (readme := (tmp_path / "one" / "README.txt").read_text())
    assert "SHA256SUMS, by blake: every file here is as they exported it" in readme


def unzipped(path: Path) -> Path:
    with ZipFile(path) as archive:
        archive.extractall(path.with_suffix(""))
    return path.with_suffix("")


RULES = [  # what params say of signing a retry alone → what they would not allow
    ("operations.json", '"retry":{"alone_in_p1":true', '"retry":{"alone_in_p1":false'),
    ("functions.json", '"safe"', '"asks"'),
]


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
        attest(SYSTEM, *(by := identity(SYSTEM, "sandbox", "security", None, None)))
        export(SYSTEM, "INC-7", tmp_path / "sealed.zip", *by)
        export(SYSTEM, "INC-7", tmp_path / "INC-7.zip")
    code, said = verify(unzipped(tmp_path / "sealed.zip"))
    assert code == 0, said
    out = unzipped(tmp_path / "INC-7.zip")
    for name, old, new in RULES:
        there = Path(shutil.copytree(out, tmp_path / name))
        written(there / "keys" / name, old, new)
        summed(there)
        wrong(there, "approved by blake, who requested it: keys/ do not allow that")
    [opening] = (out / "store/incidents/inc-7").iterdir()
    old = opening.read_text()
    opening.write_text(old.replace("everything is down", "everything is fine"))
    summed(out)
    code, said = verify(out)
    assert (code, "signed alone, and INC-7 was not open" in said) == (1, True), said
    assert "a declaration of a P1 that blake did not sign" in said
    shutil.rmtree(opening.parents[1])
    summed(out)
    code, said = verify(out)
    assert (code, "needed INC-7 to be open, which is not here" in said) == (4, True), said


def test_a_declaration_of_a_p1_is_signed_whoever_needs_it(copy: Path) -> None:
    said = {"person": "blake", "role": "on-call", "at": "2026-03-11T13:30:00Z", "until": "2026-03-11T17:30:00Z"}
    said |= {"environment": "sandbox", "target": "sandbox", "incident": "INC-7", "nonce": "0" * 32, "reason": "x"}
    forged = {
        "statement": canonical(said).decode(),
        "signature": json.loads(first(copy, "store/app*/*/*.json").read_bytes())["signature"],
    }
    _more(copy, f"store/incidents/inc-7/{'0' * 32}", json.dumps(forged))
    summed(copy)
    wrong(copy, "a declaration of a P1 that blake did not sign")


def test_what_nobody_has_to_sign_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNBOOK_RECORDS", str(tmp_path / "records"))
    place = Place(tmp_path / "records")
    plan = place.plan("backup", tables="sf_accounts")
    name = changed(place.go("backup", plan.id, tables="sf_accounts"), NOW)
    with place.here():
        attest(SYSTEM, *(by := identity(SYSTEM, "sandbox", "security", None, None)))
        export(SYSTEM, name, tmp_path / "one.zip", *by)
    code, said = verify(unzipped(tmp_path / "one.zip"))
    assert (code, f"Note: store/runs/{name}: snapshot, which nobody has to sign" in said) == (0, True), said


def test_a_run_that_abandoned_an_attempt_has_the_approvals_of_its_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNBOOK_RECORDS", str(tmp_path / "records"))
    place = Place(tmp_path / "records", world="bad_deploy")
    plan = place.plan("rollback")
    place.approve(plan.id)
    place.wire.fault = lambda _wire, _number, sent, go: died() if sent.write else go()
    place.go("rollback", plan.id)
    place.wire.fault = None
    with place.takeover(abandon=True):
        name = changed(place.go("rollback", plan.id), NOW)
    with place.here():
        attest(SYSTEM, *(by := identity(SYSTEM, "sandbox", "security", None, None)))
        export(SYSTEM, name, tmp_path / "one.zip", *by)
        export(SYSTEM, name, tmp_path / "loose.zip")
    code, said = verify(unzipped(tmp_path / "one.zip"))
    assert code == 0, said
    out = unzipped(tmp_path / "loose.zip")
    shutil.rmtree(out / "store/approvals")
    shutil.rmtree(out / "store/nonces")
    summed(out)
    wrong(out, f"store/runs/{name}: nobody signed its plan")


def died() -> Any:
    raise Died


@pytest.mark.full
def test_a_change_whose_runner_was_killed_verifies_as_far_as_it_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has no report, but its journal names the plan, so that the approvals are in the export."""
    monkeypatch.setenv("RUNBOOK_RECORDS", str(tmp_path / "records"))
    place = Place(tmp_path / "records", world="bad_deploy")
    done = place.applied("rollback")
    (done.folder / "report.json").unlink()
    name = changed(done, NOW)
    with place.here():
        attest(SYSTEM, *(by := identity(SYSTEM, "sandbox", "security", None, None)))
        export(SYSTEM, name, tmp_path / "one.zip", *by)
    code, said = verify(unzipped(tmp_path / "one.zip"))
    assert (code, f"used by {name}" in said) == (0, True), said


def test_one_record_and_what_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNBOOK_RECORDS", str(tmp_path / "records"))
    name = made(NOW)
    assert export(SYSTEM, name[-8:], tmp_path / "one.zip")[1] == [name]
    with pytest.raises(BadInput, match="0 records are named"):
        export(SYSTEM, "ffffffff", tmp_path / "none.zip")
    with pytest.raises(UnknownName, match="no record belongs to INC-9"):
        export(SYSTEM, "INC-9", tmp_path / "none.zip")
    assert store_of(SYSTEM)
