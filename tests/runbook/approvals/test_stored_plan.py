"""A stored plan is found by its id, and shown whole before it is signed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runbook.approvals import stored_plan
from runbook.approvals.screen import screen
from runbook.approvals.stored_plan import find
from runbook.model.errors import NoRecord, Refused, UnknownName
from runbook.records.store import Store
from tests.runbook.changes import Place


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A place with two plans in its store, and their results by their runbooks' names."""
    place = Place(tmp_path_factory.mktemp("stored_plan") / "records")
    return place, {name: place.plan(name, reason="the why") for name in ("rollback", "rotate_secret")}


def test_a_plan_is_found_by_twelve_characters_or_all(planned: Any) -> None:
    place, results = planned
    plan = results["rollback"].outcome.plan
    with place.here():
        for given in (plan.id, plan.id + plan.whole_id[12:14], plan.whole_id):
            found = find(given)
            assert found.content == json.loads(json.dumps(plan.content))
            assert (found.content["runbook"], found.parameters["reason"]) == ("rollback", "the why")
        wrong = "0" if plan.whole_id[-1] != "0" else "1"
        for given in (plan.id[:11], plan.whole_id[:-1] + wrong, plan.id + "zz", plan.id.upper() + "/.."):
            with pytest.raises(UnknownName):
                find(given)


# What somebody put into the store of an environment that comes first in the alphabet, and what is said of it.
FIRST: dict[str, tuple[Callable[[Path, bytes], object], str]] = {
    "a copy": (lambda path, raw: path.write_bytes(raw), "is for another environment"),
    "a damaged file": (lambda path, _: path.write_bytes(b"{"), "is damaged"),
    "a link": (lambda path, _: path.symlink_to("/etc/hostname"), "is damaged"),
    "a folder that cannot be read": (lambda path, _: (path.parent.rmdir(), path.parent.symlink_to(path)), "cannot be"),
}


@pytest.mark.parametrize("what", FIRST)
def test_what_lies_in_the_store_of_another_environment_stops_nobody(
    planned: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    place, results = planned
    plan, (put, said), load = results["rollback"].id, FIRST[what], stored_plan.load_settings
    another = load("sandbox").model_copy(update={"environment": "acme-dev"})
    monkeypatch.setattr(stored_plan, "environments", lambda: ["acme-dev", "sandbox"])
    monkeypatch.setattr(stored_plan, "load_settings", lambda name: another if name == "acme-dev" else load(name))
    monkeypatch.setattr(
        stored_plan, "store_of", lambda system: place.store if system is not another else Store(tmp_path)
    )
    [name] = place.store.list(f"plans/{plan}")
    (tmp_path / name).parent.mkdir(parents=True)
    put(tmp_path / name, place.store.read(name) or b"")
    with place.here():
        found = find(plan)
        assert (found.system.environment, found.content["environment"]) == ("sandbox", "sandbox")
        [line] = found.stored.ignored
        assert said in line
        monkeypatch.setattr(stored_plan, "environments", lambda: ["acme-dev"])
        with pytest.raises((Refused, NoRecord), match=said):
            find(plan)


def test_a_plan_says_whether_it_needs_a_secret(planned: Any) -> None:
    place, results = planned
    with place.here():
        assert {n: find(r.id).needs_secret for n, r in results.items()} == {"rollback": False, "rotate_secret": True}


def test_what_is_shown_before_signing_is_all_that_is_signed(planned: Any) -> None:
    place, results = planned
    for name, result in results.items():
        with place.here():
            lines = screen(find(result.id)).splitlines()
        assert max(map(len, lines)) <= 80
        text, plan = " ".join(" ".join(lines).split()), result.outcome.plan
        assert plan.id in text
        assert result.folder.name in text
        for gate in plan.gates:  # a path longer than the screen is the only thing that is broken inside a word
            assert f"{gate.verdict.name} {gate.check}, {gate.subject}: {gate.value}" in text
        for change in plan.changes:
            for words in (change.action, change.resource, change.before, change.after, change.undo):
                assert words in text, (name, words)
        for key, value in plan.relies_on.items():
            assert f"{key}: {value}" in text
        for words in ("the why", plan.origin["project"], plan.origin["target"], plan.rule.risk, *plan.rule.signers):
            assert words in text


def test_a_role_that_the_plan_does_not_ask_for_cannot_sign(planned: Any) -> None:
    place, results = planned
    with place.here(), pytest.raises(Refused):
        find(results["rollback"].id).sign("security", "looks right", None, None, "now")


def test_the_sandboxs_people_sign_by_their_role(planned: Any) -> None:
    place, results = planned
    with place.here():
        found = find(results["rollback"].id)
        said = found.sign("team-lead", "looks right", None, None, "it cannot wait")
        assert said.approver in ("avery", "blake")
        assert (said.role, said.reason) == ("team-lead", "looks right")
        assert said.plan == results["rollback"].outcome.plan.whole_id


@pytest.mark.parametrize("given", ["", "0123456789a", "0123456789ab", "../../secrets", "0" * 64])
def test_a_plan_that_is_not_there(given: str) -> None:
    with pytest.raises(UnknownName, match="there is no plan"):
        find(given)


@pytest.mark.parametrize("damage", [b"{", b"[]", b'{"id": 1}', b"", b"\xff"])
def test_a_damaged_plan_file_is_refused_by_its_name(tmp_path: Path, damage: bytes, monkeypatch: Any) -> None:
    place = Place(tmp_path / "records")
    monkeypatch.setenv("RUNBOOK_RECORDS", str(place.records))
    first = place.plan("rollback")
    [path] = (place.folder / "plans" / first.id).iterdir()
    path.write_bytes(damage)
    with pytest.raises(Refused, match="is damaged") as error:
        find(first.id)
    assert str(path) in str(error.value)
