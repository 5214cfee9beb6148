"""The runner says truthfully how a run ended: every fixture notebook in tests/notebooks/ is named for its fault."""

from __future__ import annotations

import base64
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from runbook.audit.index import read_run
from runbook.audit.seal import seal
from runbook.context import Told
from runbook.model.errors import BadInput, Broken, Exit, NoRecord, RunbookError
from runbook.records.files import digest
from runbook.records.proof import examined
from runbook.records.store import Store
from runbook.runner import execute, run
from runbook.runner.kernel import Kernel
from tests.runbook.apply.test_secret_leaks import assert_nowhere
from tests.slices import every, first_of_each

pytestmark = pytest.mark.usefixtures("spawned")

LEAKED = b"s3cret-Value/of+the=new 'version'&<1>"
NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
ROOT = Path(__file__).parents[3]
BANNER = "**This run did not finish"
C, F, P = "completed", "failed", "pending"

# notebook, parameters → exit, status, the cells after `parameters`, what `why` says.
CASES: dict[str, tuple[str, dict[str, str], Exit, str, list[str], str]] = {
    "ok": ("ok", {}, Exit.OK, "finished", [C, C], "all cells ran"),
    "warn": ("ok", {"verdict": "warn"}, Exit.OK, "finished", [C, C, C], "all cells ran"),
    "unknown": ("ok", {"verdict": "unknown", "exit_code": "4"}, Exit.UNKNOWN, "finished", [C, C, C], "all cells ran"),
    "alert": ("ok", {"verdict": "alert", "exit_code": "3"}, Exit.ALERT, "finished", [C, C, C], "all cells ran"),
    "refused": ("ok", {"verdict": "alert", "exit_code": "5"}, Exit.REFUSED, "finished", [C, C, C], "all cells ran"),
    "no verdict": ("ok", {"verdict": "fine"}, Exit.BROKEN, "failed", [C, C, C], "there is no verdict"),
    "never closes": ("never_closes", {}, Exit.BROKEN, "failed", [C, C], "there is no verdict"),
    "raises": ("raises", {}, Exit.BROKEN, "failed", [C, F, P], "ValueError: no such table"),
    "raises, a tag allows it": ("raises_allowed", {}, Exit.BROKEN, "failed", [C, F, P], "ZeroDivisionError"),
    "raises one of ours": ("raises_refused", {}, Exit.REFUSED, "failed", [C, F, P], "Refused: the plan is stale"),
    "a tag skips a cell": ("tagged_skip", {}, Exit.OK, "finished", [C, C, C], "all cells ran"),
    "sys.exit(0)": ("exits", {}, Exit.BROKEN, "failed", [C, F, P], "SystemExit: 0"),
    "kernel dies": ("kernel_dies", {}, Exit.KERNEL_DIED, "kernel_died", [C, F, P], "the kernel died: SIGKILL"),
    "kernel crashes": ("kernel_crashes", {}, Exit.KERNEL_DIED, "kernel_died", [C, F, P], "the kernel died: SIGSEGV"),
    "timeout": ("never_ends", {"mark": "{tmp}/timeout"}, Exit.TIMEOUT, "timeout", [C, C, F, P], "within 2 seconds"),
    "asks": ("asks", {}, Exit.BROKEN, "failed", [C, F, P], "StdinNotImplementedError"),
}


class Watched(Kernel):
    """A kernel that is remembered, to see what is left of it."""

    made: list[Kernel]

    def __init__(self) -> None:
        super().__init__()
        self.made.append(self)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> dict[str, execute.RunResult]:
    """How each case ended; they run at the same time, as schedules do."""
    tmp, Watched.made = tmp_path_factory.mktemp("ran"), []

    def one(case: str) -> execute.RunResult:
        name, given, *_ = CASES[case]
        values = {key: value.format(tmp=tmp) for key, value in given.items()}
        return run.run(str(NOTEBOOKS / f"{name}.ipynb"), values, cell_timeout=2 if case == "timeout" else 30)

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(4) as pool:
        patch.setattr(run, "Kernel", Watched)
        return dict(zip(CASES, pool.map(one, CASES), strict=True))


