"""Every committed runbook: executed, in the sandbox, clean of anything that changes from run to run, and well kept."""

from __future__ import annotations

import ast
import json
import re
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from runbook.config.parameters import declared_parameters

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "runbooks").glob("*.ipynb"))
FIELDS = ["When", "Class", "Changes", "Takes", "If it fails"]
# What a run must not leave in its outputs: an address in memory, a process id, a temporary path, a duration.
CHURN = re.compile(r"0x[0-9a-f]{6,}|\bpid\b|/tmp/|/home/|\bin \d+\.\d+ ?s\b")
WORLD = (date(2024, 1, 1), date(2026, 5, 31))  # what a sandbox whose clock says March 2026 may speak of

pytestmark = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)


def cells(path: Path, kind: str) -> list[dict[str, Any]]:
    return [c for c in json.loads(path.read_text())["cells"] if c["cell_type"] == kind]


def source(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def shown(cell: dict[str, Any]) -> str:
    """Everything that a cell's outputs say, pictures aside."""
    return json.dumps([{k: v for k, v in o.get("data", o).items() if k != "image/png"} for o in cell["outputs"]])


def faults(path: Path) -> list[str]:
    """What is wrong with the outputs of a committed notebook."""
    code = cells(path, "code")
    found = [f"cell {n} was not executed" for n, c in enumerate(code, 1) if c["execution_count"] != n]
    for n, cell in enumerate(code, 1):
        text = shown(cell)
        found += [f"cell {n} shows {m}" for m in CHURN.findall(text)]
        found += [f"cell {n} failed" for o in cell["outputs"] if o["output_type"] == "error"]
        for year, month, day in re.findall(r"\b(20\d\d)-(\d\d)-(\d\d)\b", text):
            if not WORLD[0] <= date(int(year), int(month), int(day)) <= WORLD[1]:
                found.append(f"cell {n} shows the wall clock: {year}-{month}-{day}")
    return found


def test_committed_as_executed_in_the_sandbox(path: Path) -> None:
    assert faults(path) == []
    assert "SANDBOX" in shown(cells(path, "code")[2])
    report = cells(path, "code")[-1]["outputs"][0]["data"]["application/vnd.runbook.report+json"]
    assert (report["environment"], report["target"]) == ("sandbox", "sandbox")
    assert report["findings"], "a run without a finding ends as unknown: add a run.check"


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda c: c.update(execution_count=None), "was not executed"),
        (lambda c: c["outputs"].append({"output_type": "stream", "text": "<X at 0x7f31aa10>"}), "shows 0x7f31aa10"),
        (lambda c: c["outputs"].append({"output_type": "stream", "text": "pid 12"}), "shows pid"),
        (lambda c: c["outputs"].append({"output_type": "stream", "text": f"{datetime.now(UTC):%F}"}), "wall clock"),
    ],
)
def test_the_guard_bites(path: Path, tmp_path: Path, spoil: Any, expected: str) -> None:
    notebook = json.loads(path.read_text())
    spoil([c for c in notebook["cells"] if c["cell_type"] == "code"][2])
    (tmp_path / "x.ipynb").write_text(json.dumps(notebook))
    assert expected in " ".join(faults(tmp_path / "x.ipynb"))


def test_title_cell(path: Path) -> None:
    first = json.loads(path.read_text())["cells"][0]
    lines = source(first).splitlines()
    assert lines[0].startswith("# ")
    assert [m[1] for line in lines if (m := re.match(r"\*\*(.+?):\*\* \S", line))] == FIELDS


def test_parameters_are_typed_and_explained(path: Path) -> None:
    declared = declared_parameters(path)
    assert {"environment", "world", "incident"} <= set(declared), "the command line gives these to every runbook"
    assert all(p.comment for p in declared.values())


def test_it_starts_under_its_own_name(path: Path) -> None:
    """A copied notebook that starts under the old name would write its records under that name."""
    started = re.findall(r"\bstart\(\s*[\"'](\w+)", "\n".join(source(cell) for cell in cells(path, "code")))
    assert started == [path.stem], f'{path.name}: call start("{path.stem}", globals()) once, not start of {started}'


def test_code_cells_are_calls(path: Path) -> None:
    declared = set(declared_parameters(path))
    started = False
    for cell in cells(path, "code"):
        text = source(cell)
        assert len(text.splitlines()) <= (16 if "parameters" in cell["metadata"].get("tags", []) else 14)
        assert not re.search(r"(?m)^\s*[%!]|input\(|sys\.exit|\.style\b", text)
        tree = ast.parse(text)
        banned = (ast.FunctionDef, ast.Try, ast.If, ast.For, ast.While, ast.ClassDef, ast.With, ast.Lambda)
        assert not [n for n in ast.walk(tree) if isinstance(n, banned)]
        if started:
            assert not declared & {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
        started = started or "start(" in text


def test_every_step_is_a_question_with_an_expectation(path: Path) -> None:
    steps = [source(c) for c in cells(path, "markdown")[1:]]
    for step in steps:
        title, *text = step.splitlines()
        assert title.startswith("## ")
        assert title.endswith("?") or title == "## Verdict"
        assert text
    assert steps[-1].startswith("## Verdict")
