"""The honest engine: what papermill runs a runbook with, so that record, notebook and exit code tell the same truth.

`runbook run` and `papermill --engine runbook in.ipynb out.ipynb` both end here. Parameters are refused before a kernel
starts; the record is begun before the first cell and finished after whatever happens.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runbook import errors, record, settings
from runbook.errors import BadInput, Broken, Exit, NoRecord, RunbookError
from runbook.kernel import Kernel
from runbook.request import Request, find, load_notebook, request, source

if TYPE_CHECKING:
    from nbformat import NotebookNode

    from runbook.execution import Execution, OnStep

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


class Ended(SystemExit):
    """How a run ended: its exit code, its folder, what record.json says, and the lines of the error that stopped it.

    A SystemExit, because that is what makes papermill's command line exit by the verdict, and write nothing more.
    """

    def __init__(self, exit: Exit, folder: Path, record: Mapping[str, Any], error: tuple[str, ...] = ()):
        super().__init__(int(exit))
        self.exit, self.folder, self.record, self.error = exit, folder, record, error


def run(
    runbook: str,
    values: Mapping[str, object],
    on_step: OnStep | None = None,
    cell_timeout: float | None = CELL_TIMEOUT,
    secret: bytes | None = None,
) -> Ended:
    """Run a runbook with values as they were typed; a `secret` reaches the kernel's memory and nothing else.

    Raises BadInput before a kernel starts, Broken for a notebook that is none, and NoRecord when there is no room for
    a record; everything else that can happen is in what is returned.
    """
    wanted, path = request(runbook, values), find(runbook)
    with _stoppable() as stopped, _kernel(load_notebook(path), wanted) as kernel:
        nb = _prepared(path, {name: wanted.values[name] for name in values})
        return _execute(nb, wanted, kernel, stopped, cell_timeout, on_step, secret=secret)


def _prepared(path: Path, given: Mapping[str, Any]) -> NotebookNode:
    """A notebook with its parameters, as papermill does it. Raises Broken when that cannot read it."""
    import nbformat
    import papermill
    from papermill.engines import papermill_engines

    # Also where the package was not installed, so that its entry point is not there.
    papermill_engines.register("runbook", HonestEngine)
    try:
        nb = nbformat.read(path, as_version=4)
    except Exception as error:  # noqa: BLE001 - it raises what it stumbles over
        raise Broken(f"{path.name} is no notebook", f"{type(error).__name__}: {error}") from None
    # Not the path: papermill would format the braces in it.
    quiet = {"prepare_only": True, "progress_bar": False, "kernel_name": "python3", "language": "python"}
    nb = papermill.execute_notebook(nb, None, given, engine_name="runbook", **quiet)
    nb.metadata.papermill["input_path"] = str(path)
    return nb


def _kernel(notebook: Mapping[str, Any], wanted: Request, name: str = "") -> Kernel:
    """Start a kernel for a notebook; it is this environment's own Python. Raises Broken when another is asked for."""
    asked = name or notebook["metadata"].get("kernelspec", {}).get("name", "python3")
    if asked not in ("python3", "python"):
        raise Broken(
            f"this notebook asks for the kernel {asked!r}",
            "runbooks run on the Python of this environment, python3",
            next="choose the kernel python3 in Jupyter and save it, or leave out papermill's option -k.",
        )
    ours = any("from runbook import" in source(c) for c in notebook["cells"] if c["cell_type"] == "code")
    return Kernel((wanted.environment, wanted.values.get("world", "")) if ours else ())


