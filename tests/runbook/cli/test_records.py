"""`runbook records`: found again from the command line, within one page, and as JSON."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from click.testing import CliRunner

from runbook.approvals.signers import demo_folder
from runbook.audit.index import Run, changes_of, row_of, search, short
from runbook.cli.main import main
from runbook.config.load import ROOT, load_settings
from runbook.records.record import store_of
from tests.runbook.audit.made import NOW, changed, made, many, rewritten
from tests.runbook.changes import Place

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


def test_a_plan_and_what_was_applied_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backup warns, planned or applied, of the same things; `show` has its changes, and who approved."""
    monkeypatch.setenv("RUNBOOK_RECORDS", str(tmp_path / "records"))
    place, given = Place(tmp_path / "records", world="no_backup"), {"tables": "sf_accounts"}
    changed(planned := place.plan("backup", **given), NOW - timedelta(minutes=2), **given)
    changed(applied := place.go("backup", planned.id, **given), NOW - timedelta(minutes=1), **given)
    with place.here():
        system = load_settings("sandbox")
        rows = {row["id"]: short(row)["answer"] for row in search(system, None, None, {})}
    for one, result in ((planned, "planned"), (applied, "applied")):
        assert one.outcome.result == result
        assert rows[one.folder.name].casefold().startswith(result), rows
        shown = " ".join(place.cli("records", "show", one.folder.name[-8:]).output.split())
        assert ("done: sf_accounts_" in shown) == (result == "applied"), shown
        assert f"{result.capitalize()}: " in shown
    given = {"reason": "errors since 08:00"}
    signed = Place(tmp_path / "records", world="bad_deploy").applied("rollback", **given)
    changed(signed, NOW, **given)
    shown = " ".join(place.cli("records", "show", signed.folder.name[-8:]).output.split())
    assert "approved by as reason why it could not wait" in shown
    assert "avery team-lead looks right" in shown


def test_a_run_that_only_compared_a_plan_has_no_result() -> None:
    run = Run("20260311T010000Z-backup-00000000", {"status": "finished", "compares": "1" * 12}, PLANNED, [], (), {})
    assert row_of(run, load_settings("sandbox"))["result"] == ""
    assert row_of(run._replace(record={"status": "finished"}), load_settings("sandbox"))["result"] == "planned"


PLANNED = {"verdict": "ok", "exit": 0, "findings": [], "outcome": {"result": "planned", "changes": []}}


@pytest.mark.parametrize("form", [None, 7, {"changes": 7, "approvals": [7]}, {"changes": [{}, 7], "approvals": [{}]}])
def test_an_outcome_of_any_form_is_shown(form: Any) -> None:
    run = Run("20260311T010000Z-backup-00000000", {}, PLANNED | {"outcome": form}, [], (), {"plan.json": b"[]"})
    assert [len(rows) <= 1 for rows in changes_of(run)] == [True, True]


def test_what_a_stopped_run_had_begun_is_shown() -> None:
    change, by = {"action": "run once", "resource": "gmail-sync"}, [{"approver": "avery"}]
    rows = [
        {"kind": "APPLY", "approvals": by},
        *({"kind": "INTENT", "number": n, "change": change} for n in (1, 2, [])),
    ]
    rows.append({"kind": "CONFIRM", "number": 1, "state": "new"})
    shown, approvals = changes_of(Run("20260311T010000Z-retry-00000000", {}, {}, rows, (), {}))
    assert [one["status"] for one in shown] == ["done", "begun, not confirmed", "begun, not confirmed"]
    assert approvals[0]["approved by"] == "avery"


def test_an_override_is_shown() -> None:
    run = Run("20260311T010000Z-deploy-00000000", {}, {"outcome": {"approvals": [{"override": "at once"}]}}, [], (), {})
    assert changes_of(run)[1][0]["why it could not wait"] == "at once"


def test_a_record_is_verified_by_a_part_of_its_name(cli: Cli) -> None:
    name = made(NOW)
    assert cli(f"verify {name[-8:]}").startswith(f"Proved: {name}.\n")
    assert cli("verify newest").startswith(f"Proved: {name}.\n")
    said = cli("verify nothing", code=2)
    assert said.rstrip().endswith("see: runbook records")


