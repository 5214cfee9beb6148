"""`runbook fleet`: its exit code, what it prints, which share a task takes, and what a receiver hears of it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from click.testing import CliRunner, Result

from runbook.cli.main import main
from runbook.config.load import ROOT, load_settings
from runbook.config.request import Request
from runbook.model.errors import Exit
from runbook.records.record import records_directory
from runbook.runner.alerts import notify
from tests.runbook.audit.test_fleet import START, record

PROD = ["prod-1", "prod-2", "prod-3", "prod-4"]


class Receiver(HTTPServer):
    """A dead-man's receiver, as healthchecks: a ping without a number or with 0 is good, and silence is late."""

    def __init__(self, grace: timedelta):
        super().__init__(("127.0.0.1", 0), Pings)
        self.grace, self.codes, self.last, self.answer = grace, list[int](), datetime.now(UTC), 200

    def late(self, now: datetime) -> bool:
        return now - self.last > self.grace


class Pings(BaseHTTPRequestHandler):
    server: Receiver

    def do_GET(self) -> None:
        self.server.codes.append(int(self.path.rpartition("/")[2]))
        self.server.last = datetime.now(UTC)
        self.send_response(self.server.answer)
        self.end_headers()

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver(timedelta(hours=25)) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """A function `fleet(line, **environment)`, for the environments prod-1 … prod-4, which extend one file."""
    (base := tmp_path / "params" / "base").mkdir(parents=True)
    (base / "team.yaml").write_text((ROOT / "params/sandbox.yaml").read_text())
    for name in PROD:
        (tmp_path / "params" / f"{name}.yaml").write_text("extends: base/team.yaml\n")
    for name, value in {"RUNBOOK_PARAMS": tmp_path / "params", "RUNBOOK_RECORDS": tmp_path / "records"}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setenv("MOCK_MODE", "1")
    return lambda line, **env: CliRunner().invoke(main, ["fleet", *line.split()], env=env)


def wrote(environment: str, verdict: str, hours: float = 1, **more: Any) -> None:
    runs = records_directory(load_settings(environment)) / "runs"
    since = (datetime.now(UTC) - START).total_seconds() / 3600
    more = {"parameters": {"environment": environment}, **more}
    record(runs, since - hours, verdict, f"errors={verdict}", **more)


# What each environment reported → the exit code, and the order in which those that are not ok are listed.
WORST = [
    (["ok", "ok", "warn", "ok"], Exit.OK, ["prod-3"]),
    (["ok", "warn", "unknown", "ok"], Exit.UNKNOWN, ["prod-3", "prod-2"]),
    (["ok", "", "warn", "ok"], Exit.UNKNOWN, ["prod-2", "prod-3"]),
    (["alert", "unknown", "", "ok"], Exit.ALERT, ["prod-3", "prod-1", "prod-2"]),
]


@pytest.mark.parametrize(("verdicts", "code", "order"), WORST)
def test_the_worst_decides_and_who_is_missing_comes_first(
    verdicts: list[str], code: Exit, order: list[str], fleet: Any, receiver: Receiver
) -> None:
    for name, verdict in zip(PROD, verdicts, strict=True):
        if verdict:
            wrote(name, verdict)
    done = fleet("--only-judge", RUNBOOK_PING=f"http://127.0.0.1:{receiver.server_port}/token/")
    assert done.exit_code == code, done.output
    assert [line.split()[0] for line in done.output.splitlines() if line.startswith("prod-")] == order
    assert "(environments: 4)" in done.output.splitlines()[-1]
    assert receiver.codes == [code]


def test_json_has_it_all(fleet: Any) -> None:
    wrote("prod-1", "ok", 30)
    wrote("prod-1", "alert")
    wrote("prod-2", "alert")
    data = json.loads(fleet("--only-judge --env prod-[12] --json").stdout)
    assert (data["exit"], data["counts"], data["causes"]) == (Exit.ALERT, {"alert": 2}, [["errors, all", 2]])
    assert [(one["environment"], one["new"]) for one in data["environments"]] == [
        ("prod-1", ["errors, all"]),
        ("prod-2", []),
    ]


def test_the_sandbox_is_judged_only_by_its_name(fleet: Any, tmp_path: Path) -> None:
    (tmp_path / "params" / "sandbox.yaml").write_text("extends: base/team.yaml\n")
    for line, count in (("", 4), (" --env *", 5), (" --env sandbox", 1)):
        assert f"(environments: {count})" in fleet(f"--only-judge{line}").output


