"""A record proves itself: whatever is changed, swapped, added or cut in it is found, and named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from runbook.approvals.proved import CHANGED, faults
from runbook.approvals.stored_plan import find
from runbook.config.load import ROOT
from runbook.model.canonical import plan_id
from runbook.records.files import json_of, rendered
from runbook.records.proof import NO_END, begun, examined, with_proof
from runbook.records.store import Store
from tests.runbook.changes import Died, Place

REGIONS = 24  # in which a byte of each file is changed
FILES = ("approvals.json", "journal.jsonl", "record.json", "report.json", "rollback.ipynb")


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, Path]:
    """The record of a change that was approved and applied."""
    place = Place(tmp_path_factory.mktemp("kept") / "records")
    done = place.applied("rollback")
    place.record(done)
    return place, done.folder


@pytest.mark.parametrize("form", ['{{"a": {}}}', "[{}]"])
def test_what_is_read_can_be_written_again(form: str) -> None:
    """A digest is compared with what the data would be written as: that must not end the command."""
    read = 0
    for depth in (*range(0, 1000, 3), 10_000):
        text = "1"
        for _ in range(depth):
            text = form.format(text) if depth < 1000 else f"[{text}"
        if (data := json_of(text.encode())) is not None:
            assert json.loads(rendered(data)) == data
            read += 1
    assert 30 < read < 100
    for text in ('"\\ud800"', '{"\\udfff": 1}', "NaN", "-Infinity", "9" * 5000, b'"\xed\xa0\x80"'.decode("latin-1")):
        assert rendered(json_of(text.encode("latin-1"))) == b"null\n", text


@pytest.fixture
def copy(kept: tuple[Place, Path], tmp_path: Path) -> Path:
    """The folder of the same record in a store of its own, with what proves that its approvals were used by it."""
    for part in ("applied", "nonces"):
        shutil.copytree(kept[0].folder / part, tmp_path / part)
    return Path(shutil.copytree(kept[1], tmp_path / "runs" / kept[1].name))


def said(kept: tuple[Place, Path], copy: Path) -> tuple[str, ...]:
    with kept[0].here():
        return faults(store := Store(copy.parents[1]), examined(store, copy.name))


def test_a_record_as_it_was_written_has_no_fault(kept: tuple[Place, Path], copy: Path) -> None:
    assert sorted(path.name for path in copy.iterdir()) == list(FILES)
    assert said(kept, copy) == ()


@pytest.mark.parametrize("name", FILES)
def test_a_changed_byte_is_found_wherever_it_is(kept: tuple[Place, Path], copy: Path, name: str) -> None:
    content = (copy / name).read_bytes()
    places = {len(content) * n // REGIONS for n in range(REGIONS)} | {len(content) - 1}
    for place in sorted(places):
        for changed in (content[place] ^ 1, ord(" ")):
            new = content[:place] + bytes([changed]) + content[place + 1 :]
            (copy / name).write_bytes(new)
            assert (said(kept, copy) == ()) == (new == content), (place, content[place : place + 20])
    for new in (content[:-1], content[: len(content) // 2], b"", content + b"\n", b" " + content):
        (copy / name).write_bytes(new)
        [fault] = said(kept, copy)
        assert name in fault or fault == NO_END, new[:20]


@pytest.mark.parametrize("name", FILES)
def test_what_is_missing_or_swapped_is_found(kept: tuple[Place, Path], copy: Path, name: str) -> None:
    other = FILES[FILES.index(name) - 1]
    one, two = ((copy / n).read_bytes() for n in (name, other))
    (copy / name).unlink()
    assert said(kept, copy) == ((NO_END,) if name == "record.json" else (f"{name} is missing",))
    (copy / name).write_bytes(two)
    (copy / other).write_bytes(one)
    assert said(kept, copy)


@pytest.mark.parametrize("name", ["plan.json", "begin.json", "x", "a b", "deep/x", "report.json.bak"])
def test_what_was_added_is_found(kept: tuple[Place, Path], copy: Path, name: str) -> None:
    (copy / name).parent.mkdir(exist_ok=True)
    (copy / name).write_text("{}")
    [fault] = said(kept, copy)
    assert name in fault


def test_the_marker_of_its_begin_belongs_to_it(kept: tuple[Place, Path], copy: Path) -> None:
    record = json.loads((copy / "record.json").read_text())
    (copy / "begin.json").write_bytes(rendered(begun(record)))
    assert said(kept, copy) == ()
    (copy / "begin.json").write_bytes(rendered(begun({**record, "runbook": "retry"})))
    assert said(kept, copy) == ("begin.json is not of this run",)


def test_a_record_under_another_name_is_found(kept: tuple[Place, Path], copy: Path) -> None:
    there = copy.rename(copy.with_name("20200101T000000Z-rollback-00000000"))
    assert said(kept, there) == (f"it is the record of another run, {copy.name}",)


def test_a_link_in_a_record_is_not_followed(kept: tuple[Place, Path], copy: Path, tmp_path: Path) -> None:
    (copy / "report.json").rename(tmp_path / "elsewhere")
    (copy / "report.json").symlink_to(tmp_path / "elsewhere")
    assert any("a link" in fault for fault in said(kept, copy))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff", b'{"status": "finished"}', b"9" * 5000])
def test_what_is_no_record_is_a_fault(kept: tuple[Place, Path], copy: Path, content: bytes) -> None:
    (copy / "record.json").write_bytes(content)
    assert len(said(kept, copy)) == 1


def test_a_record_that_is_called_running_proves_nothing(kept: tuple[Place, Path], copy: Path) -> None:
    record = json.loads((copy / "record.json").read_text())
    del record["proof"]
    (copy / "record.json").write_bytes(with_proof(record | {"status": "running"}))
    assert said(kept, copy) == (NO_END,)


# What a forger who can compute digests writes into a record of a change → what is said; {} in the content is the file.
FORGED = [
    ("report.json", '"approver": "avery"', '"approver": "mallory"', "others are named"),
    ("report.json", '"result": "applied"', '"result": "failed"', ""),  # only a manifest finds this
    ("journal.jsonl", '"approver": "avery"', '"approver": "mallory"', "others are named"),
    ("journal.jsonl", '"resource": "gmail-sync"', '"resource": "all"', "the journal names other changes"),
    ("approvals.json", '"reason": ""', '"reason": "better"', "the journal names another plan"),
    ("approvals.json", '"signers": [', '"signers": [], "x": [', "not valid"),
    ("approvals.json", "looks right", "looks wrong", "does not fit"),
    ("approvals.json", '"not_before": "', '"not_before":  "', ""),
]


@pytest.mark.parametrize(("name", "old", "new", "why"), FORGED)
def test_a_forger_who_writes_the_digests_anew_cannot_sign(
    kept: tuple[Place, Path], copy: Path, name: str, old: str, new: str, why: str
) -> None:
    content = (copy / name).read_text()
    assert old in content
    (copy / name).write_text(content.replace(old, new))
    proved_anew(copy)
    found = said(kept, copy)
    if not why:
        assert found == ()
        return
    assert len(found) == 1
    assert found[0].startswith("its changes are not proved to be approved: ")
    assert why in found[0]


def test_a_change_without_approvals_is_forged(kept: tuple[Place, Path], copy: Path) -> None:
    (copy / "approvals.json").unlink()
    proved_anew(copy)
    [fault] = said(kept, copy)
    assert "this copy of the approvals is not valid" in fault


def test_a_change_under_an_operation_that_nobody_signs_is_forged(kept: tuple[Place, Path], copy: Path) -> None:
    """A forger calls the rollback a backup, whose snapshots need no signature, and writes every id and digest anew."""
    copied, report = (json.loads((copy / f"{name}.json").read_text()) for name in ("approvals", "report"))
    old = plan_id(copied["content"])
    copied["content"]["operation"] = "snapshot"
    copied["terms"] |= {"risk": "low", "signers": [], "window": "", "incident": ""}
    new = plan_id(copied["content"])
    (copy / "approvals.json").write_text(json.dumps(copied | {"approvals": []}).replace(old, new))
    report["outcome"]["approvals"] = []
    (copy / "report.json").write_text(json.dumps(report).replace(old, new).replace(old[:12], new[:12]))
    lines = [json.loads(line) for line in (copy / "journal.jsonl").read_text().splitlines()]
    rows = [row | ({"approvals": []} if row["kind"] == "APPLY" else {}) for row in lines]
    text = "".join(json.dumps(row) + "\n" for row in rows).replace(old, new).replace(old[:12], new[:12])
    (copy / "journal.jsonl").write_text(text)
    proved_anew(copy)
    [fault] = said(kept, copy)
    assert "the plan names no runbook of its operation" in fault


def test_what_nobody_may_sign_is_not_proved_by_nobody(
    kept: tuple[Place, Path], copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Params name a risk and no approver, so that `apply` refuses; a forger writes that the risk is low."""
    text, old = (ROOT / "params" / "sandbox.yaml").read_text(), "rollback: {risk: medium, signers: [team-lead]"
    assert old in text
    (tmp_path / "params").mkdir()
    (tmp_path / "params" / "sandbox.yaml").write_text(text.replace(old, "rollback: {risk: medium, signers: []"))
    copied, report = (json.loads((copy / f"{name}.json").read_text()) for name in ("approvals", "report"))
    copied["terms"] |= {"risk": "low", "signers": []}
    report["outcome"]["approvals"] = []
    (copy / "approvals.json").write_text(json.dumps(copied | {"approvals": []}))
    (copy / "report.json").write_text(json.dumps(report))
    lines = [json.loads(line) for line in (copy / "journal.jsonl").read_text().splitlines()]
    rows = [row | ({"approvals": []} if row["kind"] == "APPLY" else {}) for row in lines]
    (copy / "journal.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    proved_anew(copy)
    monkeypatch.setenv("RUNBOOK_PARAMS", str(tmp_path / "params"))
    [fault] = said(kept, copy)
    assert "params say that somebody must sign it" in fault


PLAIN = {"result": "applied", "changes": [{"action": "route traffic", "status": "done"}], "approvals": []}
# What somebody who may only write makes of the report or the journal of a run that only planned: it changed something.
CLAIMS: dict[str, tuple[Any, Callable[[str], bytes]]] = {
    "an escaped key": (PLAIN, lambda text: text.replace('"outcome"', '"\\u006futcome"').encode()),
    "UTF-16": (PLAIN, lambda text: text.encode("utf-16")),
    "a space after it": ({"result": "applied "}, str.encode),
    "a letter that looks alike": ({"result": "\u0430pplied"}, str.encode),
    "a list": ({"result": ["applied"]}, str.encode),
    "no result": ({"changes": PLAIN["changes"]}, str.encode),
    "nothing to do, and done": ({**PLAIN, "result": "nothing to do"}, str.encode),
    "somebody approved it": ({"result": "planned", "approvals": [{"approver": "avery"}]}, str.encode),
    "failed, but one is done": ({**PLAIN, "result": "failed"}, str.encode),
    "failed": ({"result": "failed"}, str.encode),
}


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, Path]:
    """The record of a run that planned, in a store where nobody signed."""
    place = Place(tmp_path_factory.mktemp("planned") / "records")
    done = place.plan("rollback")
    place.record(done)
    return place, done.folder


