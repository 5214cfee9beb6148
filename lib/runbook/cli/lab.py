"""Working copies: notebooks in the records folder to run and edit; the committed ones are never changed."""

from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

from runbook.config.load import RUNBOOKS, load_settings
from runbook.config.parameters import cell_source, load_notebook
from runbook.model.errors import BadInput
from runbook.records.files import probe, write_json
from runbook.records.record import records_directory


def working_copies(environment: str) -> Path:
    """Make a folder with a fresh copy of every runbook: no outputs, and this environment as the default.

    Raises BadInput if JupyterLab is not installed, what `load_settings` raises, and NoRecord.
    """
    if not find_spec("jupyterlab"):
        raise BadInput("JupyterLab is not installed", next="run `make lab`, or pip install -e '.[lab]'.")
    folder = records_directory(load_settings(environment)) / f"lab-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    probe(folder)
    ours = f'environment: str = "{environment}"'
    for path in sorted(RUNBOOKS.glob("*.ipynb")):
        notebook = load_notebook(path)
        for cell in notebook["cells"]:
            if cell["cell_type"] == "code":
                cell |= {"outputs": [], "execution_count": None}
            if "parameters" in cell["metadata"].get("tags", []):
                cell["source"] = cell_source(cell).replace('environment: str = "sandbox"', ours)
        write_json(folder / path.name, notebook)
    return folder
