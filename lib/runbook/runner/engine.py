"""papermill's engine `runbook`: runs a notebook as `runbook run` does, and exits by the verdict."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runbook.cloud.target import request_on_target
from runbook.config.load import RUNBOOKS
from runbook.model.errors import BadInput, RunbookError
from runbook.runner.execute import execute, start_kernel, stoppable
from runbook.runner.progress import progress
from runbook.runner.startup import prepare

if TYPE_CHECKING:
    from nbformat import NotebookNode


prepare()  # papermill imports this module before it imports jsonschema


class RunbookEngine:
    """papermill's engine `runbook`. It has the three methods that papermill calls, and no base class: papermill loads
    this module while it is itself being imported."""

    @classmethod
    def nb_kernel_name(cls, nb: NotebookNode, name: str | None = None) -> str:
        return name or nb.metadata.get("kernelspec", {}).get("name", "python3")

    @classmethod
    def nb_language(cls, nb: NotebookNode, language: str | None = None) -> str:
        return "python"

    @classmethod
    def execute_notebook(
        cls,
        nb: NotebookNode,
        kernel_name: str,
        input_path: str = "",
        progress_bar: bool = True,
        execution_timeout: float | None = None,
        **_: Any,
    ) -> NotebookNode:
        """Run a notebook that papermill has read and given its parameters.

        Ends by raising RunResult on papermill's command line always, in a program only with an exit code other than 0.
        What is refused there is printed without a traceback.
        """
        import click
        from papermill.iorw import write_ipynb

        context = click.get_current_context(silent=True)
        on_command_line = context is not None and context.command.name == "papermill"
        try:
            wanted = request_on_target(
                str(_local(input_path) or input_path), nb.metadata.papermill.get("parameters") or {}
            )
            place = nb.metadata.papermill.get("output_path")
            beside = _harmless(_local(place), _local(input_path))
            with stoppable() as stopped, start_kernel(nb, wanted, kernel_name) as kernel:
                on_step = progress() if progress_bar else None
                ended = execute(nb, wanted, kernel, stopped, execution_timeout, on_step, beside)
        except RunbookError as error:
            if not on_command_line:
                raise
            print(error, file=sys.stderr)  # noqa: T201
            raise SystemExit(int(error.exit)) from None
        if not on_command_line and not ended.exit:
            return nb
        print(*ended.error, sep="\n", end="\n" * bool(ended.error), file=sys.stderr)  # noqa: T201
        if not beside:
            write_ipynb(nb, place)  # papermill itself will not
        raise ended


def _local(place: str | None) -> Path | None:
    """The file that papermill means by a path, which its option --cwd does not move; None when it is none."""
    from papermill.iorw import LocalHandler, papermill_io

    handler = papermill_io.get_handler(place)
    return Path(handler._cwd or "", place).resolve() if isinstance(handler, LocalHandler) else None


def _harmless(output: Path | None, notebook: Path | None) -> Path | None:
    """Where papermill may write. Raises BadInput for a place that holds a runbook."""
    if output and (output == notebook or output.is_relative_to(RUNBOOKS)):
        raise BadInput(
            f"{output} would be overwritten",
            "it is a runbook, not a record",
            next="name another output; the record is kept in the records folder in any case.",
        )
    return output
