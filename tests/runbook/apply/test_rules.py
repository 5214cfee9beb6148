"""One attack for each rule that no other test would miss: without the rule it gets through.

Found by making each condition between a plan and a write, and each one on what the record store holds, never refuse.
"""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from runbook.apply import attempts
from runbook.apply.executor import Executor
from runbook.approvals import signed
from runbook.approvals.screen import screen
from runbook.approvals.signers import demo_folder, signers_of
from runbook.approvals.stored_plan import find
from runbook.cloud.client import Cloud
from runbook.cloud.guard import ReadOnlyGuard
from runbook.config.load import load_settings
from runbook.model.canonical import canonical, plan_id
from runbook.model.errors import Refused
from runbook.records import provenance
from runbook.records.files import json_of
from runbook.records.record import store_of
from tests.runbook.audit.made import made
from tests.runbook.changes import Place, Result, someone, things

SYSTEM = load_settings("sandbox")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setenv("RUNBOOK_RECORDS", str(tmp_path / "records"))
    return Place(tmp_path / "records")


def put(place: Place, plan: str, edit: Callable[[dict[str, Any]], Any], when: str = "20990101t000000") -> str:
    """A newer plan file that somebody wrote who can create files in the store; the id of its content."""
    [name] = place.store.list(f"plans/{plan}")
    file = json_of(place.store.read(name))
    edit(file)
    file["id"] = plan_id(file["content"])
    place.store.create(f"plans/{file['id'][:12]}/{when}-00000000.json", canonical(file))
    return file["id"][:12]


def unharmed(place: Place, before: dict[str, Any], ran: Result, said: str) -> None:
    assert ran.error is None, ran.error
    assert ran.outcome.result == "refused", (ran.outcome.result, ran.outcome.said)
    assert said in ran.outcome.said
    assert place.wire.writes == []
    assert things(place.app) == before


# --- damaged and foreign files stop nobody, and are said (T13)

JUNK = (b"", b"\xff", b"[]", b"[" * 15_000, b'{"statement":"{}","signature":""}')


def test_damaged_notes_and_approvals_hide_nothing_that_awaits_a_review(place: Place) -> None:
    for n, junk in enumerate(JUNK):
        place.store.create(f"incidents/inc-7/{n:032x}", junk)
        place.store.create(f"approvals/{'0' * 64}/{n:032x}.json", junk)
        place.store.create(f"reviews/{n:032x}", junk)
    place.open("INC-7")
    done = place.cli("review")
    assert (done.exit_code, done.output.count("INC-7")) == (0, 1), done.output


def test_what_several_people_signed_awaits_no_review(place: Place) -> None:
    place.applied("retry")
    assert signed.awaiting(place.store, signers_of(SYSTEM, "sandbox"), []) == {}


