"""Runs the cells of a notebook, and records the status of each.

A cell is completed only if it has an execution count and this process has received its end. If the kernel dies, a cell
takes too long or the run is stopped, the running cell has failed, with an error output that gives the reason; the cells
after it stay pending.
"""

import asyncio
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from queue import Empty
from typing import Any, Literal

from jupyter_client.asynchronous import AsyncKernelClient
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning import LocalProvisioner
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell, new_output

from runbook.config.parameters import steps
from runbook.display.blocks import page
from runbook.model import NoRecord
from runbook.model.report import answer_block
from runbook.records.files import now
from runbook.runner.kernel import Kernel, OnStep

Status = Literal["running", "finished", "failed", "kernel_died", "timeout", "interrupted", "terminated"]
STARTING = 60  # seconds until a kernel that does not answer counts as dead
GRACE = 2  # seconds for a cell to end after an interrupt
TICK = 0.1  # seconds between checks for a signal
SAVE_EVERY = 1  # seconds between saves while cells run
BANNER = "papermill-error-cell-tag"  # papermill removes cells with this tag before a rerun


class Execution:
    """The execution of one notebook. `why` is one sentence; `error` is the error output of the failed cell, if any.

    `stopped` is the list of signals to stop; the signal handler may add one at any time. `scan` gets each completed
    cell while the next one runs, so that the last save has little left to search for secrets.
    """

    def __init__(self, notebook: NotebookNode, stopped: Sequence[int], scan: Callable[[NotebookNode], Any]):
        self.notebook, self.stopped, self.scan = notebook, stopped, scan
        self.status: Status = "running"
        self.why = ""
        self.error: NotebookNode | None = None
        for cell in notebook.cells:
            if cell.cell_type == "code":  # remove the outputs of an earlier run
                cell.outputs, cell.execution_count = [], None
        self.steps, self.began = [*steps(notebook.cells)], 0.0  # when the running cell began
        self._note(start_time=now(), end_time=None)
        for _, cell, _ in self.steps:
            self._mark(cell, "pending", start_time=None, end_time=None, duration=None)

    def with_status(self, status: str) -> list[tuple[NotebookNode, str]]:
        """The code cells that are pending, running, completed or failed, each with the last H2 above it."""
        return [(cell, title) for _, cell, title in self.steps if cell.metadata.papermill.status == status]

    def seen(self, **more: str) -> dict[str, Any]:
        """The fields of record.json about the run and each code cell, and `more` that are not empty."""
        known = [(cell.get("id", str(n)), title, cell.metadata.papermill) for n, cell, title in self.steps]
        cells = [{"id": i, "step": title, "status": m.status, "seconds": m.duration} for i, title, m in known]
        return {"status": self.status, "why": self.why, "cells": cells, **{name: v for name, v in more.items() if v}}

    def run(self, kernel: Kernel, save: Callable[[], None], on_step: OnStep, timeout: float | None) -> None:
        """Run the cells in order in a starting kernel; stop at the first cell that does not complete.

        `save` is called about once a second; if it raises NoRecord, the run ends. `timeout` is in seconds per cell.
        """
        asyncio.run(self._run(kernel, save, on_step, timeout))

    def end(self, status: Status, why: str, words: Sequence[str] = ()) -> None:
        """Record how the run ended, also in the running cell.

        Only the first call counts. If a signal stopped the run, that is the reason, whatever the caller gives.
        """
        if self.status != "running":
            return
        if self.stopped:
            status = "interrupted" if self.stopped[0] == signal.SIGINT else "terminated"
            why = f"stopped by {signal.Signals(self.stopped[0]).name} while it ran"
        self.status, self.why = status, why
        for cell, _ in self.with_status("running"):
            self._mark(cell, "failed")
            if not any(o.output_type == "error" for o in cell.outputs):
                cell.outputs.append(new_output("error", ename=status, evalue=why, traceback=[why, *words]))
            self.error = next(o for o in cell.outputs if o.output_type == "error")

    def fail(self, why: str) -> None:
        """Record a run as failed although all its cells completed."""
        if self.status == "finished":
            self.status, self.why = "failed", why

    def close(self, report: Mapping[str, Any] | None) -> None:
        """Record the end in the notebook, and the answer of a finished run; of any other, add a line at its top.

        Without a report, the run has failed.
        """
        if report is None:
            self.fail("there is no verdict: no cell showed what run.close() returns")
        self._note(end_time=now())
        data = page(answer_block(report if self.status == "finished" else None))
        for cell in self.notebook.cells:
            if "answer" in cell.metadata.get("tags", []) and cell.execution_count:
                cell.outputs = [new_output("display_data", data)]
        if self.status == "finished":
            return
        where = "".join(f" in “{title}”" for _, title in self.with_status("failed") if title)
        never = len(self.with_status("pending"))
        rest = f" {never} of {len(self.steps)} cells did not run." if never else ""
        text = f"**This run did not finish{where}:** {self.why}.{rest} Do not read it as an all-clear."
        self.notebook.cells.insert(0, new_markdown_cell(text, metadata={"tags": [BANNER]}))

    def _note(self, **times: str | None) -> None:
        """Record the status of the run in papermill's metadata."""
        failed = None if self.status == "running" else self.status != "finished"
        self.notebook.metadata.papermill.update(status=self.status, exception=failed, **times)

    def _mark(self, cell: NotebookNode, status: str, **more: Any) -> None:
        """Record the status of a cell in papermill's metadata, the only place where it is."""
        if status == "running":
            self.began, more = time.monotonic(), {"start_time": now()}
        elif status != "pending":
            more = {"end_time": now(), "duration": round(time.monotonic() - self.began, 3)}
        known = cell.metadata.get("papermill", {})
        cell.metadata["papermill"] = NotebookNode(known, status=status, exception=status == "failed", **more)

    async def _run(self, kernel: Kernel, save: Callable[[], None], on_step: OnStep, timeout: float | None) -> None:
        cells = asyncio.create_task(self._cells(kernel, on_step, timeout))
        watch = asyncio.create_task(self._watch(kernel, save, cells))
        try:
            await cells
        finally:
            watch.cancel()

    async def _watch(self, kernel: Kernel, save: Callable[[], None], cells: asyncio.Task) -> None:
        """Save regularly; end the run if a save fails. On a signal, interrupt the running cell and let it clean up."""
        saved = time.monotonic()
        try:
            while not self.stopped:
                await asyncio.sleep(TICK)
                if time.monotonic() - saved > SAVE_EVERY:
                    save()
                    saved = time.monotonic()
            kernel.interrupt()
            await asyncio.sleep(GRACE)
        except NoRecord as error:
            self.end("failed", f"{error.what}: {error.observed}")
        cells.cancel()

    async def _cells(self, kernel: Kernel, on_step: OnStep, timeout: float | None) -> None:
        # nbclient's log is disabled below, because it also raises every error that it logs.
        limits = {"timeout": timeout, "iopub_timeout": 30, "raise_on_iopub_timeout": True}
        rules = {"record_timing": False, "force_raise_errors": True, "skip_cells_with_tag": ""}
        # A jupyter_client manager for a process that is already running.
        manager = AsyncKernelManager(connection_file=str(kernel.connection_file))
        manager.load_connection_file()
        manager.provisioner = LocalProvisioner(parent=manager, kernel_id="runbook")
        manager.provisioner.process = kernel.process
        client = NotebookClient(self.notebook, km=manager, **limits, **rules)
        client.log.disabled = True
        try:
            client.kc = client.km.client()
            self.notebook.metadata["language_info"] = await _connect(kernel, client.kc)
            for number, (index, cell, title) in enumerate(self.steps):
                if not self.stopped:
                    on_step(number, len(self.steps), title)
                    self._mark(cell, "running")
                    await client.async_execute_cell(cell, index)
                    if cell.execution_count is None:
                        raise DeadKernelError
                    self._mark(cell, "completed")
                    asyncio.get_running_loop().call_soon(self.scan, cell)
            self.end("finished", "all cells ran")
        except CellExecutionError as error:
            first = error.evalue.partition("\n")[0].removeprefix(f"{error.ename}: ")
            self.end("failed", f"{error.ename}: {first}".removesuffix(": "))
        except CellTimeoutError:
            self.end("timeout", f"a cell did not end within {timeout or client.iopub_timeout:g} seconds")
        except (DeadKernelError, asyncio.CancelledError):
            self.end("kernel_died", f"the kernel died: {kernel.death}", kernel.log_tail())
        finally:
            client.kc.stop_channels()
            on_step(len(self.steps), len(self.steps), "")


async def _connect(kernel: Kernel, client: AsyncKernelClient) -> dict[str, Any]:
    """Connect when the kernel listens, and return its language info.

    Messages that the kernel publishes before this client is connected are lost. So the request is repeated until the
    answer arrives on both channels.
    """
    deadline = time.monotonic() + STARTING
    while not kernel.listens and kernel.alive and time.monotonic() < deadline:
        await asyncio.sleep(0.01)
    client.start_channels()
    client.allow_stdin = False
    while kernel.alive and time.monotonic() < deadline:
        client.kernel_info()
        with suppress(Empty):
            await client.get_iopub_msg(timeout=1)
            return (await client.get_shell_msg(timeout=1))["content"]["language_info"]
    raise DeadKernelError