def also(planned: tuple[Place, Path], tmp_path: Path) -> Path:
    """A copy of this record, in a copy of its store."""
    shutil.copytree(planned[0].folder, tmp_path / "copy")
    return tmp_path / "copy" / "runs" / planned[1].name


@pytest.mark.parametrize("claim", CLAIMS)
def test_a_report_that_claims_a_change_in_any_words_is_forged(
    planned: tuple[Place, Path], tmp_path: Path, claim: str
) -> None:
    folder, (outcome, write) = also(planned, tmp_path), CLAIMS[claim]
    assert said(planned, folder) == ()
    report = json.loads((folder / "report.json").read_text())
    (folder / "report.json").write_bytes(write(json.dumps(report | {"outcome": report["outcome"] | outcome})))
    proved_anew(folder)
    [fault] = said(planned, folder)
    assert fault.startswith("its changes are not proved to be approved: ")


@pytest.mark.parametrize("kind", CHANGED)
def test_a_row_that_claims_a_change_in_escapes_is_forged(
    planned: tuple[Place, Path], tmp_path: Path, kind: str
) -> None:
    folder = also(planned, tmp_path)
    report = json.loads((folder / "report.json").read_text())
    del report["outcome"]
    (folder / "report.json").write_text(json.dumps(report))
    with (folder / "journal.jsonl").open("a") as journal:
        journal.write(json.dumps({"time": "x", "kind": kind}).replace(kind, f"\\u{ord(kind[0]):04x}{kind[1:]}") + "\n")
    proved_anew(folder)
    assert len(said(planned, folder)) == 1