def test_what_one_person_signed_alone_awaits_a_review_once_it_was_used(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.runbook.changes.REQUESTER", "blake")
    place.open("INC-7")
    plan, people = place.plan("rollback", incident="INC-7").id, signers_of(SYSTEM, "sandbox")
    with place.here():
        find(plan).sign("on-call", "alone", "blake", None, "")
    assert [type(one) for one in signed.awaiting(place.store, people, []).values()] == [signed.Opening]
    assert place.go("rollback", plan, incident="INC-7").outcome.result == "applied"
    assert len(signed.awaiting(place.store, people, [])) == 2
    [nonce] = (place.folder / "nonces").iterdir()
    nonce.unlink()
    nonce.symlink_to("nothing")  # what lies there is no record, and hides nothing
    assert len(signed.awaiting(place.store, people, [])) == 2


def test_damaged_and_foreign_plans_are_not_listed_and_hide_no_other(place: Place) -> None:
    first = place.plan("scheduler", jobs="gmail-sync")
    there = {"environment": "production"}
    other = put(place, first.id, lambda f: f["content"].update(there, parameters=f["content"]["parameters"] | there))
    place.store.create("plans/000000000000/20260311t000000-00000000.json", b"{")
    place.store.create("plans/stray", b"x")
    place.approve(first.id)
    (place.folder / "plans" / "111111111111").mkdir()
    from runbook.approvals.stored_plan import waiting

    with place.here():
        assert [found.stored.file.id[:12] for found in waiting(SYSTEM, [])] == [first.id]
        with pytest.raises(Refused, match="is for another environment"):
            find(other)


def test_an_operation_that_params_do_not_know_is_not_signed(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    first = place.plan("rollback")
    less = SYSTEM.model_copy(update={"operations": {k: v for k, v in SYSTEM.operations.items() if k != "rollback"}})
    monkeypatch.setattr("runbook.approvals.stored_plan.environments", lambda: ["sandbox"])
    monkeypatch.setattr("runbook.approvals.stored_plan.load_settings", lambda _: less)
    done = place.cli("approve", first.id, "--role", "team-lead", "--reason", "x", "--yes")
    assert (done.exit_code, "operations.rollback is missing" in done.output) == (5, True), done.output


FILES: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "a requester who looks like another": (lambda f: f["terms"].update(requester="\u0430very"), "terms.requester"),
    "a record that hides a line": (lambda f: f.update(record="x\x1b[1A"), "record Value error, must be one line"),
    "a gate that hides a line": (
        lambda f: f["gates"][0].update(value="ok\x1b[1A"),
        "value Value error, must be one line",
    ),
    "a gate of many lines": (
        lambda f: f["gates"][0].update(subject="\n" * 99),
        "subject Value error, must be one line",
    ),
    "a gate that fills the screen": (lambda f: f["gates"][0].update(check="x" * 501), "at most 500 characters"),
    "a verdict of its own": (lambda f: f["gates"][0].update(verdict="fine"), "verdict Input should be"),
    "a target that there is not": (lambda f: f["content"].update(target="elsewhere"), "target Input should be"),
    "an approval for ever": (lambda f: f["terms"].update(valid_hours=1e6), "terms.valid_hours"),
    "an approval for no time": (lambda f: f["terms"].update(valid_hours=0.0), "terms.valid_hours"),
    "a parameter that is a list": (lambda f: f["content"]["parameters"].update(x=["y"]), "parameters.x"),
    "a key more": (lambda f: f["content"].update(notebook="/tmp/x.ipynb"), "notebook Extra inputs"),
    "a name that hides": (lambda f: f["content"]["relies_on"].update({"x\u202e": "y"}), "not printable"),
}


def test_a_plan_file_of_another_form_is_ignored_and_named(place: Place) -> None:
    first = place.plan("rollback")
    [name] = place.store.list(f"plans/{first.id}")
    good = place.store.read(name)
    for n, (edit, _) in enumerate(FILES.values()):
        file = json_of(good)
        edit(file)
        file["id"] = plan_id(file["content"])
        place.store.create(f"plans/{first.id}/20990101t0000{n:02}-00000000.json", canonical(file))
    with place.here():
        stored = find(first.id).stored
    assert stored.raw == good
    assert [
        case
        for case, (_, said), line in zip(FILES, FILES.values(), stored.ignored[::-1], strict=True)
        if said not in line
    ] == []


# --- what a store says was begun

SCHEDULER = {"jobs": "gmail-sync"}


def begun(place: Place, plan: str, *rows: dict[str, Any]) -> None:
    """The rows of an attempt that somebody wrote who can create files in the store."""
    for number, more in enumerate(rows, 1):
        row = {"time": "2026-03-11T13:30:00", "owner": "0" * 8, "who": "x", **more}
        place.store.create(f"applied/{plan}/20260311t133000000000-00000000/{number:04d}", json.dumps(row).encode())


def paused_meanwhile(place: Place) -> None:
    url = (
        f"https://cloudscheduler.googleapis.com/v1/projects/{SYSTEM.project}/locations/{SYSTEM.region}/jobs/gmail-sync"
    )
    someone(place.app, "POST", f"{url}:pause")


def test_an_attempt_that_was_abandoned_does_not_go_on(place: Place) -> None:
    first = place.plan("scheduler", **SCHEDULER)
    place.approve(first.id)
    begun(place, first.id, {"kind": "OPEN"}, {"kind": "INTENT", "number": 1}, {"kind": "CLOSE", "result": "abandoned"})
    paused_meanwhile(place)
    before = things(place.app)
    unharmed(place, before, place.go("scheduler", first.id, **SCHEDULER), "was approved as")


def test_the_notes_of_a_journal_name_nothing_else(place: Place) -> None:
    """A run counts from the time that its INTENT notes; every other note would be an argument from the store."""
    first = place.plan("retry")
    place.approve(first.id)
    notes = {"since": "2026-03-11T13:30:00+00:00", "once": "x", "job": "calendar-sync"}
    begun(place, first.id, {"kind": "OPEN"}, {"kind": "INTENT", "number": 1, "notes": notes}, *STOPPED)
    with place.here():
        changes = []
        look = Executor._resumed
        with pytest.MonkeyPatch.context() as watched:
            watched.setattr(Executor, "_resumed", lambda *a: changes.append(look(*a)) or changes[-1])
            place.go("retry", first.id)
    assert changes[0] == (replace(first.names["plan"].changes[0], notes={"since": notes["since"]}), False)


STOPPED = ({"kind": "CLOSE", "result": "stopped", "final": False},)


@pytest.mark.parametrize(("last", "waits"), [("OPEN", 0), ("INTENT", 1), ("WRITE", 1), ("TAKEOVER", 1)])
def test_who_takes_over_waits_for_what_may_be_on_the_way(
    place: Place, monkeypatch: pytest.MonkeyPatch, last: str, waits: int
) -> None:
    plan = place.run("scheduler", until="run.apply(", **SCHEDULER).names["plan"]
    begun(place, plan.id, {"kind": "OPEN"}, {"kind": last})
    lock = {"kind": "LOCK", "time": "2026-03-11T13:30:00", "owner": "0" * 8, "plan": plan.id}
    lock |= {"attempt": f"applied/{plan.id}/20260311t133000000000-00000000"}
    place.store.create("lock/000001", json.dumps(lock).encode())
    slept: list[float] = []
    monkeypatch.setattr(attempts.time, "sleep", slept.append)
    with attempts.begun(SimpleNamespace(folder=place.folder), place.store, plan, "0" * 8) as attempt:  # type: ignore[arg-type]
        assert attempts.last_row(place.store, attempt.place)["kind"] == "TAKEOVER"
    assert slept == [attempts.IN_FLIGHT_S + attempts.MARGIN_S] * waits


@pytest.mark.parametrize("gone", [1, 2], ids=["at the begin", "in the middle"])
def test_locks_that_are_missing_are_seen(place: Place, monkeypatch: pytest.MonkeyPatch, gone: int) -> None:
    """As after a tidying: also on a machine that has seen no lock of this store."""
    for number in (1, 2, 3):
        lock = {"kind": "LOCK", "time": "2026-03-11T13:30:00", "owner": "0" * 8, "plan": "0" * 12}
        lock |= {"attempt": f"applied/{'0' * 12}/{number}"}
        place.store.create(f"lock/{number:06d}", json.dumps(lock).encode())
        place.store.create(f"{lock['attempt']}/0001", json.dumps(lock | {"kind": "CLOSE"}).encode())
    first = place.plan("scheduler", **SCHEDULER)
    place.approve(first.id)
    (place.folder / "lock" / f"{gone:06d}").unlink()
    before = things(place.app)
    unharmed(place, before, place.go("scheduler", first.id, **SCHEDULER), "lost journals")


def test_a_plan_that_could_not_be_read_back_is_not_kept(place: Place) -> None:
    """A name from Google may hold an escape: nobody could sign this plan, and nobody must see it."""
    ran = place.run("rollback", until="run.apply(")
    with place.here():
        plan = replace(ran.names["plan"], relies_on={"serving revision": "fine\x1b[2K"})
        outcome = ran.names["run"].apply(plan)
    assert (outcome.result, "not printable" in outcome.said) == ("refused", True), outcome.said
    assert place.store.list("plans") == []


# --- what an approver sees, and signs


def test_the_page_of_an_incident_is_its_own_and_shows_no_escapes(place: Place) -> None:
    first = place.plan("rollback", incident="INC-7")
    report = {"verdict": "alert", "exit": 1, "sentence": "all is\x1b[2J\u202e well"}
    for n, incident in enumerate(("INC-7", "INC-8")):
        at = f"runs/2099010{n}T000000Z-p1_response-0000"
        place.store.create(f"{at}/record.json", canonical({"parameters": {"incident": incident}}))
        place.store.create(f"{at}/report.json", json.dumps(report).encode())
    with place.here():
        text = screen(find(first.id))
    assert "20990100T000000Z" in text
    assert "all is\\x1b[2J\\u202e well" in " ".join(text.split())
    assert "\x1b" not in text


def test_a_page_of_the_incident_that_verifies_is_shown_without_a_doubt(place: Place) -> None:
    first = place.plan("rollback", incident="INC-7")
    with place.here():
        name = made(datetime(2099, 1, 1, tzinfo=UTC), "p1_response", incident="INC-7")
        text = " ".join(screen(find(first.id)).split())
    assert name in text
    assert "do not rely on it" not in text


@pytest.mark.parametrize("who", ["\u0430very", "avery ", "avery\u202e", "x" * 101, "-x"])
def test_a_name_that_may_look_like_another_plans_nothing(
    place: Place, monkeypatch: pytest.MonkeyPatch, who: str
) -> None:
    monkeypatch.setattr("tests.runbook.changes.REQUESTER", who)
    ran = place.run("rollback")
    assert "cannot be the name of a requester or approver" in str(ran.error)
    assert place.store.list("plans") == []


def test_a_message_to_the_contacts_is_shown_whole(place: Place) -> None:
    first = place.plan("rotate_secret")
    messages = [c.args.message for c in first.names["plan"].changes if c.action == "notify"]
    with place.here():
        text = " ".join(screen(find(first.id)).split())
    assert messages
    assert all(" ".join(message.split()) in text for message in messages)


def test_a_plan_file_cannot_say_that_an_incident_is_open(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.runbook.changes.REQUESTER", "blake")
    first = place.plan("rollback", incident="INC-7")
    put(place, first.id, lambda f: f["terms"].update(incident="INC-7"))
    with place.here(), pytest.raises(Refused, match="INC-7 is not open here"):
        find(first.id).sign("on-call", "alone", "blake", None, "")


def test_a_review_of_oneself_under_another_name_does_not_count(place: Place) -> None:
    """avery's key is listed for blake's address: still the person who acted alone."""
    place.open("INC-7")
    folder = demo_folder(SYSTEM)
    for name in ("allowed_signers", "roles.yaml"):
        (folder / name).write_text((folder / name).read_text().replace("avery", "Blake@example.com"))
    signers, now = signers_of(SYSTEM, "sandbox"), place.app.sandbox.now
    [digest] = signed.awaiting(place.store, signers, [])
    values = signed.values_of(SYSTEM, "sandbox", "Blake@example.com", "manager", "fine", now) | {"of": digest}
    signed.put(signed.Review, values, place.store, signers, folder / "avery", now)
    assert list(signed.awaiting(place.store, signers, [])) == [digest]


@pytest.mark.parametrize("text", ["AAAAA", "", "U1NIU0lH"], ids=["no base64", "nothing", "only its head"])
def test_an_armor_without_a_signature_hides_no_good_approval(place: Place, text: str) -> None:
    first = place.plan("rollback")
    whole = first.names["plan"].whole_id
    with place.here():
        statement = {**find(first.id).sign("team-lead", "fine", None, None, "now").model_dump(by_alias=True)}
    statement |= {"nonce": "0" * 32}
    bad = f"-----BEGIN SSH SIGNATURE-----\n{text}\n-----END SSH SIGNATURE-----\n"
    approval = canonical({"statement": canonical(statement).decode(), "signature": bad})
    place.store.create(f"approvals/{whole}/{'0' * 32}.json", approval)
    with place.here():
        roles, why = find(first.id).signed
    assert (roles, why) == (["team-lead"], ["there is no SSH signature of an accepted kind"])


# --- the real system


def test_a_rehearsal_of_production_lies_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With MOCK_MODE=1 for production: an incident opened in it is none of production's."""
    monkeypatch.setenv("RUNBOOK_RECORDS", str(tmp_path))
    system = SYSTEM.model_copy(update={"environment": "production"})
    real = store_of(system)
    monkeypatch.setenv("MOCK_MODE", "1")
    store_of(system).create("incidents/inc-7/x", b"x")
    assert real.list("incidents") == []
    assert (tmp_path / "rehearsal/production/incidents/inc-7/x").exists()


class Real(Cloud):
    """The sandbox, taken for Google: also its writes stay here."""

    @cached_property
    def guard(self) -> Any:
        return ReadOnlyGuard(self.transport, self.settings.feeds.values())


@pytest.fixture
def google(place: Place, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A place whose cloud is taken for Google, on a machine whose code is no commit."""

    def real(system: Any, _target: str, wire: Any, world: str) -> Cloud:
        return Real(system, "google", wire, world=world)

    monkeypatch.setattr("tests.runbook.changes.Cloud", real)
    monkeypatch.setattr(provenance, "code", lambda: provenance.State("unknown", "0", ()))
    return place


def test_code_that_is_no_commit_changes_nothing_on_google(google: Place) -> None:
    before = things(google.app)
    ran = google.run("backup", tables="sf_accounts", apply=True)
    unharmed(google, before, ran, "the code on this machine are not a commit")


@pytest.mark.parametrize("what", ["code", "params"])
def test_a_plan_for_google_is_of_one_code_and_params(google: Place, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    ids = []
    for digest in ("0" * 40, "1" * 40, "1" * 40):
        found = provenance.State(digest, digest, ())
        monkeypatch.setattr(
            f"runbook.session.run.{'code' if what == 'code' else 'state'}", lambda *_, found=found: found
        )
        ids.append(google.run("rollback").id)
    assert ids[0] != ids[1] == ids[2]


def test_code_that_is_no_commit_signs_nothing_for_google(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    first = place.plan("rollback")
    monkeypatch.setattr(provenance, "code", lambda: provenance.State("unknown", "0", ()))
    with place.here():
        found = find(first.id)
        found.content["target"] = "google"
        with pytest.raises(Refused, match="the code on this machine are not a commit"):
            found.sign("team-lead", "fine", None, None, "")


# --- clocks (T16), and who may read (T14)


class Ahead(datetime):
    """The clock of a machine that is three days ahead."""

    @classmethod
    def now(cls, tz: Any = None) -> datetime:
        return datetime.now(tz) + timedelta(days=3)


def test_the_plan_file_of_a_machine_that_is_days_ahead_is_soon_not_the_newest(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as there:
        there.setattr("runbook.apply.apply.datetime", Ahead)
        first = place.plan("rollback")
    place.app.sandbox.now += timedelta(minutes=1)
    monkeypatch.setattr("tests.runbook.changes.REQUESTER", "dana")
    assert place.plan("rollback").id == first.id
    with place.here():
        assert find(first.id).stored.file.terms.requester == "dana"


def test_only_its_owner_may_read_a_run(place: Place) -> None:
    folder = place.plan("rollback").folder
    assert [stat.S_IMODE(at.stat().st_mode) for at in (folder, place.folder / "plans")] == [0o700] * 2
