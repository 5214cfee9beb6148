"""The files in schedules/: each is taken by the program that it is for, or fits the types that Google publishes."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from cronsim import CronSim

from gcp_sandbox.services.logging.log_filter import compiled
from runbook.cli.main import main
from runbook.config.load import ROOT
from tests.conformance.discovery import document, misfits
from tests.runbook.cli.test_alert import ALERT, payload
from tests.test_docs import wrong

SCHEDULES = ROOT / "schedules"
UNITS = {job: (f"runbook-{job}.service", f"runbook-{job}.timer") for job in ("daily", "judge")}


def json_file(name: str) -> Any:
    return json.loads((SCHEDULES / name).read_text())


def runbook_lines(text: str) -> list[str]:
    """The calls of `runbook` in a file, each without what stands before and after it."""
    return [f"runbook {one}" for one in re.findall(r"(?:^|[ =])runbook ((?:fleet|run) [^>\n]*)", text)]


def test_the_lines_of_the_crontab() -> None:
    lines = [line for line in (SCHEDULES / "crontab").read_text().splitlines() if re.match(r"[\d*]", line)]
    assert len(lines) == 4
    for line in lines:
        *fields, command = line.split(None, 5)
        CronSim(" ".join(fields), datetime(2026, 3, 11, tzinfo=UTC))
        assert "%" not in command  # cron takes it for the end of the line
        [call] = runbook_lines(command)
        assert wrong(call.rstrip()) == ""
        done = subprocess.run(["sh", "-n", "-c", command], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
def test_systemd_takes_its_units() -> None:
    units = {name: (SCHEDULES / name).read_text() for job in ("daily", "judge") for name in UNITS[job]}
    files = [str(SCHEDULES / name) for name in units]
    done = subprocess.run(["systemd-analyze", "verify", *files], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    when = [found for text in units.values() for found in re.findall(r"(?m)^OnCalendar=(.*)", text)]
    assert len(when) == 2
    assert subprocess.run(["systemd-analyze", "calendar", *when], capture_output=True).returncode == 0


def test_the_calls_of_the_units_and_what_the_judge_reads() -> None:
    daily, judge = ((SCHEDULES / UNITS[job][0]).read_text() for job in ("daily", "judge"))
    calls = [call for text in (daily, judge) for call in runbook_lines(text)]
    assert [wrong(call) for call in calls] == ["", ""]
    assert ["--only-judge" in call for call in calls] == [False, True]
    shared = re.compile(r"(?m)^(?:DynamicUser|User|StateDirectory|Environment|EnvironmentFile)=.*")
    assert shared.findall(daily) == shared.findall(judge) != []
    assert ["RUNBOOK_PING" in re.sub(r"(?m)^#.*", "", text) for text in (daily, judge)] == [True, False]
    assert "UnsetEnvironment=RUNBOOK_PING" in daily  # only the judge pings


def steps() -> list[tuple[str, str]]:
    """The instructions of the Dockerfile: (instruction, the rest)."""
    text = re.sub(r"(?m)^#.*\n", "", (SCHEDULES / "Dockerfile").read_text())
    return [tuple(line.split(" ", 1)) for line in text.replace("\\\n", "").splitlines() if line]  # type: ignore[misc]


def test_the_image_is_small_has_no_root_and_knows_its_commit() -> None:
    known = [name for name, _ in steps()]
    assert known.index("USER") > max(n for n, name in enumerate(known) if name in ("RUN", "COPY"))
    said = dict(steps())
    assert (said["USER"], said["ARG"]) == ("runbook", "COMMIT")
    assert wrong(shlex.join([*json.loads(said["ENTRYPOINT"]), *json.loads(said["CMD"])])) == ""
    copied = {word for name, rest in steps() if name == "COPY" for word in rest.split()[:-1]}
    kept = set(re.findall(r"(?m)^!(\S+)", (SCHEDULES / "Dockerfile.dockerignore").read_text()))
    assert copied == kept
    assert all((ROOT / name).exists() for name in copied)


@pytest.mark.full
def test_the_steps_of_the_image_in_a_clean_directory(tmp_path: Path) -> None:
    """COPY and RUN as Docker does them, except what needs root: then a run, whose record has the claimed commit."""
    app, commit = tmp_path / "app", "0123456789" * 4
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    env = {"PATH": f"{tmp_path}/venv/bin:{os.environ['PATH']}", "HOME": str(tmp_path), "COMMIT": commit}
    env |= {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "TMPDIR"))}
    app.mkdir()
    for name, rest in steps():
        if name == "COPY":
            *sources, to = rest.split()
            for source in sources:
                if (ROOT / source).is_dir():
                    shutil.copytree(ROOT / source, app / to, ignore=shutil.ignore_patterns("__pycache__"))
                else:
                    shutil.copy(ROOT / source, app / to)
        elif name == "RUN" and not rest.startswith(("apt-get", "useradd")):
            done = subprocess.run(["sh", "-c", rest], cwd=app, env=env, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
        elif name == "ENV":
            env |= {k: v.replace("$COMMIT", commit) for k, v in (one.split("=") for one in shlex.split(rest))}
    assert list(app.glob("lib/runbook/cli/__pycache__/main*.pyc"))
    env |= {"RUNBOOK_RECORDS": str(tmp_path / "records"), "PYTHONDONTWRITEBYTECODE": "1"}
    book = ROOT / "tests" / "notebooks" / "ok.ipynb"
    done = subprocess.run(["runbook", "run", "--json", book], cwd="/", env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["severity"] == "INFO"
    [record] = tmp_path.glob("records/*/*/runs/*/record.json")
    assert json.loads(record.read_text())["commit"] == f"{commit}-claimed"


@pytest.mark.parametrize(
    ("file", "api", "schema"),
    [("log_metric.json", "logging.v2", "LogMetric"), ("alert_policy.json", "monitoring.v3", "AlertPolicy")],
)
def test_a_file_fits_googles_type(file: str, api: str, schema: str) -> None:
    assert misfits(api, {"$ref": schema}, json_file(file)) == []
    assert misfits(api, {"$ref": schema}, json_file(file) | {"nope": 1}) != []


# The line of a run → whether the metric counts it.
COUNTED = [
    ({"runbook": "daily_check", "verdict": "alert"}, "ALERT", True),
    ({"runbook": "daily_check", "verdict": None}, "CRITICAL", True),
    ({"runbook": "daily_check", "verdict": "ok"}, "INFO", False),
    ({"verdict": "alert"}, "ALERT", False),
]


@pytest.mark.parametrize(("line", "severity", "counted"), COUNTED)
def test_the_metric_counts_alerts_and_runs_without_a_verdict(line: Any, severity: str, counted: bool) -> None:
    entry = {"resource": {"type": "cloud_run_job"}, "severity": severity, "jsonPayload": line}
    fields = {name: partial(lambda key, one: one.get(key), name) for name in entry}
    assert compiled(json_file("log_metric.json")["filter"], fields).matches(entry) == counted


def test_the_policy_watches_the_metric_and_its_labels() -> None:
    metric, policy = json_file("log_metric.json"), json_file("alert_policy.json")
    [condition] = policy["conditions"]
    assert f"user/{metric['name']}" in condition["conditionThreshold"]["filter"]
    labels = {one["key"] for one in metric["metricDescriptor"]["labels"]}
    assert set(re.findall(r"metric\.label\.(\w+)", json.dumps(policy))) == labels == set(metric["labelExtractors"])


def test_the_workflow_calls_the_job_as_its_api_wants_it() -> None:
    flow = yaml.safe_load((SCHEDULES / "p1_response.yaml").read_text())["main"]
    known = {name: step for one in flow["steps"] for name, step in one.items()}
    call = known["respond"]
    run = document("run.v2")["resources"]["projects"]["resources"]["locations"]["resources"]["jobs"]["methods"]["run"]
    assert call["call"] == f"googleapis.{run['id'].replace('run.', 'run.v2.', 1)}"
    assert misfits("run.v2", run["request"], call["args"]["body"]) == []
    [container] = call["args"]["body"]["overrides"]["containerOverrides"]
    words = [payload() if word == "${alert}" else word for word in container["args"]]
    with main.make_context("runbook", words) as context:
        name, command, rest = main.resolve_command(context, words)
        given = command.make_context(name, rest, parent=context).params
    assert json.loads(given["alert"])["incident"] == ALERT
    text = (SCHEDULES / "p1_response.yaml").read_text()
    assert len(re.findall(r"\$\{", text)) == len(re.findall(r"\$\{[^}]*\}", text))