@contextmanager
def _stoppable() -> Iterator[list[int]]:
    """While inside, SIGINT, SIGTERM and SIGHUP are only noted, in this list, so that the record can be written.

    One that is ignored stays so: a shell ignores SIGINT for what it starts in the background, nohup ignores SIGHUP.
    """
    stopped: list[int] = []
    here = threading.current_thread() is threading.main_thread()
    known = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if here else ()
    numbers = [number for number in known if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, lambda n, _: stopped.append(n)) for number in numbers}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _execute(
    nb: NotebookNode,
    wanted: Request,
    kernel: Kernel,
    stopped: Sequence[int],
    timeout: float | None,
    on_step: OnStep | None = None,
    beside: Path | None = None,
    secret: bytes | None = None,
) -> Ended:
    """Run the cells between the two writes of record.json; the second one comes whatever happens.

    The notebook is kept in the run's folder, and `beside` when papermill was told a place for it.
    """
    from runbook.execution import Execution

    execution = Execution(nb, stopped)
    folder = record.new_folder(settings.load(wanted.environment), wanted.runbook)
    marker = record.begin(folder, wanted)
    save = partial(_save, nb, [folder / f"{wanted.runbook}.ipynb", *([beside] if beside else [])])
    try:
        kernel.start(folder, secret)
        save()
        execution.run(kernel, save, on_step or (lambda *_: None), timeout)
    except NoRecord as error:
        execution.end("failed", f"{error.what}: {error.observed}")
    except Exception as error:  # noqa: BLE001 - a fault of our own must not leave a record that says "running"
        execution.end("failed", f"the runner itself failed: {type(error).__name__}: {error}")
    kernel.stop()
    report = record.read_report(folder)
    if report is None:
        execution.fail("it never gave a verdict: no cell called run.close()")
    execution.close()
    try:
        save()
    except NoRecord as error:  # what is there is an earlier save, or none
        execution.fail(f"{error.what}: {error.observed}")
    exit, lines = _result(execution, report)
    whole = record.finish(folder, marker, exit=int(exit), **execution.seen())
    return Ended(exit, folder, whole, lines)


def _save(nb: NotebookNode, places: Sequence[Path]) -> None:
    from nbformat.v4 import writes_json

    # nbformat's own function validates every time, which is most of a save's cost.
    content = (writes_json(nb) + "\n").encode()
    for place in places:
        record.publish(place, content)


def _result(execution: Execution, report: Mapping[str, Any] | None) -> tuple[Exit, tuple[str, ...]]:
    """The exit code, and what to print: the report's, or by what stopped the run.

    An error of this library brings its own code and is printed as it is, any other in one line.
    """
    if execution.status == "finished" and report:
        return Exit(report["exit"]), ()
    raised = getattr(errors, execution.error.ename, None) if execution.error else None
    if isinstance(raised, type) and issubclass(raised, RunbookError) and execution.status == "failed":
        return raised.exit, tuple(execution.error.traceback)
    step = next((s.title for s in execution.steps if s.status == "failed"), "")
    line = f"The run did not finish{f' in “{step}”' if step else ''}: {execution.why}"
    return _EXITS[execution.status], (line,)


class HonestEngine:
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

        Ends by raising Ended on papermill's command line always, in a program only with an exit code other than 0.
        What is refused there is printed without a traceback.
        """
        import click
        from papermill.iorw import write_ipynb

        context = click.get_current_context(silent=True)
        by_hand = context is not None and context.command.name == "papermill"
        try:
            wanted = request(str(_local(input_path) or input_path), nb.metadata.papermill.get("parameters") or {})
            place = nb.metadata.papermill.get("output_path")
            beside = _harmless(_local(place), _local(input_path))
            with _stoppable() as stopped, _kernel(nb, wanted, kernel_name) as kernel:
                on_step = progress() if progress_bar else None
                ended = _execute(nb, wanted, kernel, stopped, execution_timeout, on_step, beside)
        except RunbookError as error:
            if not by_hand:
                raise
            print(error, file=sys.stderr)  # noqa: T201
            raise SystemExit(int(error.exit)) from None
        if not by_hand and not ended.exit:
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
    if output and (output == notebook or output.is_relative_to(settings.RUNBOOKS)):
        raise BadInput(
            f"{output} would be overwritten",
            "it is a runbook, not a record",
            next="name another output; the record is kept in the records folder in any case.",
        )
    return output


def progress() -> OnStep | None:
    """A bar on stderr that names the step which runs; None where stderr is no terminal."""
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        return None
    from tqdm import tqdm

    bars: list[tqdm] = []

    def on_step(done: int, total: int, step: str) -> None:
        if not bars:  # not before: what is refused shows no bar
            bars.append(tqdm(total=total, leave=False, bar_format="{n_fmt}/{total_fmt} {bar:20} {elapsed}  {desc}"))
        bars[0].n = done
        bars[0].set_description_str(step)
        if done == total:
            bars[0].close()

    return on_step
