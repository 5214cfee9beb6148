"""Working copies: notebooks in the records folder to run and edit; the committed ones are never changed."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from runbook.config import RUNBOOKS, cell_source, load_notebook, load_settings
from runbook.model import BadInput
from runbook.records import probe, records_directory, write_json

_DEFAULT = re.compile(r'(?m)^(\w+): str = "([^"\\]*)"')


def working_copies(environment: str, **given: str) -> Path:
    """Make a folder with a fresh copy of every runbook: no outputs, and this environment and these values as defaults.

    Raises BadInput if JupyterLab is not installed, what `load_settings` raises, and NoRecord.
    """
    if not find_spec("jupyterlab"):
        raise BadInput("JupyterLab is not installed", next="run `make lab`, or pip install -e '.[lab]'.")
    folder = records_directory(load_settings(environment)) / f"lab-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    probe(folder)
    values = {"environment": environment, **given}
    for path in sorted(RUNBOOKS.glob("*.ipynb")):
        notebook = load_notebook(path)
        for cell in notebook["cells"]:
            if cell["cell_type"] == "code":
                cell |= {"outputs": [], "execution_count": None}
            if "parameters" in cell["metadata"].get("tags", []):
                cell["source"] = _DEFAULT.sub(partial(_default, values), cell_source(cell))
        write_json(folder / path.name, notebook)
    return folder


def _default(values: Mapping[str, str], found: re.Match[str]) -> str:
    return f"{found[1]}: str = {json.dumps(values.get(found[1]) or found[2], ensure_ascii=False)}"