@pytest.mark.parametrize("case", CASES)
def test_each_end_is_told_as_it_was(ran: dict[str, execute.RunResult], case: str) -> None:
    name, given, exit, status, cells, why = CASES[case]
    ended = ran[case]
    assert (ended.exit, ended.record["status"]) == (exit, status)
    assert [c["status"] for c in ended.record["cells"]] == [C, *cells]
    assert why in ended.record["why"]
    whole_record(ended.folder, ended.record)
    assert ended.record["verdict"] == (given.get("verdict", "ok") if status == "finished" else None)
    assert bool(ended.error) == (status != "finished")
    notebook = json.loads((ended.folder / f"{name}.ipynb").read_text())
    assert ("".join(notebook["cells"][0]["source"]).startswith(BANNER)) == (status != "finished")
    about = notebook["metadata"]["papermill"]
    assert (about["status"], about["exception"]) == (status, status != "finished")
    assert "cells" not in str(about["input_path"])
    in_notebook = [c for c in notebook["cells"] if c["cell_type"] == "code"]
    assert [c["metadata"]["papermill"]["status"] for c in in_notebook] == [C, *cells]
    # What a kernel said in its last instant may be lost, and with it the count of the cell that killed it.
    assert all(
        (c["execution_count"] is None) == (s == P) for c, s in zip(in_notebook, [C, *cells], strict=True) if s != F
    )
    errors = [o["evalue"] for c in in_notebook for o in c["outputs"] if o["output_type"] == "error"]
    assert len(errors) == cells.count(F)


def whole_record(folder: Path, said: dict[str, Any]) -> None:
    """A record that was finished has every key, is what is on the disk, and its digests are right."""
    assert json.loads((folder / "record.json").read_text()) == said
    words = [
        "schema",
        "how",
        "name",
        "runbook",
        "parameters",
        "who",
        "person",
        "pid",
        "commit",
        "digests",
        "params_commit",
    ]
    words += ["differ", "versions", "started_at", "ended_at"]
    assert list(said) == [*words, "status", "why", "verdict", "exit", "cells", "sha256", "proof"]
    assert said["started_at"] <= said["ended_at"]
    files = {p.name for p in folder.iterdir() if p.name[0] != "."} - {"record.json"}
    assert said["sha256"] == {name: digest(folder / name) for name in files}
    assert examined(Store(folder.parents[1]), folder.name).faults == ()
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


def test_nothing_is_left_behind(ran: dict[str, execute.RunResult]) -> None:
    assert len(Watched.made) == len(ran)
    assert [k.process.pid for k in Watched.made if k.alive or k.folder.exists()] == []


def test_the_words_of_a_dying_kernel_are_kept(ran: dict[str, execute.RunResult]) -> None:
    assert (
        "Fatal Python error: Segmentation fault" in (ran["kernel crashes"].folder / "kernel_crashes.ipynb").read_text()
    )


def test_an_error_of_ours_is_printed_whole(ran: dict[str, execute.RunResult]) -> None:
    assert ran["raises one of ours"].error[0] == "Refused: the plan is stale"
    assert ran["raises one of ours"].error[-1] == "  Next: approve again."
    assert ran["raises"].error == ("The run did not finish in “Is the table there?”: ValueError: no such table",)


def test_what_an_earlier_run_left_does_not_count(ran: dict[str, execute.RunResult]) -> None:
    """A notebook that was run may be run again: its banner, its outputs and its counts go."""
    path = ran["raises"].folder / "raises.ipynb"
    old = json.loads(path.read_text())
    old["cells"][-1] |= {"execution_count": 9, "outputs": [{"output_type": "stream", "name": "stdout", "text": "old"}]}
    path.write_text(json.dumps(old))
    again = json.loads((run.run(str(path), {}).folder / path.name).read_text())
    assert json.dumps(again).count(BANNER) == 1
    assert (again["cells"][-1]["execution_count"], again["cells"][-1]["outputs"]) == (None, [])


