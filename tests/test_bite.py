"""The tests bite: each deliberate fault in a copy of the repository turns at least one test red."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CHECKS, FACTS, DOOR = "tests/runbook/test_checks.py", "tests/runbook/test_facts.py", "tests/conformance/test_door.py"
WEEK, DAY = f"{FACTS}::test_etl_of_the_week", f"{FACTS}::test_etl_of_the_teams_day"
ERRORS, PAGE = f"{FACTS}::test_errors_come_from_every_kind_of_payload", f"{FACTS}::test_errors_stop_at_one_page"
COPIES, PLANS = "tests/runbook/test_copies.py", "tests/runbook/test_plans.py"
PAIRS = f"{FACTS}::test_two_equal_rows_do_not_cancel_out"
# (file, what stands there, the fault, the tests that must notice)
FAULTS = [
    ("lib/runbook/checks/daily.py", "good >= limits.ok_from", "good > limits.ok_from", CHECKS),
    ("lib/runbook/checks/daily.py", "good <= limits.alert_at", "good < limits.alert_at", CHECKS),
    ("lib/runbook/checks/daily.py", "count < limits.ok_below", "count <= limits.ok_below", CHECKS),
    ("lib/runbook/checks/daily.py", "count > limits.alert_above", "count >= limits.alert_above", CHECKS),
    ("lib/runbook/checks/daily.py", "days <= warn", "days < warn", CHECKS),
    ("lib/runbook/checks/daily.py", "minutes <= table.limit_hours * 60", "minutes < table.limit_hours * 60", CHECKS),
    ("lib/runbook/checks/daily.py", "not in here and not away", "not in here", CHECKS),
    ("lib/runbook/checks/daily.py", "moment.at < due", "moment.at <= due", CHECKS),
    ("params/sandbox.yaml", "alert_above: 20", "alert_above: 21", CHECKS),
    ("lib/runbook/sql/etl_week.sql", "COUNTIF({status} = 'success')", "COUNTIF({status} != 'success')", WEEK),
    ("lib/runbook/sql/etl_week.sql", "DATE({started_at}, @zone)", "DATE({started_at})", WEEK),
    ("lib/runbook/sql/etl_today.sql", "{started_at} <= @until", "TRUE", DAY),
    ("lib/runbook/moment.py", "self.at.astimezone(self.zone).date()", "self.at.date()", DAY),
    ("lib/runbook/facts/logs.py", 'status.get("message")', 'status.get("code")', ERRORS),
    ("lib/runbook/facts/logs.py", "more=len(rows) == PAGE", "more=False", PAGE),
    ("lib/runbook/sql/checksum.sql", "SUM(CAST(CAST(", "SUM(DISTINCT CAST(CAST(", PAIRS),
    ("lib/runbook/sql/copies.sql", " {past})", ")", COPIES),
    ("lib/runbook/watch.py", "(*plan.there, *done)", "done", COPIES),
    ("lib/runbook/plans/tables.py", "if at < oldest", "if at <= oldest", PLANS),
    ("lib/runbook/cloud/door.py", "m == method and h == url.netloc", "h == url.netloc", DOOR),
    ("lib/runbook/cloud/door.py", 'answer.get("statementType") == "SELECT"', "answer", DOOR),
]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("copy") / "repo"
    for part in ("lib", "params", "runbooks", "tests"):
        shutil.copytree(ROOT / part, place / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", place)
    return place


def passes(copy: Path, tests: str) -> bool:
    env = {**os.environ, "PYTHONPATH": str(copy / "lib"), "PYTHONDONTWRITEBYTECODE": "1"}
    words = [
        sys.executable,
        "-m",
        "pytest",
        "-x",
        "-q",
        "-o",
        "addopts=",
        "-p",
        "no:nbval",
        "-p",
        "no:cacheprovider",
        tests,
    ]
    result = subprocess.run(words, cwd=copy, env=env, capture_output=True, text=True, timeout=120)
    assert result.returncode in (0, 1), result.stdout + result.stderr
    return result.returncode == 0


@pytest.mark.parametrize(
    ("file", "old", "new", "tests"), FAULTS, ids=[f"{f.split('/')[-1]}: {n}" for f, _, n, _ in FAULTS]
)
def test_a_fault_is_noticed(copy: Path, file: str, old: str, new: str, tests: str) -> None:
    path = copy / file
    good = path.read_text()
    assert old in good
    path.write_text(good.replace(old, new))
    try:
        assert not passes(copy, tests)
    finally:
        path.write_text(good)


@pytest.mark.parametrize("tests", sorted({tests for _, _, _, tests in FAULTS}))
def test_without_a_fault_they_pass(copy: Path, tests: str) -> None:
    assert passes(copy, tests)
