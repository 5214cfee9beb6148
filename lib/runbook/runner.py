"""The honest engine: what papermill runs a runbook with, so that record, notebook and exit code tell the same truth.

`runbook run` and `papermill --engine runbook in.ipynb out.ipynb` both end here. Parameters are refused before a kernel
starts; the record is begun before the first cell and finished after whatever happens.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runbook import errors, record, settings
from runbook.errors import BadInput, Broken, Exit, NoRecord, RunbookError
from runbook.kernel import Kernel
from runbook.request import Request, find, load_notebook, request, source

if TYPE_CHECKING:
    from nbformat import NotebookNode

    from runbook.execution import Execution

# Where JupyterLab is installed, jsonschema imports this, which compiles a grammar for seconds at each start; notebooks
# have no field that needs it. None makes the import fail, which jsonschema allows for.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]

CELL_TIMEOUT = 900  # seconds that one cell may take, where nobody says otherwise
_EXITS = {
    "failed": Exit.BROKEN,
    "kernel_died": Exit.KERNEL_DIED,
    "timeout": Exit.TIMEOUT,
    "interrupted": Exit.INTERRUPTED,
    "terminated": Exit.TERMINATED,
}
OnStep = Callable[[int, int, str], None]


class Ended(SystemExit):
    """How a run ended: its exit code, its folder, what record.json says, and the lines of the error that stopped it.

    A SystemExit, because that is what makes papermill's command line exit by the verdict, and write nothing more.
    """

    def __init__(self, exit: Exit, folder: Path, record: Mapping[str, Any], error: tuple[str, ...] = ()):
        super().__init__(int(exit))
        self.exit, self.folder, self.record, self.error = exit, folder, record, error


def run(
    runbook: str, values: Mapping[str, object], on_step: OnStep | None = None, cell_timeout: float | None = CELL_TIMEOUT
) -> Ended:
    """Run a runbook with values as they were typed; `on_step` hears how many cells of how many ended, and what is next.

    Raises BadInput before a kernel starts, Broken for a notebook that is none, and NoRecord when there is no room for
    a record; everything else that can happen is in what is returned.
    """
    path = find(runbook)
    kernel = Kernel(warm=_uses_library(load_notebook(path)["cells"]))
    try:
        wanted = request(runbook, values)
        given = {name: wanted.values[name] for name in values}
        papermill = _papermill()
        papermill.execute_notebook(
            _read(path),
            None,
            given,
            engine_name="runbook",
            progress_bar=False,
            kernel=kernel,
            wanted=wanted,
            on_step=on_step,
            execution_timeout=cell_timeout,
        )
    except Ended as ended:
        return ended
    finally:
        kernel.stop()
    raise AssertionError("the engine always ends")


def _uses_library(cells: Iterable[Mapping[str, Any]]) -> bool:
    return any("from runbook import" in source(c) for c in cells if c["cell_type"] == "code")


def _papermill() -> Any:
    import papermill
    from papermill.engines import papermill_engines

    # Also where the package was not installed, so that its entry point is not there.
    papermill_engines.register("runbook", HonestEngine)
    return papermill


def _read(path: Path) -> NotebookNode:
    import nbformat

    return nbformat.read(path, as_version=4)


class HonestEngine:
    """papermill's engine `runbook`. It has the three methods that papermill calls, and no base class: papermill loads
    this module while it is itself being imported."""

    @classmethod
    def nb_kernel_name(cls, nb: NotebookNode, name: str | None = None) -> str:
        """The kernel is this environment's own Python. Raises Broken for a notebook that asks for another."""
        asked = name or nb.metadata.get("kernelspec", {}).get("name", "python3")
        if asked not in ("python3", "python"):
            _refuse(
                Broken(
                    f"this notebook asks for the kernel {asked!r}",
                    "runbooks run on the Python of this environment, python3",
                    next="choose the kernel python3 in Jupyter and save it, or leave out papermill's option -k.",
                )
            )
        return "python3"

    @classmethod
    def nb_language(cls, nb: NotebookNode, language: str | None = None) -> str:
        return "python"

    @classmethod
    def execute_notebook(
        cls,
        nb: NotebookNode,
        kernel_name: str,
        output_path: str | None = None,
        input_path: str = "",
        progress_bar: bool | dict = True,
        execution_timeout: float | None = None,
        kernel: Kernel | None = None,
        wanted: Request | None = None,
        on_step: OnStep | None = None,
        **_: Any,
    ) -> NotebookNode:
        """Run a notebook that papermill has read and given its parameters.

        Ends by raising Ended, for `runbook run` and on papermill's command line always, in a program that called
        papermill only with an exit code other than 0.
        """
        alone = wanted is None
        try:
            if wanted is None:
                wanted = _from_papermill(nb, input_path)
            kernel = kernel or Kernel(warm=_uses_library(nb.cells))
            on_step = on_step or (progress() if alone and progress_bar else None)
            ended = _execute(nb, wanted, kernel, execution_timeout, on_step)
        except RunbookError as error:
            if alone:
                _refuse(error)
            raise
        finally:
            if kernel is not None:
                kernel.stop()
        if alone and ended.error:
            print("\n".join(ended.error), file=sys.stderr)  # noqa: T201
        if ended.exit or not alone or _on_papermills_command_line():
            raise ended
        return nb


def _refuse(error: RunbookError) -> None:
    """End papermill's command line with the message and its exit code, and without a traceback."""
    if not _on_papermills_command_line():
        raise error
    print(error, file=sys.stderr)  # noqa: T201
    raise SystemExit(int(error.exit))


