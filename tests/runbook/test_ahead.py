"""Connecting ahead of the notebook saves a wait and changes nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import gcp_sandbox
from gcp_sandbox.serve import serve
from runbook.cloud.connect import _AHEAD, ahead, connect_now
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
    ahead("sandbox", "")
    begun = _AHEAD["sandbox", ""]
    cloud, now, certain = connect_now(SYSTEM)
    assert begun.result()[0] is cloud
    assert (now, certain) == (served.sandbox.now, True)
    assert _AHEAD == {}
    assert connect_now(SYSTEM)[0] is not cloud


def test_another_place_is_not_what_was_begun(served: gcp_sandbox.App) -> None:
    ahead("sandbox", "")
    begun = _AHEAD["sandbox", ""]
    other = SYSTEM.model_copy(update={"environment": "other"})
    with pytest.raises(BadParameter):
        connect_now(other, "healthy")
    assert connect_now(SYSTEM)[0] is begun.result()[0]


def test_what_fails_ahead_is_told_where_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNBOOK_SANDBOX", "http://127.0.0.1:1")
    ahead("sandbox", "")
    with pytest.raises(NoAnswer, match="does not answer"):
        connect_now(SYSTEM)


def test_nothing_is_begun_for_a_sandbox_in_this_process() -> None:
    ahead("sandbox", "")
    assert _AHEAD == {}
