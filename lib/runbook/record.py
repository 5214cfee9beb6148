"""The record of a run: a folder that tells the truth about it, whatever happened.

    <records>/<environment>/<time>-<runbook>-<4 hex>/
        <runbook>.ipynb     the executed notebook          report.json     what the notebook says (`close`)
        journal.jsonl       what must never be lost        record.json     what the runner saw

`record.json` is written first of all with the status `running`: after a SIGKILL or a power cut that is what stays. Only
a runner, or `runbook seal`, writes it; a report in a folder without one is unattested. Its keys:

    schema, how              1; "runner", or "sealed": a person ran it in Jupyter and saved it, and nobody watched
    runbook, parameters      what was asked for
    who, pid                 user@host and process
    commit, versions         the code: git commit ("-dirty" with uncommitted changes), Python and main packages
    started_at, ended_at     UTC; of a sealed record, when it was sealed
    status, why              running, finished, failed, kernel_died, timeout, interrupted or terminated, in a sentence
    verdict, exit            the report's verdict, only when this run finished and wrote one; the exit code
    cells                    each code cell: its id, step, status (pending, running, completed, failed) and seconds;
                             of a sealed record the execution count in place of seconds
    sha256                   digests of the notebook, the report and the journal
"""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import platform
import re
import secrets
import socket
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from runbook import settings
from runbook.errors import BadInput, Broken, Exit, NoRecord
from runbook.journal import sync_folder, write_through
from runbook.request import Request, load_notebook, parameters, source
from runbook.rows import Verdict
from runbook.settings import Settings

SCHEMA = 1
ROOM = ".room"  # disk space that is given back for the last write
PACKAGES = ("sales-intelligence-runbooks", "papermill", "ipykernel", "pandas", "google-cloud-bigquery", "matplotlib")


def folder_of(system: Settings) -> Path:
    """Where the records of an environment are kept. Raises what `settings.records_variable` raises."""
    return settings.ROOT / (settings.records_variable() or system.records) / system.environment


def new_folder(system: Settings, runbook: str) -> Path:
    """Make the folder of a new run. Raises NoRecord when that cannot be written."""
    parent = folder_of(system)
    folder = parent / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{runbook}-{secrets.token_hex(2)}"
    probe(parent)
    try:
        folder.mkdir()
    except OSError as error:
        raise _unwritable(folder, error, "Nothing was run.") from None
    return folder


def probe(folder: Path) -> None:
    """Try whether a record could be kept in a folder, which is made if need be. Raises NoRecord."""
    file = folder / f".probe.{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            file.write_bytes(b"\0" * 65536)
        finally:
            file.unlink(missing_ok=True)
    except OSError as error:
        raise _unwritable(folder, error, "Nothing was run.") from None


def publish(path: Path, content: bytes) -> None:
    """Write a file so that a reader, or a crash, finds the old content or the new, never a part. Raises NoRecord."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write_through(beside, content)
        os.replace(beside, path)
        sync_folder(path.parent)
    except OSError as error:
        with suppress(OSError):
            beside.unlink()
        raise _unwritable(path, error, "What was written before is still there.") from None


def _unwritable(path: Path, error: OSError, effect: str) -> NoRecord:
    return NoRecord(
        "the record of this run cannot be written",
        f"{path}: {error.strerror}",
        effect,
        "make room or fix the folder's mode, or give another folder with RUNBOOK_RECORDS.",
    )


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Publish data as JSON that people can read. Raises NoRecord."""
    publish(path, (json.dumps(data, indent=1, ensure_ascii=False, default=str) + "\n").encode())


def write_report(folder: Path, report: Mapping[str, Any]) -> None:
    """Write report.json, which says what the notebook found. Raises NoRecord."""
    write_json(folder / "report.json", report)


def read_report(folder: Path) -> dict[str, Any] | None:
    """The report of a run; None when there is none that can be read."""
    report = read_json(folder / "report.json")
    return report if _is_report(report) else None