def test_the_report_is_what_the_runner_saw(monkeypatch: Any, tmp_path: Path) -> None:
    """A cell that writes another report.json changes nothing; a process that it leaves behind is found (T7)."""
    monkeypatch.setenv("RUNBOOK_RECORDS", str(tmp_path))
    ended = run.run(str(NOTEBOOKS / "overwrites.ipynb"), {})
    assert (ended.exit, ended.record["verdict"], ended.record["exit"]) == (Exit.ALERT, "alert", 3)
    report = json.loads((ended.folder / "report.json").read_text())
    assert (report["verdict"], report["attested"]) == ("alert", True)
    whole_record(ended.folder, ended.record)
    ended = run.run(str(NOTEBOOKS / "overwrites.ipynb"), {"mark": str(tmp_path / "mark")})
    assert (ended.exit, ended.record["verdict"]) == (Exit.ALERT, "alert")
    wait_for((tmp_path / "mark").exists)
    assert json.loads((ended.folder / "report.json").read_text())["verdict"] == "ok"
    assert examined(Store(ended.folder.parents[1]), ended.folder.name).faults == ("report.json was changed",)


def test_a_run_that_only_compares_a_plan_says_so_in_its_record(monkeypatch: Any, tmp_path: Path) -> None:
    """Then it is no part of the incident that its parameters name."""
    monkeypatch.setenv("RUNBOOK_RECORDS", str(tmp_path))
    for plan in ("a" * 64, ""):
        ended = run.run(str(NOTEBOOKS / "overwrites.ipynb"), {}, told=Told(compare=plan))
        found = read_run(Store(ended.folder.parents[1]), ended.folder.name)
        assert (ended.record.get("compares", ""), found.compared, found.faults) == (plan, plan, ())


def test_no_secret_stays_in_a_record(monkeypatch: Any, tmp_path: Path, capfd: Any) -> None:
    """Neither what the run handled, nor what its variables hold, in any encoding, in any file (T14)."""
    token = "ghp_" + "a1B2c3D4" * 5
    monkeypatch.setenv("RUNBOOK_RECORDS", str(tmp_path / "records"))
    monkeypatch.setenv("DB_PASSWORD", "correct-horse-battery")
    monkeypatch.setenv("SOMETHING", token)
    ended = run.run(str(NOTEBOOKS / "leaks.ipynb"), {}, told=Told(LEAKED))
    assert ended.record["status"] == "failed"
    whole_record(ended.folder, ended.record)
    kept = ["journal.jsonl", "leaks.ipynb", "notes.txt", "record.json", "report.json"]
    assert sorted(path.name for path in ended.folder.iterdir()) == kept
    assert_nowhere(LEAKED, ended.folder, *ended.error, str(ended.record), *capfd.readouterr())
    text = "".join(path.read_text() for path in ended.folder.iterdir())
    assert [word for word in (token, "correct-horse-battery", LEAKED.decode()[::-1]) if word in text] == []
    for content in (base64.b64encode(LEAKED).decode()[:20], LEAKED.decode("utf-8")[:7].encode("utf-16-le").hex()):
        assert content not in text
    assert text.count("(redacted: secret of this run") > 20
    assert "(redacted: GitHub token)" in text
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "records").rglob("*") if path.is_dir()} == {0o700}
    [value] = json.loads((ended.folder / "leaks.ipynb").read_text())["cells"][-1]["outputs"]
    assert value["evalue"].startswith("cannot connect to https")


# Refused before there is a process or a folder: notebook, parameters, error.
REFUSED: list[tuple[str, dict[str, object], type[RunbookError]]] = [
    ("no_tag", {}, Broken),
    ("unknown_kernel", {}, Broken),
    ("absent", {}, BadInput),
    ("ok", {"verdit": "ok"}, BadInput),
    ("ok", {"verdict": 3}, BadInput),
    ("ok", {"environment": "nowhere"}, BadInput),
    ("ok", {"verdict": "AIza" + "x" * 35}, BadInput),
]


