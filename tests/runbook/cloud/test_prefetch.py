"""Connecting ahead of the notebook saves a wait and changes nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future

import pytest

import gcp_sandbox
from gcp_sandbox.serve import serve
from runbook.cloud import connect
from runbook.cloud.connect import connect_now, prefetch
from runbook.config.load import load_settings
from runbook.model.errors import BadParameter, NoAnswer

SYSTEM = load_settings("sandbox")


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[gcp_sandbox.App]:
    app = gcp_sandbox.app(SYSTEM.inventory(), "quiet_morning")
    with serve(app) as server:
        monkeypatch.setenv("RUNBOOK_SANDBOX", server.url)
        yield app


def test_what_was_begun_is_taken_once(served: gcp_sandbox.App) -> None:
    begun = prefetch("sandbox", "")
    (first,) = begun.values()
    cloud, now, clock_trusted = connect_now(SYSTEM, "", begun)
    assert first.result()[0] is cloud
    assert (now, clock_trusted) == (served.sandbox.now, True)
    assert connect_now(SYSTEM, "", begun)[0] is not cloud


def test_another_place_is_not_what_was_begun(served: gcp_sandbox.App) -> None:
    begun = prefetch("sandbox", "")
    (first,) = begun.values()
    other = SYSTEM.model_copy(update={"environment": "other"})
    with pytest.raises(BadParameter):
        connect_now(other, "healthy", begun)
    assert connect_now(SYSTEM, "", begun)[0] is first.result()[0]


def test_what_fails_ahead_is_told_where_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNBOOK_SANDBOX", "http://127.0.0.1:1")
    with pytest.raises(NoAnswer, match="does not answer"):
        connect_now(SYSTEM, "", prefetch("sandbox", ""))


def test_nobody_waits_for_ever(served: gcp_sandbox.App, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = {("sandbox", ""): Future()}  # one that never comes
    monkeypatch.setattr(connect, "LIMIT_S", 0.01)
    assert connect_now(SYSTEM, "", begun)[2]


def test_nothing_is_begun_for_a_sandbox_in_this_process() -> None:
    assert prefetch("sandbox", "") == {}
