"""Runs a runbook: checks the parameters before a kernel starts, and lets papermill prepare the notebook."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runbook.cloud.target import request_on_target
from runbook.config import find_runbook, load_notebook
from runbook.context import NOTHING_TOLD, Told
from runbook.model import Broken
from runbook.runner.engine import RunbookEngine
from runbook.runner.execute import RunResult, execute, prepare, stoppable
from runbook.runner.kernel import Kernel, OnStep, leave_deleted_directory

Values = Mapping[str, object]


def run(
    runbook: str,
    values: Values,
    on_step: OnStep | None = None,
    cell_timeout: float = 900,
    told: Told = NOTHING_TOLD,
    early: Kernel | None = None,
) -> RunResult:
    """Run a runbook with values as typed; `cell_timeout` is the limit for one cell, in seconds.

    What it is `told` is passed to the kernel's memory only. `early` is a kernel process that was started before.

    Raises BadInput before a kernel starts, Broken for a file that is not a notebook, and NoRecord if no record can be
    written. Any other problem is in the result.
    """
    wanted, path = request_on_target(runbook, values), find_runbook(runbook)
    with stoppable() as stopped, early or Kernel() as kernel:
        prepare(kernel, load_notebook(path), wanted)
        nb = _prepared(path, {name: wanted.values[name] for name in values})
        return execute(nb, wanted, kernel, stopped, cell_timeout, on_step, told=told)


def _prepared(path: Path, given: Mapping[str, Any]) -> Any:
    """An nbformat.NotebookNode with its parameters, prepared by papermill. Raises Broken if it cannot be read."""
    import nbformat
    import papermill
    from papermill.engines import papermill_engines

    # If the package is not installed, its entry point does not exist.
    papermill_engines.register("runbook", RunbookEngine)
    try:
        nb = nbformat.read(path, as_version=4)
    except Exception as error:  # noqa: BLE001 - nbformat may raise any exception
        raise Broken(f"{path.name} is not a notebook", f"{type(error).__name__}: {error}") from None
    # papermill gets the notebook, not its path, because it would format braces in the path.
    leave_deleted_directory()  # papermill asks for it
    quiet = {"prepare_only": True, "progress_bar": False, "kernel_name": "python3", "language": "python"}
    nb = papermill.execute_notebook(nb, None, given, engine_name="runbook", **quiet)
    nb.metadata.papermill["input_path"] = str(path)
    return nb
