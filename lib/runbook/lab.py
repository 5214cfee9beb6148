"""Working copies: notebooks that people may run and change, in the records folder, never the committed ones."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from runbook import record, settings
from runbook.errors import BadInput
from runbook.request import load_notebook, source


def working_copies(environment: str) -> Path:
    """Make a folder with a fresh copy of every runbook, without outputs, whose default is this environment.

    Raises BadInput where JupyterLab is not installed, what `settings.load` raises, and NoRecord.
    """
    if not find_spec("jupyterlab"):
        raise BadInput("JupyterLab is not installed", next="run `make lab`, or pip install -e '.[lab]'.")
    folder = record.folder_of(settings.load(environment)) / f"lab-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    record.probe(folder)
    for path in sorted(settings.RUNBOOKS.glob("*.ipynb")):
        copy = _copy(load_notebook(path), environment)
        record.publish(folder / path.name, (json.dumps(copy, indent=1, ensure_ascii=False) + "\n").encode())
    return folder


def _copy(notebook: dict[str, Any], environment: str) -> dict[str, Any]:
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell |= {"outputs": [], "execution_count": None}
        if "parameters" in cell["metadata"].get("tags", []):
            cell["source"] = source(cell).replace('environment: str = "sandbox"', f'environment: str = "{environment}"')
    return notebook
