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
        ("rollback", {"approved_plan": "0" * 12}, "this run may change it"),
        ("backup", {"apply": True}, "this run may change it"),
    ],
)
def test_the_real_system_is_announced_as_what_it_is_for(
    tmp_path: Path, runbook: str, given: dict[str, object], words: str
) -> None:
    run = Place(tmp_path / "records").run(runbook, **given).names["run"]
    run.cloud.target = "google"
    assert words in run._repr_mimebundle_()["text/plain"]


# World, as_of → the verdict. A look back at any of them calls nobody: it may be over by now.
@pytest.mark.parametrize(
    ("world", "as_of", "verdict"),
    [
        ("no_etl", "2026-03-11T08:00", "alert"),
        ("healthy", "2026-01-10T09:00", "alert"),
        ("healthy", "2026-03-10T09:00", "unknown"),
    ],
)
def test_a_look_back_calls_nobody_and_says_how_to_look_at_now(
    tmp_path: Path, world: str, as_of: str, verdict: str
) -> None:
    given = {"world": world, "incident": "INC-7"}
    report = Place(tmp_path / "records", world).run("daily_check", **given, as_of=as_of).names["run"].close()
    assert report.verdict.name == verdict
    (step,) = report.next
    assert step.startswith(f"this run shows {as_of.replace('T', ' ')} C")
    assert step.endswith(
        f"for the present, run: runbook run daily_check --env sandbox --world {world} -p incident=INC-7"
    )


def test_an_alert_of_now_calls_somebody(tmp_path: Path) -> None:
    report = Place(tmp_path / "records", "no_etl").run("daily_check").names["run"].close()
    assert report.next[0].startswith("find the cause: runbook run p1_response")
    assert report.next[1].startswith("call On-call rotation")