@pytest.mark.parametrize(
    ("line", "hint"), [("--verdict alrt", "did you mean alert?"), ("--runbook daily_chek", "did you mean daily_check?")]
)
def test_a_word_that_no_record_can_have_is_refused(cli: Cli, line: str, hint: str) -> None:
    made(NOW)
    assert hint in cli(line, code=2)
    for good in ("--verdict ALERT", "--verdict unverified", "--runbook daily"):
        cli(good)


def test_a_list_that_is_not_all_says_so(cli: Cli) -> None:
    many(4)
    assert cli("--limit 3").endswith("the newest 3 records (more: --limit or --since)\n")
    assert cli("--limit 4").endswith("\n4 records\n")


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
    assert said.endswith("Next: python3 -m zipfile -e a.zip a && python3 -I a/verify.py\n")


def test_two_exports_are_never_unpacked_into_one_folder(cli: Cli, tmp_path: Path) -> None:
    """What another export has there is WRONG, and would be a false alarm."""
    for number, folder in ((1, "a"), (2, "a-2")):
        made(NOW - timedelta(days=number))
        (tmp_path / "a.zip").unlink(missing_ok=True)
        command = cli("export newest --out a.zip").rpartition("Next: ")[2]
        assert command == f"python3 -m zipfile -e a.zip {folder} && python3 -I {folder}/verify.py\n"
        done = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True)
        assert (done.returncode, "WRONG" in done.stdout) == (4, False), done.stdout
    said = CliRunner().invoke(main, ["records", "export", "newest", "--out", "my export.zip"]).output
    assert said.endswith("-e 'my export.zip' 'my export' && python3 -I 'my export'/verify.py\n")


def test_each_command_that_is_printed_ends_its_line(cli: Cli) -> None:
    made(NOW - timedelta(days=50))
    assert cli("verify --all").endswith("\nNext: runbook records attest\n")
    assert cli("prune --older-than 40").endswith("\nNext: runbook records prune --older-than 40 --yes\n")
    last = cli("prune --older-than 40 --yes").splitlines()[-1]
    assert last == 'Next: runbook records attest --reason "records older than 40 days were deleted"'
    for words in ("", " --yes"):
        assert cli(f"prune --older-than 40{words}") == "\n0 records may be deleted.\nNothing was deleted.\n"[1:]


def test_a_browser_that_is_missing_says_nothing(cli: Cli, tmp_path: Path) -> None:
    """In a terminal a page is opened. What cannot open it may say so in many lines."""
    name = made(NOW)
    opener = tmp_path / ("open" if sys.platform == "darwin" else "xdg-open")
    opener.write_text(f'#!/bin/sh\necho "no browser" >&2\necho "$1" > {tmp_path}/opened\n')
    opener.chmod(0o700)
    ours, theirs = pty.openpty()
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "COLUMNS": "400"}
    command = [sys.executable, "-m", "runbook.cli.main", "records", "open", "newest"]
    subprocess.run(command, stdout=theirs, stderr=theirs, env=env, check=True)
    os.close(theirs)
    end = time.monotonic() + 30
    while time.monotonic() < end and not ((tmp_path / "opened").exists() and (tmp_path / "opened").read_text()):
        time.sleep(0.01)
    said = os.read(ours, 10_000).decode()
    os.close(ours)
    assert said.startswith("Page: ")
    assert said.strip().endswith(f"{name}.html")
    assert (tmp_path / "opened").read_text().strip() == said.removeprefix("Page: ").strip()


def test_a_page_is_written_for_whoever_may_only_read(cli: Cli, tmp_path: Path) -> None:
    name = made(NOW, "p1_response", incident="INC-7")
    for folder in ("pages", "incident-INC-7"):
        (tmp_path / "records" / "rehearsal" / "sandbox" / folder).write_text("nothing can be written below this")
    page = Path(cli("open newest").removeprefix("Page: ").strip())
    said = CliRunner().invoke(main, ["incident", "INC-7"])
    drafts = [Path(line.removeprefix("Draft: ")) for line in said.output.splitlines() if line.startswith("Draft: ")]
    assert len(drafts) == 2, said.output
    for path in (page, *drafts):
        assert name in path.read_text(encoding="utf-8")
        assert tmp_path / "records" not in path.parents
        path.unlink()


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
