"""What `apply` refuses and what it does, in its order: each rule is broken once, and nothing may be written then."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Lock
from typing import Any
from unittest.mock import patch

import pytest
import requests

import gcp_sandbox
from gcp_sandbox.faults import Faults
from gcp_sandbox.serve import serve
from gcp_sandbox.world.schema import Fault, shipped
from runbook.apply.attempts import Attempt, attempts
from runbook.approvals.stored_plan import find
from runbook.cli.output import ask_secret
from runbook.cloud.client import Cloud
from runbook.cloud.guard import ReadOnlyGuard
from runbook.cloud.transports import network
from runbook.config.load import RUNBOOKS, load_settings
from runbook.context import KERNEL, Told
from runbook.facts.checkout import source_code
from runbook.model.errors import NoRecord, RequestBlocked
from runbook.records.journal import Journal, rows_in
from tests.runbook.changes import (
    CHANGING,
    LOOKED_AT_ONCE,
    REQUESTER,
    Died,
    Next,
    Place,
    Result,
    Sent,
    Wire,
    error_of,
    failing,
    runs_of,
    side,
    someone,
    things,
)
from tests.slices import every, first, rotating, selected

ROOT = Path(__file__).parents[3]
SIGNED = [name for name in CHANGING if name != "backup"]
GOOGLE = "https://{}.googleapis.com"
HERE = "projects/acme-sales-sandbox/locations/us-central1"
SERVICE = f"{GOOGLE.format('run')}/v2/{HERE}/services/gmail-sync"
FUNCTION = f"{GOOGLE.format('cloudfunctions')}/v2/{HERE}/functions/gmail-sync"
TOKEN = f"{GOOGLE.format('secretmanager')}/v1/projects/acme-sales-sandbox/secrets/gmail-oauth-token"
JOB = f"{GOOGLE.format('cloudscheduler')}/v1/{HERE}/jobs/gmail-sync"
BIGQUERY = f"{GOOGLE.format('bigquery')}/bigquery/v2/projects/acme-sales-sandbox"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The source is looked at once: its own tests take a second."""
    for name, look in LOOKED_AT_ONCE.items():
        monkeypatch.setattr(source_code, name, look)
    monkeypatch.setenv("RUNBOOK_SECRET_ENV", "NEW_VALUE")
    monkeypatch.setenv("NEW_VALUE", "a new value")


@pytest.fixture
def place(tmp_path: Path) -> Callable[..., Place]:
    """A function `place(runbook)` → a place in a world where that runbook plans something."""
    return lambda name="", world="": Place(
        tmp_path / "records", world or {"retire_secret": "old_secret"}.get(name, "healthy")
    )


def refused(place: Place, result: Result, *words: str) -> None:
    """It was refused for this reason, and nothing was written."""
    assert result.error is None, error_of(result)
    assert result.outcome.result == "refused", (result.outcome.result, result.outcome.said)
    for word in words:
        assert word in result.outcome.said
    assert result.outcome.next
    assert result.names["run"].outcome is result.outcome
    assert place.wire.writes == []


# --- Planning


@pytest.mark.parametrize("world", every(30, shipped()))
def test_planning_writes_nothing(place: Callable[..., Place], world: str) -> None:
    here = place(world=world)
    before = things(here.app)
    for name in sorted(path.stem for path in RUNBOOKS.glob("*.ipynb")):
        planned = here.run(name, show=True)
        assert planned.error is None, f"{name}: {error_of(planned)}"
        assert ("outcome" in planned.names) == (name in CHANGING)
        if name in CHANGING:
            assert planned.outcome.result in ("planned", "refused", "nothing to do")
    assert here.wire.writes == []
    assert things(here.app) == before


@pytest.mark.parametrize("name", CHANGING)
def test_a_wrong_id_writes_nothing(place: Callable[..., Place], name: str) -> None:
    here = place(name)
    before = things(here.app)
    refused(here, here.run(name, **CHANGING[name], approved_plan="0" * 12), "there is no plan 000000000000")
    assert things(here.app) == before


# --- What an id stands for


def _routed(place: Place) -> None:
    older = place.app.sandbox.services.revisions["gmail-sync"][1]["name"].rsplit("/", 1)[1]
    to = {"type": "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION", "revision": older, "percent": 100}
    someone(place.app, "PATCH", f"{SERVICE}?updateMask=traffic", {"traffic": [to]})
    for _ in range(3):
        someone(place.app, "GET", SERVICE)


def _more_memory(place: Place) -> None:
    body = {"serviceConfig": {"availableMemory": "2Gi"}}
    someone(place.app, "PATCH", f"{FUNCTION}?updateMask=serviceConfig.availableMemory", body)
    for _ in range(3):
        someone(place.app, "GET", FUNCTION)


def _column(place: Place) -> None:
    sql = "ALTER TABLE sales_intelligence.sf_accounts ADD COLUMN other STRING"
    job = {"configuration": {"query": {"query": sql, "useLegacySql": False}}}
    assert "errorResult" not in someone(place.app, "POST", f"{BIGQUERY}/jobs", job)["status"]


DRIFT: dict[str, tuple[str, Callable[[Place], Any], str]] = {
    "traffic was routed": ("deploy", _routed, "relies_on, serving revision: gmail-sync-"),
    "memory was changed": ("deploy", _more_memory, "changes 2, before: "),
    "a version was added": (
        "rotate_secret",
        lambda p: someone(p.app, "POST", f"{TOKEN}:addVersion", {"payload": {"data": "eA=="}}),
        "relies_on, version 3: None → ENABLED",
    ),
    "a version was disabled": (
        "retire_secret",
        lambda p: someone(p.app, "POST", f"{TOKEN}/versions/1:disable", {}),
        "relies_on, version 1: ENABLED → DISABLED",
    ),
    "a job was paused": (
        "scheduler",
        lambda p: someone(p.app, "POST", f"{JOB}:pause"),
        "relies_on, gmail-sync: ENABLED → PAUSED",
    ),
    "a column was added": ("schema_change", _column, "relies_on, columns: "),
    "it failed since": ("retry", _routed, "relies_on, serving revision: "),
}


