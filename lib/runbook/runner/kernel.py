"""The Python process that runs a notebook's cells. It is started early, and ends with its runner.

A kernel needs half a second for imports. So the command line starts this process first, as `python -m
runbook.runner.kernel`. The process imports what every runbook needs. It connects when the runner has checked the
parameters, and becomes a kernel when the runner sends the request. It always uses this environment's Python;
kernelspecs are ignored, because anyone may install one in a home folder.
"""

import base64
import faulthandler
import gc
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, suppress
from importlib import import_module
from pathlib import Path
from threading import Thread
from typing import Any, BinaryIO

from runbook.context import KERNEL, NOTHING_TOLD, Told

# Called with the number of ended cells, the total, and the title of the next cell; "" after the end of the run.
OnStep = Callable[[int, int, str], None]
CHARTS = ("runbook.charts", "matplotlib.figure")
_ARGUMENTS = ["--HistoryManager.enabled=False", "--InteractiveShellApp.ignore_cwd=True", "--log-level=ERROR"]
_SOCKETS = ("shell", "iopub", "stdin", "control", "hb")


class Kernel(AbstractContextManager):
    """One kernel process, which only imports modules until `prepare`. `start` turns it into a kernel."""

    def __init__(self) -> None:
        # A short path, because a Unix socket name has at most about 100 bytes. Only this user has access.
        self.folder = Path(tempfile.mkdtemp(prefix="rb-", dir="/tmp" if os.path.isdir("/tmp") else None))
        self.connection_file = self.folder / "connection.json"
        connection: dict[str, Any] = {f"{name}_port": n for n, name in enumerate(_SOCKETS, 1)}
        connection |= {"transport": "ipc", "ip": str(self.folder / "k"), "kernel_name": "python3"}
        connection |= {"key": secrets.token_hex(32), "signature_scheme": "hmac-sha256"}
        self.connection_file.write_text(json.dumps(connection), encoding="utf-8")
        self.log = self.folder / "log"
        env = {"PYDEVD_DISABLE_FILE_VALIDATION": "1"} | _home(self.folder)
        with self.log.open("wb") as log:
            self.process, self._stdin = self.launch(log, env)

    def launch(self, log: BinaryIO, env: dict[str, str]) -> tuple[Any, Any]:
        """Start the process with these more variables; return it, and its standard input. A fleet forks it instead."""
        command = [sys.executable, "-P", "-m", "runbook.runner.kernel", self.connection_file]
        pipes = {"stdin": subprocess.PIPE, "stdout": log, "stderr": log}
        # In a new session: Ctrl-C in the terminal goes to the runner, which interrupts the kernel.
        process = subprocess.Popen(command, env=os.environ | env, start_new_session=True, **pipes)
        return process, process.stdin

    def __exit__(self, *_: object) -> None:
        self.stop()

    def prepare(self, *place: str) -> None:
        """Connect to an environment and its world; without them, for a notebook that does not use this library."""
        self._say(place)

    def start(self, run: Path, told: Told = NOTHING_TOLD) -> None:
        """Turn the process into a kernel with the record folder `run`; a secret stays in its memory only."""
        value = None if told.secret is None else base64.b64encode(told.secret).decode()
        self._say({"run": str(run), **told._asdict(), "secret": value})

    def _say(self, word: Any) -> None:
        with suppress(BrokenPipeError):  # it already died; the wait for the kernel reports that
            self._stdin.write(json.dumps(word).encode() + b"\n")
            self._stdin.flush()

    # Whether all its sockets exist, so that a client can connect.
    listens = property(lambda self: all((self.folder / f"k-{n}").exists() for n in range(1, len(_SOCKETS) + 1)))

    alive = property(lambda self: self.process.poll() is None)

    def interrupt(self) -> None:
        """Raise KeyboardInterrupt in the running cell."""
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGINT)

    @property
    def death(self) -> str:
        """How the process ended: the name of the signal, or the exit code."""
        if (code := self.process.poll()) is None:
            return "it did not answer"
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"

    def log_tail(self) -> list[str]:
        """The last 40 lines that the process wrote outside of cells, to explain why it died."""
        return self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-40:]

    def stop(self) -> None:
        """Kill the process and its children, and remove its files. Idempotent."""
        if not self.folder.exists():
            return
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        with suppress(BrokenPipeError):
            self._stdin.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def leave_deleted_directory() -> None:
    """Go to / if the working directory was deleted."""
    try:
        os.getcwd()
    except FileNotFoundError:
        os.chdir("/")


