"""`runbook lab` in a real browser: the runbook itself opens, all its cells run, and the verdict and the charts are there."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.chromium import chromium, needed

pytestmark = [
    needed,
    pytest.mark.full,
    pytest.mark.skipif(not find_spec("jupyterlab"), reason="JupyterLab is not installed; make lab installs it"),
]


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """Where JupyterLab listens that `runbook lab` started, as this user, on a bad day of the sandbox."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = {"open_browser": False, "port": port, "port_retries": 0, "ip": "127.0.0.1"}
    config = {"ServerApp": server, "IdentityProvider": {"token": "t"}, "LabApp": {"expose_app_in_browser": True}}
    (tmp_path / "jupyter_server_config.json").write_text(json.dumps(config))
    (tmp_path / "jupyter_lab_config.json").write_text(json.dumps(config))
    env = os.environ | {"JUPYTER_CONFIG_DIR": str(tmp_path), "RUNBOOK_RECORDS": str(tmp_path / "records")}
    words = [
        sys.executable,
        "-m",
        "runbook.cli.main",
        "lab",
        "daily_check",
        "--world",
        "many_errors",
        "--incident",
        "INC-7",
    ]
    process = subprocess.Popen(words, env=env, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr
        assert next(line for line in process.stderr if "is running at" in line)
        yield f"http://127.0.0.1:{port}/?token=t"
    finally:
        process.terminate()
        process.communicate()


def test_the_runbook_opens_and_all_its_cells_run(address: str) -> None:
    with chromium() as page:
        page.width(1280, 9000)  # JupyterLab draws only the cells in sight
        page.go(address)
        page.until("window.jupyterapp && document.querySelector('.jp-Notebook .jp-Cell')")
        assert "daily_check.ipynb" in page.js("location.href")
        page.until("jupyterapp.shell.currentWidget?.context?.sessionContext?.session?.kernel?.status == 'idle'")
        page.js("jupyterapp.commands.execute('notebook:run-all-cells')")
        page.until("document.querySelectorAll('.jp-Notebook .jp-OutputArea-output img').length >= 4")
        page.until("document.querySelector('.jp-Notebook').innerText.includes('Next: find the cause')")
        said = page.js("document.querySelector('.jp-Notebook').innerText")
        assert said.index("ALERT: act now") < said.index("Which system, and at what time?")
        assert "INC-7" in said
