"""A record proves itself: whatever is changed, swapped, added or cut in it is found, and named."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from runbook.approvals.proved import faults
from runbook.model.canonical import plan_id
from runbook.records.files import json_of, rendered
from runbook.records.proof import NO_END, begun, with_proof
from runbook.records.store import Store
from tests.runbook.changes import Place

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
    """The folder of the same record in a store of its own."""
    return Path(shutil.copytree(kept[1], tmp_path / "runs" / kept[1].name))


def said(kept: tuple[Place, Path], copy: Path) -> tuple[str, ...]:
    with kept[0].here():
        return faults(Store(copy.parents[1]), copy.name)


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


def proved_anew(folder: Path) -> None:
    """What anybody can do who may write there."""
    from runbook.records.files import digest

    record = json.loads((folder / "record.json").read_text())
    del record["proof"]
    record["sha256"] = {p.name: digest(p) for p in sorted(folder.iterdir()) if p.name != "record.json"}
    (folder / "record.json").write_bytes(with_proof(record))
