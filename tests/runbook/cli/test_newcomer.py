"""What somebody meets who follows the README on a system of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from runbook.cli.main import main
from runbook.config.load import ROOT
from runbook.model.errors import Exit


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs a command with a params directory of its own, which has the environment `other`."""
    text = (ROOT / "params" / "sandbox.yaml").read_text(encoding="utf-8")
    (tmp_path / "params").mkdir()
    other = text.replace("calendar-sync", "cal-sync").replace("hubspot-contacts-sync", "hub-sync")
    (tmp_path / "params" / "other.yaml").write_text(other, encoding="utf-8")
    (tmp_path / "params" / "sandbox.yaml").write_text(text, encoding="utf-8")
    monkeypatch.setenv("RUNBOOK_PARAMS", str(tmp_path / "params"))
    monkeypatch.setenv("RUNBOOK_RECORDS", str(tmp_path / "records"))
    monkeypatch.setenv("MOCK_MODE", "1")
    return lambda line, **env: CliRunner().invoke(main, line.split(), env=env)


def test_a_rehearsal_of_a_system_with_other_names(cli: Any) -> None:
    done = cli("doctor --env other")
    assert done.exit_code == Exit.OK, done.output


def test_every_finding_of_the_doctor_is_shown_the_worst_first(cli: Any, tmp_path: Path) -> None:
    path = tmp_path / "params" / "other.yaml"
    params = yaml.safe_load(path.read_text())
    more = [{"name": f"gmail_messages_{n}", "column": "sent_at", "limit_hours": 6} for n in range(25)]
    params["tables"]["freshness"] += more
    path.write_text(yaml.safe_dump(params))
    done = cli("doctor --env other --world no_permission")
    lines = [
        line.split() for line in done.output.splitlines() if line[:7].strip() in ("ok", "warn", "unknown", "alert")
    ]
    order = [["alert", "unknown", "warn", "ok"].index(line[0]) for line in lines]
    assert order == sorted(order)
    assert len(lines) > 40
    assert "more rows" not in done.output
    assert "Next: " in done.output
    assert "\nWARN: " in done.output


@pytest.mark.parametrize("records", ["a file", "/proc/none"])
def test_a_records_directory_that_cannot_be_one_is_a_finding(cli: Any, tmp_path: Path, records: str) -> None:
    (tmp_path / "a file").write_text("x")
    place = str(tmp_path / records) if records == "a file" else records
    done = cli("doctor --env other", RUNBOOK_RECORDS=place)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    assert "record store" in done.output
    assert done.exit_code == Exit.ALERT


@pytest.mark.parametrize("said", ["1", "true", "TRUE", "yes"])
def test_mock_mode_in_other_words(cli: Any, said: str) -> None:
    assert cli("doctor --env other", MOCK_MODE=said).exit_code == Exit.OK


def test_a_draft_says_who_answered(cli: Any, tmp_path: Path) -> None:
    done = cli("init --project acme-sales-prod --region us-central1")
    assert "from sandbox" in done.output
    assert "(sandbox)" in (tmp_path / "params" / "acme-sales-prod.yaml").read_text().splitlines()[0]
