"""The provenance of a run: user, host, process, commit and package versions."""

from __future__ import annotations

import os
import platform
import socket
import subprocess
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from runbook.config.load import ROOT
from runbook.records.people import user

PACKAGES = ("sales-intelligence-runbooks", "papermill", "ipykernel", "pandas", "google-cloud-bigquery", "matplotlib")


def here() -> dict[str, Any]:
    """User and host, process id, git commit, and the versions of Python and the main packages."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            versions[package] = version(package)
    return {"who": f"{user()}@{socket.gethostname()}", "pid": os.getpid(), "commit": commit(), "versions": versions}


def commit() -> str:
    """The git commit of the code, with "-dirty" if files are changed; "unknown" outside a git checkout."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.strip()
