"""Runs one runbook on many environments: each run is a fork of one process that has imported everything.

A run of its own spends four fifths of its processor time on imports. The process that forks has one thread, begins no
connection, and only waits; a run that is killed harms no other. Forks are safe on Linux only.
"""

import gc
import os
import signal
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO

from runbook.model.errors import Exit, RunbookError
from runbook.runner import kernel
from runbook.runner.alerts import log_line
from runbook.runner.run import run

WARM = ("papermill.engines", "nbformat.v4", "runbook.runner.execution", "ipykernel.kernelapp", "ipykernel.ipkernel")
WARM += ("google.auth.transport.requests", "google.cloud.bigquery", "google.cloud.logging", "runbook.session.run")
WARM += ("runbook.facts", "runbook.checks", "runbook.incidents", *kernel.CHARTS, "gcp_sandbox")
_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_all(
    runbook: str, values: Mapping[str, Mapping[str, object]], jobs: int, alerts: bool = False, logged: bool = False
) -> dict[str, str]:
    """Run a runbook with the values of each environment, at most `jobs` at once; return why some have no record.

    Each run is in its own record. `logged`: each prints its line for Cloud Logging. A signal stops all of them.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy begins threads when it is imported, and forks lose them
    kernel.import_all(WARM)
    gc.freeze()  # what is shared with the forks stays shared
    waiting, running, stopped = list(values), dict[int, str](), list[int]()

    def stop(number: int, _: Any) -> None:
        stopped.append(number)
        for pid in list(running):
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    numbers = [number for number in _STOPS if signal.getsignal(number) is not signal.SIG_IGN]  # as in `stoppable`
    before = {number: signal.signal(number, stop) for number in numbers}
    with TemporaryDirectory() as place:
        while running or (waiting and not stopped):
            while waiting and len(running) < jobs and not stopped:
                name = waiting.pop(0)
                work = partial(_run, runbook, values[name], Path(place, name), alerts, logged)
                running[_fork(work, before)] = name
            running.pop(os.wait()[0], None)
        said = {path.name: path.read_text(encoding="utf-8") for path in Path(place).iterdir()}
    for number, handler in before.items():
        signal.signal(number, handler)
    return said | dict.fromkeys(waiting, "the fleet was stopped before this run")


def _run(runbook: str, values: Mapping[str, object], said: Path, alerts: bool, logged: bool) -> int:
    try:
        ended = run(runbook, values, kind=ForkedKernel, alerts=alerts)
    except RunbookError as error:
        said.write_text(str(error), encoding="utf-8")
        return error.exit
    if logged:
        print(log_line(ended), flush=True)  # noqa: T201
    return ended.exit


def _fork(work: Callable[[], int | None], handlers: Mapping[int, Any]) -> int:
    """Do some work in a fork of this process, with these handlers of signals; return its process id."""
    sys.stdout.flush()
    sys.stderr.flush()
    if pid := os.fork():
        return pid
    code: int | None = Exit.BROKEN
    try:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        code = work()
    except BaseException as error:  # noqa: BLE001 - never back into the caller's code
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)  # noqa: T201
    finally:
        sys.stdout.flush()
        os._exit(code or 0)


class ForkedKernel(kernel.Kernel):
    """A kernel that is a fork of its runner."""

    def _begin(self, log: BinaryIO, env: dict[str, str], place: Iterable[str]) -> tuple[Any, Any]:
        theirs, ours = os.pipe()

        def work() -> None:
            os.setpgid(0, 0)  # Ctrl-C in the terminal goes to the runner
            os.close(ours)  # else the end of the runner would not be noticed
            for number, target in ((theirs, 0), (log.fileno(), 1), (log.fileno(), 2)):
                os.dup2(number, target)
            os.environ.update(env)
            kernel.main(str(self.connection_file), *place)

        handlers = dict.fromkeys(_STOPS, signal.SIG_DFL) | {signal.SIGINT: signal.default_int_handler}
        child = _Child(_fork(work, handlers))
        with suppress(OSError):  # whoever comes first: `stop` ends the whole group
            os.setpgid(child.pid, child.pid)
        os.close(theirs)
        return child, os.fdopen(ours, "wb")


class _Child:
    """A forked process, with the methods of a `subprocess.Popen` that this library and jupyter_client use."""

    def __init__(self, pid: int):
        self.pid, self.returncode = pid, None

    def poll(self, options: int = os.WNOHANG) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, options)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def wait(self) -> int | None:
        return self.poll(0)

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)
