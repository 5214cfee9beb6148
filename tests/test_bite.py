"""The tests bite: each deliberate fault in a copy of the repository turns at least one test of `make test` red."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rules import RULES

ROOT = Path(__file__).parents[1]
CHECKS, FACTS, GUARD = (
    "tests/runbook/checks/test_checks.py",
    "tests/runbook/facts/test_facts.py",
    "tests/conformance/test_guard.py",
)
WEEK, DAY = (
    f"tests/runbook/facts/test_sql.py::test_a_query_says_what_the_rows_say[etl_{name}]" for name in ("week", "today")
)
ERRORS, PAGE = f"{FACTS}::test_errors_come_from_every_kind_of_payload", f"{FACTS}::test_errors_stop_at_one_page"
COPIES, PLANS = "tests/runbook/apply/test_copies.py", "tests/runbook/plans/test_plans.py"
PAIRS = f"{FACTS}::test_two_equal_rows_do_not_cancel_out"
# (file, what stands there, the fault, the tests that must notice)
FAULTS = [
    ("lib/runbook/checks/daily.py", "good >= limits.ok_from", "good > limits.ok_from", CHECKS),
    ("lib/runbook/checks/daily.py", "good <= limits.alert_at", "good < limits.alert_at", CHECKS),
    ("lib/runbook/checks/daily.py", "count < limits.ok_below", "count <= limits.ok_below", CHECKS),
    ("lib/runbook/checks/daily.py", "count > limits.alert_above", "count >= limits.alert_above", CHECKS),
    ("lib/runbook/checks/daily.py", "days <= warn", "days < warn", CHECKS),
    ("lib/runbook/checks/daily.py", "minutes > table.limit_hours * 60", "minutes >= table.limit_hours * 60", CHECKS),
    ("lib/runbook/checks/daily.py", "not in here and not away", "not in here", CHECKS),
    ("lib/runbook/checks/daily.py", "moment.at < first", "moment.at <= first", CHECKS),
    ("params/sandbox.yaml", "alert_above: 20", "alert_above: 21", CHECKS),
    ("lib/runbook/facts/sql/etl_week.sql", "COUNTIF({status} = 'success')", "COUNTIF({status} != 'success')", WEEK),
    ("lib/runbook/facts/sql/etl_week.sql", "DATE({started_at}, @zone)", "DATE({started_at})", WEEK),
    ("lib/runbook/facts/sql/etl_today.sql", "{started_at} <= @until", "TRUE", DAY),
    ("lib/runbook/model/moment.py", "self.at.astimezone(self.zone).date()", "self.at.date()", DAY),
    ("lib/runbook/facts/logs.py", "text(call, 'status', 'message')", "text(call, 'status', 'code')", ERRORS),
    ("lib/runbook/facts/logs.py", "more=len(found) == PAGE", "more=False", PAGE),
    ("lib/runbook/facts/sql/checksum.sql", "SUM(CAST(CAST(", "SUM(DISTINCT CAST(CAST(", PAIRS),
    ("lib/runbook/facts/sql/copies.sql", " {past})", ")", COPIES),
    ("lib/runbook/apply/confirm.py", "(*plan.already_applied, *done)", "done", COPIES),
    ("lib/runbook/plans/tables.py", "if at < oldest", "if at <= oldest", PLANS),
    ("lib/runbook/cloud/guard.py", "(r.method, r.host) == (method, url.netloc)", "r.host == url.netloc", GUARD),
    ("lib/runbook/cloud/guard.py", 'answer["statementType"] == "SELECT"', "answer", GUARD),
    ("lib/runbook/cloud/guard.py", "if found and host not in hosts", "if False", GUARD),
]


# Each rule taken away is a fault, too: then its attack gets through.
TAKEN_AWAY = [(f"lib/runbook/{r.file}", r.code, r.without, f"tests/{r.test}") for r in RULES]

# Runs tests of a copy of the repository, again and again: each in a fork of a process that has imported only what others
# wrote, because that is most of what a start of pytest costs. Whatever hangs is ended by its alarm.
FORKS = """
import os, signal, sys
import cronsim, duckdb, google.cloud.bigquery, lark, matplotlib.figure, pandas, pydantic, pytest, requests, sqlglot, werkzeug
assert not {"runbook", "gcp_sandbox", "tests"} & set(sys.modules)
for line in sys.stdin:
    if not (child := os.fork()):
        signal.alarm(120)
        said = os.open("said", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(said, 1)
        os.dup2(said, 2)
        os._exit(pytest.main(["-x", "-q", "-o", "addopts=", "-m", "not full", "-p", "no:nbval", "-p", "no:cacheprovider", line.strip()]))
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Copy:
    """A copy of the repository, and the process that tests it."""

    def __init__(self, folder: Path, forks: subprocess.Popen[str]):
        self.folder, self.forks = folder, forks

    def passes(self, tests: str) -> bool:
        self.forks.stdin.write(f"{tests}\n")
        self.forks.stdin.flush()
        ended = self.forks.stdout.readline().strip()
        assert ended in ("0", "1"), f"{ended}\n{(self.folder / 'said').read_text()}"
        return ended == "0"


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Copy]:
    place = tmp_path_factory.mktemp("copy") / "repo"
    for part in ("lib", "params", "runbooks", "tests"):
        shutil.copytree(ROOT / part, place / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", place)
    env = {**os.environ, "PYTHONPATH": str(place / "lib"), "PYTHONDONTWRITEBYTECODE": "1"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", FORKS], cwd=place, env=env, **pipes) as forks:
        yield Copy(place, forks)


# `make test-full` takes every twelfth rule away, `make test-machines` the others.
CASES = [pytest.param(*row, id=f"{row[0].split('/')[-1]}: {row[2]}", marks=pytest.mark.full) for row in FAULTS]
CASES += [
    pytest.param(*row, id=rule.rule, marks=pytest.mark.machines if number % 12 else pytest.mark.full)
    for number, (row, rule) in enumerate(zip(TAKEN_AWAY, RULES, strict=True))
]


@pytest.mark.parametrize(("file", "old", "new", "tests"), CASES)
def test_a_fault_is_noticed(copy: Copy, file: str, old: str, new: str, tests: str) -> None:
    path = copy.folder / file
    good = path.read_text()
    assert old in good
    path.write_text(good.replace(old, new))
    try:
        assert not copy.passes(tests)
    finally:
        path.write_text(good)


@pytest.mark.full
@pytest.mark.parametrize("tests", sorted({tests for _, _, _, tests in FAULTS}))
def test_without_a_fault_they_pass(copy: Copy, tests: str) -> None:
    assert copy.passes(tests)
