"""papermill's engine `runbook`: runs a notebook like `runbook run`, and exits with the code of the verdict.

Both show the progress bar that is here, too.
"""

import os
import sys
from pathlib import Path
from typing import Any

from runbook.cloud.target import request_on_target
from runbook.config import RUNBOOKS
from runbook.data_file import text_of
from runbook.model import BadInput, RunbookError
from runbook.runner.execute import execute, prepare, stoppable
from runbook.runner.kernel import Kernel, OnStep

# Keep jsonschema from compiling a grammar, which takes seconds at each start. If JupyterLab is installed, jsonschema
# imports this module, which compiles the grammar. No notebook field needs it. None makes the import fail, and
# jsonschema handles that. papermill imports this file before it imports jsonschema.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]


class RunbookEngine:
    """papermill's engine `runbook`: the three methods that papermill calls, each with an nbformat.NotebookNode.

    It has no base class, because papermill loads this module while it is being imported itself.
    """

    @classmethod
    def nb_kernel_name(cls, nb: Any, name: str | None = None) -> str:
        return name or nb.metadata.get("kernelspec", {}).get("name", "python3")

    @classmethod
    def nb_language(cls, nb: Any, language: str | None = None) -> str:
        return "python"

    @classmethod
    def execute_notebook(cls, nb: Any, kernel_name: str, **options: Any) -> Any:
        """Run a notebook that papermill has read and parameterized. Of its options, `input_path`, `progress_bar` and
        `execution_timeout` have an effect.

        On papermill's command line, always raises RunResult, and prints a RunbookError without a traceback. In a
        program, raises RunResult only for an exit code other than 0.
        """
        import click
        from papermill.iorw import write_ipynb

        context = click.get_current_context(silent=True)
        on_command_line = context is not None and context.command.name == "papermill"
        try:
            given, place = nb.metadata.papermill.get("parameters"), nb.metadata.papermill.get("output_path")
            notebook = _local(path := options.get("input_path", ""))
            wanted = request_on_target(str(notebook or path), given or {})
            beside = _local(place)
            if beside and (beside == notebook or beside.is_relative_to(RUNBOOKS)):
                raise BadInput(**text_of(__file__, "overwritten", output=beside))
            with stoppable() as stopped, Kernel() as kernel:
                prepare(kernel, nb, wanted, kernel_name)
                on_step = progress() if options.get("progress_bar", True) else None
                ended = execute(nb, wanted, kernel, stopped, options.get("execution_timeout"), on_step, beside)
        except RunbookError as error:
            if not on_command_line:
                raise
            print(error, file=sys.stderr)  # noqa: T201
            raise SystemExit(int(error.exit)) from None
        if not on_command_line and not ended.exit:
            return nb
        print(*ended.error, sep="\n", end="\n" * bool(ended.error), file=sys.stderr)  # noqa: T201
        if not beside:
            write_ipynb(nb, place)  # papermill does not write it after RunResult
        raise ended


def _local(place: str | None) -> Path | None:
    """The local file for a path of papermill, whose option --cwd does not apply to it; None for any other place."""
    from papermill.iorw import LocalHandler, papermill_io

    handler = papermill_io.get_handler(place)
    return Path(handler._cwd or "", place).resolve() if isinstance(handler, LocalHandler) else None


def progress() -> OnStep | None:
    """A progress bar on stderr with the title of the running step; None if stderr is not a terminal."""
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        return None
    from tqdm import tqdm

    bars: list[tqdm] = []

    def on_step(done: int, total: int, step: str) -> None:
        if not bars:  # created late, so that a refused run shows no bar
            bars.append(tqdm(total=total, leave=False, bar_format="{n_fmt}/{total_fmt} {bar:20} {elapsed}  {desc}"))
        bars[0].n = done
        bars[0].set_description_str(step)
        if done == total:
            bars[0].close()

    return on_step
