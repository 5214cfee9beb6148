"""`runbook …` in a process of its own with its exit code: a fork, whose kernel is a fork of it, as in a fleet."""

from __future__ import annotations

import os
import signal
from functools import partial

import nbformat
from nbformat.v4 import new_notebook

from runbook.cli.main import main
from runbook.config.secret_scan import Scan
from runbook.runner import fleet, kernel
from runbook.runner import run as runs

# What each fork would make anew: the schema of notebooks, and the rules that find secrets.
nbformat.validate(new_notebook())
Scan().text("one text")
CLOSED = "closed"  # in place of a file: a pipe that nobody reads


def run(words: list[str], env: dict[str, str], output: str, limit: float) -> None:
    """Run the command, with a limit in seconds for a cell.

    `output` is a file, a terminal, which becomes the process's own, or CLOSED.
    """
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    os.environ.clear()
    os.environ.update(env)
    read, write = os.pipe()
    os.close(read)
    target = write if output == CLOSED else os.open(output, os.O_RDWR | os.O_CREAT)
    for number in (1, 2):
        os.dup2(target, number)
    kernel.Kernel.launch = fleet._forked  # type: ignore[method-assign,assignment]
    runs.run = partial(runs.run, cell_timeout=limit)
    main(words, prog_name="runbook")