def _home(folder: Path) -> dict[str, str]:
    """Variables that let IPython, Jupyter and matplotlib write to `folder`, if the user has no writable home folder, as
    in a container.

    A HOME that is set is kept, because it may contain Google credentials.
    """
    home = os.path.expanduser("~")  # stays "~" if HOME is not set and the user has no name
    if os.path.isabs(home) and os.access(home, os.W_OK):
        return {}
    names = ["IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "MPLCONFIGDIR"]
    own = dict.fromkeys([*names, *([] if os.path.isabs(home) else ["HOME"])], str(folder / "home"))
    (folder / "home").mkdir()
    return own | {name: os.environ[name] for name in own if os.environ.get(name)}


def main(connection_file: str) -> None:
    """In the new process: import, wait for the runner's words, then become a kernel that ends with its runner."""
    # The kernel never reads stdin. A copy of stdin detects the runner's end, so no child process may read it.
    life = os.fdopen(os.dup(0), "rb", buffering=0)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    gc.disable()  # imported modules are never garbage, and collections take a tenth of the import time
    faulthandler.enable(os.dup(2), all_threads=False)  # a kernel redirects stderr to the cells
    sys.modules.setdefault("debugpy", None)  # type: ignore[arg-type]  # half of the kernel's start, and nobody debugs
    import_all(("google.auth.transport.requests", "google.api_core.exceptions", "runbook.cloud.connect"))
    folder = Path(connection_file).parent
    if place := _heard(life, folder):  # connect in parallel with the other imports
        with suppress(Exception):  # as in `import_all`
            from runbook.cloud.connect import prefetch

            KERNEL.prefetch = prefetch(*place)
    from ipykernel import kernelapp

    if place:  # what every runbook needs for its reads
        import_all(("runbook.cloud.bigquery", "runbook.session.run", "runbook.facts", "runbook.checks"))
    said = _heard(life, folder)
    Thread(target=_end_with, args=(life, folder), daemon=True).start()
    KERNEL.directory = Path(said.pop("run"))
    secret = said.pop("secret")
    KERNEL.told = Told(None if secret is None else base64.b64decode(secret), **said)
    leave_deleted_directory()
    # Charts are drawn after the first reads, so their imports can run while the reads wait for the network.
    Thread(target=_import_the_rest, args=(CHARTS if place else (),), daemon=True).start()
    sys.argv = [sys.argv[0], "-f", connection_file, *_ARGUMENTS]
    kernelapp.launch_new_instance()


def _heard(life: BinaryIO, folder: Path) -> Any:
    """What the runner says next; if it has ended, so does this process."""
    if not (word := life.readline()):
        _end_with(life, folder)
    return json.loads(word)


def import_all(names: Iterable[str]) -> None:
    """Import modules, without an error for those that are missing or broken."""
    # The cell that needs a missing or broken module reports the error.
    with suppress(Exception):
        for name in names:
            import_module(name)


def _import_the_rest(names: Iterable[str]) -> None:
    import_all(names)
    gc.freeze()
    gc.enable()


def _end_with(life: BinaryIO, folder: Path) -> None:
    """End this process when the runner closes its end of the pipe, also by SIGKILL: then no cell runs unrecorded."""
    life.read()
    shutil.rmtree(folder, ignore_errors=True)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main(*sys.argv[1:])
