"""A name in the record store is created once, by one of many, whole or not at all."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from runbook.model.errors import NoRecord
from runbook.records.store import LIMIT, Store, Taken


def test_what_is_created_can_be_read_and_listed(tmp_path: Path) -> None:
    store = Store(tmp_path / "not" / "there" / "yet")
    assert store.read("plans/a.json") is None
    assert store.list("plans") == []
    store.create("plans/a.json", b"1")
    store.create("plans/b/c.json", b"2")
    assert store.read("plans/a.json") == b"1"
    assert store.list("plans") == ["plans/a.json", "plans/b/c.json"]


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.create("nonces/a", b"first")
    with pytest.raises(Taken):
        store.create("nonces/a", b"second")
    assert store.read("nonces/a") == b"first"
    assert [p.name for p in tmp_path.rglob("*")] == ["nonces", "a"]


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/etc/passwd",
        "../a",
        "a/../b",
        "a//b",
        "a/",
        ".hidden",
        "a/.b",
        "a b",
        "a\n",
        "a\\b",
        "a\0",
        "x" * 101,
        "a/" * 9 + "a",
    ],
)
def test_names_that_are_refused(tmp_path: Path, name: str) -> None:
    store = Store(tmp_path)
    for ask in (lambda: store.create(name, b""), lambda: store.read(name), lambda: store.list(name)):
        with pytest.raises(ValueError, match="is not a valid name"):
            ask()


def test_each_store_has_a_name_that_stays(tmp_path: Path) -> None:
    one, other = Store(tmp_path / "one"), Store(tmp_path / "other")
    assert one.name == Store(tmp_path / "one").name != other.name


def _race(folder: Path, worker: int, start: multiprocessing.Barrier, won: multiprocessing.Queue) -> None:
    store = Store(folder)
    for name in range(20):
        start.wait()
        try:
            store.create(f"nonces/{name}", str(worker).encode())
        except Taken:
            continue
        won.put((name, worker))


def test_of_processes_that_race_exactly_one_wins(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    start, won = context.Barrier(4), context.Queue()
    racers = [context.Process(target=_race, args=(tmp_path, n, start, won)) for n in range(4)]
    for racer in racers:
        racer.start()
    winners = [won.get(timeout=20) for _ in range(20)]
    for racer in racers:
        racer.join(timeout=20)
        assert racer.exitcode == 0
    assert sorted(name for name, _ in winners) == list(range(20))
    assert all(Store(tmp_path).read(f"nonces/{name}") == str(worker).encode() for name, worker in winners)
    assert won.empty()


@pytest.mark.parametrize("step", ["fsync", "link", "unlink"])
def test_after_a_kill_there_is_the_whole_file_or_none(tmp_path: Path, step: str) -> None:
    code = f"""
import os, signal
from pathlib import Path
from runbook.records.store import Store
store = Store(Path({str(tmp_path)!r}))
store.create("nonces/before", b"")
os.{step} = lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL)
store.create("nonces/a", b"x" * 100000)
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL
    store = Store(tmp_path)
    there = store.read("nonces/a")
    assert there == (b"x" * 100000 if step == "unlink" else None)
    assert store.list("nonces") == (["nonces/a"] if there else []) + ["nonces/before"]
    if there is None:
        store.create("nonces/a", b"again")


def test_what_is_created_survives_a_power_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    for module in ("store", "files"):
        monkeypatch.setattr(f"runbook.records.{module}.sync_folder", synced.append)
    Store(tmp_path).create("plans/b/c.json", b"")
    assert synced == [tmp_path, tmp_path / "plans", tmp_path / "plans" / "b"]


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(NoRecord, match="record store cannot be used"):
        Store(tmp_path).create("a", b"1")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * (LIMIT + 1))
    with pytest.raises(NoRecord, match="cannot be used"):
        Store(tmp_path).read("a")
