"""Openings and reviews count only with a signature that holds, for this system and store, and for a time."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from runbook.approvals import signed
from runbook.approvals.signers import Signers, demo_folder, signers_of
from runbook.approvals.ssh import sign
from runbook.config.load import load_settings
from runbook.model.canonical import canonical
from runbook.model.errors import BadParameter, Refused
from tests.runbook.changes import Place

SYSTEM = load_settings("sandbox")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setenv("RUNBOOK_RECORDS", str(tmp_path / "records"))
    return Place(tmp_path / "records")


def signers() -> Signers:
    return signers_of(SYSTEM, "sandbox")


def open_after(place: Place, hours: float, incident: str = "INC-7") -> bool:
    return signed.is_open(place.store, signers(), incident, place.app.sandbox.now + timedelta(hours=hours))


def test_it_is_open_for_its_hours_and_for_one_incident(place: Place) -> None:
    assert not open_after(place, 0)
    place.open("INC-7", hours=4)
    assert open_after(place, 0)
    assert open_after(place, 3.99)
    assert not open_after(place, 4)
    assert not open_after(place, -0.5)  # signed by a clock that is ahead
    assert not open_after(place, 0, "INC-8")
    place.open("INC-a")
    assert open_after(place, 0, "INC-a")
    assert not open_after(place, 0, "INC-A")


def test_severity_unknown_opens_it_too(place: Place) -> None:
    place.open("INC-7", severity="unknown")
    assert open_after(place, 0)


@pytest.mark.parametrize("name", ["7", "inc-7", "INC-", "INC-../x", "INC-7 ", "INC-a/b"])
def test_names(place: Place, name: str) -> None:
    with pytest.raises(BadParameter, match="not an incident name"):
        open_after(place, 0, name)


def forged(place: Place, **changed: Any) -> None:
    """A note that blake really signs, with other values, put into the store past all rules."""
    now = place.app.sandbox.now
    values = signed.values_of(SYSTEM, "sandbox", "blake", "on-call", "everything is down", now)
    until = signed.utc_text(now + timedelta(hours=4))
    whole = {**values, "incident": "INC-7", "severity": "P1", "until": until, **changed}
    text = canonical(whole)
    content = {"statement": text.decode(), "signature": sign(text, demo_folder(SYSTEM) / "blake", "sandbox")}
    place.store.create(f"incidents/inc-7/{whole['nonce']}", canonical(content))


ATTACKS: dict[str, dict[str, Any]] = {
    "another store": {"store": "0" * 32},
    "another environment": {"environment": "production"},
    "another target": {"target": "google"},
    "another role": {"role": "security"},
    "a role that blake does not have": {"role": "manager"},
    "somebody else's name": {"person": "avery"},
    "longer than a day": {"until": "2027-01-01T00:00:00Z"},
    "an end before its begin": {"until": "2026-01-01T00:00:00Z"},
    "another incident": {"incident": "INC-8"},
    "no reason": {"reason": ""},
    "another severity": {"severity": "P3"},
    "hidden characters": {"reason": "\x1b[2Jfine"},
    "more than a note has": {"extra": 1},
}


def test_what_is_signed_as_it_should_be_counts(place: Place) -> None:
    signers()
    forged(place)
    assert open_after(place, 0)


@pytest.mark.parametrize("attack", ATTACKS)
def test_openings_that_do_not_count(place: Place, attack: str) -> None:
    signers()
    forged(place, **ATTACKS[attack])
    assert not open_after(place, 0)


def _other_text(content: dict[str, str]) -> bytes:
    return canonical(content | {"statement": content["statement"].replace("everything", "something ")})


SPOILED: dict[str, Callable[[dict[str, str]], bytes]] = {
    "a changed word": _other_text,
    "no signature": lambda content: canonical(content | {"signature": ""}),
    "no JSON": lambda _: b"\xff{",
    "a list": lambda _: b"[]",
    "nothing": lambda _: b"",
}


@pytest.mark.parametrize("how", SPOILED)
def test_a_damaged_note_is_ignored_and_hides_no_other(place: Place, how: str) -> None:
    note = place.open("INC-7")
    path = place.folder / "incidents" / "inc-7" / note.nonce
    content = json.loads(path.read_bytes())
    path.unlink()
    path.write_bytes(SPOILED[how](content))
    assert not open_after(place, 0)
    place.open("INC-7")
    assert open_after(place, 0)


def test_a_note_of_a_copied_store_does_not_count(place: Place) -> None:
    place.open("INC-7")
    shutil.copytree(place.folder, place.folder.with_name("copy"))
    shutil.rmtree(place.folder)
    place.folder.with_name("copy").rename(place.folder)
    assert not open_after(place, 0)


@pytest.fixture
def cli(place: Place) -> Callable[..., Any]:
    return place.cli


def test_it_is_listed_until_somebody_else_reviewed_it(place: Place, cli: Callable[..., Any]) -> None:
    assert cli("review").output == "Nothing awaits a review.\n"
    said = cli("open", "INC-7", "--severity", "P1", "--reason", "all is down", "--as", "blake", "--yes")
    assert said.exit_code == 0, said.output
    assert "this lists it: runbook review --env sandbox" in said.output
    word = cli("review").output.splitlines()[-1].split()[0]
    assert [w in cli("review").output for w in (word, "blake", "INC-7", "all is down")] == [True] * 4
    own = cli("review", word, "--role", "security", "--reason", "fine", "--as", "blake", "--yes")
    assert (own.exit_code, "somebody else must review it" in own.output) == (5, True)
    assert word in cli("review").output
    nameless = cli("review", word, "--as", "avery", "--yes")
    assert (nameless.exit_code, "must give a reason" in nameless.output) == (5, True)
    done = cli("review", word, "--reason", "it was one", "--as", "avery", "--yes")
    assert (done.exit_code, done.output.endswith("Reviewed by avery as team-lead.\n")) == (0, True)
    assert cli("review").output == "Nothing awaits a review.\n"


def test_what_is_ignored_is_named(place: Place, cli: Callable[..., Any]) -> None:
    place.open("INC-7")
    for name in ("incidents/inc-8/" + "0" * 32, "reviews/" + "0" * 32, "approvals/" + "0" * 64 + "/x.json"):
        (place.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (place.folder / name).write_bytes(b"{}")
    [opening] = (place.folder / "incidents" / "inc-7").iterdir()
    (place.folder / "reviews" / opening.name).write_bytes(opening.read_bytes())  # well signed, but no review
    said = cli("review").output
    assert said.count("Ignored: ") == 4
    assert all(f"Ignored: {name}" in said for name in ("incidents/inc-8/", f"reviews/{opening.name}", "approvals/"))
    assert "INC-7" in said


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("open", "INC-7", "--severity", "P2", "--reason", "x"), 2, "is not one of"),
        (("open", "inc 7", "--severity", "P1", "--reason", "x", "--yes"), 2, "not an incident name"),
        (("open", "INC-7", "--severity", "P1", "--reason", "x", "--as", "avery", "--yes"), 5, "does not have the role"),
        (("open", "INC-7", "--severity", "P1", "--reason", "x"), 5, "signing is not confirmed"),
        (
            ("open", "INC-7", "--severity", "P1", "--reason", "\x1b[2J", "--as", "blake", "--yes"),
            5,
            "one line of plain text",
        ),
        (("review", "0123", "--reason", "x", "--yes"), 2, "0 things that await a review begin with 0123"),
    ],
)
def test_what_cannot_be_signed_is_one_clear_message(
    cli: Callable[..., Any], words: tuple[str, ...], code: int, said: str
) -> None:
    done = cli(*words)
    assert (done.exit_code, said in done.output) == (code, True), done.output
    assert "Traceback" not in done.output


def test_a_review_of_oneself_put_into_the_store_does_not_count(place: Place) -> None:
    place.open("INC-7")
    now, [digest] = place.app.sandbox.now, signed.awaiting(place.store, signers(), [])
    values = signed.values_of(SYSTEM, "sandbox", "blake", "security", "fine", now) | {"of": digest}
    signed.put(signed.Review, values, place.store, signers(), demo_folder(SYSTEM) / "blake", now)
    assert list(signed.awaiting(place.store, signers(), [])) == [digest]


def retired(who: str, day: str) -> None:
    """The key of a person who left counts until a day; the roles stay, as the README of params/approvers says."""
    path = demo_folder(SYSTEM) / "allowed_signers"
    old = f'{who} namespaces="runbook-approval-sandbox"'
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, f'{old},valid-before="{day}Z"'))


def backdated(place: Place, who: str, role: str, at: datetime, folder: str, **more: Any) -> None:
    """A note that somebody signs with an earlier time, put into the store past all rules."""
    whole = signed.values_of(SYSTEM, "sandbox", who, role, "fine", at) | more
    text = canonical(whole)
    content = {"statement": text.decode(), "signature": sign(text, demo_folder(SYSTEM) / who, "sandbox")}
    place.store.create(f"{folder}/{whole['nonce']}", canonical(content))


@pytest.mark.parametrize(("minutes", "left"), [(-24 * 60, 1), (-6, 1), (-4, 0), (60, 0)])
def test_a_review_is_not_earlier_than_what_it_reviews(place: Place, minutes: float, left: int) -> None:
    """Else who left signs it with a time at which their key still counted. Clocks may differ by five minutes."""
    place.open("INC-7")
    [digest] = signed.awaiting(place.store, signers(), [])
    at = place.app.sandbox.now + timedelta(minutes=minutes)
    backdated(place, "avery", "team-lead", at, "reviews", of=digest)
    assert len(signed.awaiting(place.store, signers(), [])) == left


def test_a_review_in_a_sandbox_whose_clock_began_anew_counts(place: Place, cli: Callable[..., Any]) -> None:
    place.app.sandbox.now += timedelta(hours=2)
    place.open("INC-7")
    place.app.sandbox.now -= timedelta(hours=2)
    [digest] = signed.awaiting(place.store, signers(), [])
    assert cli("review", digest, "--reason", "it was one", "--as", "avery", "--yes").exit_code == 0
    assert cli("review").output == "Nothing awaits a review.\n"


def test_who_left_signs_no_review_and_no_acknowledgement_of_an_earlier_day(place: Place) -> None:
    place.open("INC-7")
    [digest] = signed.awaiting(place.store, signers(), [])
    now = place.app.sandbox.now
    more = {"check": "works now", "subject": "gmail-sync", "until": signed.utc_text(now + timedelta(days=9))}
    backdated(place, "avery", "team-lead", now - timedelta(days=18), "acks", **more)
    assert len(signed.acks(place.store, signers(), now, [])) == 1
    retired("avery", f"{now - timedelta(days=17):%Y%m%d}")
    backdated(place, "avery", "team-lead", now - timedelta(days=18), "reviews", of=digest)
    ignored: list[str] = []
    assert signed.acks(place.store, signers(), now, ignored) == []
    assert len(ignored) == 1
    assert [*signed.awaiting(place.store, signers(), [])] == [digest]


def test_what_could_not_be_read_back_is_not_signed(place: Place) -> None:
    now = place.app.sandbox.now
    values = signed.values_of(SYSTEM, "sandbox", "avery", "on-call", "fine", now) | {"store": "0" * 32}
    values |= {"incident": "INC-7", "severity": "P1", "until": signed.utc_text(now + timedelta(hours=1))}
    with pytest.raises(Refused, match="another record store"):
        signed.put(signed.Opening, values, place.store, signers(), demo_folder(SYSTEM) / "avery", now)
