"""The record of a run: a folder that tells the truth about it, whatever happened.

    <records>/<environment>/<time>-<runbook>-<4 hex>/
        <runbook>.ipynb     the executed notebook          report.json     what the notebook says (`close`)
        journal.jsonl       what must never be lost        record.json     what the runner saw

`record.json` is written first of all with the status `running`: after a SIGKILL or a power cut that is what stays. Only
a runner, or `runbook seal`, writes it; a report in a folder without one is unattested. Its keys:

    schema, how              1; "runner" or "sealed"
    runbook, parameters      what was asked for
    who, pid                 user@host and process
    commit, versions         the code: git commit ("-dirty" with uncommitted changes), Python and main packages
    started_at, ended_at     UTC
    status, why              running, finished, failed, kernel_died, timeout, interrupted or terminated, in a sentence
    verdict, exit            the report's verdict, only when this run finished and wrote one; the exit code
    cells                    each code cell: its id, step, status (pending, running, completed, failed) and seconds
    sha256                   digests of the notebook, the report and the journal
"""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import platform
import secrets
import socket
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from runbook import settings
from runbook.errors import NoRecord
from runbook.journal import sync_folder
from runbook.request import Request
from runbook.settings import Settings

SCHEMA = 1
PACKAGES = ("sales-intelligence-runbooks", "papermill", "ipykernel", "pandas", "google-cloud-bigquery", "matplotlib")


def folder_of(system: Settings) -> Path:
    """Where the records of an environment are kept; RUNBOOK_RECORDS overrides the settings' folder."""
    return settings.ROOT / (os.environ.get("RUNBOOK_RECORDS") or system.records) / system.environment


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
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
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
    write_json(Path(folder) / "report.json", report)


def read_report(folder: Path) -> dict[str, Any] | None:
    """The report of a run; None when there is none that can be read."""
    try:
        report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return report if isinstance(report, dict) and "verdict" in report else None


def begin(folder: Path, request: Request) -> dict[str, Any]:
    """Write the marker that a run has begun, and return it for `finish`. Raises NoRecord."""
    marker = {
        "schema": SCHEMA,
        "how": "runner",
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
    report = read_report(folder) if seen["status"] == "finished" else None
    if report is not None:
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


def here() -> dict[str, Any]:
    """Who runs this, and with which code."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            versions[package] = version(package)
    return {"who": f"{_user()}@{socket.gethostname()}", "pid": os.getpid(), "commit": commit(), "versions": versions}


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return str(os.getuid())  # a container may run as a number that has no name


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
