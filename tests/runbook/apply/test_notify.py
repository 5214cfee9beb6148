"""Messages: what apprise delivers and what it says when it cannot, and that no address is shown anywhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

import gcp_sandbox
from gcp_sandbox.serve import serve
from runbook.apply import notify
from runbook.apply.notify import deliver
from runbook.config.load import load_settings
from runbook.model.errors import Refused
from runbook.plans.base import message
from tests.runbook.changes import Next, Place, Result, Wire, failing

HOSTILE = yaml.safe_load((Path(__file__).parents[1] / "cases" / "hostile.yaml").read_text())
TOKEN = "T0KEN-of-a-hook"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A served sandbox: its inbox is a plain JSON webhook."""
    with serve(gcp_sandbox.app(load_settings("sandbox").inventory())) as served:
        yield served.url


@pytest.fixture
def inbox(url: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Lets on-call be reached there; a function that returns what arrived since."""
    hook = f"json{url.removeprefix('http')}/messages/on-call?+X-Token={TOKEN}"
    monkeypatch.setenv("RUNBOOK_NOTIFY_ON_CALL", hook)

    def arrived() -> list[dict[str, str]]:
        return requests.get(f"{url}/messages", timeout=5).json()["messages"][before:]

    before = 0
    before = len(arrived())
    return arrived


def test_a_message_arrives(inbox: Any) -> None:
    deliver("on-call", "INC-7, P1: “all” down", "line one\nline two")
    [found] = inbox()
    assert (found["to"], found["title"]) == ("on-call", "INC-7, P1: “all” down")
    assert found["message"].split() == ["line", "one", "line", "two"]


def test_the_printed_line_does_the_same(inbox: Any) -> None:
    line = message("on-call", "it's a title", "a $text with “quotes” and 'more'").line
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(line, shell=True, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert [(m["title"], m["message"].strip()) for m in inbox()] == [
        ("it's a title", "a $text with “quotes” and 'more'")
    ]


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("", "RUNBOOK_NOTIFY_ON_CALL is not set"),
        ("  ", "RUNBOOK_NOTIFY_ON_CALL is not set"),
        (f"nosuchservice://{TOKEN}", "an address that apprise does not support"),
        (f"json://127.0.0.1:9/{TOKEN}", "did not accept the message: JSON"),
        (f"{{inbox}} json://127.0.0.1:9/{TOKEN}", "did not accept the message: JSON"),
        (f"{{url}}/nowhere/{TOKEN}", "did not accept the message: JSON"),
    ],
)
def test_what_is_not_delivered_is_said_without_the_address(
    inbox: Any, url: str, monkeypatch: pytest.MonkeyPatch, capfd: Any, address: str, words: str
) -> None:
    here = address.format(inbox=os.environ["RUNBOOK_NOTIFY_ON_CALL"], url=f"json{url.removeprefix('http')}")
    monkeypatch.setenv("RUNBOOK_NOTIFY_ON_CALL", here)
    with pytest.raises(Refused) as refusal:
        deliver("on-call", "title", "text")
    said = str(refusal.value)
    assert "on-call was not notified" in said
    assert words in said
    assert TOKEN not in said + "".join(capfd.readouterr())


@pytest.mark.parametrize("service", HOSTILE["addresses"])
def test_no_word_of_a_log_is_markup_in_a_chat(monkeypatch: pytest.MonkeyPatch, service: str) -> None:
    """What each service gets, where it reads it: no mention, no link that says something else, no secret."""
    sent: list[str] = []

    def post(*_: Any, **given: Any) -> requests.Response:
        data = given.get("data") or given.get("json")
        sent.append(json.dumps(json.loads(data) if isinstance(data, str) else data, ensure_ascii=False))
        done = requests.Response()
        done.status_code, done._content = 200, b"ok"  # as Slack answers; the others look at the number
        return done

    for name in ("post", "request"):
        monkeypatch.setattr(requests, name, post)
    monkeypatch.setenv("RUNBOOK_NOTIFY_ON_CALL", HOSTILE["addresses"][service])
    deliver(
        "on-call", f"alert {' '.join(HOSTILE['markup'])}", f"one\n- {' '.join(HOSTILE['markup'])}\nann@acme.example"
    )
    [said] = sent
    assert [words for words, where in HOSTILE["markup"].items() if service in where and words in said] == []
    assert "ann@acme" in said


# --- In the sandbox, nobody is called: a plan's first change, and the page of a P1


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setattr(notify, "deliver", lambda *_: pytest.fail("somebody was called from a sandbox"))
    return Place(tmp_path / "records", world="no_etl")


def notified(place: Place) -> list[str]:
    return [message["to"] for message in place.app.sandbox.messages]


def page(place: Place, **given: Any) -> Result:
    ran = place.run("p1_response", **given)
    assert ran.error is None
    return ran


def test_the_page_goes_once_to_each_contact_of_an_incident(place: Place) -> None:
    page(place, incident="INC-7")
    assert notified(place) == []
    first = page(place, incident="INC-7", notify="on-call")
    assert notified(place) == ["on-call"]
    assert first.names["notice"].notes == ()
    sent = place.app.sandbox.messages[0]
    assert sent["title"] == "INC-7, P1: 13 of 13 functions do not work"
    assert all(cause.cause.replace("_", " ") in sent["message"] for cause in first.names["page"].causes)
    again = page(place, incident="INC-7", notify="on-call, team-lead")
    assert notified(place) == ["on-call", "team-lead"]
    assert [r.contact for r in again.names["seen"].notified.rows] == ["on-call"]
    page(place, incident="INC-7", notify="on-call,team-lead")
    assert notified(place) == ["on-call", "team-lead"]
    assert again.names["notice"].notes[0].startswith("on-call was notified at 20")
    page(place, incident="INC-8", notify="on-call")
    assert notified(place) == ["on-call", "team-lead", "on-call"]


def test_a_note_that_somebody_wrote_in_advance_is_called_what_it_is(place: Place) -> None:
    """Whoever may write into the store can say that on-call was notified: the page says when, and who may have."""
    place.store.create("notified/inc-7/on-call", b'{"contact": "on-call", "at": "2026-03-11T03:20:00+00:00"}')
    ran = page(place, incident="INC-7", notify="on-call")
    assert notified(place) == []
    said = "".join(ran.names["notice"]._repr_mimebundle_().values())
    for words in ("on-call was notified at 2026-03-10 22:20 CDT, says a note", "Whoever may write there can forge it"):
        assert words in said


def test_a_note_that_cannot_be_read_stops_the_message_and_not_the_page(place: Place) -> None:
    page(place, incident="INC-7", notify="on-call")
    [path] = (place.folder / "notified" / "inc-7").iterdir()
    for note in (b"", b"{", b"[]", b'{"contact": "on-call"}'):
        path.write_bytes(note)
        ran = page(place, incident="INC-7", notify="on-call, team-lead")
        assert notified(place) == ["on-call"], note
        [row] = [f for f in ran.names["run"].findings["notify"] if f.check == "change"]
        assert "no plan is possible for a message" in row.value, note
        assert ran.names["run"].outcome is None, note
        assert ran.names["page"].severity == "P1", note


def test_a_message_that_is_lost_is_a_warning_and_is_sent_again(place: Place) -> None:
    place.wire.fault = failing(lambda sent: sent.path.startswith("/messages/"), lost="before")
    ran = page(place, incident="INC-7", notify="on-call")
    [row] = [f for f in ran.names["run"].findings["notify"] if f.check == "change"]
    assert (row.verdict.name, row.next) == ("warn", "notify them yourself.")
    place.wire.fault = None
    page(place, incident="INC-7", notify="on-call")
    assert notified(place) == ["on-call"]


def test_a_change_goes_on_when_nobody_could_be_told(tmp_path: Path) -> None:
    place = Place(tmp_path / "records")
    first = place.plan("rollback")
    place.approve(first.id)
    place.wire.fault = failing(lambda sent: sent.path.startswith("/messages/"), lost="before")
    done = place.go("rollback", first.id)
    assert done.outcome.result == "applied"
    assert [fate for fate, _ in done.outcome.statuses] == ["unknown", "done"]
    assert [f.verdict.name for f in done.outcome.findings] == ["warn", "ok"]
    assert place.app.sandbox.messages == []


# --- Approvers are asked, contacts hear the end


def titles(place: Place) -> list[tuple[str, str]]:
    return [(message["to"], message["title"]) for message in place.app.sandbox.messages]


@pytest.mark.parametrize("given", [{"ask": True}, {"incident": "INC-7"}], ids=str)
def test_approvers_are_asked_once_with_the_command(tmp_path: Path, given: dict[str, Any]) -> None:
    place = Place(tmp_path / "records")
    first = place.plan("rotate_secret", reason="it is due", **given)
    asked = f"sandbox: please review secret, plan {first.id}"
    assert titles(place) == [("manager", asked), ("security", asked)]
    text = place.app.sandbox.messages[0]["message"]
    for words in ("add secret version, gmail-oauth-token: newest is version 2", "Reason: it is due", first.folder.name):
        assert words in text
    assert f'runbook approve {first.id} --role manager --reason "…"' in text
    assert "manager was asked by a message; security was asked by a message" in first.outcome.said
    again = place.plan("rotate_secret", reason="it is due", **given)
    assert (again.id, len(titles(place))) == (first.id, 2)
    assert "manager was asked before" in again.outcome.said


def test_nobody_is_asked_without_a_word(tmp_path: Path) -> None:
    place = Place(tmp_path / "records")
    first = place.plan("rotate_secret", reason="it is due")
    assert titles(place) == []
    assert place.plan("rotate_secret", reason="it is due", ask=True).id == first.id


def test_who_cannot_be_asked_stops_no_plan(tmp_path: Path) -> None:
    place = Place(tmp_path / "records")
    place.wire.fault = failing(lambda sent: sent.path.startswith("/messages/"), status=503)
    first = place.run("rotate_secret", ask=True)
    assert first.error is None
    assert first.outcome.result == "planned"
    assert "manager was not asked" in first.outcome.said


@pytest.mark.parametrize("fails", [False, True])
def test_who_heard_of_a_change_hears_how_it_ended(tmp_path: Path, fails: bool) -> None:
    place = Place(tmp_path / "records")
    first = place.plan("rollback", incident="INC-7")
    place.app.sandbox.messages.clear()  # the roles were asked to sign
    place.approve(first.id)
    if fails:
        place.wire.fault = failing(lambda sent: sent.method == "PATCH", status=403)
    done = place.go("rollback", first.id, incident="INC-7")
    assert done.outcome.result == ("failed" if fails else "applied")
    begin, end = place.app.sandbox.messages
    assert (begin["to"], end["to"], end["title"]) == ("team-lead", "team-lead", "sandbox: rollback ended")
    assert end["message"].splitlines()[1:] == [f"Plan {first.id}, incident INC-7"]
    assert end["message"].startswith("failed: change 2 of 2" if fails else "applied: 2 of 2 changes are done")


def test_who_heard_of_a_failure_hears_of_the_end(tmp_path: Path) -> None:
    place = Place(tmp_path / "records")
    first = place.plan("rollback")
    place.approve(first.id)
    place.wire.fault = failing(lambda sent: sent.method == "PATCH", status=403)
    assert place.go("rollback", first.id).outcome.result == "failed"
    place.wire.fault = None
    assert place.go("rollback", first.id).outcome.result == "applied"
    _begin, *ends = (message["message"].partition(":")[0] for message in place.app.sandbox.messages)
    assert ends == ["failed", "applied"]


def test_two_runs_that_notify_at_once_both_end_well(place: Place) -> None:
    """Another run notifies the same contact between our look and our message."""
    others: list[Result] = []

    def at_once(wire: Wire, number: int, sent: Any, go: Next) -> Any:
        if sent.path.startswith("/messages/") and not others:
            others.append(Result({}, None, ""))  # before it sends, too
            others[0] = page(place, incident="INC-7", notify="on-call")
        return go()

    place.wire.fault = at_once
    ours = page(place, incident="INC-7", notify="on-call")
    for ran in (ours, others[0]):
        [row] = [f for f in ran.names["run"].findings["notify"] if f.check == "change"]
        assert (row.subject, row.verdict.name) == ("on-call", "ok")
    place.wire.fault = None
    assert "notify" not in page(place, incident="INC-7", notify="on-call").names["run"].findings
