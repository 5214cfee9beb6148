"""Running the cells of a notebook and saying truthfully what became of each.

A cell is completed only when it has an execution count and its end was seen here. When the kernel dies, a cell takes
too long, or someone stops the run, the cell that was running has failed, with an error output that says why, and the
cells after it stay pending.
"""

from __future__ import annotations

import asyncio
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from queue import Empty
from typing import Any, Literal

from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning import LocalProvisioner
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell, new_output

from runbook.kernel import Kernel

Status = Literal["running", "finished", "failed", "kernel_died", "timeout", "interrupted", "terminated"]
STARTING = 60  # seconds until a kernel that does not answer counts as dead
GRACE = 2  # seconds for a cell to end after it was interrupted
SAVE_EVERY = 1  # seconds between saves while cells run
BANNER = "papermill-error-cell-tag"  # papermill removes cells with this tag when it runs a notebook again


@dataclass
class Step:
    """One code cell: `title` is the last H2 above it, `seconds` how long it ran."""

    index: int
    id: str
    title: str
    status: Literal["pending", "running", "completed", "failed"] = "pending"
    seconds: float | None = None


@dataclass
class Execution:
    """What becomes of one notebook. `why` is one sentence; `error` the failed cell's error output, if it has one."""

    notebook: NotebookNode
    steps: list[Step]
    status: Status = "running"
    why: str = ""
    error: NotebookNode | None = None
    stopped_by: int = 0
    _wake: Callable[[], None] = field(default=lambda: None, repr=False)

    @classmethod
    def of(cls, notebook: NotebookNode) -> Execution:
        """Forget what an earlier run left in a notebook, and find its steps."""
        title, steps = "", []
        for index, cell in enumerate(notebook.cells):
            if cell.cell_type == "markdown":
                title = next(iter(re.findall(r"^## +(.+)", cell.source, re.MULTILINE)), title)
            elif cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
                if cell.source.strip():
                    steps.append(Step(index, cell.get("id", str(index)), title))
                    _tell(cell, status="pending", start_time=None, end_time=None, duration=None, exception=None)
        return cls(notebook, steps)

    def end(self, status: Status, why: str) -> None:
        """Note how the run ended; the first word counts, except that being stopped explains whatever comes of it."""
        if self.stopped_by:
            name = signal.Signals(self.stopped_by).name
            status = "interrupted" if self.stopped_by == signal.SIGINT else "terminated"
            why = f"stopped by {name} while it ran"
        if self.status == "running":
            self.status, self.why = status, why

    @contextmanager
    def signals(self) -> Iterator[None]:
        """While inside, SIGINT, SIGTERM and SIGHUP stop the run and let the record be written."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def stop(number: int, _frame: object) -> None:
            self.stopped_by = self.stopped_by or number
            self._wake()

        before = {n: signal.signal(n, stop) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def run(
        self, kernel: Kernel, save: Callable[[], None], on_step: Callable[[int, str], None], timeout: float | None
    ) -> None:
        """Run all cells in a kernel that is starting, one after another, until the first that does not complete.

        `save` is called at the most once a second, `on_step` with the number of ended cells and the next one's title;
        `timeout` is in seconds for each cell. What `save` raises ends the run and is raised.
        """
        asyncio.run(_Cells(self, kernel, save, on_step, timeout).drive())

    def banner(self) -> None:
        """Put a line at the top of a notebook that did not finish."""
        last = next((s for s in self.steps if s.status == "failed"), None)
        where = f" in “{last.title}”" if last and last.title else ""
        never = sum(s.status == "pending" for s in self.steps)
        rest = f" {never} of {len(self.steps)} cells never ran." if never else ""
        text = f"**This run did not finish{where}:** {self.why}.{rest} Do not read it as an all-clear."
        self.notebook.cells.insert(0, new_markdown_cell(text, metadata={"tags": [BANNER]}))


def _tell(cell: NotebookNode, **what: Any) -> None:
    """Where papermill's readers look for it."""
    cell.metadata["papermill"] = {**cell.metadata.get("papermill", {}), **what}


