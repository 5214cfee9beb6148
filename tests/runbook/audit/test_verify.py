"""`runbook records verify` and `attest`: what was deleted, replaced or forged is found with the newest signed manifest."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier, current_thread, main_thread
from typing import Any

import pytest

from gcp_sandbox.faults import Faults
from gcp_sandbox.world.schema import Fault
from runbook.approvals.signed import put, values_of
from runbook.approvals.signers import attesters_of, demo_folder
from runbook.approvals.ssh import EXPORTS
from runbook.audit.prune import remove
from runbook.audit.verify import THREADS, Manifest, attest, verify
from runbook.config.load import load_settings
from runbook.config.request import Request
from runbook.model.errors import Exit, Refused
from runbook.records.proof import NO_END, labels_of, with_proof
from runbook.records.record import begin, finish, new_directory, publish_run, records_directory
from tests.runbook.apply.machines import BUCKET, Remote
from tests.runbook.audit.made import NOW, made
from tests.runbook.changes import Place, Sent

SYSTEM = load_settings("sandbox")
ATTEST = ("records", "attest", "--yes", "--as", "blake")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "records")


def record(place: Place, ended: bool = True) -> Path:
    """A record of a run that ended well, or of one that was killed."""
    with place.here():
        folder = new_directory(SYSTEM, "daily_check")
        marker = begin(folder, Request("daily_check", {"environment": "sandbox"}))
        if ended:
            (folder / "daily_check.ipynb").write_text('{"cells": []}')
            finish(folder, marker, {"verdict": "ok", "exit": 0}, status="finished", why="", exit=0, cells=[])
    return folder


def rewritten(folder: Path, **values: Any) -> None:
    """What anybody can do who may write there: another record.json, with its own digest."""
    data = json.loads((folder / "record.json").read_text()) | {"name": folder.name} | values
    data.pop("proof")
    (folder / "record.json").write_bytes(with_proof(data))


def copied(folder: Path, ended: str) -> None:
    there = shutil.copytree(folder, folder.with_name("20260101T000000Z-daily_check-0000ffff"))
    rewritten(there, ended_at=ended)


def test_verify_says_what_it_proves_and_what_it_cannot_know(place: Place) -> None:
    one, two = record(place), record(place)
    done = place.cli("records", "verify", one.name)
    assert (done.exit_code, done.output.splitlines()[0]) == (Exit.OK, f"Proved: {one.name}.")
    done = place.cli("records", "verify", "--all")
    assert (done.exit_code, done.output.splitlines()[0]) == (Exit.OK, "Proved: 2 records.")
    assert "verify cannot tell whether whole records were deleted" in done.output
    (two / "report.json").write_text("{}")
    done = place.cli("records", "verify", "--all")
    assert done.exit_code == Exit.ALERT
    assert f"{two.name}  report.json was changed" in done.output
    assert one.name not in done.output
    assert place.cli("records", "verify", one.name).exit_code == Exit.OK


def test_a_run_without_an_end_is_unknown(place: Place) -> None:
    record(place)
    killed = record(place, ended=False)
    done = place.cli("records", "verify", "--all")
    assert done.exit_code == Exit.UNKNOWN
    assert f"{killed.name}  {NO_END}" in done.output


@pytest.mark.parametrize("words", [(), ("x", "--all"), ("20200101T000000Z-x-00000000",)])
def test_what_cannot_be_verified(place: Place, words: tuple[str, ...]) -> None:
    done = place.cli("records", "verify", *words)
    assert done.exit_code == Exit.BAD_INPUT
    assert "Next: " in done.output


# What somebody does who may write and delete in the store → what is said of it; none of it is found without a manifest.
FORGERIES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a record is deleted": (shutil.rmtree, "it is gone: the manifest lists it"),
    "its verdict is changed": (lambda f: rewritten(f, verdict="warn"), "not the record that blake attested"),
    "it never ended": (lambda f: rewritten(f, status="running"), "not the record that blake attested"),
    "one is added to the past": (lambda f: copied(f, "2026-01-01T00:00:00.000+00:00"), "sent late, or forged"),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_manifest_finds_what_digests_cannot(place: Place, forgery: str) -> None:
    folders, (forge, said) = [record(place) for _ in range(3)], FORGERIES[forgery]
    signed = place.cli(*ATTEST)
    assert (signed.exit_code, signed.output.split(":")[0]) == (Exit.OK, "Manifest 1, signed by blake")
    later = record(place)
    done = place.cli("records", "verify", "--all")
    assert done.exit_code == Exit.OK
    assert "Compared with manifest 1, signed by blake" in done.output
    assert "Records that are not in it: 1." in done.output
    with place.here():
        manifest = place.folder / "manifests"
        forge(folders[1])
        [(_, [*found])] = verify(SYSTEM).wrong.items()
        assert any(said in fault for fault in found)
        manifest.rename(place.folder / "elsewhere")
        assert verify(SYSTEM).wrong == {}
        (place.folder / "elsewhere").rename(manifest)
    assert place.cli("records", "verify", "--all").exit_code == Exit.ALERT
    assert place.cli("records", "verify", later.name).exit_code == Exit.OK


def test_a_manifest_lists_the_records_of_each_incident(place: Place) -> None:
    """What anybody wrote in place of an incident, a run without an end, and one that only compared a plan are not in it."""
    with place.here():
        ours = [made(NOW - timedelta(hours=n), incident="INC-7") for n in (2, 1)]
        made(NOW - timedelta(hours=3), incident="INC-7 <b>")
        made(NOW - timedelta(hours=4), status="running", incident="INC-7")
        made(NOW - timedelta(hours=5))
        manifest, _ = attest(SYSTEM, "blake", demo_folder(SYSTEM) / "blake")
    assert manifest.incidents == {"INC-7": ours}


def test_a_manifest_of_an_older_version_counts(place: Place) -> None:
    """It does not say which records belong to an incident."""
    record(place)
    with place.here():
        values = values_of(SYSTEM, "sandbox", "blake", "attester", "all", datetime.now(UTC))
        values |= {"number": 1, "records": verify(SYSTEM).digests, "known": []}
        put(
            Manifest,
            values,
            place.store,
            attesters_of(SYSTEM, "sandbox"),
            demo_folder(SYSTEM) / "blake",
            datetime.now(UTC),
        )
        assert (found := verify(SYSTEM).manifest)
        assert found.incidents is None


def test_faults_are_signed_only_with_a_reason(place: Place) -> None:
    folder = record(place)
    record(place)
    assert place.cli(*ATTEST).exit_code == Exit.OK
    shutil.rmtree(folder)
    refused = place.cli(*ATTEST)
    assert refused.exit_code == Exit.REFUSED
    assert f"{folder.name}: it is gone" in refused.output
    signed = place.cli(*ATTEST, "--reason", "the disk was lost")
    assert "Manifest 2, signed by blake: 2 records; 0 have no recorded end, 1 are known" in signed.output
    assert place.cli(*ATTEST).exit_code == Exit.OK  # it is no news
    gone = place.cli("records", "verify", "--all")
    assert (gone.exit_code, f"{folder.name}  it is gone" in gone.output) == (Exit.ALERT, True)  # but always reported
    (place.folder / "runs").joinpath(record(place).name, "report.json").write_text("{}")
    assert place.cli(*ATTEST, "--reason", "known").exit_code == Exit.OK
    assert place.cli("records", "verify", "--all").exit_code == Exit.ALERT  # it stays wrong
    assert place.cli(*ATTEST).exit_code == Exit.OK  # but is no news


def test_nothing_takes_the_place_of_a_record_that_is_lost_or_was_replaced(place: Place) -> None:
    """Whoever may write puts a record under its name; a reason for the loss was none for that."""
    lost, replaced, other = (record(place) for _ in range(3))
    assert place.cli(*ATTEST).exit_code == Exit.OK
    content = (replaced / "record.json").read_bytes()
    shutil.rmtree(lost)
    rewritten(replaced, verdict="warn")
    assert place.cli(*ATTEST, "--reason", "the disk was lost").exit_code == Exit.OK
    assert place.cli(*ATTEST).exit_code == Exit.OK
    shutil.copytree(other, lost)
    rewritten(lost)
    refused = place.cli(*ATTEST)
    assert (refused.exit_code, f"{lost.name}: it is not the record that" in refused.output) == (Exit.REFUSED, True)
    shutil.rmtree(lost)
    rewritten(replaced, verdict="unknown")
    assert place.cli(*ATTEST).exit_code == Exit.REFUSED
    assert place.cli(*ATTEST, "--reason", "again").exit_code == Exit.OK
    with place.here():
        found = verify(SYSTEM)
    assert {*found.wrong} == {lost.name, replaced.name}
    (replaced / "record.json").write_bytes(content)  # found again
    with place.here():
        assert [*verify(SYSTEM).wrong] == [lost.name]


def test_a_loss_of_an_incident_stays_listed_for_it(place: Place) -> None:
    with place.here():
        names = [made(NOW - timedelta(hours=n), incident="INC-7") for n in (2, 1)]
        by = ("blake", demo_folder(SYSTEM) / "blake")
        attest(SYSTEM, *by)
        shutil.rmtree(place.folder / "runs" / names[0])
        manifest, _ = attest(SYSTEM, *by, "lost")
    assert manifest.incidents == {"INC-7": names}


def test_what_was_pruned_is_forgotten_with_a_reason(place: Place) -> None:
    """Its age says that no other record is under its name later."""
    with place.here():
        old, by = made(NOW - timedelta(days=500)), ("blake", demo_folder(SYSTEM) / "blake")
        made(NOW)
        attest(SYSTEM, *by)
        remove(SYSTEM, [old])
        with pytest.raises(Refused):
            attest(SYSTEM, *by)
        attest(SYSTEM, *by, "pruned")
        assert verify(SYSTEM).wrong == {}
        made(NOW - timedelta(days=500))
        assert [*verify(SYSTEM).wrong] == [old]


def test_manifests_of_which_none_counts_are_no_all_clear(place: Place) -> None:
    """A link of the file `store` gives the store another name: nothing that was signed for the old one counts."""
    folder = record(place)
    assert place.cli(*ATTEST).exit_code == Exit.OK
    shutil.rmtree(folder)
    (place.folder / "x").hardlink_to(place.folder / "store")
    done = place.cli("records", "verify", "--all")
    assert (done.exit_code, "manifests  none of them counts" in done.output) == (Exit.ALERT, True)
    refused = place.cli(*ATTEST)
    assert (refused.exit_code, "none of them counts" in refused.output) == (Exit.REFUSED, True)
    assert place.cli(*ATTEST, "--reason", "the store was moved").exit_code == Exit.OK
    assert place.cli("records", "verify", "--all").exit_code == Exit.OK


# The begin in the name of a record and its end, in hours from now → whether a manifest of now lets it come later.
TIMES: dict[str, tuple[float, float, bool]] = {
    "it took a while": (-2, 0, True),
    "it began a day before": (-30, 0, False),
    "it ends in the year 9999": (0, 24 * 365 * 7970, False),
    "it ends in the future": (0, 3, False),
    "it begins in the future": (3, 0, False),
}


@pytest.mark.parametrize("case", TIMES)
def test_both_times_of_a_record_must_be_possible(place: Place, case: str) -> None:
    first, (began, ended, good) = record(place), TIMES[case]
    assert place.cli(*ATTEST).exit_code == Exit.OK
    now = datetime.now(UTC)
    name = f"{now + timedelta(hours=began):%Y%m%dT%H%M%SZ}-daily_check-0000ffff"
    there = shutil.copytree(first, first.with_name(name))
    rewritten(there, ended_at=f"{now + timedelta(hours=ended):%FT%T}.000+00:00")
    with place.here():
        assert ([*verify(SYSTEM).wrong] == []) == good


def test_only_who_may_sign_manifests_counts(place: Place, tmp_path: Path) -> None:
    folder = record(place)
    key = tmp_path / "other"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    with place.here():
        attest(SYSTEM, "blake", demo_folder(SYSTEM) / "blake")
        for who, with_key in (("blake", key), ("mallory", key), ("avery", demo_folder(SYSTEM) / "blake")):
            with pytest.raises(Refused):
                attest(SYSTEM, who, with_key)
        one = place.folder / "manifests" / "000001"
        data = json.loads(one.read_text())
        data["statement"] = data["statement"].replace(folder.name, folder.name[:-1] + "x").replace(":1,", ":2,")
        one.with_name("000002").write_text(json.dumps(data))
        found = verify(SYSTEM)
        assert found.manifest
        assert found.manifest.number == 1
        assert [line.split(":")[0] for line in found.ignored] == ["manifests/000002"]
        one.unlink()
        found = verify(SYSTEM)
        assert found.manifest is None
        assert found.ignored[0] == "manifests are missing: their numbers have a gap"


def test_an_old_manifest_under_a_newer_number_does_not_count(place: Place) -> None:
    record(place)
    with place.here():
        for _ in range(2):
            attest(SYSTEM, "blake", demo_folder(SYSTEM) / "blake")
        old = place.folder / "manifests" / "000001"
        old.with_name("000003").write_bytes(old.read_bytes())
        found = verify(SYSTEM)
    assert found.manifest
    assert found.manifest.number == 2
    assert [line.split(":")[0] for line in found.ignored] == ["manifests/000003"]


def test_no_file_takes_the_last_number_away(place: Place) -> None:
    record(place)
    with place.here():
        attest(SYSTEM, "blake", demo_folder(SYSTEM) / "blake")
        (place.folder / "manifests" / "999999").write_text("{}")
        made = [attest(SYSTEM, "blake", demo_folder(SYSTEM) / "blake", "a reason")[0].number for _ in range(2)]
        found = verify(SYSTEM).manifest
    assert made == [2, 3]
    assert found
    assert found.number == 3


def test_an_approval_is_no_manifest(place: Place) -> None:
    """Each has a namespace of its own, and a signature for one never counts as the other."""
    record(place)
    with place.here():
        manifest, _ = attest(SYSTEM, "blake", demo_folder(SYSTEM) / "blake")
        content = json.loads((place.folder / manifest.place).read_text())
        done = subprocess.run(
            [*["ssh-keygen", "-Y", "check-novalidate", "-n", "runbook-approval-sandbox", "-s"], "/dev/stdin"],
            input=content["signature"].encode(),
            capture_output=True,
        )
        assert done.returncode
    assert manifest.records.keys() == {path.name for path in (place.folder / "runs").iterdir()}


def test_attesters_of_a_real_system_are_named_in_params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from runbook.approvals.signers import attesters_of

    folder = tmp_path / "approvers" / "sandbox"
    folder.mkdir(parents=True)
    monkeypatch.setenv("RUNBOOK_PARAMS", str(tmp_path))
    with pytest.raises(Refused, match="nobody may approve"):
        attesters_of(SYSTEM, "google")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"], check=True)
    (folder / "attesters").write_text(f'nightly namespaces="runbook-manifest" {(tmp_path / "key.pub").read_text()}')
    assert attesters_of(SYSTEM, "google").keys.keys() == {"nightly"}
    [key] = attesters_of(SYSTEM, "google", EXPORTS).keys["nightly"]
    assert key.startswith('namespaces="runbook-export",')


def test_metadata_that_says_something_else_than_the_record_is_found(tmp_path: Path) -> None:
    """A listing of a bucket shows it; whoever may update an object can edit it, also where records are retained."""
    remote = Remote(tmp_path / "records")
    with remote.here():
        run = made(NOW, wrong=("errors",), incident="INC-7")
        assert publish_run(SYSTEM, records_directory(SYSTEM) / "runs" / run) == ""
        objects = remote.app.sandbox.storage.objects[BUCKET]
        [about] = [said for name, (said, _) in objects.items() if name.endswith("record.json")]
        labels = {"runbook": "daily_check", "environment": "sandbox", "incident": "INC-7", "status": "finished"}
        assert labels.items() <= about["metadata"].items()
        assert about["metadata"].keys() - labels.keys() == {"verdict", "exit", "ended_at"}
        assert (about["metadata"]["verdict"], verify(SYSTEM).faults) == ("alert", {run: ()})
        about["metadata"]["verdict"] = "ok"
        assert verify(SYSTEM).faults == {run: ("the metadata of record.json was edited",)}
        del about["metadata"]  # as of a record that gcloud copied
        assert verify(SYSTEM).faults == {run: ()}


def in_bucket(remote: Remote, count: int) -> None:
    """Put records of 200 KB into the bucket, one an hour."""
    for number in range(count):
        run = made(NOW - timedelta(hours=number))
        for path in (records_directory(SYSTEM) / "runs" / run).iterdir():
            remote.put(f"runs/{run}/{path.name}", path.read_bytes())


def test_records_in_a_bucket_are_read_at_once(tmp_path: Path) -> None:
    """No answer comes before as many reads wait as there are threads."""
    remote, begun, all_wait = Remote(tmp_path / "records"), set[str](), Barrier(THREADS, timeout=10)

    def wait(wire: Any, number: int, sent: Sent, go: Callable[[], Any]) -> Any:
        if current_thread() is not main_thread() and current_thread().name not in begun:
            begun.add(current_thread().name)
            all_wait.wait()
        return go()

    with remote.here():
        in_bucket(remote, THREADS)
        remote.to_store.fault = wait
        assert set(verify(SYSTEM).faults.values()) == {()}
    assert len(begun) == THREADS


@pytest.mark.full
def test_three_hundred_records_in_a_bucket_that_is_far_away(tmp_path: Path, record_property: Any) -> None:
    """Each answer takes 50 ms, and there are four reads a record: a minute, one after the other."""
    remote = Remote(tmp_path / "records")
    with remote.here():
        in_bucket(remote, 300)
        remote.app.sandbox.faults = Faults([Fault(route="storage", latency_ms=50)])
        began = time.monotonic()
        assert set(verify(SYSTEM).faults.values()) == {()}
    took = time.monotonic() - began
    record_property("summary", f"300 records in a bucket, with 50 ms for each answer, are verified in {took:.1f} s")
    assert took < 20


@pytest.mark.parametrize("text", ["", "a b", "x" * 65, "Größe", "(redacted: GitHub token)", "a\nb", None, ["a"]])
def test_free_text_is_no_metadata(text: Any) -> None:
    assert labels_of({"verdict": "ok", "why": "secret", "parameters": {"incident": text}}) == {"verdict": "ok"}


@pytest.mark.full
def test_ten_thousand_records(place: Place, record_property: Any) -> None:
    """10,000 records of 20 KB: one listing, each file read once. Measured 2.9 s of processor time; here with a margin."""
    first = record(place)
    (first / "daily_check.ipynb").write_bytes(b"0" * 20_000)
    from tests.runbook.records.test_proof import proved_anew

    for number in range(10_000):
        there = Path(shutil.copytree(first, first.with_name(f"20260101T000000Z-daily_check-{number:08x}")))
        rewritten(there)
        proved_anew(there)
    (first / "daily_check.ipynb").write_text("{}")
    with place.here():
        began = time.process_time()
        found = verify(SYSTEM)
    record_property("summary", f"10,000 records are verified in {time.process_time() - began:.1f} s of processor time")
    assert (len(found.faults), [*found.wrong]) == (10_001, [first.name])
    assert time.process_time() - began < 10
