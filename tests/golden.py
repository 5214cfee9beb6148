"""Execute the committed notebooks in the sandbox again, and write them without anything that changes from run to run.

`make fix` calls it. What is kept: source, execution counts and outputs; what goes: timings, versions, widget state.
Beside the runbooks themselves there are EXAMPLES: a runbook with another value of one parameter, made from the runbook
every time, with nothing else changed.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode
from traitlets.config import Config

from tests.layout import write_drawing
from tests.recorded import write_table
from tests.shapes import write_shapes

RUNBOOKS = Path(__file__).parents[1] / "runbooks"
EXAMPLES = {  # file → the parameter that is not its default, and its value
    Path(__file__).parent / "examples" / "p1_response.ipynb": ("world", "p1_two_causes"),
    Path(__file__).parent / "examples" / "deploy.ipynb": ("source", "sample"),
}


def example(runbook: NotebookNode, name: str, value: str) -> NotebookNode:
    """The runbook with another default of one parameter whose default is "", and no other change of its source."""
    made = nbformat.from_dict(runbook)
    (cell,) = (c for c in made.cells if "parameters" in c.metadata.get("tags", []))
    before, after = f'{name}: str = ""', f'{name}: str = "{value}"'
    if cell.source.count(before) != 1:
        raise ValueError(f"the parameters cell does not say {before} once")
    cell.source = cell.source.replace(before, after)
    return made


def execute(notebook: NotebookNode, path: Path) -> None:
    """Run one notebook from a clean kernel and write it to its place if its content changed."""
    with tempfile.TemporaryDirectory() as sockets:  # over TCP it warns, and ports may collide
        quiet = Config({"KernelManager": {"transport": "ipc", "ip": f"{sockets}/k"}})
        NotebookClient(notebook, timeout=120, kernel_name="python3", record_timing=False, config=quiet).execute()
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number:02}"
        cell.metadata = {key: value for key, value in cell.metadata.items() if key in ("tags", "jupyter")}
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    text = nbformat.writes(notebook) + "\n"
    if not path.exists() or text != path.read_text(encoding="utf-8"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(f"executed again: {path.relative_to(RUNBOOKS.parent)}")


def write_template() -> None:
    """What no project knows is the same in the template of `runbook init` and in params/production.yaml, its source."""
    template, end = RUNBOOKS.parent / "lib/runbook/cli/params.yaml", "\nthresholds:"
    known = template.read_text(encoding="utf-8").partition(end)[0]
    source = (RUNBOOKS.parent / "params/production.yaml").read_text(encoding="utf-8").partition(end)
    template.write_text(known + "".join(source[1:]), encoding="utf-8")


if __name__ == "__main__":
    write_drawing()
    write_table()
    write_shapes()
    write_template()
    for name in ("RUNBOOK_ENV", "RUNBOOK_PARAMS", "RUNBOOK_SANDBOX", "MOCK_MODE"):
        os.environ.pop(name, None)
    with tempfile.TemporaryDirectory() as records:
        os.environ["RUNBOOK_RECORDS"] = records
        for found in sorted(RUNBOOKS.glob("*.ipynb")):
            execute(nbformat.read(found, as_version=4), found)
        for place, given in EXAMPLES.items():
            execute(example(nbformat.read(RUNBOOKS / place.name, as_version=4), *given), place)
