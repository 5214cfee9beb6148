"""What has to hold before this function is deployed: MOCK_MODE=1 python -m pytest"""

from __future__ import annotations

import main
import pytest


@pytest.fixture(autouse=True)
def tables(monkeypatch):
    """Empty tables for each test, and no way to the real ones."""
    monkeypatch.setenv("MOCK_MODE", "1")
    monkeypatch.setattr(main, "MOCK_TABLES", {})


def test_a_run_writes_its_rows_and_its_own():
    """A message that is listed twice is one row."""
    assert main.main(None) == ({"status": "success", "records": 2}, 200)
    assert [row["message_id"] for row in main.MOCK_TABLES["gmail_messages"]] == ["m-1", "m-2"]
    [run] = main.MOCK_TABLES["etl_runs"]
    assert (run["status"], run["records_written"], run["error_message"]) == ("success", 2, None)


def test_a_failure_is_written_down(monkeypatch):
    """A message in a shape that was not expected writes nothing but the run's own row."""
    monkeypatch.setattr(main, "MOCK_MESSAGES", [{"id": "m-1"}])
    assert main.main(None) == ({"status": "failed"}, 500)
    [run] = main.MOCK_TABLES["etl_runs"]
    assert (run["status"], run["error_message"]) == ("failed", "KeyError: 'internalDate'")
    assert "gmail_messages" not in main.MOCK_TABLES


def test_times_are_utc():
    """Gmail's times are milliseconds since 1970."""
    [row] = main.transform([{"id": "m", "internalDate": "1773230400000"}])
    assert row["sent_at"] == "2026-03-11T12:00:00+00:00"
