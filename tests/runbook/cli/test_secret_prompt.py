"""A secret's value comes from one place: a file, a variable, stdin, or a person at a terminal."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from runbook.cli.output import ask_secret
from runbook.model.errors import BadInput, Refused


def test_a_secret_from_each_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "v").write_bytes(b"file\n")
    assert ask_secret(tmp_path / "v", None, False) == b"file"
    monkeypatch.setenv("THE_VALUE", "variable")
    assert ask_secret(None, "THE_VALUE", False) == b"variable"
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"stdin\n")))
    assert ask_secret(None, None, True) == b"stdin"


def test_a_secret_comes_from_one_place_that_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOT_THERE", raising=False)
    for given in [(tmp_path, "X", False), (tmp_path, None, True), (None, "X", True)]:
        with pytest.raises(BadInput, match="only one source"):
            ask_secret(*given)
    with pytest.raises(BadInput, match="no environment variable NOT_THERE"):
        ask_secret(None, "NOT_THERE", False)
    with pytest.raises(BadInput, match="cannot be read"):
        ask_secret(tmp_path / "nope", None, False)


def test_where_nobody_can_be_asked_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("typed by nobody"))
    with pytest.raises(Refused, match="there is no value"):
        ask_secret(None, None, False)
