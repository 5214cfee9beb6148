"""What a terminal shows: the answer within its width, coloured; whole lines for a program."""

from __future__ import annotations

import sys

import pytest

from runbook.cli import output

FINDINGS = [
    {
        "verdict": verdict,
        "check": f"check {n}",
        "subject": "gmail-sync " * n,
        "value": "\x1b[2Jvalue",
        "limit": "none",
        "next": "",
    }
    for n, verdict in enumerate(("ok", "warn", "alert", "ok", "unknown"), 1)
]


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_it_fits_the_terminal_the_worst_first(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    output.print_findings(FINDINGS, "ALERT: act now. " * 9)
    said = capsys.readouterr().out
    assert max(map(len, said.splitlines())) <= columns
    assert "\x1b" not in said  # no terminal: no colours; and what a finding says cannot make any
    assert said.index("alert ") < said.index("unknown ") < said.index("warn ") < said.index("ok: check 1, check 4")


def test_a_program_gets_whole_lines(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    output.print_findings(FINDINGS, "ALERT: act now. " * 40)
    assert len(capsys.readouterr().out.splitlines()) == 9


@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_a_verdict_has_its_colour_on_a_terminal(monkeypatch: pytest.MonkeyPatch, no_color: str, coloured: bool) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    table = output.findings_table(FINDINGS)
    assert ("\x1b[31malert" in table) == coloured
    assert "\x1b[2J" not in table
