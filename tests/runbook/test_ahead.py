"""Connecting ahead of the notebook saves a wait and changes nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import gcp_sandbox
from gcp_sandbox.serve import serve
from runbook import settings
from runbook.cloud import connect
from runbook.errors import BadParameter, NoAnswer

SYSTEM = settings.load("sandbox")


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[gcp_sandbox.App]:
    app = gcp_sandbox.app(SYSTEM.inventory(), "quiet_morning")
    with serve(app) as server:
        monkeypatch.setenv("RUNBOOK_SANDBOX", server.url)
        yield app


def test_what_was_begun_is_taken_once(served: gcp_sandbox.App) -> None:
    connect.ahead("sandbox", "")
    begun = connect._AHEAD["sandbox", ""]
    cloud, now, certain = connect.connect_now(SYSTEM)
    assert begun.result()[0] is cloud
    assert (now, certain) == (served.sandbox.now, True)
    assert connect._AHEAD == {}
    assert connect.connect_now(SYSTEM)[0] is not cloud


def test_another_place_is_not_what_was_begun(served: gcp_sandbox.App) -> None:
    connect.ahead("sandbox", "")
    begun = connect._AHEAD["sandbox", ""]
    other = SYSTEM.model_copy(update={"environment": "other"})
    with pytest.raises(BadParameter):
        connect.connect_now(other, "healthy")
    assert connect.connect_now(SYSTEM)[0] is begun.result()[0]


def test_what_fails_ahead_is_told_where_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNBOOK_SANDBOX", "http://127.0.0.1:1")
    connect.ahead("sandbox", "")
    with pytest.raises(NoAnswer, match="does not answer"):
        connect.connect_now(SYSTEM)


def test_nothing_is_begun_for_a_sandbox_in_this_process() -> None:
    connect.ahead("sandbox", "")
    assert connect._AHEAD == {}