class _Cells(NotebookClient):
    """nbclient knows how messages become outputs; this knows what counts as an end."""

    def __init__(
        self,
        execution: Execution,
        kernel: Kernel,
        save: Callable[[], None],
        on_step: Callable[[int, str], None],
        timeout: float | None,
    ):
        options = {"timeout": timeout, "record_timing": False, "force_raise_errors": True, "iopub_timeout": 30}
        super().__init__(execution.notebook, km=_manager(kernel), **options, raise_on_iopub_timeout=True)
        self.run, self.kernel, self.save, self.on_step = execution, kernel, save, on_step
        # nbclient logs what it then raises; who runs this hears it once.
        self.log.disabled = True

    async def drive(self) -> None:
        saving, running = asyncio.create_task(self._save_now_and_then()), asyncio.create_task(self._all())
        loop = asyncio.get_running_loop()
        self.run._wake = lambda: loop.call_soon_threadsafe(self._stop, running)
        if self.run.stopped_by:
            self._stop(running)
        try:
            await asyncio.wait((saving, running), return_when=asyncio.FIRST_COMPLETED)
            if saving.done():
                self.kernel.stop()  # without a record nothing may go on
                self._close("failed", "the notebook could not be saved")
                await saving
            with suppress(asyncio.CancelledError):
                await running
        finally:
            self.run._wake = lambda: None
            saving.cancel()
            if self.kc is not None:
                self.kc.stop_channels()

    def _stop(self, running: asyncio.Task) -> None:
        """Interrupt the cell that runs, so that it can tidy up; when it does not end soon, or none runs, cancel."""
        if self._current():
            with suppress(ProcessLookupError):
                self.kernel.process.send_signal(signal.SIGINT)
        asyncio.get_running_loop().call_later(GRACE if self._current() else 0, running.cancel)

    def _current(self) -> Step | None:
        return next((s for s in self.run.steps if s.status == "running"), None)

    async def _save_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(SAVE_EVERY)
            self.save()

    async def _all(self) -> None:
        try:
            await self._ready()
            for number, step in enumerate(self.run.steps):
                if self.run.stopped_by:
                    break
                self.on_step(number, step.title)
                await self._one(step)
            self.on_step(len(self.run.steps), "")
        except CellExecutionError as error:
            first = error.evalue.partition("\n")[0].removeprefix(f"{error.ename}: ")
            self._close("failed", f"{error.ename}: {first}".removesuffix(": "))
        except CellTimeoutError:
            self._close("timeout", f"a cell did not end within {self.timeout:g} seconds")
        except (DeadKernelError, asyncio.CancelledError):
            self._close("kernel_died", "the kernel died")
        else:
            self._close("finished", "all cells ran")

    async def _ready(self) -> None:
        """Connect once the kernel listens; a message that comes before we listen to it would be lost."""
        deadline = time.monotonic() + STARTING
        while not self.kernel.listens:
            if not self.kernel.alive or time.monotonic() > deadline:
                raise DeadKernelError
            await asyncio.sleep(0.01)
        self.kc = self.km.client()
        self.kc.start_channels()
        self.kc.allow_stdin = False
        while True:
            self.kc.kernel_info()
            with suppress(Empty):
                await self.kc.get_iopub_msg(timeout=1)
                info = await self.kc.get_shell_msg(timeout=STARTING)
                self.nb.metadata["language_info"] = info["content"]["language_info"]
                return
            if not self.kernel.alive or time.monotonic() > deadline:
                raise DeadKernelError

    async def _one(self, step: Step) -> None:
        cell = self.nb.cells[step.index]
        began, clock = datetime.now(UTC), time.monotonic()
        step.status = "running"
        _tell(cell, status="running", start_time=began.isoformat())
        try:
            await self.async_execute_cell(cell, step.index)
            if cell.execution_count is None:
                raise DeadKernelError
            step.status = "completed"
        finally:
            step.seconds = round(time.monotonic() - clock, 3)
            ended = datetime.now(UTC).isoformat() if step.status == "completed" else None
            _tell(cell, status=step.status, end_time=ended, duration=step.seconds, exception=False)

    def _close(self, status: Status, why: str) -> None:
        """Name the end, and let the cell that was running say it too."""
        self.run.end(status, why)
        step = self._current()
        if step is None:
            return
        step.status = "failed"
        cell = self.nb.cells[step.index]
        errors = [o for o in cell.outputs if o.output_type == "error"]
        if not errors:
            said = [self.run.why, *self.kernel.last_words().splitlines()] if status == "kernel_died" else [self.run.why]
            errors = [new_output("error", ename=self.run.status, evalue=self.run.why, traceback=said)]
            cell.outputs += errors
        self.run.error = errors[-1]
        _tell(cell, status="failed", end_time=datetime.now(UTC).isoformat(), exception=True)


def _manager(kernel: Kernel) -> AsyncKernelManager:
    """Make jupyter_client treat a process that is already there as its own."""
    manager = AsyncKernelManager(connection_file=str(kernel.connection_file))
    manager.load_connection_file()
    manager.provisioner = LocalProvisioner(parent=manager, kernel_id="runbook")
    manager.provisioner.process = kernel.process
    return manager