def read_json(path: Path) -> Any:
    """What a file of a record says; None when it is not there or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _is_report(data: Any) -> bool:
    return isinstance(data, dict) and data.get("verdict") in Verdict.__members__ and data.get("exit") in set(Exit)


def begin(folder: Path, request: Request, how: str = "runner") -> dict[str, Any]:
    """Write the marker that a run has begun, and return it for `finish`; keep room for that. Raises NoRecord."""
    publish(folder / ROOM, bytes(65536))
    marker = {
        "schema": SCHEMA,
        "how": how,
        "runbook": request.runbook,
        "parameters": dict(request.values),
        **here(),
        "started_at": now(),
        "ended_at": None,
        "status": "running",
        "why": "this run has not ended, or its runner was killed",
    }
    write_json(folder / "record.json", marker)
    return marker


def finish(folder: Path, marker: Mapping[str, Any], **seen: Any) -> dict[str, Any]:
    """Replace the marker by the whole record: `seen` is what the runner saw. Raises NoRecord.

    A report that counts is marked as attested first, so that its digest is that of the file which stays.
    """
    (folder / ROOM).unlink(missing_ok=True)
    report = read_report(folder) if seen["status"] == "finished" else None
    if report is not None and marker["how"] == "runner":
        with suppress(NoRecord):  # on a full disk this record matters more
            write_report(folder, report | {"attested": True})
    names = (f"{marker['runbook']}.ipynb", "report.json", "journal.jsonl")
    whole = {
        **marker,
        "ended_at": now(),
        "verdict": report["verdict"] if report else None,
        **seen,
        "sha256": {n: digest(folder / n) for n in names if (folder / n).exists()},
    }
    write_json(folder / "record.json", whole)
    return whole


def seal(notebook: Path) -> Path:
    """Turn a notebook that a person ran in Jupyter and saved into a record, in a folder of its own, which is returned.

    Raises BadInput unless it is the whole, clean run of a runbook, in order, that has no record yet; NoRecord.
    """

    def refused(observed: str, next: str = "restart the kernel, run all cells, save, and seal that.") -> BadInput:
        return BadInput(f"{notebook.name} cannot be sealed", observed, "No record was made.", next)

    try:
        nb, declared = load_notebook(notebook), parameters(notebook)
    except Broken as error:
        raise refused(f"{error.what}: {error.observed}", "seal the saved notebook of a run.") from None
    if notebook.resolve().is_relative_to(settings.RUNBOOKS):
        raise refused("it is a committed runbook, not a run of it", "run a working copy: `make lab`.")
    ran = list(steps(nb["cells"]))
    fault, report = _fault([cell for _, cell, _ in ran]), _shown_report(ran[-1][1] if ran else {})
    if fault or report is None:
        raise refused(fault or "its last code cell shows no verdict of run.close()")
    injected = nb.get("metadata", {}).get("papermill", {}).get("parameters", {})
    given = {name: p.default for name, p in declared.items()} | injected
    if report["environment"] != given.get("environment"):
        raise refused(f"it ran on {report['environment']}, but its parameters now say {given.get('environment')}")
    system, content = settings.load(report["environment"]), notebook.read_bytes()
    for old in (notebook.parent / "record.json", *folder_of(system).glob("*/record.json")):
        if old.exists() and (old.parent == notebook.parent or digest(notebook) in old.read_text(encoding="utf-8")):
            raise refused(f"it has a record already: {old}", "nothing; a record is never written again.")
    folder = new_folder(system, report["runbook"])
    marker = begin(folder, Request(report["runbook"], given), "sealed")
    publish(folder / f"{report['runbook']}.ipynb", content)
    write_report(folder, report | {"folder": str(folder), "attested": False})
    cells = [
        {"id": cell.get("id", str(n)), "step": title, "status": "completed", "count": cell["execution_count"]}
        for n, cell, title in ran
    ]
    why = "a person ran it in Jupyter; nobody watched"
    finish(folder, marker, status="finished", why=why, exit=report["exit"], cells=cells)
    return folder


def _fault(cells: Sequence[Mapping[str, Any]]) -> str:
    """Why these code cells are no whole and clean run from first to last; empty when they are one."""
    counts = [cell.get("execution_count") for cell in cells]
    failed = [o.get("ename") for cell in cells for o in cell.get("outputs", []) if o.get("output_type") == "error"]
    if None in counts:
        return f"{counts.count(None)} of {len(counts)} code cells never ran"
    if failed:
        return f"a cell failed: {failed[0]}"
    return "" if counts == sorted(set(counts)) else f"its cells did not run from first to last, but as {counts}"


def _shown_report(cell: Mapping[str, Any]) -> dict[str, Any] | None:
    """The report that a cell shows, if it says what a record needs."""
    from runbook.report import MIME

    data = next((o["data"][MIME] for o in cell.get("outputs", []) if MIME in o.get("data", {})), None)
    if not _is_report(data):
        return None
    names = [str(data.get(key, "")) for key in ("runbook", "environment")]
    return data if all(re.fullmatch(r"[A-Za-z][\w-]*", name) for name in names) else None


def steps(cells: Iterable[Mapping[str, Any]]) -> Iterator[tuple[int, Any, str]]:
    """Each code cell that has something to run: its index, itself, and the last H2 above it."""
    title = ""
    for index, cell in enumerate(cells):
        if cell["cell_type"] == "markdown":
            title = next(iter(re.findall(r"^## +(.+)", source(cell), re.MULTILINE)), title)
        elif cell["cell_type"] == "code" and source(cell).strip():
            yield index, cell, title


def here() -> dict[str, Any]:
    """Who runs this, and with which code."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            versions[package] = version(package)
    return {"who": f"{user()}@{socket.gethostname()}", "pid": os.getpid(), "commit": commit(), "versions": versions}


def user() -> str:
    """The name of this machine's user, or the number: in a container a user may have no name."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return str(os.getuid())


def commit() -> str:
    """The git commit of the code, with "-dirty" when files are changed; "unknown" outside of a git checkout."""
    command = ["git", "-C", str(settings.ROOT), "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.strip()


def now() -> str:
    """The time of this machine, in UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def digest(path: Path) -> str:
    """The SHA-256 of a file, in hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