@pytest.mark.parametrize("case", every(3, DRIFT))
def test_who_moved_what_is_named(place: Callable[..., Place], case: str) -> None:
    name, move, words = DRIFT[case]
    here = place(name)
    first = here.plan(name, **CHANGING[name])
    here.approve(first.id)
    move(here)
    before = things(here.app)
    again = here.go(name, first.id, **CHANGING[name])
    refused(here, again, f"was approved as {first.id}; the plan is now {again.id}", f"changed: {words}")
    assert again.id != first.id
    assert things(here.app) == before


def test_other_parameters_are_another_plan(place: Callable[..., Place]) -> None:
    here = place()
    first = here.plan("deploy", memory="1Gi")
    here.approve(first.id)
    refused(here, here.go("deploy", first.id, memory="2Gi"), "parameters, memory: 1Gi → 2Gi")
    refused(here, here.go("deploy", first.id, memory="1Gi", reason="why not"), "reason:  → why not")


def test_more_memory_keeps_the_code(place: Callable[..., Place]) -> None:
    first = place().plan("deploy", memory="1Gi", reason="it needs more")
    (update,) = (c for c in first.outcome.plan.changes if c.action == "update function")
    assert update.args.after == {"memory": "1Gi"}
    assert [f.value for f in first.names["gates"] if f.check == "source"] == ["not changed: nothing to test"]


def test_other_code_is_another_plan(place: Callable[..., Place], monkeypatch: pytest.MonkeyPatch) -> None:
    here = place()
    first = here.plan("deploy", source="sample")
    here.approve(first.id)
    found = source_code.inspect_source
    monkeypatch.setattr(source_code, "inspect_source", lambda folder: replace(found(folder), digest="f" * 40))
    refused(here, here.go("deploy", first.id, source="sample"), "after: source ")


