"""The command line for programs and shells: --json, --version, worlds, completion, and how a prompt ends."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from select import select
from typing import Any

import pytest
import yaml
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from gcp_sandbox.world.schema import shipped
from runbook.cli.main import main
from runbook.display import is_plain
from runbook.model.errors import Exit
from tests.runbook.changes import Place
from tests.slices import every
from tests.test_docs import wrong

HOSTILE = yaml.safe_load((Path(__file__).parents[1] / "cases" / "hostile.yaml").read_text())
OURS = re.compile(r"\x1b\[(0|1|3[1236]|1;3[1236])m")  # the styles of output.COLOUR, bold, and their end


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "records")


# Command → the exit code, and the keys of the result or of its first row.
JSON = {
    "list": (Exit.OK, {"runbook", "class", "changes", "when"}),
    "worlds": (Exit.OK, {"world", "about"}),
    "plans": (Exit.OK, {"plan", "operation", "changes", "by", "signed", "to sign", "now"}),
    "review": (Exit.OK, set()),
    "doctor": (Exit.OK, {"verdict", "findings", "next"}),
}


@pytest.mark.parametrize("line", JSON)
def test_what_is_listed_or_judged_is_one_line_of_json(line: str, place: Place, monkeypatch: Any) -> None:
    code, keys = JSON[line]
    if line == "plans":
        place.plan("scheduler", jobs="gmail-sync")
        monkeypatch.setattr("runbook.cli.stored._state", lambda *_: ["stale", "changed: a", "changed: b"])
    done = place.cli(*line.split(), "--json")
    assert done.exit_code == code, done.output
    [said] = done.stdout.splitlines()
    data = json.loads(said)
    rows = data if isinstance(data, list) else [data]
    assert {key for row in rows[:1] for key in row} == keys


def test_worlds_are_those_that_are_shipped(place: Place) -> None:
    listed = place.cli("worlds").output.splitlines()[2:]
    assert [line.split()[0] for line in listed] == shipped()


def test_the_version_is_that_of_the_package(place: Place) -> None:
    said = place.cli("--version").output
    assert re.fullmatch(r"runbook, version \d+\.\d+\.\d+\n", said)


# What is typed, of which the last word is completed → what a shell offers.
TYPED = [
    ("run daily", ["daily_check"]),
    ("run daily_check --env sand", ["sandbox"]),
    ("run daily_check --world p1_mem", ["p1_memory_limit"]),
    ("fleet hourly", ["hourly_check"]),
    ("fleet --env sa", ["sandbox"]),
    ("apply {plan:.4}", ["{plan}"]),
    ("approve {plan:.4}", ["{plan}"]),
    ("incident IN", ["INC-7", "INC-8"]),
    ("records show 20260311", ["20260311T130000Z-daily_check-01234567"]),
    ("records export INC-7", ["INC-7"]),
    ("records diff newest 20260311", ["20260311T130000Z-daily_check-01234567"]),
    ("apply zz", []),
]


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, str]:
    place = Place(tmp_path_factory.mktemp("words") / "records")
    assert place.cli("note", "INC-7", "looked").exit_code == 0
    place.open("INC-8")
    (place.folder / "runs/20260311T130000Z-daily_check-01234567").mkdir(parents=True)
    return place, place.plan("scheduler", jobs="gmail-sync").id


@pytest.mark.parametrize(("typed", "offered"), TYPED)
def test_a_shell_completes(typed: str, offered: list[str], stored: tuple[Place, str], monkeypatch: Any) -> None:
    place, plan = stored
    monkeypatch.setenv("RUNBOOK_RECORDS", str(place.records))
    *words, start = typed.format(plan=plan).split()
    found = ShellComplete(main, {}, "runbook", "_RUNBOOK_COMPLETE").get_completions(words, start)
    assert [one.value for one in found] == [one.format(plan=plan) for one in offered]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_script(shell: str) -> None:
    env = os.environ | {"_RUNBOOK_COMPLETE": f"{shell}_source"}
    code = "from runbook.cli.main import main; main(prog_name='runbook')"
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert "_RUNBOOK_COMPLETE" in done.stdout, done.stderr


# What a person answers → the exit code, and what is said.
ANSWERS = [
    ("n\n", Exit.REFUSED, "not signed"),
    ("\x03", Exit.INTERRUPTED, "Interrupted"),
    ("\x04", Exit.INTERRUPTED, "Interrupted"),
]


@pytest.mark.parametrize(("typed", "code", "word"), ANSWERS)
def test_a_prompt_that_is_not_confirmed_has_its_own_exit_code(
    typed: str, code: Exit, word: str, stored: tuple[Place, str]
) -> None:
    place, plan = stored
    env = os.environ | {"RUNBOOK_RECORDS": str(place.records), "TERM": "dumb"}
    words = ["approve", plan, "--role", "team-lead", "--reason", "agreed", "--as", "avery"]
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "runbook.cli.main", *words],
        env=env,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        preexec_fn=lambda: _controls(theirs),
    ) as asked:
        os.close(theirs)
        shown = ""
        while "[y/N]" not in shown:
            shown += os.read(ours, 4096).decode(errors="replace")
        with suppress(OSError):  # the other end is closed
            while word not in shown:
                os.write(ours, typed.encode())  # again, if the first came before the prompt was ready for it
                while word not in shown and select([ours], [], [], 5)[0]:
                    shown += os.read(ours, 4096).decode(errors="replace")
            while True:
                shown += os.read(ours, 4096).decode(errors="replace")
    assert (asked.returncode, word in shown) == (code, True), shown


def _controls(terminal: int) -> None:
    """Make a terminal the controlling one, so that Ctrl-C in it is a signal, which a job in the background ignores."""
    import fcntl
    import termios

    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.setsid()
    fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)


# What needs no example: it has no argument, or only a file.
BARE = {"list", "worlds", "plans", "accept", "records", "seal", "lab"}


@pytest.mark.parametrize("command", sorted(main.commands))
def test_help_has_examples_that_the_command_line_takes(command: str) -> None:
    examples = re.findall(r"(?m)^ *(runbook [^#\n]*)", main.commands[command].help or "")
    assert bool(examples) != (command in BARE)
    assert [f"{line}: {why}" for line in examples if (why := wrong(line.strip()))] == []


@pytest.mark.parametrize("kind", every(3, HOSTILE["keys"]))
def test_no_word_in_the_store_moves_or_hides_what_a_terminal_shows(place: Place, kind: str, monkeypatch: Any) -> None:
    """The name of a key is in the text of an error: it comes before what somebody signs."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    words = HOSTILE["keys"][kind]
    plan = place.plan("rollback").id
    [good] = (place.folder / "plans" / plan).iterdir()
    forged = json.dumps({**json.loads(good.read_text()), words: 1}, ensure_ascii=False)
    (good.parent / "29991231t000000-zzz.json").write_text(forged)
    note = json.dumps({"statement": "{}", "signature": "", words: 1}, ensure_ascii=False)
    inner = json.dumps({"statement": json.dumps({words: words}), "signature": "x"}, ensure_ascii=False)
    for number, text in enumerate((note, inner), 1):
        for where in ("approvals/" + "0" * 64, f"approvals/{plan}", "incidents/inc-7", "reviews", "acks", "manifests"):
            place.store.create(f"{where}/{number:06d}", text.encode())
    lines = [f"approve {plan} --role team-lead --reason x", "plans", "review", "records verify --all", f"apply {plan}"]
    lines += ["records", "records attest --yes --as avery", "open INC-7 --severity P1 --reason x", "plans --json"]
    said = ""
    for line in lines:
        with place.here():
            done = CliRunner().invoke(main, line.split(), color=True)
        assert done.exception is None or isinstance(done.exception, SystemExit), (line, done.exception)
        shown = OURS.sub("", done.stdout + done.stderr)
        assert is_plain(shown.replace("\n", "")), (line, shown)
        said += shown
    ignored = [line for line in said.splitlines() if "Ignored" in line]
    assert {part for part in ("plans/", "approvals/", "manifests/") if any(part in one for one in ignored)} == {
        "plans/",
        "approvals/",
        "manifests/",
    }
    assert not [line for line in said.splitlines() if line.startswith(("Plan: harmless", "Signed"))]


def test_help_of_a_runbook_lists_its_parameters(place: Place) -> None:
    said = place.cli("run", "retry", "--help").output
    assert "Parameters of retry (-p NAME=VALUE):" in said
    assert "\n  function " in said
    assert "name of the function" in said
    assert "Parameters of" not in place.cli("run", "--help").output