def test_the_age_of_a_report_counts(fleet: Any) -> None:
    wrote("prod-1", "ok", 3)
    assert fleet("--only-judge --env prod-1 --hours 4").exit_code == Exit.OK
    assert fleet("--only-judge --env prod-1 --hours 2").exit_code == Exit.UNKNOWN
    assert fleet("--only-judge --env prod-1 --by 25:00").exit_code == Exit.BAD_INPUT


def test_a_scheduler_that_has_stopped_is_noticed_outside(fleet: Any, receiver: Receiver) -> None:
    wrote("prod-1", "ok")
    fleet("--only-judge --env prod-1", RUNBOOK_PING=f"http://127.0.0.1:{receiver.server_port}")
    assert (receiver.codes, receiver.late(datetime.now(UTC) + timedelta(hours=24))) == ([0], False)
    assert receiver.late(datetime.now(UTC) + timedelta(hours=26))  # nobody has called the fleet again


def test_a_fleet_that_cannot_begin_says_so_to_the_receiver(fleet: Any, receiver: Receiver) -> None:
    address = f"http://127.0.0.1:{receiver.server_port}"
    for line, word in (("--env nope-*", "prod-1, prod-2"), ("daily_chek --only-judge", "did you mean daily_check?")):
        done = fleet(line, RUNBOOK_PING=address)
        assert (done.exit_code, receiver.codes.pop()) == (Exit.BAD_INPUT, Exit.BAD_INPUT)
        assert word in done.output


@pytest.mark.parametrize("address", ["file:" + "//{tmp}", "http://127.0.0.1:1/TOKEN", "http://127.0.0.1:{port}/TOKEN"])
def test_a_receiver_that_does_not_answer_changes_no_exit_code(
    address: str, fleet: Any, receiver: Receiver, tmp_path: Path
) -> None:
    receiver.answer = 500
    (tmp_path / "3").touch()  # which could be read
    wrote("prod-1", "alert")
    done = fleet("--only-judge --env prod-1", RUNBOOK_PING=address.format(port=receiver.server_port, tmp=tmp_path))
    assert done.exit_code == Exit.ALERT
    assert "did not take the exit code 3" in done.stderr
    assert "TOKEN" not in done.output


def test_who_is_missing_is_told_once_and_its_next_run_is_the_end(fleet: Any, tmp_path: Path) -> None:
    with (tmp_path / "params/base/team.yaml").open("a") as file:
        file.write("\nalert_contacts: [on-call]\n")
    wrote("prod-2", "ok")
    line = "--only-judge --scheduled --env prod-[12]"
    assert fleet(line).stderr == "on-call: daily_check: 1 alert: not sent: a rehearsal calls nobody\n"
    assert fleet(line).stderr == ""
    told = list[dict[str, Any]]()
    notify(
        load_settings("prod-1"),
        Request("daily_check", {"environment": "prod-1"}),
        {"findings": []},
        "",
        lambda _, **row: told.append(row),
    )
    assert "no longer an alert: the run of daily_check, prod-1: it began" in told[0]["text"]


def test_a_store_that_may_not_be_read_is_unknown_and_not_empty_and_somebody_hears_of_it(
    fleet: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "params/base/team.yaml").open("a") as file:
        file.write("\nalert_contacts: [on-call]\n")
    scan = os.scandir

    def denied(path: Any) -> Any:
        if "records" in str(path):
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    wrote("prod-1", "ok")
    monkeypatch.setattr(os, "scandir", denied)
    done = fleet("--only-judge --env prod-1")
    assert (done.exit_code, "unknown" in done.output) == (Exit.UNKNOWN, True)
    assert "the record store cannot be used" in done.output
    for _ in range(2):  # nothing says that it was told before
        told = fleet("--only-judge --scheduled --env prod-1").stderr
        assert told == "on-call: daily_check: 1 alert: not sent: a rehearsal calls nobody\n"


def test_tasks_share_the_environments_and_only_the_whole_is_reported(fleet: Any, receiver: Receiver) -> None:
    address = f"http://127.0.0.1:{receiver.server_port}"
    seen = []
    for index in range(3):
        task = {"CLOUD_RUN_TASK_INDEX": str(index), "CLOUD_RUN_TASK_COUNT": "3", "RUNBOOK_PING": address}
        seen += [one["environment"] for one in json.loads(fleet("--only-judge --json", **task).stdout)["environments"]]
    assert sorted(seen) == PROD
    assert receiver.codes == []
