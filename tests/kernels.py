"""Kernels for tests: each is a fork of one warmed process, as those of a fleet are.

A kernel of its own spends a second of processor time on imports. The process that forks is multiprocessing's fork
server: it has one thread and no DuckDB, unlike the process that runs the tests. Tests whose subject is the process of a kernel
spawn it, with the fixture `spawned`.
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing import get_context
from typing import Any, BinaryIO

from runbook.runner import kernel
from runbook.runner.fleet import WARM, LikePopen

FORKS = get_context("forkserver")
FORKS.set_forkserver_preload(
    [*WARM, "gcp_sandbox.serve", "tests.runbook.apply.machines", "tests.runbook.runner.command"]
)
TICK = 0.002  # seconds between two looks whether the fork has begun


class Forked(LikePopen, FORKS.Process):  # type: ignore[name-defined]
    """A kernel that the fork server forked."""


def launch(made: kernel.Kernel, log: BinaryIO, env: Mapping[str, str]) -> tuple[Any, Any]:
    """In place of `Kernel.launch`. Returns when the fork has a process group of its own, which `stop` kills."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    life = made.folder / "life"
    os.mkfifo(life)
    with suppress(FileNotFoundError):
        env = {"PWD": os.getcwd(), **env}
    work = (str(made.connection_file), log.name, str(life), {**os.environ, **env})
    process = Forked(target=_work, args=work)
    process.start()
    while True:
        try:
            end = os.open(life, os.O_WRONLY | os.O_NONBLOCK)
            break
        except OSError as error:
            if error.errno != errno.ENXIO or not process.is_alive():
                raise
            process.join(TICK)
    os.set_blocking(end, True)
    return process, os.fdopen(end, "wb")


def _work(connection_file: str, log: str, life: str, env: dict[str, str]) -> None:
    os.setsid()
    for number, handler in {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}.items():
        signal.signal(number, handler)
    os.environ.clear()
    os.environ.update(env)
    with suppress(OSError):
        os.chdir(env["PWD"])
    said = os.open(log, os.O_WRONLY | os.O_APPEND)
    for number in (1, 2):
        os.dup2(said, number)
    os.dup2(os.open(life, os.O_RDONLY), 0)
    kernel.main(connection_file)
