"""What comes next is never what was just done: in every shipped world, after every runbook."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from gcp_sandbox.world.schema import shipped
from runbook.cli.output import print_findings
from runbook.config.load import RUNBOOKS
from runbook.context import KERNEL, Told
from runbook.model.findings import Verdict
from tests.runbook.changes import CHANGING, Place, Result
from tests.slices import rotating

NAMES = sorted(path.stem for path in RUNBOOKS.glob("*.ipynb"))
LIB = RUNBOOKS.parent / "lib" / "runbook"
TEMPLATE = LIB / "cli" / "params.yaml"  # no YAML before it is filled in
CHECK = "check again: "  # something else comes first


def commands(line: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Each `runbook run` in a line: the runbook and its parameters, without the place."""
    for part in line.split("runbook run ")[1:]:
        name, *words = shlex.split(part.partition(";")[0].replace("'", ""))
        yield name, dict(w.split("=", 1) for flag, w in pairwise(words) if flag == "-p")


COMMAND = re.compile(r"(?:runbook (?:run|apply|approve|open|review|records|fleet|incident|doctor)|gcloud|bq cp) .*")


def is_whole(line: str) -> bool:
    """Whether the command in a line, if it has one, ends it: it works when it is pasted as it stands."""
    found = COMMAND.search(line)
    if not found:
        return True
    words = shlex.split(found[0])
    options = words[3:] if words[1] == "run" else []
    flags = set(options[::2]) <= {"--env", "--world", "-p"} and len(options) % 2 == 0
    return flags and not [word for word in words if word.endswith((".", ",", ";"))]


@pytest.mark.parametrize(
    "path", sorted({*LIB.rglob("*.yaml")} - {TEMPLATE}), ids=lambda path: f"{path.parent.name}/{path.name}"
)
def test_no_word_and_no_full_stop_follows_a_command(path: Path) -> None:
    assert [
        text for text in strings(path) if re.search(r"(?:^|: )(?:runbook|gcloud|bq|git) [a-z][^`“]*[.,;]$", text)
    ] == []


def strings(path: Path) -> Iterator[str]:
    """Each line of the texts of a YAML file."""
    waiting = [yaml.safe_load(path.read_text(encoding="utf-8"))]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            yield from one.splitlines()
        waiting += one.values() if isinstance(one, dict) else one if isinstance(one, list) else ()


def moves_on(runbook: str, given: dict[str, Any], ran: Result) -> None:
    """No line is this run again, and each names this run's world."""
    assert ran.error is None
    report = ran.names["run"].close()
    said = [*(f.next for f in report.findings if f.next), *report.next]
    here = runbook, {name: str(value) for name, value in given.items() if name != "world"}
    assert not [line for line in said if not is_whole(line)]
    same = [line for line in said if here in list(commands(line))]
    assert not [line for line in same if CHECK not in line], said
    assert not [line for line in said if "runbook run" in line and f"--world {given['world']}" not in line], said


@pytest.mark.parametrize(("world", "runbook"), rotating(sorted(shipped()), NAMES, step=4))
def test_no_next_step_is_the_command_that_was_just_run(tmp_path: Path, world: str, runbook: str) -> None:
    asked = [{}, CHANGING[runbook]] if CHANGING.get(runbook) else [{}]
    for given in ({"world": world, **more} for more in asked):
        moves_on(runbook, given, Place(tmp_path / "records", world).run(runbook, **given))


# How a backup is asked for where there is none → what its warning says to do; ID is the plan's. None: no warning.
BACKUPS: list[tuple[dict[str, Any], str | None]] = [
    ({}, "runbook apply ID"),
    ({"tables": "sf_accounts"}, "runbook apply ID"),
    ({"apply": True}, None),
    ({"tables": "sf_accounts", "apply": True}, "runbook run backup --env sandbox --world no_backup"),
]


@pytest.mark.parametrize(("given", "step"), BACKUPS)
def test_a_backup_says_what_it_proposes_or_leaves(tmp_path: Path, given: dict[str, Any], step: str | None) -> None:
    ran = Place(tmp_path / "records", "no_backup").run("backup", world="no_backup", **given)
    moves_on("backup", {"world": "no_backup", **given}, ran)
    warned = [f.next for f in ran.names["run"].close().findings if f.verdict is Verdict.warn]
    assert warned == ([] if step is None else [step.replace("ID", ran.id)])


