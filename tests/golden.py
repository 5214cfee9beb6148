"""Execute the committed notebooks in the sandbox again, and write them without anything that changes from run to run.

`make fix` calls it. What is kept: source, execution counts and outputs; what goes: timings, versions, widget state.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

RUNBOOKS = Path(__file__).parents[1] / "runbooks"


def execute(path: Path) -> None:
    """Run one notebook from a clean kernel and write it back if its content changed."""
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=120, kernel_name="python3", record_timing=False).execute()
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number:02}"
        cell.metadata = {"tags": cell.metadata.tags} if cell.metadata.get("tags") else {}
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    text = nbformat.writes(notebook) + "\n"
    if text != path.read_text(encoding="utf-8"):
        path.write_text(text, encoding="utf-8")
        print(f"executed again: {path.name}")


if __name__ == "__main__":
    for name in ("RUNBOOK_ENV", "RUNBOOK_PARAMS", "RUNBOOK_RUN", "RUNBOOK_SANDBOX", "MOCK_MODE"):
        os.environ.pop(name, None)
    with tempfile.TemporaryDirectory() as records:
        os.environ["RUNBOOK_RECORDS"] = records
        for found in sorted(RUNBOOKS.glob("*.ipynb")):
            execute(found)
