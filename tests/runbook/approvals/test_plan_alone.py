"""A plan file that somebody sent is signed without params and without the record store; `accept` and `apply` judge it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from runbook.cli.main import main
from runbook.model.canonical import plan_id
from runbook.model.errors import Refused
from tests.runbook.changes import REQUESTER, Place

Edit = Callable[[dict[str, Any]], Any]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "records")


@pytest.fixture
def planned(place: Place) -> Any:
    return place.plan("rollback", reason="why")


def key_of(place: Place, person: str) -> Path:
    return place.records / "rehearsal" / "approvers" / person


def sign(place: Place, planned: Any, there: Path, *words: str, edit: Edit = lambda file: None) -> Any:
    """What `approve` says of the plan's file on another machine, which has no params and another record store."""
    there.mkdir()
    file = json.loads((planned.folder / "plan.json").read_bytes())
    edit(file)
    (there / "plan.json").write_text(json.dumps(file))
    env = {"RUNBOOK_PARAMS": str(there / "none"), "RUNBOOK_RECORDS": str(there / "records"), "RUNBOOK_PERSON": ""}
    line = ("approve", str(there / "plan.json"), "--reason", "fine", "--yes", *words)
    return CliRunner(env=env).invoke(main, line)


def signed(place: Place, planned: Any, there: Path, *words: str, edit: Edit = lambda file: None) -> Path:
    done = sign(place, planned, there, *words, edit=edit)
    assert done.exit_code == 0, done.output
    [path] = there.glob("approvals/*/*.json")
    assert str(path) in done.output
    return path


def by(place: Place, who: str = "avery", role: str = "team-lead", key: Path | None = None) -> tuple[str, ...]:
    return ("--as", who, "--role", role, "--key", str(key or key_of(place, who)))


def test_it_is_signed_elsewhere_accepted_and_applied(place: Place, planned: Any, tmp_path: Path) -> None:
    place.open("INC-1")  # makes the demo people and their keys
    done = sign(place, planned, tmp_path / "there", *by(place), "--override", "it cannot wait")
    assert "What would change" in done.output
    assert "why" in done.output
    assert not (tmp_path / "there" / "records").exists()
    [path] = (tmp_path / "there").glob("approvals/*/*.json")
    assert place.go("rollback", planned.id, reason="why").outcome.result == "refused"  # it is not in the store yet
    accepted = place.cli("accept", str(path))
    assert (accepted.exit_code, f"runbook apply {planned.id}" in accepted.output) == (0, True), accepted.output
    assert place.cli("accept", str(path)).exit_code == 0  # twice is once
    assert place.go("rollback", planned.id, reason="why").outcome.result == "applied"


def _terms(**values: Any) -> Edit:
    return lambda file: file["terms"].update(values)


def _other_store(file: dict[str, Any]) -> None:
    file["store"] = "0" * 32


def _worse(file: dict[str, Any]) -> None:
    file["content"]["changes"][0]["args"]["after"] = {"gmail-sync-00001-aaa": 100}


NOT_ACCEPTED = {
    "another store": (_other_store, "was given for another record store"),
    "other terms": (_terms(valid_hours=999), "an approval is valid for 4 hours"),
    "less risk": (_terms(risk="low"), "approved it as low risk"),
    "nobody signs": (_terms(signers=["security"]), "security cannot approve this"),
    "somebody else asked": (_terms(requester="drew"), "approved it for drew to apply"),
}


@pytest.mark.parametrize("name", NOT_ACCEPTED)
def test_a_file_that_was_edited_is_signed_for_nothing(place: Place, planned: Any, tmp_path: Path, name: str) -> None:
    place.open("INC-1")
    edit, why = NOT_ACCEPTED[name]
    role = "security" if name == "nobody signs" else "team-lead"
    who = "blake" if role == "security" else "avery"
    path = signed(place, planned, tmp_path / "there", *by(place, who, role), edit=edit)
    done = place.cli("accept", str(path))
    assert (done.exit_code, why in " ".join(done.output.split())) == (5, True), done.output
    assert place.store.list("approvals") == []


def test_whose_key_is_in_no_params_is_not_accepted(place: Place, planned: Any, tmp_path: Path) -> None:
    place.open("INC-1")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "own"], check=True)
    path = signed(place, planned, tmp_path / "there", *by(place, key=tmp_path / "own"))
    assert place.cli("accept", str(path)).exit_code == 5
    for who, role in (
        ("blake", "team-lead"),
        ("drew", "team-lead"),
    ):  # with the right key, in a role or name that is not theirs
        path = signed(place, planned, tmp_path / who, *by(place, who, role, key_of(place, "blake")))
        assert place.cli("accept", str(path)).exit_code == 5
    assert place.store.list("approvals") == []


def test_an_approval_that_has_expired_is_not_accepted(place: Place, planned: Any, tmp_path: Path) -> None:
    place.open("INC-1")
    path = signed(place, planned, tmp_path / "there", *by(place))
    place.app.sandbox.now += timedelta(hours=30)
    done = place.cli("accept", str(path))
    assert (done.exit_code, "expired" in done.output) == (5, True), done.output


@pytest.mark.parametrize(
    ("words", "edit", "why"),
    [
        (("--as", REQUESTER, "--role", "on-call"), lambda file: None, "only with the record store"),
        (
            ("--as", "avery", "--role", "team-lead"),
            lambda file: file.pop("store"),
            "does not say for which record store",
        ),
        (("--as", "avery", "--role", "team-lead"), _worse, "its id does not match"),
        (("--as", "avery", "--role", "manager"), lambda file: None, "manager cannot approve this"),
    ],
    ids=["own request", "no store", "edited", "another role"],
)
def test_what_is_not_signed_at_all(
    place: Place, planned: Any, tmp_path: Path, words: tuple[str, ...], edit: Edit, why: str
) -> None:
    place.open("INC-1")
    done = sign(place, planned, tmp_path / "there", *words, "--key", str(key_of(place, "avery")), edit=edit)
    assert (done.exit_code, why in " ".join(done.output.split())) == (5, True), done.output
    assert not list((tmp_path / "there").glob("approvals/*/*"))


@pytest.mark.parametrize("command", ["approve", "accept"])
@pytest.mark.parametrize("content", [None, b"", b"{}", b"\xff", b"[" * 100_000, b"x" * 2**21])
def test_a_file_of_another_kind(place: Place, tmp_path: Path, command: str, content: bytes | None) -> None:
    path = tmp_path / "some.json"
    if content is not None:
        path.write_bytes(content)
    more = ("--role", "team-lead", "--reason", "x", "--yes") if command == "approve" else ()
    done = place.cli(command, str(path), *more)
    assert done.exit_code in (2, 5), done.output
    assert done.output.count("\n") < 6
    assert "Traceback" not in done.output


def test_for_google_the_code_that_shows_it_must_be_a_commit(
    place: Place, planned: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def for_google(file: dict[str, Any]) -> None:
        file["content"]["target"] = "google"
        file["id"] = plan_id(file["content"])
        file["terms"]["not_before"] = "2999-01-01T00:00:00Z"

    asked = []

    def refuse(with_params: bool = True) -> None:
        asked.append(with_params)
        raise Refused("the code is not a clean commit")

    place.open("INC-1")
    monkeypatch.setattr("runbook.approvals.stored_plan.require_committed", refuse)
    done = sign(place, planned, tmp_path / "there", *by(place), edit=for_google)
    assert (done.exit_code, "not a clean commit" in done.output, asked) == (5, True, [False]), done.output
    assert not list((tmp_path / "there").glob("approvals/*/*"))
