"""Runs one runbook on many environments: each run is a fork of one process that has imported everything.

A run of its own spends four fifths of its processor time on imports. The process that forks has one thread, begins no
connection, and only waits; a run that is killed harms no other. Forks are safe on Linux only.
"""

import gc
import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing.connection import wait
from multiprocessing.context import ForkProcess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO

from runbook.context import Told
from runbook.model import RunbookError
from runbook.runner import kernel
from runbook.runner.alerts import log_line
from runbook.runner.execute import stoppable
from runbook.runner.run import run

WARM = ("papermill.engines", "nbformat.v4", "runbook.runner.execution", "ipykernel.kernelapp", "ipykernel.ipkernel")
WARM += ("google.auth.transport.requests", "runbook.cloud.bigquery", "google.cloud.logging", "runbook.session.run")
WARM += ("runbook.facts", "runbook.checks", "runbook.incidents", *kernel.CHARTS, "gcp_sandbox")
TICK = 0.5  # seconds between checks for a signal


def run_all(runbook: str, environments: list[str], jobs: int, scheduled: bool, logged: bool) -> dict[str, str]:
    """Run a runbook on environments, at most `jobs` at once; return why some have no record.

    `logged`: each run prints its line for Cloud Logging. A signal stops all of them; each ends its record.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy begins threads when it is imported, and forks lose them
    kernel.import_all(WARM)
    gc.freeze()  # what is shared with the forks stays shared
    waiting, running = list(environments), list[ForkProcess]()
    with stoppable() as stopped, TemporaryDirectory() as place:
        while running or (waiting and not stopped):
            while waiting and len(running) < jobs and not stopped:
                name = waiting.pop(0)
                work = (runbook, name, Path(place, name), scheduled, logged)
                running.append(ForkProcess(target=_run, args=work))
                running[-1].start()
            wait([one.sentinel for one in running], TICK)
            running = [one for one in running if one.is_alive()]
            for one in running if stopped else ():
                os.kill(one.pid or 0, stopped[0])
        said = {path.name: path.read_text(encoding="utf-8") for path in Path(place).iterdir()}
    return said | dict.fromkeys(waiting, "the fleet was stopped before this run")


def _run(runbook: str, environment: str, said: Path, scheduled: bool, logged: bool) -> None:
    """In a fork: one run, which ends in its own record."""
    kernel.Kernel.launch = _forked
    try:
        ended = run(runbook, {"environment": environment}, told=Told(scheduled=scheduled))
    except RunbookError as error:
        said.write_text(str(error), encoding="utf-8")
        return
    if logged:
        print(log_line(ended), flush=True)  # noqa: T201


class LikePopen:
    """For a multiprocessing process: the methods of a `subprocess.Popen` that this library and jupyter_client use."""

    def poll(self) -> int | None:
        return self.exitcode

    def wait(self) -> int | None:
        self.join()
        return self.exitcode

    def send_signal(self, number: int) -> None:
        os.kill(self.pid or 0, number)


class _Kernel(LikePopen, ForkProcess):
    """A forked kernel."""


def _forked(made: kernel.Kernel, log: BinaryIO, env: Mapping[str, str]) -> tuple[Any, Any]:
    """In place of `Kernel.launch`: its process is a fork of its runner."""
    theirs, ours = os.pipe()

    def work() -> None:
        os.setpgid(0, 0)  # Ctrl-C in the terminal goes to the runner
        for number, handler in {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}.items():
            signal.signal(number, handler)
        os.close(ours)  # else the end of the runner would not be noticed
        for number, target in ((theirs, 0), (log.fileno(), 1), (log.fileno(), 2)):
            os.dup2(number, target)
        os.environ.update(env)
        kernel.main(str(made.connection_file))

    process = _Kernel(target=work)
    process.start()
    with suppress(OSError):  # whoever comes first: `stop` ends the whole group
        os.setpgid(process.pid or 0, process.pid or 0)
    os.close(theirs)
    return process, os.fdopen(ours, "wb")
