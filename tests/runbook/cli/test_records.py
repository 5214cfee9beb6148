"""`runbook records`: found again from the command line, within one page, and as JSON."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from click.testing import CliRunner

from runbook.approvals.signers import demo_folder
from runbook.cli.main import main
from runbook.config.load import ROOT, load_settings
from runbook.records.record import store_of
from tests.runbook.audit.made import NOW, made, many, rewritten

Cli = Callable[..., str]


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.setenv("RUNBOOK_RECORDS", str(tmp_path / "records"))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)

    def run(line: str, code: int = 0) -> str:
        done: Any = CliRunner().invoke(main, ["records", *line.split()])
        assert done.exit_code == code, done.output
        return done.output

    return run


def test_which_checks_were_not_ok_last_week_and_why_in_one_command_and_one_page(cli: Cli) -> None:
    many(300, days=20)
    said = cli("--since 7d --not-ok")
    assert "errors, last 24 h" in said
    assert "20.5 h" in said
    assert len(said.splitlines()) <= 50
    assert max(map(len, said.splitlines())) <= 80


def test_a_list_a_record_its_page_and_a_comparison(cli: Cli) -> None:
    good = made(NOW - timedelta(days=2))
    bad = made(NOW - timedelta(days=1), wrong=("errors",))
    listed = cli("")
    assert listed.index(bad[-8:]) < listed.index(good[-8:])
    [line] = cli("--json --verdict ok").splitlines()
    assert [row["id"] for row in json.loads(line)] == [good]
    nothing = cli("--incident INC-9")
    assert nothing == f"Nothing was found in {store_of(load_settings('sandbox'))}.\n0 records\n"
    shown = cli("show newest")
    assert cli("--json show newest") == shown
    assert "errors, last 24 h: 30" in " ".join(shown.split())
    assert f"Next: runbook records open {bad[-8:]}" in shown
    page = Path(cli(f"open {bad[-8:]}").removeprefix("Page: ").strip())
    assert page.is_absolute()
    assert "ALERT: 1 of" in page.read_text(encoding="utf-8")
    changed = cli(f"diff {good[-8:]} {bad[-8:]}").splitlines()
    assert "+errors, last 24 h: alert: 30" in changed
    assert [line[0] for line in changed] == ["-", "+"] or len(changed) == 2, changed
    assert cli(f"diff {good} {good}") == "Nothing differs.\n"


def test_what_does_not_verify_says_so(cli: Cli) -> None:
    name = made(NOW)
    rewritten(store_of(load_settings("sandbox")), name)
    assert "1 of which do not verify" in cli("")
    assert "Does not verify: " in cli("show newest")


@pytest.mark.parametrize(
    "line", ["show nothing", "open nothing", "diff nothing newest", "export nothing", "--since yesterday"]
)
def test_what_is_not_there_is_one_message(cli: Cli, line: str) -> None:
    made(NOW)
    said = cli(line, code=2)
    assert "Traceback" not in said
    assert "Next: " in said


def test_a_site_and_an_export_are_written_where_they_are_asked_for(cli: Cli, tmp_path: Path) -> None:
    name = made(NOW)
    assert cli("site out") == "1 new pages, 1 records: out/index.html\n"
    assert cli("site out --env san*") == "0 new pages, 1 records: out/index.html\n"
    assert name in (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert f"{name}.zip" in cli(f"export {name}")
    assert "exists already" in cli(f"export {name}", code=2)
    assert "add --as NAME" in cli(f"export {name} --out a.zip --key x", code=2)
    assert "signing is not confirmed" in cli(f"export {name} --out a.zip --as blake", code=5)
    assert "casey" in cli(
        f"export {name} --out a.zip --as casey --key {demo_folder(load_settings('sandbox')) / 'blake'} --yes", code=5
    )
    assert not (tmp_path / "a.zip").exists()
    assert "Exported 1 records: a.zip, sealed by blake\nSHA-256: " in cli(f"export {name} --out a.zip --as blake --yes")


def test_an_export_is_sealed_only_if_somebody_says_as_whom(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNBOOK_PERSON", "blake")
    said = cli(f"export {made(NOW)} --out a.zip")
    assert "sealed by" not in said
    assert "Nobody signed its pages, notes and journals" in said
    assert "Next: python3 -m zipfile -e a.zip out && python3 -I out/verify.py" in said


@pytest.fixture
def two(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Of two environments that are rehearsed, prod-us has a record, whose name this is, and prod-eu has none."""
    (tmp_path / "params").mkdir()
    for name in ("prod-us", "prod-eu"):
        shutil.copy(ROOT / "params/sandbox.yaml", tmp_path / "params" / f"{name}.yaml")
    monkeypatch.setenv("RUNBOOK_PARAMS", str(tmp_path / "params"))
    monkeypatch.setenv("MOCK_MODE", "1")
    with patch("tests.runbook.audit.made.load_settings", lambda _: load_settings("prod-us")):
        return made(NOW - timedelta(days=2), wrong=("errors",))


def test_a_pattern_names_environments_and_one_without_a_run_is_in_the_answer(
    cli: Cli, two: str, tmp_path: Path
) -> None:
    found = json.loads(only(cli, "--since 7d --not-ok --json"))
    assert {(row["environment"], row["finding"]) for row in found} >= {
        ("prod-us", "errors, last 24 h"),
        ("prod-us", "run, daily_check"),
        ("prod-eu", "run, daily_check"),
    }
    said = " ".join(cli("--since 7d --not-ok --env prod-*").split())
    assert "2 records" not in said
    assert f"No record of prod-eu in {tmp_path}/records/rehearsal/prod-eu, the store of the target sandbox" in said
    assert "prod-us" in cli("--env prod-*")
    assert "1 new pages, 1 records: out/index.html" in cli("site out --env prod-*")
    data = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert f'{{"store":"{tmp_path}/records/rehearsal/prod-eu","target":"sandbox",' in data
    assert "no environment" not in cli("--env prod-us")


def only(cli: Cli, line: str) -> str:
    """The JSON of a command that says something else on stderr, too."""
    said = cli(f"{line} --env prod-*")
    return next(line for line in said.splitlines() if line.startswith("["))


def test_nothing_at_all_is_no_all_clear(cli: Cli, two: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without MOCK_MODE the records of rehearsals are in another store; what was searched is said."""
    monkeypatch.delenv("MOCK_MODE")
    for line in ("--since 7d", "--not-ok", "--json", "site out"):
        said = cli(f"{line} --env prod-*", code=4)
        for name in ("prod-us", "prod-eu"):
            assert f"No record of {name} in {tmp_path}/records/google/{name}, the store of the target google" in said
            assert f"rehearsal/{name}" in said


def test_the_commands_on_the_page_work(cli: Cli) -> None:
    """Each line below "Find records", with the records of this store in place of those that it names."""
    good, bad = made(NOW - timedelta(days=2), "p1_response", ("cause",), incident="INC-7"), made(NOW, wrong=("errors",))
    page = (ROOT / "docs" / "records.md").read_text(encoding="utf-8")
    section = page.partition("## Find records\n")[2].partition("\n##")[0]
    lines = [line.partition("#")[0].split() for line in section.splitlines() if line.startswith("    runbook records")]
    assert len(lines) == 9
    for _, _, *words in lines:
        line = " ".join(words).replace("0d829065", good[-8:]).replace("3f035846", bad[-8:]).replace("'acme-*'", "san*")
        said = cli(line)
        assert said.strip(), line
        assert "memory limit" in said or "--cause" not in line
