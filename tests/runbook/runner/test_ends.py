"""However a run of a shipped runbook ends, its record says so: in a directory and in a bucket, for every runbook.

Each case is `runbook run` as a process. Its end is one more line in a cell; `make test` has each end, each runbook and
each kind of store once.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from select import select
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner
from werkzeug.wrappers import Response

import gcp_sandbox
from gcp_sandbox.serve import serve
from runbook.cli.main import main
from runbook.config.load import load_settings
from runbook.model.errors import Exit
from runbook.records.record import records_directory, store_of
from tests.kernels import FORKS
from tests.runbook.runner import command
from tests.runbook.runner.test_execution import BANNER, C, F, P

ROOT = Path(__file__).parents[3]
NAMES = sorted(path.stem for path in (ROOT / "runbooks").glob("*.ipynb"))
FOR_EVER = "import os, resource, signal, threading; {}; threading.Event().wait()"
JUDGE = (
    "from runbook.checks.base import one; from runbook.model import Verdict\n"
    "run.judge('asked', one('asked', 'this', 'as asked', '', Verdict.{}))\n"
)


class End(NamedTuple):
    """What happens in a code cell, by number, and then: the exit code, the status, words of `why`, the verdict.

    `has_end` is whether record.json is the runner's last word. The bucket refuses uploads whose query has one
    of the texts in `refused`, until the test has seen what that leaves. `output`: a file, a terminal, or CLOSED.
    """

    cell: str
    exit: int
    status: str
    why: str = "all cells ran"
    verdict: str | None = None
    at: int = 3
    has_end: bool = True
    refused: tuple[str, ...] = ()
    output: str = "output"


BROKEN, DIED, STOPPED = (Exit.BROKEN, "failed"), (Exit.KERNEL_DIED, "kernel_died"), (Exit.TERMINATED, "terminated")
FULL = "resource.prlimit(os.getppid(), resource.RLIMIT_FSIZE, ({0}, {0}))"
RUNS = "%2Fruns%2F"  # in the query of each upload of a record's file
ENDS = {
    "ok": End("", Exit.OK, "finished", verdict="ok", at=-1),
    "alert": End(JUDGE.format("alert"), Exit.ALERT, "finished", verdict="alert", at=-1),
    "unknown": End(JUDGE.format("unknown"), Exit.UNKNOWN, "finished", verdict="unknown", at=-1),
    "a cell raises": End("raise ValueError('no such table')", *BROKEN, "ValueError: no such table"),
    "a cell exits": End("import sys; sys.exit(0)", *BROKEN, "SystemExit: 0"),
    "a cell ends its process": End("import os; os._exit(0)", *DIED, "the kernel died: exit code 0"),
    "no memory": End("bytearray(1 << 62)", *BROKEN, "MemoryError"),
    "kernel killed": End("import os; os.kill(os.getpid(), 9)", *DIED, "the kernel died: SIGKILL"),
    "kernel terminated": End("import os; os.kill(os.getpid(), 15)", *DIED, "the kernel died: SIGTERM"),
    "timeout": End(FOR_EVER.format("0"), Exit.TIMEOUT, "timeout", "within 1 seconds", at=0),
    "Ctrl-C": End(FOR_EVER.format("os.kill(os.getppid(), 2)"), Exit.INTERRUPTED, "interrupted", "stopped by SIGINT"),
    "SIGTERM": End(FOR_EVER.format("os.kill(os.getppid(), 15)"), *STOPPED, "stopped by SIGTERM"),
    "the terminal is closed": End(
        FOR_EVER.format("open('/dev/tty', 'w').write('CLOSE ME')"), *STOPPED, "stopped by SIGHUP", output="terminal"
    ),
    "nobody reads the output": End("", Exit.OK, "finished", verdict="ok", at=-1, output=command.CLOSED),
    "runner killed": End(
        FOR_EVER.format("os.kill(os.getppid(), 9)"), -signal.SIGKILL, "running", "never recorded its end", has_end=False
    ),
    "no room for the notebook": End(FOR_EVER.format(FULL.format(6000)), *BROKEN, "File too large"),
    "no room at all": End(
        FOR_EVER.format(FULL.format(0)), Exit.BROKEN, "running", "never recorded its end", has_end=False
    ),
    "the store fails at the end": End("", Exit.OK, "finished", verdict="ok", at=-1, refused=("%2Freport.json",)),
    "the store takes no record": End("", Exit.OK, "finished", verdict="ok", at=-1, refused=(RUNS,)),
}
BUCKET = "gs://acme-sales-sandbox-runbooks"


class Front:
    """The Cloud Storage of a sandbox; it answers 503 to an upload whose query has one of these `refused` texts."""

    def __init__(self) -> None:
        self.app = gcp_sandbox.app(load_settings("sandbox").inventory(), "healthy")
        self.sandbox, self.refused = self.app.sandbox, list[str]()

    def __call__(self, environ: dict[str, Any], answer: Any) -> Any:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        if environ["REQUEST_METHOD"] == "POST" and any(text in environ["QUERY_STRING"] for text in self.refused):
            return Response(status=503)(environ, answer)
        return self.app({**environ, "wsgi.input": BytesIO(body)}, answer)


@pytest.fixture(scope="module")
def front() -> Iterator[tuple[Front, str]]:
    """The bucket of all cases, and its address."""
    made = Front()
    with serve(made) as served:  # type: ignore[arg-type]
        yield made, served.url


def cases() -> list[Any]:
    """Every end with every runbook, over a bucket, where the local folder is looked at as a directory store, too; and
    with one runbook over a directory. In `make test`, a third of the ends, with a runbook and a store in turn.
    """
    made = []
    for number, (name, end) in enumerate(ENDS.items()):
        turn = (number + 5) % len(NAMES)  # the ends whose runs take longest get the runbooks that take least
        for n, runbook in enumerate(NAMES):
            marks = () if n == turn and (number % 8 == 1 or end.refused) else pytest.mark.full
            made.append(pytest.param(name, runbook, "bucket", marks=marks))
        if not end.refused:
            made.append(pytest.param(name, NAMES[turn], "directory", marks=() if number % 8 == 7 else pytest.mark.full))
    return made


@pytest.mark.parametrize(("name", "runbook", "store"), cases())
def test_the_record_is_true_whatever_ends_the_run(
    name: str, runbook: str, store: str, front: tuple[Front, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    end, (bucket, url) = ENDS[name], front
    place = f"{BUCKET}/{tmp_path.name}" if store == "bucket" else str(tmp_path / "records")
    for key, value in {"RECORDS": place, "LOCAL": str(tmp_path / "local")}.items():
        monkeypatch.setenv(f"RUNBOOK_{key}", value)
    for variable in ("STORAGE_EMULATOR_HOST", "RUNBOOK_SANDBOX"):
        monkeypatch.setenv(variable, url)
    monkeypatch.setattr(bucket, "refused", list(end.refused))
    path = with_end(end, runbook, tmp_path)

    exit, said = ended(end, ["run", str(path)], tmp_path)
    assert exit == end.exit, said
    assert "Traceback" not in said
    system = load_settings("sandbox")
    [folder] = (records_directory(system) / "runs").iterdir()
    kept = json.loads((folder / "record.json").read_bytes())
    check_record(end, kept, folder)
    check_files(folder)
    verified = Exit.UNKNOWN if not end.has_end else Exit.OK
    if end.refused:
        assert "Next: runbook records push" in said
        assert verify(folder.name) == (Exit.BAD_INPUT if RUNS in end.refused else Exit.UNKNOWN)
        bucket.refused.clear()
        assert CliRunner().invoke(main, ["records", "push"]).exit_code == 0
    assert verify(folder.name) == verified
    if store == "bucket":
        check_bucket(end, folder)
        monkeypatch.setenv("RUNBOOK_RECORDS", str(tmp_path / "local"))
        assert verify(folder.name) == verified


def with_end(end: End, runbook: str, folder: Path) -> Path:
    """A copy of a shipped runbook with this end in one of its cells."""
    notebook = json.loads((ROOT / "runbooks" / f"{runbook}.ipynb").read_bytes())
    cell = [c for c in notebook["cells"] if c["cell_type"] == "code"][end.at]
    cell["source"] = [end.cell, "\n", *cell["source"]] if end.at == -1 else [*cell["source"], "\n", end.cell]
    (folder / f"{runbook}.ipynb").write_text(json.dumps(notebook))
    return folder / f"{runbook}.ipynb"


def ended(end: End, words: list[str], folder: Path) -> tuple[int, str]:
    """The exit code and the output of a command. A terminal is closed as soon as it shows CLOSE ME."""
    output = end.output if end.output == command.CLOSED else str(folder / end.output)
    ours = theirs = -1
    if end.output == "terminal":
        ours, theirs = os.openpty()
        output = os.ttyname(theirs)
    process = FORKS.Process(
        target=command.run, args=(words, dict(os.environ), output, 1 if end.status == "timeout" else 60)
    )
    process.start()
    seen = b""
    if end.output == "terminal":
        while b"CLOSE ME" not in seen:
            assert select([ours, process.sentinel], [], [], 60)[0] == [ours], seen
            seen += os.read(ours, 4096)
        os.close(theirs)
        os.close(ours)
    process.join(60)
    assert process.exitcode is not None, "it did not end"
    return process.exitcode, seen.decode() if seen else Path(output).read_text() if Path(output).is_file() else ""


def check_record(end: End, kept: dict[str, Any], folder: Path) -> None:
    """record.json and the notebook say how the run ended."""
    assert (kept["status"], kept.get("verdict")) == (end.status, end.verdict)
    assert end.why in kept["why"]
    path = folder / f"{kept['runbook']}.ipynb"
    notebook = json.loads(path.read_bytes())
    code = [c for c in notebook["cells"] if c["cell_type"] == "code"]
    about = notebook["metadata"]["papermill"]
    if not end.has_end:
        assert (kept["ended_at"], "exit" in kept, about["status"]) == (None, False, "running")
        return
    assert kept["exit"] == end.exit
    assert kept["started_at"] <= kept["ended_at"]
    states = [C] * len(code) if end.status == "finished" else [C] * end.at + [F] + [P] * (len(code) - end.at - 1)
    assert [c["status"] for c in kept["cells"]] == states
    if "File too large" not in kept["why"]:  # else the notebook is that of the last save
        assert (about["status"], about["exception"]) == (end.status, end.status != "finished")
        assert [c["metadata"]["papermill"]["status"] for c in code] == states
        assert ("".join(notebook["cells"][0]["source"]).startswith(BANNER)) == (end.status != "finished")
        answer = json.dumps(code[0]["outputs"])
        assert end.at == 0 or ("No verdict" in answer) == (end.status != "finished")


def check_files(folder: Path) -> None:
    """Nothing is half written, and nobody else can read it."""
    files = [path for path in folder.iterdir() if path.name not in (".published", ".room", ".store")]
    assert [path.name for path in files if path.name.startswith(".")] == []
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    for path in files:
        lines = path.read_text().splitlines(keepends=True) if path.suffix == ".jsonl" else [path.read_text()]
        assert all(line.endswith("\n") and json.loads(line) for line in lines), path.name
    above = folder
    while above.name not in ("records", "local"):
        assert above.stat().st_mode & 0o777 == 0o700
        above = above.parent


def check_bucket(end: End, folder: Path) -> None:
    """The bucket has the beginning, and if the run has an end, each file as it is on the disk."""
    store = store_of(load_settings("sandbox"))
    names = {name.rpartition("/")[2]: store.read(name) for name in store.list(f"runs/{folder.name}")}
    begin = names.pop("begin.json", None)
    assert (begin is None) == (RUNS in end.refused)
    local = {path.name: path.read_bytes() for path in folder.iterdir() if path.name[0] != "."}
    assert names == (local if end.has_end else {})
    assert end.has_end or begin == local["record.json"]
    if "record.json" in names:
        labels = store.files.labels("runs")[f"runs/{folder.name}/record.json"]
        assert [labels[n] for n in ("status", "exit")] == [end.status, str(int(end.exit))]
        assert labels.get("verdict") == end.verdict


def verify(record: str) -> int:
    """The exit code of `runbook records verify`."""
    done = CliRunner().invoke(main, ["records", "verify", record])
    assert isinstance(done.exception, SystemExit | None), done.exception
    return done.exit_code
