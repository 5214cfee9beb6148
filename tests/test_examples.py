"""A committed example is its runbook with one other parameter: nbval compares the outputs, this file the sources."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nbformat
import pytest

from tests.golden import EXAMPLES, RUNBOOKS, example
from tests.test_notebooks import cells, faults, shown

# What the outputs of an example must say: the verdict, and words.
SAID = {
    "p1_response": ("alert", ["act now", "memory limit", "auth error", "-p memory=2Gi", "their limits"]),
    "deploy": ("ok", ["own tests, MOCK_MODE=1", "review claimed", "secrets in code", "update function", "--source=."]),
}

pytestmark = pytest.mark.parametrize(("path", "given"), EXAMPLES.items(), ids=[path.stem for path in EXAMPLES])


def sources(notebook: Any) -> list[tuple[str, str]]:
    return [(cell.cell_type, cell.source) for cell in notebook.cells]


def drift(path: Path, runbook: Path, given: tuple[str, str]) -> bool:
    """Whether a committed example is not today's runbook with that parameter."""
    made, kept = (nbformat.read(p, as_version=4) for p in (runbook, path))
    return sources(example(made, *given)) != sources(kept)


def test_it_is_the_runbook_with_another_parameter(path: Path, given: tuple[str, str]) -> None:
    assert not drift(path, RUNBOOKS / path.name, given), "make fix"


def test_a_drift_is_seen(path: Path, given: tuple[str, str], tmp_path: Path) -> None:
    runbook = nbformat.read(RUNBOOKS / path.name, as_version=4)
    runbook.cells[-2].source += " Changed."
    nbformat.write(runbook, tmp_path / path.name)
    assert drift(path, tmp_path / path.name, given)


def test_it_is_committed_as_executed(path: Path, given: tuple[str, str]) -> None:
    assert faults(path) == []
    report = cells(path, "code")[-1]["outputs"][0]["data"]["application/vnd.runbook.report+json"]
    assert (report["target"], report["verdict"]) == ("sandbox", SAID[path.stem][0])


def test_nbval_looks_at_it(path: Path, given: tuple[str, str], pytestconfig: pytest.Config) -> None:
    """It lies where pytest looks, and no option hides it."""
    assert path.is_relative_to(pytestconfig.rootpath / "tests")
    assert not [glob for glob in pytestconfig.getoption("ignore_glob") if path.match(glob)]


def test_it_shows_what_it_is_for(path: Path, given: tuple[str, str]) -> None:
    said = json.dumps([shown(cell) for cell in cells(path, "code")], ensure_ascii=False)
    for words in SAID[path.stem][1]:
        assert words in said