@pytest.mark.parametrize("how", ["applied", "compared"])
def test_tests_of_other_code_than_the_approved_do_not_run(
    place: Callable[..., Place], monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Who asked for a signature can commit other code later, and others would run it as themselves."""
    here, ran = place(), list[str]()
    monkeypatch.setattr(source_code, "run_tests", lambda folder: (ran.append("x") is None, "3 passed"))
    first = here.plan("deploy", source="sample")
    here.approve(first.id)

    def again() -> Any:
        ran.clear()
        if how == "applied":
            return here.go("deploy", first.id, source="sample").outcome
        with monkeypatch.context() as told:
            told.setattr(KERNEL, "told", Told(compare=first.id))
            return here.run("deploy", source="sample").outcome

    with monkeypatch.context() as other:
        found = source_code.inspect_source
        other.setattr(source_code, "inspect_source", lambda folder: replace(found(folder), digest="f" * 40))
        done = again()
    assert (done.result, "after: source " in done.said, ran) == ("refused", True, [])
    assert (again().result, ran) == ("applied" if how == "applied" else "planned", ["x"])


def test_an_id_that_is_none(place: Callable[..., Place]) -> None:
    here = place()
    refused(here, here.go("rollback", "123456789abc"), "there is no plan 123456789abc")


def test_the_plan_of_another_runbook(place: Callable[..., Place]) -> None:
    here = place()
    unsigned = here.plan("backup")
    refused(here, here.go("rollback", unsigned.id), "changed: operation: snapshot → rollback")


# --- Gates


@pytest.mark.parametrize(
    ("denied", "words"),
    [
        ("bigquery.jobs.create", "(unknown)"),
        ("cloudfunctions.functions.update", "lacks cloudfunctions.functions.update (alert)"),
    ],
)
def test_what_is_not_safe_is_refused(place: Callable[..., Place], denied: str, words: str) -> None:
    here = place()
    first = here.plan("deploy", memory="1Gi")
    here.approve(first.id)
    here.app.sandbox.iam.denied.add(denied)
    refused(here, here.go("deploy", first.id, memory="1Gi"), "it is not safe to start", words)


@pytest.mark.parametrize("which", [1, 3])  # of the requests that tell the time: at the start, and before the writes
def test_nothing_is_written_without_the_clouds_clock(place: Callable[..., Place], which: int) -> None:
    here, asked = place(), []

    def lost(wire: Wire, number: int, sent: Sent, go: Next) -> requests.Response:
        if sent.path.endswith(":testIamPermissions"):
            asked.append(sent)
            if len(asked) == which:
                raise requests.ConnectionError
        return go()

    here.wire.fault = lost
    refused(here, here.go("backup", "", tables="sf_accounts"), "the cloud's clock could not be read")


# --- Approvals


@pytest.mark.parametrize("name", SIGNED)
def test_what_nobody_signed_is_not_applied(place: Callable[..., Place], name: str) -> None:
    here = place(name)
    first = here.plan(name, **CHANGING[name])
    refused(here, here.go(name, first.id, **CHANGING[name]), "is not approved", "not yet approved as")


def test_one_of_two_signatures_is_not_enough(place: Callable[..., Place]) -> None:
    here = place()
    first = here.plan("rotate_secret")
    with here.here():
        from runbook.approvals.stored_plan import find

        find(first.id).sign("manager", "looks right", None, None, "it cannot wait")
    refused(here, here.go("rotate_secret", first.id), "not yet approved as security")


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ("sf_accounts", "the change is done and verified"),
        ("sf_accounts,gmail_messages", "2 of 2 changes are done and verified"),
    ],
)
def test_what_is_done_is_said_in_a_sentence(place: Callable[..., Place], tables: str, said: str) -> None:
    assert place().run("backup", tables=tables, apply=True).outcome.said == said


def test_low_risk_needs_a_word_only(place: Callable[..., Place]) -> None:
    here = place()
    assert here.run("backup").outcome.result == "planned"
    done = here.run("backup", apply=True)
    assert done.outcome.result == "applied", done.outcome.said
    assert here.run("backup", apply=True).outcome.result == "nothing to do"


def test_a_plan_that_never_was_is_none_of_those_that_were_applied(place: Callable[..., Place]) -> None:
    here = place()
    (here.folder / "applied" / "1f68b9ae6fdb").mkdir(parents=True)
    refused(here, here.go("rollback", "0" * 12), "there is no plan 000000000000")


@pytest.mark.parametrize("name", SIGNED)
def test_a_word_is_not_enough_for_the_others(place: Callable[..., Place], name: str) -> None:
    here = place(name)
    ran = here.run(name, until="run.apply", **CHANGING[name])
    run = ran.names["run"]
    run.request = replace(run.request, values={**run.request.values, "apply": True})
    with here.here():
        outcome = run.apply(ran.names["plan"])
    assert outcome.result == "planned"
    assert here.wire.writes == []


@pytest.mark.parametrize("name", every(3, SIGNED))
def test_an_approval_is_good_for_one_application(place: Callable[..., Place], name: str) -> None:
    here = place(name)
    done = here.applied(name, **CHANGING[name])
    plan, before = done.outcome.plan.id, things(here.app)
    here.wire.seen.clear()
    for _ in range(2):
        refused(here, here.go(name, plan, **CHANGING[name]), "was already applied")
    assert len(attempts(here.store, plan)) == 1
    assert things(here.app) == before


@pytest.mark.parametrize(
    ("name", "status"), rotating([n for n in SIGNED if n != "retire_secret"], [403, 409, 412, 429], step=2)
)
def test_what_google_refused_can_be_tried_again_under_the_same_approval(
    place: Callable[..., Place], name: str, status: int
) -> None:
    here = place(name)
    first = here.plan(name, **CHANGING[name])
    here.approve(first.id)
    before = things(here.app)
    here.wire.fault = failing(lambda sent: sent.write and not sent.path.startswith("/messages/"), status=status)
    stopped = here.go(name, first.id, **CHANGING[name])
    assert stopped.outcome.result == "failed", stopped.outcome.said
    assert "under the same approvals" in stopped.outcome.next[0]
    assert things(here.app) == before
    here.wire.fault = None
    assert here.go(name, first.id, **CHANGING[name]).outcome.result == "applied"
    here.wire.seen.clear()
    refused(here, here.go(name, first.id, **CHANGING[name]), "was already applied")


def test_a_run_that_was_refused_counts_as_done_once_another_succeeded(place: Callable[..., Place]) -> None:
    """Only the journal says that it was refused, and who may write into the store could say it of a run that began."""
    here = place()
    first = here.plan("retry")
    here.approve(first.id)
    here.wire.fault = failing(lambda sent: sent.path.endswith(":run"), status=403)
    assert here.go("retry", first.id).outcome.result == "failed"
    here.wire.fault = None
    someone(here.app, "POST", f"{JOB}:run")
    count = runs_of(here.app, "gmail-sync")
    assert here.go("retry", first.id).outcome.result == "applied"
    assert runs_of(here.app, "gmail-sync") == count


def test_the_record_of_an_application_names_plan_and_approvals(place: Callable[..., Place]) -> None:
    here = place()
    first = here.plan("rollback")
    here.approve(first.id)
    done = here.run("rollback", show=True, approved_plan=first.id)
    assert done.outcome.planned_in == first.folder.name
    report = json.loads((done.folder / "report.json").read_text())["outcome"]
    assert (report["planned_in"], report["approvals"][0]["approver"]) == (first.folder.name, "avery")
    for words in (f"Plan {first.id} was made in {first.folder.name}", "avery", "looks right"):
        assert words in done.shown


def test_without_a_value_no_approval_is_used_up(place: Callable[..., Place], monkeypatch: pytest.MonkeyPatch) -> None:
    here = place()
    first = here.plan("rotate_secret")
    here.approve(first.id)
    monkeypatch.delenv("NEW_VALUE")
    refused(here, here.go("rotate_secret", first.id), "there is no value for the new version")
    monkeypatch.setenv("NEW_VALUE", "here it is")
    assert here.go("rotate_secret", first.id).outcome.result == "applied"


@pytest.mark.parametrize("given", [False, True])
def test_a_version_that_is_there_needs_no_value(
    place: Callable[..., Place], monkeypatch: pytest.MonkeyPatch, given: bool
) -> None:
    """The process ended after it had added the version: nobody is asked again, and nothing else is taken for its value."""
    here = place()
    plan = died(here, "rotate_secret", write=2)
    versions = here.app.sandbox.secrets.versions["gmail-oauth-token"]
    added = [dict(one) for one in versions]
    monkeypatch.setenv("ANOTHER", "another value")
    words = ("--secret-env", "ANOTHER") if given else ()
    with patch("runbook.cli.main._run") as run:
        said = here.cli("apply", plan, "--takeover", here.owner(), *words)
    assert said.exit_code == 0, said.output
    assert f"Version {len(added)} of gmail-oauth-token exists already" in said.output
    assert ("the given value is not used" in said.output) == given
    assert run.call_args.args[2] is None
    monkeypatch.delenv("NEW_VALUE")
    with here.takeover():
        assert here.go("rotate_secret", plan).outcome.result == "applied"
    assert versions == added


def test_a_version_that_is_not_there_needs_a_value(place: Callable[..., Place]) -> None:
    here = place()
    first = here.plan("rotate_secret")
    here.approve(first.id)
    with patch("runbook.cli.main._run") as run:
        said = here.cli("apply", first.id)
    assert "there is no value for the new version" in said.output
    assert not run.called
    with (
        patch("runbook.cli.output.click.prompt", return_value="typed") as prompt,
        patch("sys.stdin.isatty", lambda: True),
    ):
        assert ask_secret(None, None, False, "gmail-oauth-token") == b"typed"
    assert prompt.call_args.args == ("The new value of gmail-oauth-token (hidden)",)


# --- One at a time


def dies_at(write: int) -> Callable[..., requests.Response]:
    """The process ends after its nth write."""

    def fault(wire: Wire, number: int, sent: Sent, go: Next) -> requests.Response:
        answer = go()
        if sent.write and len(wire.writes) == write:
            raise Died
        return answer

    return fault


def died(place: Place, name: str, write: int = 1) -> str:
    """Somebody's process ends without a word in the middle of a change; the plan that it applied."""
    first = place.plan(name, **CHANGING[name])
    place.approve(first.id)
    place.wire.fault = dies_at(write)
    assert isinstance(place.go(name, first.id, **CHANGING[name]).error, Died)
    place.wire.fault = None
    place.wire.seen.clear()
    return first.id


def test_the_owner_of_the_environment_is_named(place: Callable[..., Place]) -> None:
    here = place()
    plan = died(here, "rotate_secret")
    other = here.plan("scheduler", **CHANGING["scheduler"])
    here.approve(other.id)
    owner = here.owner()
    blocked = here.go("scheduler", other.id, **CHANGING["scheduler"])
    refused(
        here,
        blocked,
        "another run is changing this environment",
        f"plan {plan}, since 20",
        f"process {os.getpid()}, run ",
    )
    assert f"runbook apply {plan} --takeover {owner}" in blocked.outcome.next[1]
    own = here.go("rotate_secret", plan)
    refused(here, own, "another run is changing this environment", f"owner {owner}")
    assert own.outcome.next[1].endswith(f": runbook apply {plan} --takeover {owner}")
    assert own.outcome.next[2].endswith(f": runbook apply {plan} --abandon {owner}")
    with here.takeover():
        assert here.go("rotate_secret", plan).outcome.result == "applied"
    assert here.go("scheduler", other.id, **CHANGING["scheduler"]).outcome.result == "applied"


def test_an_attempt_that_was_interrupted_comes_before_the_gates(place: Callable[..., Place]) -> None:
    """What it has under way makes a gate fail, too; to wait for that would not free the environment."""
    here = place()
    plan = died(here, "rotate_secret", write=3)
    with patch("runbook.apply.apply._require_safe", side_effect=AssertionError("the gates come later")):
        refused(here, here.go("rotate_secret", plan), "another run is changing this environment")


@pytest.mark.parametrize("abandon", [False, True])
def test_only_the_open_attempt_of_this_plan_and_owner_is_taken_over(place: Callable[..., Place], abandon: bool) -> None:
    here = place()
    plan = died(here, "rotate_secret")
    other = here.plan("scheduler", **CHANGING["scheduler"])
    here.approve(other.id)
    word = "abandon" if abandon else "takeover"
    with patch.object(KERNEL, "told", Told(**{word: "0" * 8})):
        refused(here, here.go("rotate_secret", plan), "another run is changing this environment")
    with here.takeover(abandon):
        refused(
            here, here.go("scheduler", other.id, **CHANGING["scheduler"]), "another run is changing this environment"
        )
    with here.takeover():
        assert here.go("rotate_secret", plan).outcome.result == "applied"
    here.wire.seen.clear()
    with patch.object(KERNEL, "told", Told(**{word: here.owner()})):
        refused(here, here.go("scheduler", other.id, **CHANGING["scheduler"]), "there is nothing to take over")


def test_who_abandons_sends_nothing_and_says_what_was_done(place: Callable[..., Place]) -> None:
    here = place()
    plan = died(here, "rotate_secret", write=2)
    before = things(here.app)
    with here.takeover(abandon=True):
        outcome = here.go("rotate_secret", plan).outcome
    assert (outcome.result, [s for s, _ in outcome.statuses][:3]) == ("failed", ["done", "done", "not attempted"])
    statuses = [status for status, _ in outcome.statuses]  # of the message, too
    assert outcome.said.startswith(f"abandoned: {statuses.count('done')} of {len(statuses)} changes were done")
    assert outcome.next[0].startswith("look at each change, then plan again: runbook run rotate_secret ")
    assert here.wire.writes == []
    assert things(here.app) == before
    assert attempt(here, plan)[-1]["result"] == "abandoned"
    refused(here, here.go("rotate_secret", plan), "was approved as")  # closed for good
    again = here.plan("rotate_secret")
    here.approve(again.id)
    assert here.go("rotate_secret", again.id).outcome.result == "applied"


def test_after_an_attempt_that_was_abandoned_the_next_one_says_so(place: Callable[..., Place]) -> None:
    """Its request had no effect, so the plan is the same, and what is signed was used."""
    here = place()
    first = here.plan("deploy", function="calendar-sync", memory="1Gi")
    here.approve(first.id)

    def dies(wire: Wire, number: int, sent: Sent, go: Next) -> requests.Response:
        if sent.method == "PATCH":
            raise Died
        return go()

    here.wire.fault = dies
    given = {"function": "calendar-sync", "memory": "1Gi"}
    assert isinstance(here.go("deploy", first.id, **given).error, Died)
    here.wire.fault = None
    with here.takeover(abandon=True):
        outcome = here.go("deploy", first.id, **given).outcome
    [said] = [said for status, said in outcome.statuses if status == "unknown"]
    assert said.endswith("a request was sent, and can still take effect")
    here.wire.seen.clear()
    again = here.go("deploy", first.id, **given)
    refused(here, again, f"the attempt to apply plan {first.id} was abandoned")
    assert again.outcome.next[0].startswith("plan again, and have that plan signed: runbook run deploy ")
    assert here.plan("deploy", **given).id == first.id
    here.approve(first.id)
    assert here.go("deploy", first.id, **given).outcome.result == "applied"


def test_only_who_is_on_call_is_told_to_sign_alone(place: Callable[..., Place]) -> None:
    here = place()
    here.open("INC-7")
    said = here.plan("rollback", incident="INC-7").outcome.next
    assert "or, while INC-7 is an open P1, who is on call (blake) makes this plan, and signs it alone." in said
    assert not [step for step in said if "--as casey" in step]
    with patch("tests.runbook.changes.REQUESTER", "blake"):
        first = here.plan("rollback", incident="INC-7")
    step = f'blake signs alone: runbook approve {first.id} --role on-call --as blake --reason "…"'
    assert [one for one in first.outcome.next if one.endswith(step)]


def test_a_process_that_was_taken_over_sends_nothing_more(place: Callable[..., Place]) -> None:
    """It stops after its first write, somebody finishes its plan, and it wakes up."""
    here = place()
    first = here.plan("rotate_secret")
    here.approve(first.id)
    finished: list[str] = []

    def sleeps(wire: Wire, number: int, sent: Sent, go: Next) -> requests.Response:
        answer = go()
        if sent.write and not finished:
            finished.append("")
            with here.takeover():
                finished[0] = here.go("rotate_secret", first.id).outcome.result
            wire.seen.clear()
        return answer

    here.wire.fault = sleeps
    woken = here.go("rotate_secret", first.id)
    assert finished == ["applied"]
    assert woken.error is None, error_of(woken)
    assert (woken.outcome.result, woken.outcome.statuses[0][0]) == ("unknown", "unknown")
    assert "this attempt was taken over by " in woken.outcome.said
    assert here.wire.writes == []
    assert len(here.app.sandbox.secrets.versions["gmail-oauth-token"]) == 3


def test_who_was_taken_over_at_its_very_end_says_so(
    place: Callable[..., Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every change is done, and somebody takes over before the process could close its attempt."""
    here = place()
    first = here.plan("scheduler", **CHANGING["scheduler"])
    here.approve(first.id)
    write = Attempt.write

    def late(attempt: Attempt, kind: str, **data: Any) -> None:
        if kind == "CLOSE":
            here.store.create(
                f"{attempt.place}/{attempt.count + 1:04d}", b'{"kind": "TAKEOVER", "time": "x", "who": "dana"}'
            )
        write(attempt, kind, **data)

    monkeypatch.setattr(Attempt, "write", late)
    ran = here.go("scheduler", first.id, **CHANGING["scheduler"])
    assert ran.error is None, error_of(ran)
    assert (ran.outcome.result, ran.outcome.said) == ("unknown", "this attempt was taken over by dana")
    assert {status for status, _ in ran.outcome.statuses} == {"done"}


def test_a_store_that_lost_its_newest_locks_is_refused(place: Callable[..., Place]) -> None:
    """As after a restore in place, on a machine that has seen more; another machine cannot know."""
    here = place()
    here.applied("retry")
    plan = here.plan("scheduler", **CHANGING["scheduler"])
    here.approve(plan.id)
    (here.folder / "lock" / "000001").unlink()
    here.wire.seen.clear()
    refused(here, here.go("scheduler", plan.id, **CHANGING["scheduler"]), "lost journals", "this machine has seen 1")


def test_what_was_announced_too_long_ago_is_not_sent(
    place: Callable[..., Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process stops between its row and its request, for longer than whoever takes over waits."""
    here = place()
    first = here.plan("rollback")
    here.approve(first.id)
    write, now = Attempt.write, [0.0]

    def stops(attempt: Attempt, kind: str, **data: Any) -> None:
        write(attempt, kind, **data)
        now[0] += 31 if kind == "WRITE" else 0

    with monkeypatch.context() as patched:
        patched.setattr("runbook.apply.attempts._clock", lambda: now[0])
        patched.setattr(Attempt, "write", stops)
        outcome = here.go("rollback", first.id).outcome
    assert outcome.result == "failed", outcome.said
    assert "stopped for too long, so nothing was sent" in outcome.said
    assert here.wire.writes == []
    assert here.go("rollback", first.id).outcome.result == "applied"


# --- The journal


def rows(result: Result) -> list[dict[str, Any]]:
    """The rows of a run's journal that are about its application."""
    kinds = ("APPLY", "INTENT", "WRITE", "RESULT", "CONFIRM", "CLOSE")
    return [r for r in Journal(result.folder).read() if r["kind"] in kinds and "verdict" not in r]


def attempt(place: Place, plan: str) -> list[dict[str, Any]]:
    """The rows of the only attempt to apply a plan."""
    (only,) = attempts(place.store, plan)
    return rows_in(place.store, only)


@pytest.mark.parametrize("name", every(3, CHANGING))
def test_the_journal_comes_before_the_write(place: Callable[..., Place], name: str) -> None:
    here = place(name)
    first = here.plan(name, **CHANGING[name])
    here.approve(first.id)
    at_write: list[tuple[Sent, list[dict[str, Any]]]] = []

    def watch(wire: Wire, number: int, sent: Sent, go: Next) -> requests.Response:
        if sent.write:
            plan = here.store.children("applied")[0].removeprefix("applied/")
            at_write.append((sent, attempt(here, plan)))
        return go()

    here.wire.fault = watch
    done = here.go(name, first.id, **CHANGING[name])
    assert done.outcome.result == "applied", done.outcome.said
    journal = attempt(here, done.outcome.plan.id)
    assert [r["kind"] for r in journal[:1]] == ["OPEN"]
    assert [r["kind"] for r in rows(done)] == ["APPLY", *(r["kind"] for r in journal[1:])]
    assert journal[-1]["kind"] == "CLOSE"
    for sent, known in at_write:
        last = known[-1]
        assert (last["kind"], last["method"], last["bytes"]) == ("WRITE", sent.method, len(sent.body))
        assert last["url"] == f"https://{sent.host}{sent.path}"
        assert any(r["kind"] == "INTENT" and r["number"] == last["number"] for r in known)
        before = {r["number"] for r in known if r["kind"] == "INTENT"} - {last["number"]}
        assert before == {r["number"] for r in known if r["kind"] == "CONFIRM"}  # each was seen to be done before
    assert len(at_write) == sum(r["kind"] == "WRITE" for r in journal)
    changes = (
        done.outcome.plan.changes
    )  # at last, those who heard of it before, and those who signed, hear how it ended
    heard = {c.args.contact for c in changes if c.optional} | {row["role"] for row in done.outcome.by}
    numbers = list(range(1, len(changes) + 1 + len(heard)))
    assert [r["number"] for r in journal if r["kind"] == "INTENT"] == numbers
    assert [(r["number"], r["state"]) for r in journal if r["kind"] == "CONFIRM"] == [(n, "new") for n in numbers]
    assert all(r["undo"] for r in journal if r["kind"] == "INTENT")


@pytest.mark.parametrize("kind", ["INTENT", "WRITE"])
def test_what_cannot_be_journalled_is_not_written(
    place: Callable[..., Place], monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    here = place()
    first = here.plan("rollback")
    here.approve(first.id)
    write = Attempt.write

    def full(self: Attempt, what: str, **data: Any) -> None:
        if what == kind:
            raise NoRecord("the disk is full")
        write(self, what, **data)

    with monkeypatch.context() as patched:
        patched.setattr(Attempt, "write", full)
        ran = here.go("rollback", first.id)
    assert isinstance(ran.error, NoRecord)
    assert here.wire.writes == []
    assert here.go("rollback", first.id).outcome.result == "applied"


@pytest.mark.parametrize("write", [1, 2, 3])
def test_after_a_crash_the_same_approval_goes_on(place: Callable[..., Place], write: int) -> None:
    here = place()
    plan = died(here, "rotate_secret", write)
    with here.takeover():
        again = here.go("rotate_secret", plan)
        for _ in range(3):
            if again.outcome.result == "refused":  # a revision was starting; it says so
                again = here.go("rotate_secret", plan)
    assert again.outcome.result == "applied", again.outcome.said
    assert again.outcome.plan.id == plan
    (only,) = attempts(here.store, plan)
    assert next(r for r in rows(again) if r["kind"] == "APPLY")["journal"] == only
    assert len(here.store.children("nonces")) == 2
    assert len(here.app.sandbox.secrets.versions["gmail-oauth-token"]) == 3
    here.wire.seen.clear()
    refused(here, here.go("rotate_secret", plan), "was already applied")


def test_after_a_crash_an_approval_can_be_too_old(place: Callable[..., Place]) -> None:
    here = place()
    plan = died(here, "rotate_secret")
    here.app.sandbox.now += timedelta(hours=100)
    with here.takeover():
        refused(here, here.go("rotate_secret", plan), "expired at")


def test_after_a_crash_other_parameters_do_not_go_on(place: Callable[..., Place]) -> None:
    here = place()
    plan = died(here, "rotate_secret")
    with here.takeover():
        refused(here, here.go("rotate_secret", plan, reason="another"), "was approved as")


# --- The door


def test_an_open_door_lets_one_request_pass_once(place: Callable[..., Place]) -> None:
    here = place()
    with here.here():
        cloud = Cloud(load_settings("sandbox"), "sandbox", here.wire)
    other = f"{JOB.replace('gmail', 'calendar')}:pause"
    with cloud.guard.allow_once("POST", f"{JOB}:pause", b"{}"):
        for method, url, body in (
            ("POST", other, b"{}"),
            ("POST", f"{JOB}:pause", b'{"x":1}'),
            ("PUT", f"{JOB}:pause", b"{}"),
        ):
            with pytest.raises(RequestBlocked):
                cloud.session.request(method, url, data=body)
        assert here.wire.seen == []
        assert cloud.session.post(f"{JOB}:pause", data=b"{}").ok
        with pytest.raises(RequestBlocked):
            cloud.session.post(f"{JOB}:pause", data=b"{}")
    with pytest.raises(RequestBlocked):
        cloud.session.post(f"{JOB}:resume", data=b"{}")
    assert [w.line for w in here.wire.writes] == [f"POST {JOB.removeprefix('https://')}:pause"]


@pytest.mark.parametrize(
    ("name", "fault"),
    rotating([*CHANGING], [{"status": 503}, {"status": 429}, {"lost": "before"}, {"lost": "after"}], step=2),
    ids=str,
)
def test_a_write_is_sent_once(place: Callable[..., Place], name: str, fault: dict[str, Any]) -> None:
    here = place(name)
    first = here.plan(name, **CHANGING[name])
    here.approve(first.id)

    def fails(wire: Wire, number: int, sent: Sent, go: Next) -> requests.Response:
        if not sent.write:
            return go()
        with wire.app_fails(**fault):
            return go()

    here.wire.fault = fails
    done = here.go(name, first.id, **CHANGING[name])
    assert done.error is None
    assert here.wire.writes
    assert len({(w.line, w.body) for w in here.wire.writes}) == len(here.wire.writes)


def test_no_adapter_repeats_a_write_to_google() -> None:
    cloud = Cloud(load_settings("sandbox"), "google", network(), credentials=object())
    assert cloud.guard.writer.max_retries.total == 0
    assert cloud.guard.transport.max_retries.total == 2  # a read may be


@pytest.mark.parametrize("fault", first([{"status": 403}, {"status": 503}, {"lost": "before"}]), ids=str)
def test_the_daily_check_never_opens_the_door(
    place: Callable[..., Place], monkeypatch: pytest.MonkeyPatch, fault: dict[str, Any]
) -> None:
    here = place()
    opened: list[Any] = []
    monkeypatch.setattr(ReadOnlyGuard, "allow_once", lambda *given: opened.append(given))
    for host in ("bigquery", "logging", "cloudfunctions", "cloudscheduler", "cloudresourcemanager"):
        here.app.sandbox.faults = Faults([Fault(route=f" {host}", **fault)])
        ran = here.run("daily_check")
        assert ran.error is None, error_of(ran)
    assert opened == []
    assert here.wire.writes == []


# --- Really killed


class Busy:
    """An app that knows how many requests it is answering, so that one knows when nothing is under way any more."""

    def __init__(self, app: Any):
        self.app, self.sandbox, self.now, self.lock = app, app.sandbox, 0, Lock()

    def __call__(self, environ: Any, start_response: Any) -> Any:
        with self.lock:
            self.now += 1
        try:
            return self.app(environ, start_response)
        finally:
            with self.lock:
                self.now -= 1


# Which runbook is killed when its journal shows the nth row of a kind.
KILLS = [
    *(("rotate_secret", "INTENT", n) for n in (1, 3)),
    *(("rotate_secret", "WRITE", n) for n in (1, 2, 3)),
    *(("deploy", "WRITE", n) for n in (2, 3)),
    ("backup", "WRITE", 2),
    ("scheduler", "WRITE", 1),
    ("retry", "WRITE", 1),
]


@pytest.fixture(scope="module")
def killed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Any]]:
    """How each of the kills that were selected went, two at a time."""
    kills = [(p["name"], p["kind"], p["count"]) for p in selected(request)]
    with ThreadPoolExecutor(2) as pool:
        started = {kill: pool.submit(_kill, *kill, tmp_path_factory.mktemp("killed")) for kill in kills}
        yield lambda kill: started[kill].result()


def _kill(name: str, kind: str, count: int, folder: Path) -> tuple[Place, str, Any]:
    """Plan and approve here, apply in a process, and kill it at a row of its journal. Ends when the sandbox is idle."""
    app = gcp_sandbox.app(load_settings("sandbox").inventory(), "healthy")
    here, busy = Place(folder / "records", app=app), Busy(app)
    with LOCK:  # what `here` replaces is there for the whole process
        first = here.plan(name, **CHANGING[name])
        here.approve(first.id)
    given = {**CHANGING[name], "approved_plan": first.id}
    app.sandbox.faults = Faults(
        [Fault(route=r"^(PATCH|PUT)|:run|:pause|:addVersion|:generateUploadUrl|/jobs$", latency_ms=300)]
    )
    environment = {
        "RUNBOOK_PERSON": REQUESTER,
        "RUNBOOK_RECORDS": str(here.records),
        "PYTHONPATH": f"{ROOT}:{ROOT / 'lib'}",
    }
    with serve(busy) as served:
        words = [sys.executable, "-m", "tests.runbook.changes", name, json.dumps(given)]
        more = {"RUNBOOK_SANDBOX": served.url, "RUNBOOK_SECRET_ENV": "NEW_VALUE", "NEW_VALUE": "a new value"}
        with subprocess.Popen(words, env=os.environ | environment | more, stderr=subprocess.PIPE) as child:
            limit = time.monotonic() + 60
            while child.poll() is None and time.monotonic() < limit:
                if _count(here, first.id, kind) >= count:
                    break
                time.sleep(0.002)
            child.send_signal(signal.SIGKILL)
            assert child.wait() == -signal.SIGKILL, (child.returncode, child.stderr and child.stderr.read())
        while busy.now and time.monotonic() < limit:
            time.sleep(0.002)
    app.sandbox.faults = Faults([])
    return here, first.id, first.names["plan"].changes


LOCK = Lock()


def _count(place: Place, plan: str, kind: str) -> int:
    """How many rows of a kind the newest attempt to apply a plan has."""
    rows = [row for known in attempts(place.store, plan)[-1:] for row in rows_in(place.store, known)]
    return sum(row["kind"] == kind for row in rows)


@pytest.mark.parametrize(("name", "kind", "count"), every(4, KILLS))
def test_killed_and_applied_again(killed: Callable[..., Any], name: str, kind: str, count: int) -> None:
    here, plan, changes = killed((name, kind, count))
    kinds = [row["kind"] for row in attempt(here, plan)]
    assert "CLOSE" not in kinds
    assert kinds.count(kind) == count
    given = {**CHANGING[name], "approved_plan": plan}
    # Set in here: another thread that ends meanwhile puts the environment back as it was before.
    secret = {"RUNBOOK_SECRET_ENV": "NEW_VALUE", "NEW_VALUE": "a new value"}
    with LOCK, patch.dict(os.environ, secret), here.resumed():
        again = here.run(name, **given)
        for _ in range(3):
            if again.error is None and again.outcome.result == "refused":  # what was begun goes on; it says to wait
                again = here.run(name, **given)
    assert again.error is None, error_of(again)
    assert again.outcome.result == "applied", again.outcome.said
    runs = {c.args.function: _runs_before(here, c.args.function) for c in changes if c.action == "run once"}
    for change in changes:
        assert side(here.app, change, runs.get(getattr(change.args, "function", ""), 0)) == "new", change


def _runs_before(place: Place, function: str) -> int:
    """How many runs of a function the world began with."""
    return sum(run.function.name == function for run in place.app.sandbox.story.runs)


# --- What a person is told


def test_a_disabled_secret_is_enabled_as_p1_proposes(place: Callable[..., Place], tmp_path: Path) -> None:
    here = Place(tmp_path / "secret", world="p1_secret_disabled")
    page = here.run("p1_response").names["page"]
    words = page.steps[0].command.split()
    given = dict(word.split("=") for word in words[words.index("-p") + 1 :: 2])
    assert words[2] == "retire_secret"
    done = here.applied("retire_secret", **{**given, "version": int(given["version"])})
    assert here.app.sandbox.secrets.versions[given["secret"]][-1]["state"] == "ENABLED"
    assert done.outcome.statuses[-1][0] == "done"
    after = here.run("p1_response").names["page"]
    assert after.causes[0].changed_since_last_run
    [step] = after.steps  # one command, and the other functions by name
    assert step.command.split()[2] == "retry"
    assert all(name in f"{step.do} {step.command}" for name in after.causes[0].functions)


def test_every_reader_of_a_rotated_secret_is_watched(place: Callable[..., Place]) -> None:
    done = place().applied("rotate_secret")
    found = done.names["run"].findings["confirm"]
    ran = [f.subject for f in found if f.check == "run since then"]
    assert ran == ["gmail-sync", "calendar-sync"]


def test_nobody_is_asked_to_sign_what_the_gates_stop(place: Callable[..., Place], tmp_path: Path) -> None:
    here = Place(tmp_path / "running", world="still_running")
    outcome = here.run("retry").outcome
    assert outcome.result == "planned"
    assert "gate blocks it" in outcome.said
    assert outcome.next[-1] == "then plan again."
    assert not [step for step in outcome.next if "runbook approve" in step]


@pytest.mark.parametrize("volume", ["false", "true"])
def test_a_version_that_a_serving_revision_names_is_not_cut_off(tmp_path: Path, volume: str) -> None:
    world = tmp_path / "pinned.yaml"
    named = f"{{select: {{name: gmail-sync}}, secret: gmail-oauth-token, version: 1, volume: {volume}}}"
    versions = "secrets: [{name: gmail-oauth-token, versions: [{age: 700d}, {age: 400d}, {age: 365d}]}]"
    world.write_text(f"like: healthy\nabout: x\n{versions}\nreferences: [{named}]\n")
    here = Place(tmp_path / "records", world=str(world))
    for name, given in (("retire_secret", {"version": 1}), ("rotate_secret", {})):
        first = here.run(name, **given)
        (found,) = (f for f in first.names["gates"] if f.verdict.name == "alert")
        assert (found.subject, found.value[-15:]) == ("gmail-sync", "names version 1")
        assert "at `latest`" in found.next
        refused(here, here.go(name, first.id, **given), "it is not safe to start", "gmail-sync")
    here.applied("retire_secret", version=2)
    states = [v["state"] for v in here.app.sandbox.secrets.versions["gmail-oauth-token"]]
    assert states == ["ENABLED", "DISABLED", "ENABLED"]


def test_what_was_signed_early_says_from_when_it_holds(place: Callable[..., Place], tmp_path: Path) -> None:
    here = Place(tmp_path / "early", world="outside_window")
    first = here.plan("deploy", memory="1Gi")
    assert "--override" in first.outcome.next[-2]
    with here.here():
        find(first.id).sign("team-lead", "looks right", None, None, "")
    outcome = here.go("deploy", first.id, memory="1Gi").outcome
    assert outcome.result == "refused"
    assert "is not approved yet" in outcome.said
    assert "not yet approved" not in outcome.said
    assert "wait until 2026-03-" in outcome.next[0]


@pytest.mark.parametrize("name", ["deploy", "rollback", "rotate_secret", "retire_secret", "scheduler"])
def test_what_was_changed_stands_in_the_audit_log(place: Callable[..., Place], name: str) -> None:
    here = place(name)
    before = len(here.run("p1_response").names["seen"].changes.rows)
    done = here.applied(name, **CHANGING[name])
    rows = here.run("p1_response").names["seen"].changes.rows
    said = [r.what.rsplit(".", 1)[-1] for r in rows[: len(rows) - before]]
    word = {
        "update function": "UpdateFunction",
        "route traffic": "UpdateService",
        "start with new secret": "UpdateService",
        "add secret version": "AddSecretVersion",
        "set version state": "DisableSecretVersion",
        "set job state": "PauseJob",
    }
    made = [word[c.action] for c in done.outcome.plan.changes if c.action in word]
    assert said == made[::-1]


# --- Run again, and start again


def test_a_restart_is_a_new_revision_of_the_same_code(place: Callable[..., Place]) -> None:
    here = place()
    before, function = things(here.app)["revisions"]["gmail-sync"], someone(here.app, "GET", FUNCTION)
    first = here.plan("deploy", restart=True)
    assert [c.action for c in first.outcome.plan.changes if not c.optional] == ["start a new revision", "run once"]
    assert [f.value for f in first.names["gates"] if f.check == "source"] == ["not changed: nothing to test"]
    here.approve(first.id)
    done = here.go("deploy", first.id, restart=True)
    assert done.outcome.result == "applied", done.outcome.said
    assert things(here.app)["revisions"]["gmail-sync"] == before + 1
    assert someone(here.app, "GET", FUNCTION)["buildConfig"] == function["buildConfig"]
    here.wire.seen.clear()
    refused(here, here.go("deploy", first.id, restart=True), "was already applied")
    again = here.applied("deploy", restart=True)  # another plan: it starts from the new revision
    assert again.outcome.plan.id != first.id


@pytest.mark.parametrize(
    ("function", "alone"), [("gmail-sync", True), ("recommendations-export", False)], ids=["safe", "asks"]
)
def test_alone_only_what_is_safe_to_repeat(tmp_path: Path, function: str, alone: bool) -> None:
    here = Place(tmp_path / "records", world="no_etl")
    here.open("INC-7")
    steps = here.plan("retry", function=function, incident="INC-7").outcome.next
    assert any("signs it alone" in step for step in steps) == alone


def test_what_must_never_be_repeated_is_not_planned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "params" / "sandbox.yaml").read_text().replace("repeat: asks", "repeat: never")
    (tmp_path / "sandbox.yaml").write_text(text)
    monkeypatch.setenv("RUNBOOK_PARAMS", str(tmp_path))
    here = Place(tmp_path / "records")
    refused(here, here.run("retry", function="recommendations-export"), "must not be run again by hand")