def test_one_approval_proves_one_run(kept: tuple[Place, Path], tmp_path: Path) -> None:
    """A copy under another name, whose row somebody adds to the attempt, which has ended; or to an attempt of its own."""
    folder = also(kept, tmp_path)
    there = shutil.copytree(folder, folder.with_name("20260311T143000Z-rollback-0badf00d"))
    record = json.loads((there / "record.json").read_text())
    (there / "record.json").write_text(json.dumps(record | {"name": there.name}))
    proved_anew(there)
    refused = "its changes are not proved to be approved: no row of its attempt, until its end, names this run"
    assert said(kept, there) == (refused,)
    [attempt] = (tmp_path / "copy" / "applied").glob("*/*")
    row = json.dumps({"time": "x", "kind": "OPEN", "who": f"x, run {there.name}"})
    (attempt / f"{len([*attempt.iterdir()]) + 1:04d}").write_text(row)
    assert said(kept, there) == (refused,)
    (other := attempt.with_name("20260311t143000000000-00000000")).mkdir()
    (other / "0001").write_text(row)
    journal = (there / "journal.jsonl").read_text()
    (there / "journal.jsonl").write_text(journal.replace(attempt.name, other.name))
    proved_anew(there)
    [fault] = said(kept, there)
    assert "the store says that another attempt used them" in fault
    assert said(kept, folder) == ()


