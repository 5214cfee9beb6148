"""What `runbook approve` refuses before it shows a plan, and what it says after it signed one."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from unittest.mock import patch

import pytest

from runbook.approvals.stored_plan import find
from tests.runbook.changes import Place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "records")


REFUSED = {
    "a role that does not sign it": ("--role manager --as avery", "manager does not sign this plan", "team-lead"),
    "a role that is written wrong": ("--role team-leed --as avery", "team-leed does not sign this plan", "team-lead?"),
    "a person who is not known": ("--role team-lead --as averi", "averi is not an approver", "did you mean avery?"),
    "a person without the role": ("--role team-lead --as blake", "blake does not have the role team-lead", "avery"),
    "no reason": ("--role team-lead --reason=", "--reason is empty", "write why, in words"),
    "a reason without a word": ("--role team-lead --reason …", "says nothing", "write why, in words"),
    "an override without a word": ("--role team-lead --override …", "says nothing", "write why, in words"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_signed_is_refused_before_the_plan_is_shown(place: Place, case: str) -> None:
    plan = place.plan("rollback").id
    words, what, hint = REFUSED[case]
    reason = () if "--reason" in words else ("--reason", "agreed")
    said = place.cli("approve", plan, *words.split(), *reason, "--yes")
    assert said.exit_code in (2, 5)
    assert what in said.output
    assert hint in said.output
    assert "What would change" not in said.output
    assert 'review the plan with "runbook approve"' not in said.output
    assert place.store.list("approvals") == []


@pytest.mark.parametrize("who", ["avery", "blake"])
def test_of_ones_own_request_only_who_is_on_call_hears_of_a_p1(place: Place, who: str) -> None:
    with patch("tests.runbook.changes.REQUESTER", who):
        plan = place.plan("rollback").id
        role = "team-lead" if who == "avery" else "on-call"
        said = place.cli("approve", plan, "--role", role, "--as", who, "--reason", "agreed", "--yes").output
    assert f"{who} requested it" in said
    assert ("only during an open P1 incident" in said) == (who == "blake")
    assert "What would change" not in said


def last(said: str) -> str:
    return said.strip().splitlines()[-1]


def test_who_must_still_sign_is_said_and_then_how_to_apply(place: Place) -> None:
    plan = place.plan("rotate_secret").id
    sign = ("--reason", "due", "--yes", "--override", "quiet now")
    first = place.cli("approve", plan, "--role", "manager", "--as", "avery", *sign)
    assert last(first.output) == (
        f'Next: somebody who is security must sign, too: runbook approve {plan} --role security --reason "…"'
    )
    second = place.cli("approve", plan, "--role", "security", "--as", "blake", *sign)
    assert last(second.output) == f"Next: casey applies it: runbook apply {plan}"


def test_after_a_signature_for_later_the_time_is_said(place: Place) -> None:
    plan = place.plan("deploy", memory="1Gi", function="calendar-sync").id
    said = place.cli("approve", plan, "--role", "team-lead", "--as", "avery", "--reason", "agreed", "--yes").output
    with place.here():
        found = find(plan)
        begins = found.opening.astimezone(found.system.zone)
        assert found.opening > found.now + timedelta(minutes=1)
    assert last(said) == f"Next: casey applies it, from {begins:%a %Y-%m-%d %H:%M %Z} on: runbook apply {plan}"


def test_who_signed_alone_needs_nobody_else(place: Place) -> None:
    place.open("INC-7")
    with patch("tests.runbook.changes.REQUESTER", "blake"):
        plan = place.plan("rollback", incident="INC-7").id
        said = place.cli("approve", plan, "--role", "on-call", "--as", "blake", "--reason", "agreed", "--yes").output
    assert last(said) == f"Next: blake applies it: runbook apply {plan}"
