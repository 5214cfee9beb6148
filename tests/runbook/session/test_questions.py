"""What counts of several reads and checks in one session: the newest of each question, and every question."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest

from runbook import checks, facts
from runbook.apply import confirm
from runbook.facts.base import observe
from runbook.model.findings import Finding, Findings, Verdict
from runbook.model.moment import Moment
from runbook.session.run import Run
from tests.runbook.changes import Place, failing
from tests.runbook.facts.test_facts import ALL

Session = Callable[[Run], Any]
LOG = "entries:list"


@contextmanager
def unread(run: Run, part: str) -> Iterator[None]:
    """For a while every request to this part of a path is answered with 503."""
    run.cloud.transport.fault = failing(lambda sent: part in sent.path, status=503)
    try:
        yield
    finally:
        run.cloud.transport.fault = None


def read_again(run: Run) -> None:
    with unread(run, LOG):
        run.read(errors=facts.errors())
    run.check(checks.errors, run.read(errors=facts.errors()).errors)


def checked_again(run: Run) -> None:
    with unread(run, LOG):
        run.check(checks.errors, run.read(facts.errors()))
    run.check(checks.errors, run.read(facts.errors()))


def read_worse(run: Run) -> None:
    run.check(checks.errors, run.read(facts.errors()))
    with unread(run, LOG):
        run.read(facts.errors())


def never_read(run: Run) -> None:
    with unread(run, LOG):
        run.read(facts.errors())
    run.check(checks.errors, run.read(facts.errors(hours=2)))


def narrower(run: Run) -> None:
    run.check(checks.errors, run.read(facts.errors()))
    run.check(checks.errors, run.read(facts.errors(hours=0.01)))


def a_part(run: Run) -> None:
    seen = run.read(facts.errors())
    run.check(checks.errors, seen)
    run.check(checks.errors, replace(seen, rows=()))


def other_words(run: Run) -> None:
    seen = run.read(facts.errors())
    for verdict in (Verdict.alert, Verdict.ok):
        run.check(told, seen, verdict=verdict)


def told(_seen: Any, _settings: Any, _moment: Any, verdict: Verdict) -> Findings:
    return Findings((Finding("told", "x", "y", "z", verdict),))


def own_query(run: Run) -> None:
    with unread(run, "/queries"), unread(run, "/jobs"):
        run.query("SELECT 1 AS n")
    run.check(told, run.query("SELECT 1 AS n"), verdict=Verdict.ok)


# World, what somebody does in one session → its verdict.
CASES: dict[str, tuple[str, Session, str]] = {
    "a read cell again after a gap": ("healthy", read_again, "ok"),
    "read and checked again after a gap": ("healthy", checked_again, "ok"),
    "the newest read has the gap": ("healthy", read_worse, "unknown"),
    "another question does not answer the first": ("healthy", never_read, "unknown"),
    "a check of fewer hours": ("many_errors", narrower, "alert"),
    "a check of a part": ("many_errors", a_part, "alert"),
    "a check with another argument": ("healthy", other_words, "alert"),
    "an own query that failed": ("healthy", own_query, "ok"),
}


@pytest.mark.parametrize(("world", "does", "verdict"), CASES.values(), ids=CASES)
def test_the_verdict_of_a_session(tmp_path: Path, world: str, does: Session, verdict: str) -> None:
    place = Place(tmp_path / "records", world)
    run = place.run("daily_check", until="run.read").names["run"]
    with place.here():
        does(run)
        report = run.close()
    assert report.verdict.name == verdict, report.findings


def test_a_check_again_has_its_findings_once(tmp_path: Path) -> None:
    place = Place(tmp_path / "records", "many_errors")
    run = place.run("daily_check", until="run.read").names["run"]
    with place.here():
        for _ in range(2):
            found = run.check(checks.errors, run.read(facts.errors()))
        assert run.close().findings == found


@pytest.mark.parametrize("looks", [1, 2])
def test_a_closing_look_that_failed_counts_only_if_it_is_the_last(tmp_path: Path, looks: int) -> None:
    """The watch looks again and again. A look without an answer is not the last word, if another comes after it."""
    place = Place(tmp_path / "records")
    first = place.plan("retry")
    place.approve(first.id)
    second = place.run("retry", approved_plan=first.id, until="run.confirm")
    assert second.error is None
    run, outcome = second.names["run"], second.names["outcome"]
    clock = iter([5, *[0] * (looks - 1), *[9] * 9])
    watch = SimpleNamespace(monotonic=lambda: next(clock), sleep=lambda _: None)
    asked = iter([True, False, False])

    def look(run: Run, asks: Any) -> Any:
        if next(asked):
            with unread(run, LOG):
                return observed(run, asks)
        return observed(run, asks)

    observed = confirm.observe_all
    with place.here(), patch.multiple(confirm, observe_all=look, time=watch):
        run.confirm(outcome)
        assert run.close().verdict.name == ("unknown" if looks == 1 else "ok")
        if looks == 1:  # the cell again
            run.confirm(outcome)
            assert run.close().verdict.name == "ok"


def test_each_parameter_of_a_fact_is_part_of_its_question(sandbox: Any) -> None:
    """Also where the same requests answer both: nobody reads either of these secrets."""
    cloud, moment = sandbox()
    later = Moment(moment.at.replace(hour=(moment.at.hour + 1) % 24), moment.zone)
    several = {
        **ALL,
        "errors of an hour": facts.errors(hours=1),
        "errors of a function": facts.errors(function="gmail-sync"),
        "warnings": facts.errors(severity="WARNING"),
        "access to deploy": facts.access("deploy"),
        "users of none": facts.users("none"),
        "users of nothing": facts.users("nothing"),
        "runs of an hour": facts.runs_of("gmail-sync", 1),
    }
    once, again = ({observe(ask, cloud, at).question: name for name, ask in several.items()} for at in (moment, later))
    assert once == again
    assert len(once) == len(several)


@pytest.mark.parametrize("make", [facts.tables, facts.snapshots, facts.functions, facts.schema])
def test_a_fact_that_is_made_again_asks_the_same_question(sandbox: Any, make: Any) -> None:
    """As in a cell that is run again: its newest read counts."""
    once, again = (observe(make(), *sandbox()).question for _ in range(2))
    assert once == again
