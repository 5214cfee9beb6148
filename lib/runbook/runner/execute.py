"""One execution with its record, which is started before the first cell and always finished.

`runbook run` and `papermill --engine runbook in.ipynb out.ipynb` both use this module, so record, notebook and exit
code always agree.
"""

import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from threading import current_thread, main_thread
from typing import Any

from runbook.apply.secret_value import SHORTEST, told_secret
from runbook.config import Request, Scan, cell_source, load_settings, secrets_in
from runbook.context import NOTHING_TOLD, Told
from runbook.data_file import text_of
from runbook.model import Broken, Exit, NoRecord, Refused, RunbookError, errors
from runbook.records import Journal, progress, publish
from runbook.records.record import begin, finish, new_directory, publish_begin, publish_run, shown_report
from runbook.runner.alerts import notify
from runbook.runner.kernel import Kernel, OnStep


class RunResult(SystemExit):
    """The result of a run: its exit code, its folder, the content of record.json, and the lines of its error, if any.

    `local` says why the record is only on this machine, "" if it is in the record store.

    It is a SystemExit, so that papermill's command line exits with the code of the verdict and writes nothing more.
    """

    def __init__(self, exit: Exit, folder: Path, record: Mapping[str, Any], error: Sequence[str] = (), local: str = ""):
        super().__init__(int(exit))
        self.exit, self.folder, self.record, self.error, self.local = exit, folder, record, error, local


def prepare(kernel: Kernel, notebook: Mapping[str, Any], wanted: Request, name: str = "") -> None:
    """Prepare a kernel on this environment's Python. Raises Broken if the notebook needs another kernel."""
    asked = name or notebook["metadata"].get("kernelspec", {}).get("name", "python3")
    if asked not in ("python3", "python"):
        raise Broken(**text_of(__file__, "another_kernel", asked=asked))
    ours = any("from runbook import" in cell_source(c) for c in notebook["cells"] if c["cell_type"] == "code")
    kernel.prepare(*((wanted.environment, wanted.values.get("world", "")) if ours else ()))


@contextmanager
def stoppable() -> Iterator[list[int]]:
    """Inside, SIGINT, SIGTERM and SIGHUP are only added to this list, so that the record can be written.

    Signals that are ignored stay ignored: a shell ignores SIGINT for background jobs, and nohup ignores SIGHUP.
    """
    stopped: list[int] = []
    known = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if current_thread() is main_thread() else ()
    numbers = [number for number in known if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, lambda n, _: stopped.append(n)) for number in numbers}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def execute(
    nb: Any,
    wanted: Request,
    kernel: Kernel,
    stopped: Sequence[int],
    timeout: float | None,
    on_step: OnStep | None = None,
    beside: Path | None = None,
    told: Told = NOTHING_TOLD,
) -> RunResult:
    """Run the cells between the two writes of record.json. The second write always happens.

    `nb` is an nbformat.NotebookNode. It is saved in the run's folder, and in `beside` if papermill has an output path.
    """
    from runbook.runner.execution import Execution

    scan = _scan(told)
    execution = Execution(nb, stopped, scan.data)
    system = load_settings(wanted.environment)
    folder = new_directory(system, wanted.runbook)
    marker = begin(folder, wanted, notebook=Path(nb.metadata.papermill.get("input_path") or ""))
    save = partial(_save, nb, scan, [folder / f"{wanted.runbook}.ipynb", *([beside] if beside else [])])
    try:
        kernel.start(folder, told)
        publish_begin(system, folder)  # while the kernel starts
        save()
        execution.run(kernel, save, on_step or (lambda *_: None), timeout)
    except NoRecord as error:
        execution.end("failed", f"{error.what}: {error.observed}")
    except Exception as error:  # noqa: BLE001 - a bug in the runner must not leave a record with status "running"
        execution.end("failed", f"the runner failed: {type(error).__name__}: {error}")
    kernel.stop()
    execution.close(report := scan.data(shown_report(nb.cells)))
    nb.update(scan.data(nb))
    try:
        save()
    except NoRecord as error:  # the file on disk is from an earlier save, or missing
        execution.fail(f"{error.what}: {error.observed}")
    if told.scheduled:  # before the record's end, so that the journal in the record has it
        seen, why = report if execution.status == "finished" else None, scan.text(execution.why)
        notify(system, wanted, seen, why, Journal(folder).write, folder.name)
    exit, lines = _result(execution, report)
    whole = finish(folder, marker, report, scan, exit=int(exit), **execution.seen(compares=told.compare))
    said = map(scan.text, (*lines, *_sent(folder, whole)))
    return RunResult(exit, folder, whole, tuple(said), publish_run(system, folder))


def _scan(told: Told) -> Scan:
    """A search for the secrets that this run handles, and for whatever looks like one."""
    known = [told.secret]
    with suppress(Refused):  # the cell that needs the value says so
        known.append(told_secret())
    # A shorter value is refused; in its place, half of the record would go.
    return Scan([*(value for value in known if len(value or b"") >= SHORTEST), *secrets_in(os.environ)])


def _sent(folder: Path, record: Mapping[str, Any]) -> Iterator[str]:
    """What a run that was stopped has sent, and how to go on, one line each; nothing for a run that finished."""
    try:
        rows = Journal(folder).read() if record["status"] != "finished" else []
    except Broken as error:  # a cell can write there
        rows = []
        yield f"What it sent cannot be told: {error.what}: {error.observed}"
    if written := [row for row in rows if row["kind"] == "WRITE"]:
        yield f"Before it stopped, changes of plan {written[0]['plan']} were sent:"
        yield from (f"  {line}" for line in progress(rows))
        yield f"Next: check each change, and go on: runbook apply {written[0]['plan']}"


def _save(nb: Any, scan: Scan, places: Sequence[Path]) -> None:
    from nbformat.v4 import writes_json

    # nbformat.write validates every time, which takes most of the time of a save.
    content = (writes_json(scan.data(nb)) + "\n").encode()
    for place in places:
        publish(place, content)


def _result(execution: Any, report: Mapping[str, Any] | None) -> tuple[Exit, tuple[str, ...]]:
    """The exit code and the error lines of a run: from the report, or from what stopped the run.

    A RunbookError has its own code and is printed unchanged; any other error is printed in one line.
    """
    if execution.status == "finished" and report:
        return Exit(report["exit"]), ()
    raised = getattr(errors, execution.error.ename, None) if execution.error else None
    if isinstance(raised, type) and issubclass(raised, RunbookError) and execution.status == "failed":
        return raised.exit, tuple(execution.error.traceback)
    step = next((title for _, title in execution.with_status("failed")), "")
    line = f"The run did not finish{f' in “{step}”' if step else ''}: {execution.why}"
    # A run that did not end by itself has a status with the name of its exit code, such as "timeout".
    return Exit.BROKEN if execution.status == "failed" else Exit[execution.status.upper()], (line,)
