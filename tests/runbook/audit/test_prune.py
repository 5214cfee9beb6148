"""Old records go only when somebody says so; those of an incident or a change stay for their term."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import gcp_sandbox
from gcp_sandbox.serve import serve
from runbook.audit import prune
from runbook.cli.main import main
from runbook.config.load import load_settings
from runbook.records.record import publish_run, records_directory, store_of
from tests.runbook.audit.made import NOW, made

SYSTEM = load_settings("sandbox")
BUCKET = "gs://acme-sales-sandbox-runbooks/records"


def cli(*words: str) -> Any:
    return CliRunner().invoke(main, ["records", "prune", *words])


@pytest.fixture(params=["directory", "bucket"])
def records(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, str]]:
    """Records of each kind, in a directory and in a bucket."""

    def write() -> dict[str, str]:
        old = NOW - timedelta(days=100)
        return {
            "old": made(old),
            "new": made(NOW - timedelta(days=20)),
            "incident": made(old - timedelta(hours=1), incident="INC-7"),
            "change": made(old - timedelta(hours=2), change=True),
            "ancient change": made(NOW - timedelta(days=1200), change=True),
        }

    if request.param == "directory":
        monkeypatch.setenv("RUNBOOK_RECORDS", str(tmp_path))
        yield write()
        return
    monkeypatch.setenv("RUNBOOK_RECORDS", BUCKET)
    monkeypatch.setenv("RUNBOOK_LOCAL", str(tmp_path))
    with serve(gcp_sandbox.app(SYSTEM.inventory(), "healthy")) as served:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", served.url)
        names = write()
        for name in names.values():
            assert publish_run(SYSTEM, records_directory(SYSTEM) / "runs" / name) == ""
        yield names


def left(records: dict[str, str]) -> set[str]:
    store = store_of(SYSTEM)
    return {kind for kind, name in records.items() if store.list(f"runs/{name}")}


def test_only_what_may_go_goes_and_only_with_yes(records: dict[str, str]) -> None:
    shown = cli("--older-than", "90")
    assert shown.exit_code == 0, shown.output
    assert [line for line in shown.output.splitlines() if line in records.values()] == [
        records["old"],
        records["ancient change"],
    ]
    assert "Kept, 1: incident" in shown.output
    listed = CliRunner().invoke(main, ["records", "--json"])  # also of a bucket
    assert [row["verdict"] for row in json.loads(listed.output)].count("ok") >= 3
    assert {row["id"] for row in json.loads(listed.output)} == set(records.values())
    assert "Kept, 1: change" in shown.output
    assert left(records) == set(records)
    done = cli("--older-than", "90", "--yes")
    assert done.exit_code == 0, done.output
    assert left(records) == {"new", "incident", "change"}
    [note] = store_of(SYSTEM).list("pruned")
    assert records["old"] in (store_of(SYSTEM).read(note) or b"").decode()
    assert cli("--older-than", "90", "--yes").exit_code == 0


def test_no_record_younger_than_a_month_can_be_named(records: dict[str, str]) -> None:
    assert cli("--older-than", "29", "--yes").exit_code == 2
    assert left(records) == set(records)


def test_who_may_not_delete_is_told_which_role_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = tmp_path / "world.yaml"
    world.write_text("like: healthy\nabout: Nobody may delete.\nfaults: [{route: 'DELETE .*', status: 403}]\n")
    monkeypatch.setenv("RUNBOOK_RECORDS", BUCKET)
    monkeypatch.setenv("RUNBOOK_LOCAL", str(tmp_path))
    with serve(gcp_sandbox.app(SYSTEM.inventory(), str(world))) as served:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", served.url)
        name = made(NOW - timedelta(days=100))
        assert publish_run(SYSTEM, records_directory(SYSTEM) / "runs" / name) == ""
        done = cli("--older-than", "90", "--yes")
        assert done.exit_code == 1, done.output
        assert "roles/storage.objectAdmin" in done.output
        assert store_of(SYSTEM).read(f"runs/{name}/record.json")


def test_the_reasons_to_keep_are_of_years() -> None:
    assert prune.KEEP_DAYS >= 3 * 365