def test_a_step_is_printed_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ran = Place(tmp_path / "records", "no_backup").run("backup")
    report = ran.names["run"].close()
    print_findings(report.findings.plain(), report.sentence, report.next)
    assert [line for line in capsys.readouterr().out.splitlines() if "Next: " in line] == [
        f"Next: runbook apply {ran.id}"
    ]


def test_a_backup_of_one_table_leaves_the_others_to_another_run(tmp_path: Path) -> None:
    place = Place(tmp_path / "records", "no_backup")
    for given in ({"tables": "sf_accounts", "apply": True}, {"tables": "sf_accounts"}):
        ran = place.run("backup", **given)
    assert ran.outcome.result == "nothing to do"
    [warned] = [f for f in ran.names["run"].close().findings if f.verdict is Verdict.warn]
    assert warned.next == "runbook run backup --env sandbox"
    assert ran.names["run"].close().next == ("see the findings that are not ok.",)


def test_a_signed_backup_is_to_be_approved_first(tmp_path: Path) -> None:
    ran = Place(tmp_path / "records", "no_backup").run("backup")
    run = ran.names["run"]
    run.outcome = replace(ran.outcome, next=("runbook approve ID", "runbook apply ID"))
    [warned] = [f for f in run.close().findings if f.verdict is Verdict.warn]
    assert warned.next == "runbook approve ID"


RUN = "runbook run {} --env sandbox"
RETIRE = f"{RUN.format('retire_secret')} -p secret=gmail-oauth-token -p version={{}}"
# A change that is applied → what is left to do, in this order.
LEFT: list[tuple[str, dict[str, Any], list[str]]] = [
    ("retry", {}, [f"check again: {RUN.format('daily_check')}"]),
    ("retry", {"incident": "INC-7"}, [f"check again: {RUN.format('p1_response')} -p incident=INC-7"]),
    ("restore", {"incident": "INC-7"}, [f"check again: {RUN.format('p1_response')} -p incident=INC-7"]),
    ("restore", {}, ["nothing to do until the next scheduled run."]),
    (
        "scheduler",
        {"jobs": "gmail-sync"},
        [f"gmail-sync does not run until it is resumed: {RUN.format('scheduler')} -p jobs=gmail-sync -p to=resume"],
    ),
    (
        "rotate_secret",
        {},
        [
            f"check again: {RUN.format('daily_check')}",
            "version 2 of gmail-oauth-token is still enabled; when all that read it have run without errors, "
            f"disable it: {RETIRE.format(2)}",
        ],
    ),
]


@pytest.mark.parametrize(("runbook", "given", "left"), LEFT)
def test_what_an_applied_change_leaves_to_do(
    tmp_path: Path, runbook: str, given: dict[str, Any], left: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(tmp_path / "records")
    monkeypatch.setattr(KERNEL, "told", Told(secret=b"the-new-value"))
    ran = place.applied(runbook, **given)
    assert list(ran.names["run"].close().next) == left


def test_an_older_version_that_stays_enabled_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place(tmp_path / "records")
    for one in place.app.sandbox.secrets.versions["gmail-oauth-token"]:
        one["state"] = "ENABLED"
    monkeypatch.setattr(KERNEL, "told", Told(secret=b"the-new-value"))
    place.applied("rotate_secret")
    ran = place.applied("retire_secret")
    assert ran.names["plan"].changes[-1].args.version == 2
    [left] = ran.names["run"].close().next
    assert left.endswith(RETIRE.format(1))


@pytest.mark.parametrize(
    ("world", "who"), [("p1_timeout", "Engineering lead"), ("p1_memory_limit", "On-call rotation")]
)
def test_whoever_is_to_be_called_is_among_the_contacts(tmp_path: Path, world: str, who: str) -> None:
    report = Place(tmp_path / "records", world).run("p1_response", world=world).names["run"].close()
    [call] = [step for step in report.next if step.startswith("call ")]
    assert call.startswith(f"call {who} (")
    assert who in report.answer[-1]
