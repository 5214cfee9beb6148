"""The doctor on approvers and messages, also for a system that is real: it only looks."""

from __future__ import annotations

from pathlib import Path

import pytest

from runbook.approvals.ssh import keygen
from runbook.cli import doctor
from runbook.cloud.client import Cloud
from runbook.config.load import load_settings
from runbook.config.schema import Settings
from runbook.model.findings import Finding

SYSTEM = load_settings("sandbox").model_copy(update={"environment": "live"})


def real(system: Settings = SYSTEM) -> Cloud:
    return Cloud(system, "google", None)  # type: ignore[arg-type]


@pytest.fixture
def approvers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the people who may sign for `live`, with nobody in it."""
    monkeypatch.setenv("RUNBOOK_PARAMS", str(tmp_path))
    folder = tmp_path / "approvers" / "live"
    folder.mkdir(parents=True)
    return folder


def said(found: Finding) -> tuple[str, str]:
    return found.verdict.name, found.value


def test_approvers_of_a_real_system(approvers: Path, tmp_path: Path) -> None:
    [found] = doctor._approvers(SYSTEM, real())
    assert (found.verdict.name, "names no one" in found.value, bool(found.next)) == ("warn", True, True)
    keygen("-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "key"))
    public = (tmp_path / "key.pub").read_text()
    (approvers / "allowed_signers").write_text(f'casey namespaces="runbook-approval" {public}')
    (approvers / "roles.yaml").write_text("people: {casey: [team-lead]}\n")
    assert said(*doctor._approvers(SYSTEM, real())) == ("warn", "the record store is not shared")
    shared = SYSTEM.model_copy(update={"records_shared": True})
    assert said(*doctor._approvers(shared, real())) == ("ok", "casey")
    (approvers / "allowed_signers").write_text(f'* namespaces="runbook-approval" {public}')
    [found] = doctor._approvers(shared, real())
    assert (found.verdict.name, "without lists, quotes or patterns" in found.value) == ("warn", True)


def test_who_is_told_first_can_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNBOOK_NOTIFY_TEAM_LEAD", "json://example.com/T0KEN")
    monkeypatch.setenv("RUNBOOK_NOTIFY_SECURITY", " ")
    found = {f.subject: f for f in doctor._addresses(SYSTEM, real())}
    assert {name: said(f) for name, f in found.items()} == {
        "on-call": ("warn", "not set here"),
        "team-lead": ("ok", "set"),
        "security": ("warn", "not set here"),
    }
    assert "RUNBOOK_NOTIFY_ON_CALL" in found["on-call"].next
    assert "T0KEN" not in str(found)