@pytest.mark.parametrize(("name", "values", "error"), REFUSED)
def test_refused_before_a_kernel(
    name: str, values: dict[str, object], error: type[RunbookError], monkeypatch: Any, tmp_path: Path
) -> None:
    monkeypatch.setattr(execute, "Kernel", lambda **_: pytest.fail("a kernel was started"))
    monkeypatch.setenv("RUNBOOK_RECORDS", str(tmp_path / "records"))
    with pytest.raises(error):
        run.run(str(NOTEBOOKS / f"{name}.ipynb"), values)
    assert not (tmp_path / "records").exists()


def test_no_room_for_a_record(monkeypatch: Any, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("RUNBOOK_RECORDS", str(tmp_path / "file" / "records"))
    monkeypatch.setattr(Watched, "made", [], raising=False)
    monkeypatch.setattr(run, "Kernel", Watched)
    with pytest.raises(NoRecord):
        run.run(str(NOTEBOOKS / "ok.ipynb"), {})
    assert Watched.made
    assert not any(k.alive or k.folder.exists() for k in Watched.made)


# --- what happens to a process of its own -----------------------------------------------------------------------------


def in_the_foreground() -> None:
    """A process inherits which signals are ignored; the tests themselves may run in the background."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


@pytest.fixture
def child(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """A function that starts a process which runs one notebook and exits as it ended; its records go to tmp_path."""
    made: list[subprocess.Popen[str]] = []

    def start(name: str, values: dict[str, object], **options: Any) -> subprocess.Popen[str]:
        code = "import json, sys; from runbook.runner.run import run; raise run(sys.argv[1], json.loads(sys.argv[2]))"
        words = [sys.executable, "-c", code, str(NOTEBOOKS / f"{name}.ipynb"), json.dumps(values)]
        env = os.environ | {"RUNBOOK_RECORDS": str(tmp_path)}
        options = {"preexec_fn": in_the_foreground, **options}
        made.append(subprocess.Popen(words, env=env, stderr=subprocess.PIPE, text=True, **options))
        return made[-1]

    yield start
    for process in made:
        process.kill()


def wait_for(what: Any, seconds: float = 30) -> Any:
    """What a function returns once that is true."""
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)
    return found


def gone(pid: int) -> bool:
    """Whether a process has ended; an orphan that nobody reaped has."""
    return subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True).stdout.strip()[:1] in (b"", b"Z")


# Signal, what the cell does when it is interrupted → exit code, status in record.json, what became of the last two cells.
SIGNALS = [
    (signal.SIGINT, "end", 130, "interrupted", [F, P]),
    (signal.SIGINT, "tidy", 130, "interrupted", [C, P]),
    (signal.SIGINT, "ignore", 130, "interrupted", [F, P]),
    (signal.SIGTERM, "end", 143, "terminated", [F, P]),
    (signal.SIGHUP, "end", 143, "terminated", [F, P]),
    (signal.SIGKILL, "end", -signal.SIGKILL, "running", []),
]


@pytest.mark.parametrize(("number", "cell", "code", "status", "last"), first_of_each(lambda case: case[2], SIGNALS))
def test_stopped_from_outside(
    number: int, cell: str, code: int, status: str, last: list[str], child: Any, tmp_path: Path
) -> None:
    mark = tmp_path / "mark"
    runs = child("never_ends", {"mark": str(mark), "on_interrupt": cell})
    wait_for(mark.exists)
    said = json.loads(mark.read_text())
    runs.send_signal(number)
    assert runs.wait(30) == code, runs.communicate()
    folder = Path(said["run"])
    kept = json.loads((folder / "record.json").read_text())
    assert kept["status"] == status
    wait_for(lambda: gone(said["pid"]))
    wait_for(lambda: not Path(said["folder"]).exists())
    if number != signal.SIGKILL:
        whole_record(folder, kept)
        assert [c["status"] for c in kept["cells"]] == [C, C, C, *last]
        assert f"stopped by {signal.Signals(number).name}" in kept["why"]
        assert BANNER in (folder / "never_ends.ipynb").read_text()
    else:
        assert kept["ended_at"] is None
        json.loads((folder / "never_ends.ipynb").read_text())


def test_what_is_ignored_in_the_background_stays_ignored(child: Any, tmp_path: Path) -> None:
    """A shell lets what it starts in the background ignore SIGINT, and nohup SIGHUP; SIGTERM still ends a run."""

    def ignore() -> None:
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)

    mark = tmp_path / "mark"
    runs = child("never_ends", {"mark": str(mark), "on_interrupt": "end"}, preexec_fn=ignore)
    wait_for(mark.exists)
    for number in (signal.SIGINT, signal.SIGHUP):
        runs.send_signal(number)
    with pytest.raises(subprocess.TimeoutExpired):
        runs.wait(1)
    runs.send_signal(signal.SIGTERM)
    assert runs.wait(30) == 143, runs.communicate()
    kept = json.loads(Path(json.loads(mark.read_text())["run"], "record.json").read_text())
    assert kept["status"] == "terminated"
    assert "stopped by SIGTERM" in kept["why"]


SEEN_AT_THE_NEXT_SAVE = [C, C, C, C, F, P]


@pytest.mark.full  # in `make test`, tests/runbook/runner/test_ends.py has such an end
@pytest.mark.parametrize(
    ("wait", "ends"), [(False, [[C] * 6, [C, C, C, C, C, F], SEEN_AT_THE_NEXT_SAVE]), (True, [SEEN_AT_THE_NEXT_SAVE])]
)
def test_no_room_for_the_notebook(wait: bool, ends: list[list[str]], child: Any, tmp_path: Path) -> None:
    """A limit on the size of files is a full disk that needs no administrator; it is seen at the next save.

    If no cell waits, that is the last save, or one a second after the start on a slow machine.
    """

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    runs = child("grows", {"wait": wait}, preexec_fn=limit)
    assert runs.wait(30) == Exit.BROKEN, runs.communicate()
    (folder,) = (tmp_path / "rehearsal" / "sandbox" / "runs").iterdir()
    kept = json.loads((folder / "record.json").read_text())
    whole_record(folder, kept)
    assert (kept["status"], kept["verdict"]) == ("failed", None)
    assert [c["status"] for c in kept["cells"]] in ends
    assert "File too large" in kept["why"]
    assert json.loads((folder / "grows.ipynb").read_text())["cells"]


# What a person at a terminal sees: notebook, parameters, what stays on the screen before END, whether a step was named.
SCREENS = [("ok", {}, "", True), ("raises", {}, "", True), ("ok", {"verdit": "ok"}, "refused", False)]


@pytest.mark.parametrize(("name", "values", "stays", "named"), every(2, SCREENS))
def test_the_bar_names_the_steps_and_goes(name: str, values: dict[str, str], stays: str, named: bool) -> None:
    code = (
        "import json, sys; from runbook.model.errors import BadInput; from runbook.runner.run import run\n"
        "from runbook.runner.engine import progress\n"
        "try: run(sys.argv[1], json.loads(sys.argv[2]), progress())\n"
        "except BadInput: print('refused', end='')\n"
        "print('END')"
    )
    words = [sys.executable, "-c", code, str(NOTEBOOKS / f"{name}.ipynb"), json.dumps(values)]
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    with subprocess.Popen(words, stdin=theirs, stdout=theirs, stderr=theirs, env=os.environ | {"TERM": "xterm"}):
        os.close(theirs)
        seen = b""
        with suppress(OSError):  # which is how Linux says that nobody writes any more
            while more := os.read(ours, 4096):
                seen += more
        os.close(ours)
    screen = seen.decode()
    assert screen.split("\r")[-2].strip() == f"{stays}END"
    assert ("Does the first cell run?" in screen) == named


# --- papermill's own command line -------------------------------------------------------------------------------------


def papermill(tmp: Path, *words: str) -> subprocess.CompletedProcess[str]:
    env = os.environ | {"RUNBOOK_RECORDS": str(tmp / "records")}
    command = [sys.executable, "-m", "papermill", "--no-progress-bar", *words]
    return subprocess.run(command, env=env, cwd=tmp, capture_output=True, text=True, timeout=60)


OK = str(NOTEBOOKS / "ok.ipynb")
# What follows `papermill --engine runbook`, its exit code, what stderr says, whether out.ipynb and a record are there.
COMMANDS = [
    ([OK, "out.ipynb"], 0, "", True),
    ([OK, "out.ipynb", "-p", "exit_code", "3"], 3, "", True),
    (["--cwd", "/", OK, "out.ipynb", "-p", "exit_code", "4"], 4, "", True),
    ([str(NOTEBOOKS / "raises.ipynb"), "out.ipynb"], 1, "ValueError: no such table", True),
    ([OK, "out.ipynb", "-p", "verdit", "ok"], 2, "did you mean verdict?", False),
    ([OK, "out.ipynb", "-p", "verdict", "08"], 2, "-r verdict", False),
    ([OK, "out.ipynb", "-k", "ir"], 1, "needs the kernel 'ir'", False),
    ([OK, str(ROOT / "runbooks" / "daily_check.ipynb")], 2, "would be overwritten", False),
    (["copy.ipynb", "copy.ipynb"], 2, "would be overwritten", False),
]


@pytest.mark.parametrize(("words", "code", "said", "kept"), first_of_each(lambda case: case[1], COMMANDS))
def test_papermill_with_the_engine(
    words: list[str], code: int, said: str, kept: bool, tmp_path: Path, monkeypatch: Any
) -> None:
    from papermill.cli import papermill as command

    monkeypatch.setenv("RUNBOOK_RECORDS", str(tmp_path / "records"))
    monkeypatch.chdir(tmp_path)
    shutil.copy(OK, tmp_path / "copy.ipynb")
    before = {p: p.read_bytes() for p in (ROOT / "runbooks" / "daily_check.ipynb", tmp_path / "copy.ipynb")}
    done = CliRunner().invoke(command, ["--engine", "runbook", "--no-progress-bar", *words])
    assert done.exit_code == code, done.output
    assert isinstance(done.exception, SystemExit | None), done.exception
    assert said in done.stderr
    assert (tmp_path / "out.ipynb").exists() == (tmp_path / "records").exists() == kept
    assert all(path.read_bytes() == content for path, content in before.items())
    if kept:
        (folder,) = (tmp_path / "records" / "rehearsal" / "sandbox" / "runs").iterdir()
        whole_record(folder, json.loads((folder / "record.json").read_text()))
        assert next(folder.glob("*.ipynb")).read_bytes() == (tmp_path / "out.ipynb").read_bytes()


def test_papermill_as_a_process(tmp_path: Path) -> None:
    done = papermill(tmp_path, "--engine", "runbook", str(NOTEBOOKS / "raises_refused.ipynb"), "-")
    assert done.returncode == Exit.REFUSED
    assert "Refused: the plan is stale\n  it was 7f3a, it is 2be0\n  Nothing was changed.\n" in done.stderr
    assert "Traceback" not in done.stderr
    assert BANNER in done.stdout


def test_plain_papermill_runs_a_runbook(tmp_path: Path, monkeypatch: Any) -> None:
    done = papermill(tmp_path, str(ROOT / "runbooks" / "daily_check.ipynb"), "out.ipynb", "-p", "world", "many_errors")
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "records" / "rehearsal" / "sandbox" / "runs").iterdir()
    assert not (folder / "record.json").exists()
    assert json.loads((folder / "report.json").read_text())["attested"] is False
    monkeypatch.setenv("RUNBOOK_RECORDS", str(tmp_path / "records"))
    assert seal(tmp_path / "out.ipynb") == folder  # nobody watched it, but its journal and its report are there
    assert examined(Store(folder.parents[1]), folder.name).faults == ()


def test_a_program_that_calls_papermill(tmp_path: Path, monkeypatch: Any) -> None:
    import papermill as api

    monkeypatch.setenv("RUNBOOK_RECORDS", str(tmp_path))
    out = str(tmp_path / "out.ipynb")
    assert api.execute_notebook(OK, out, {}, engine_name="runbook").metadata.papermill.status == "finished"
    with pytest.raises(execute.RunResult) as ended:
        api.execute_notebook(OK, out, {"exit_code": 3}, engine_name="runbook")
    assert ended.value.exit == Exit.ALERT
    with pytest.raises(BadInput):
        api.execute_notebook(OK, out, {"verdit": "ok"}, engine_name="runbook")