def test_a_run_that_abandoned_an_attempt_is_proved_by_its_plan(tmp_path: Path) -> None:
    """It has no approvals: it sent nothing. What it found is proved as far as the store has the attempt and a signature."""
    place = Place(tmp_path / "records")
    plan = place.plan("rollback")
    place.approve(plan.id)

    def dies(wire: Any, _number: int, sent: Any, go: Any) -> Any:
        if sent.write:
            raise Died
        return go()

    place.wire.fault = dies
    assert isinstance(place.go("rollback", plan.id).error, Died)
    place.wire.fault = None
    with place.takeover(abandon=True):
        done = place.go("rollback", plan.id)
    assert done.outcome.said.startswith("abandoned: "), done.outcome
    place.record(done)
    assert said((place, done.folder), done.folder) == ()
    shutil.rmtree(place.folder / "approvals")
    [fault] = said((place, done.folder), done.folder)
    assert "nobody signed" in fault


def test_nobody_proves_more_alone_than_params_allow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On-call opened an incident, and writes into the terms of a record that they may sign alone, and for long."""
    monkeypatch.setattr("tests.runbook.changes.REQUESTER", "blake")
    place, given = Place(tmp_path / "records", world="no_etl"), {"incident": "INC-7"}
    place.open("INC-7")
    plan = place.plan("retry", **given)
    with place.here():
        find(plan.id).sign("on-call", "it cannot wait", "blake", None, "")
    place.app.sandbox.now += timedelta(minutes=20)
    done = place.go("retry", plan.id, **given)
    place.record(done)
    params, text = tmp_path / "params", (ROOT / "params" / "sandbox.yaml").read_text()
    params.mkdir()
    assert said((place, done.folder), done.folder) == ()
    for old, new, why in RULES:
        assert old in text
        (params / "sandbox.yaml").write_text(text.replace(old, new))
        with monkeypatch.context() as patch:
            patch.setenv("RUNBOOK_PARAMS", str(params))
            found = said((place, done.folder), done.folder)
        assert [why in fault for fault in found] == ([True] if why else [])


_RETRY = "retry: {risk: medium, signers: [team-lead], roles: [roles/cloudscheduler.jobRunner], valid_hours: 4, alone_in_p1: true"
RULES = [  # what params say instead → what is said of a record that one person signed alone, and used after 20 minutes
    (_RETRY, _RETRY.replace("true", "false"), "blake requested it, and cannot approve their own request"),
    (_RETRY, _RETRY.replace("medium", "high"), ""),
    (_RETRY, _RETRY.replace("valid_hours: 4", "valid_hours: 0.5"), ""),
    (_RETRY, _RETRY.replace("valid_hours: 4", "valid_hours: 0.25"), "params allow them for a shorter time"),
    (_RETRY, _RETRY.replace("valid_hours: 4", "valid_hours: 8"), ""),
    ("repeat: safe", "repeat: asks", "blake requested it, and cannot approve their own request"),
]


def proved_anew(folder: Path) -> None:
    """What anybody can do who may write there."""
    from runbook.records.files import digest

    record = json.loads((folder / "record.json").read_text())
    del record["proof"]
    record["sha256"] = {p.name: digest(p) for p in sorted(folder.iterdir()) if p.name != "record.json"}
    (folder / "record.json").write_bytes(with_proof(record))