def _on_papermills_command_line() -> bool:
    import click

    context = click.get_current_context(silent=True)
    return context is not None and context.command.name == "papermill"


def _from_papermill(nb: NotebookNode, input_path: str) -> Request:
    """Check what papermill was given; it knows an unknown parameter only as a warning."""
    about = nb.metadata.papermill
    wanted = request(input_path, about.get("parameters") or {})
    place = about.get("output_path") or ""
    if _is_local(place) and (_same(place, input_path) or Path(place).resolve().is_relative_to(settings.RUNBOOKS)):
        raise BadInput(
            f"{place} would be overwritten",
            "it is a runbook, not a record",
            next="name another output; the record is kept in the records folder in any case.",
        )
    return wanted


def _is_local(place: str) -> bool:
    return bool(place) and place != "-" and "://" not in place


def _same(one: str, other: str) -> bool:
    return Path(one).resolve() == Path(other).resolve()


@dataclass
class _Output:
    """Where a notebook goes while it runs and when it has ended: the run's folder, and papermill's output path."""

    folder: Path
    wanted: Request
    nb: NotebookNode

    def save(self, last: bool = False) -> None:
        """Publish the notebook as it is now. Raises NoRecord."""
        from nbformat.v4 import writes_json

        # nbformat's own function validates every time, which is most of a save's cost.
        content = (writes_json(self.nb) + "\n").encode()
        record.publish(self.folder / f"{self.wanted.runbook}.ipynb", content)
        place = self.nb.metadata.papermill.get("output_path") or ""
        if _is_local(place):
            record.publish(Path(place), content)
        elif place and last:
            from papermill.iorw import write_ipynb

            write_ipynb(self.nb, place)


def _execute(nb: NotebookNode, wanted: Request, kernel: Kernel, timeout: float | None, on_step: OnStep | None) -> Ended:
    """Run the cells between the two writes of record.json; the second one comes whatever happens."""
    from runbook.execution import Execution

    system = settings.load(wanted.environment)
    execution = Execution.of(nb)
    total = len(execution.steps)
    with execution.signals():
        output = _Output(record.new_folder(system, wanted.runbook), wanted, nb)
        marker = record.begin(output.folder, wanted)
        kernel.start({"RUNBOOK_RUN": str(output.folder)})
        _about(nb, marker["started_at"])
        try:
            output.save()
            execution.run(kernel, output.save, lambda n, step: on_step and on_step(n, total, step), timeout)
        except NoRecord as error:
            execution.end("failed", f"{error.what}: {error.observed}")
        except Exception as error:  # noqa: BLE001 - a fault of our own must not leave a record that says "running"
            execution.end("failed", f"the runner itself failed: {type(error).__name__}: {error}")
        finally:
            kernel.stop()
        return _finish(output, execution, marker)


def _finish(output: _Output, execution: Execution, marker: Mapping[str, Any]) -> Ended:
    report = record.read_report(output.folder)
    if execution.status == "finished" and report is None:
        execution.status, execution.why = "failed", "it never gave a verdict: no cell called run.close()"
    exit = _exit(execution, report)
    if execution.status != "finished":
        execution.banner()
    _about(output.nb, marker["started_at"], record.now(), execution.status)
    with suppress(NoRecord):  # the record then says which notebook it has: an earlier save, or none
        output.save(last=True)
    whole = record.finish(
        output.folder,
        marker,
        status=execution.status,
        why=execution.why,
        exit=int(exit),
        cells=[{"id": s.id, "step": s.title, "status": s.status, "seconds": s.seconds} for s in execution.steps],
    )
    return Ended(exit, output.folder, whole, _lines(execution))


def _exit(execution: Execution, report: Mapping[str, Any] | None) -> Exit:
    """By the verdict; without one by what stopped the run, in which an error of ours brings its own code."""
    if execution.status == "finished" and report:
        from runbook.rows import Verdict

        return Verdict[report["verdict"]].exit
    ours = _ours(execution)
    return ours.exit if ours and execution.status == "failed" else _EXITS[execution.status]


def _ours(execution: Execution) -> type[RunbookError] | None:
    """The class of the error that stopped the run, when it is one of this library's."""
    raised = getattr(errors, execution.error.ename, None) if execution.error else None
    return raised if isinstance(raised, type) and issubclass(raised, RunbookError) else None


def _lines(execution: Execution) -> tuple[str, ...]:
    """What to print about a run that did not finish: an error of ours as it is, any other in one line."""
    if execution.status == "finished":
        return ()
    if execution.error and _ours(execution):
        return tuple(execution.error.traceback)
    step = next((s.title for s in execution.steps if s.status == "failed"), "")
    return (f"The run did not finish{f' in “{step}”' if step else ''}: {execution.why}",)


def _about(nb: NotebookNode, started: str, ended: str | None = None, status: str = "running") -> None:
    """Where papermill's readers look for it."""
    nb.metadata.papermill.update(
        start_time=started, end_time=ended, exception=None if not ended else status != "finished", status=status
    )


def progress() -> OnStep | None:
    """A bar on stderr that names the step which runs; None where stderr is no terminal."""
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        return None
    from tqdm import tqdm

    bar = tqdm(total=1, unit="cell", leave=False, bar_format="{n_fmt}/{total_fmt} {bar:20} {elapsed}  {desc}")

    def on_step(done: int, total: int, step: str) -> None:
        bar.total, bar.n = total, done
        bar.set_description_str(step)
        if done == total:
            bar.close()

    return on_step
