"""A run, as a notebook shows it: its first cell must not say less than what the run may do."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.runbook.changes import Place


@pytest.mark.parametrize(
    ("runbook", "given", "words"),
    [
        ("daily_check", {}, "this run only reads"),
        ("rollback", {}, "this run only reads"),
        ("rollback", {"approved_plan": "0" * 12}, "this run may change it, as approved"),
        ("backup", {"apply": True}, "this run may change it, as approved"),
    ],
)
def test_the_real_system_is_announced_as_what_it_is_for(
    tmp_path: Path, runbook: str, given: dict[str, object], words: str
) -> None:
    run = Place(tmp_path / "records").run(runbook, **given).names["run"]
    run.cloud.target = "google"
    assert words in run._repr_mimebundle_()["text/plain"]
