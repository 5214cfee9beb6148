"""Connecting ahead of the notebook saves a wait and changes nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future

import pytest

import gcp_sandbox
from gcp_sandbox.serve import serve
from runbook.cloud import prefetch
from runbook.cloud.prefetch import Prefetch, connect_now
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
    begun = Prefetch("sandbox", "")
    cloud, now, clock_trusted = connect_now(SYSTEM, "", begun)
    assert begun.begun.result()[0] is cloud
    assert (now, clock_trusted) == (served.sandbox.now, True)
    assert connect_now(SYSTEM, "", begun)[0] is not cloud


def test_another_place_is_not_what_was_begun(served: gcp_sandbox.App) -> None:
    begun = Prefetch("sandbox", "")
    other = SYSTEM.model_copy(update={"environment": "other"})
    with pytest.raises(BadParameter):
        connect_now(other, "healthy", begun)
    assert connect_now(SYSTEM, "", begun)[0] is begun.begun.result()[0]


def test_what_fails_ahead_is_told_where_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNBOOK_SANDBOX", "http://127.0.0.1:1")
    with pytest.raises(NoAnswer, match="does not answer"):
        connect_now(SYSTEM, "", Prefetch("sandbox", ""))


def test_nobody_waits_for_ever(served: gcp_sandbox.App, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = Prefetch("sandbox", "")
    begun.begun.result()
    begun.begun = Future()  # one that never comes
    monkeypatch.setattr(prefetch, "LIMIT_S", 0.01)
    assert connect_now(SYSTEM, "", begun)[2]


def test_nothing_is_begun_for_a_sandbox_in_this_process() -> None:
    assert prefetch.prefetch("sandbox", "") is None
