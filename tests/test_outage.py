"""The committed outage is its runbook, in another world: nbval compares what it shows, this what it is made from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nbformat
import pytest

from tests.golden import OUTAGES, RUNBOOKS, in_world
from tests.test_notebooks import cells, faults, shown

pytestmark = pytest.mark.parametrize(("path", "world"), OUTAGES.items(), ids=lambda p: getattr(p, "stem", p))


def sources(notebook: Any) -> list[tuple[str, str]]:
    return [(cell.cell_type, cell.source) for cell in notebook.cells]


def drift(path: Path, runbook: Path, world: str) -> bool:
    """Whether a committed outage is not the runbook of today in that world."""
    made, kept = (nbformat.read(p, as_version=4) for p in (runbook, path))
    return sources(in_world(made, world)) != sources(kept)


def test_it_is_the_runbook_in_another_world(path: Path, world: str) -> None:
    assert not drift(path, RUNBOOKS / path.name, world), "make fix"


def test_a_drift_is_seen(path: Path, world: str, tmp_path: Path) -> None:
    runbook = nbformat.read(RUNBOOKS / path.name, as_version=4)
    runbook.cells[-2].source += " Changed."
    nbformat.write(runbook, tmp_path / path.name)
    assert drift(path, tmp_path / path.name, world)


def test_it_is_committed_as_executed(path: Path, world: str) -> None:
    assert faults(path) == []
    report = cells(path, "code")[-1]["outputs"][0]["data"]["application/vnd.runbook.report+json"]
    assert (report["target"], report["verdict"]) == ("sandbox", "alert")


def test_nbval_looks_at_it(path: Path, world: str, pytestconfig: pytest.Config) -> None:
    """It lies where pytest looks, and no option hides it."""
    assert path.is_relative_to(pytestconfig.rootpath / "tests")
    assert not [glob for glob in pytestconfig.getoption("ignore_glob") if path.match(glob)]


def test_it_shows_what_an_outage_shows(path: Path, world: str) -> None:
    said = json.dumps([shown(cell) for cell in cells(path, "code")], ensure_ascii=False)
    for words in ("needs a person now", "memory limit", "auth error", "-p memory=2Gi", "Newest runs and their limits"):
        assert words in said
