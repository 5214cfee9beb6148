"""Where the value of a secret comes from, what is refused as one, and that no form of it stays in a text."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from gcp_sandbox.checkout import sample
from runbook.apply.secret_value import FILE, LIMIT, NAME, SecretValue
from runbook.context import KERNEL, Told
from runbook.facts.checkout.source_code import archive
from runbook.model.errors import Refused

VALUE = 'pä/ss+wörd="x" \\ 1'


@pytest.fixture(autouse=True)
def _nothing_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FILE, raising=False)
    monkeypatch.delenv(NAME, raising=False)
    monkeypatch.setattr(KERNEL, "told", Told(None))


def test_without_a_value_it_is_refused() -> None:
    with pytest.raises(Refused, match="there is no value"):
        SecretValue().secret()
    assert SecretValue().scrub("text") == "text"


def test_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "v").write_bytes(b"\xff\x00value\n")
    monkeypatch.setenv(FILE, str(tmp_path / "v"))
    assert SecretValue().secret() == b"\xff\x00value\n"


@pytest.mark.parametrize(
    ("written", "taken"),
    [
        (b"one line\n", b"one line"),
        (b"one line\r\n", b"one line"),
        (b"one line\n\n", b"one line"),
        (b" is kept \t\n", b" is kept \t"),
        ("schlüssel\n".encode(), "schlüssel".encode()),
        (b"two\nlines\n", b"two\nlines\n"),
        (b"two\r\nlines\r\n", b"two\r\nlines\r\n"),
        (b"not text \xff\n", b"not text \xff\n"),
        (b"no line \0\n", b"no line \0\n"),
        (b"no line break", b"no line break"),
    ],
)
def test_a_line_break_after_one_line_of_text_is_no_part_of_the_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: bytes, taken: bytes
) -> None:
    (tmp_path / "v").write_bytes(written)
    monkeypatch.setenv(FILE, str(tmp_path / "v"))
    assert SecretValue().secret() == taken


def test_from_a_file_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FILE, str(tmp_path / "nope"))
    with pytest.raises(Refused, match="cannot be read"):
        SecretValue().secret()


def test_from_an_environment_variable_that_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, "THE_VALUE")
    with pytest.raises(Refused, match="there is no value"):
        SecretValue().secret()
    monkeypatch.setenv("THE_VALUE", VALUE)
    assert SecretValue().secret() == VALUE.encode()


def test_what_was_handed_over_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "v").write_text("of the file")
    monkeypatch.setenv(FILE, str(tmp_path / "v"))
    monkeypatch.setattr(KERNEL, "told", Told(b"handed over"))
    assert SecretValue().secret() == b"handed over"


@pytest.mark.parametrize(
    ("value", "refusal"),
    [
        (b"", "no value"),
        (b" \n", "no value"),
        (b"1234567", "fewer than 8"),
        (b"x" * LIMIT, ""),
        (b"x" * (LIMIT + 1), "has 65,537 bytes"),
    ],
)
def test_what_is_no_value(monkeypatch: pytest.MonkeyPatch, value: bytes, refusal: str) -> None:
    monkeypatch.setattr(KERNEL, "told", Told(value))
    if not refusal:
        assert SecretValue().secret() == value
        return
    with pytest.raises(Refused, match=refusal):
        SecretValue().secret()


@pytest.mark.parametrize(
    "form",
    [
        VALUE,
        json.dumps(VALUE)[1:-1],
        json.dumps(VALUE, ensure_ascii=False)[1:-1],
        quote(VALUE),
        quote(VALUE, safe=""),
        quote_plus(VALUE),
        base64.b64encode(VALUE.encode()).decode(),
        base64.urlsafe_b64encode(VALUE.encode()).decode().rstrip("="),
        VALUE.encode().hex(),
        VALUE.encode().hex().upper(),
        repr(VALUE.encode()),
    ],
)
def test_no_form_of_it_stays_in_a_text(monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    monkeypatch.setattr(KERNEL, "told", Told(VALUE.encode()))
    given = SecretValue()
    given.secret()
    told = given.scrub(f"400 the value {form} is wrong")
    assert form not in told
    assert "(a secret)" in told
    assert told.startswith("400 the value ")


def test_the_last_line_break_does_not_hide_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(KERNEL, "told", Told(b"the-value\n"))
    given = SecretValue()
    given.secret()
    assert given.scrub("the-value is wrong") == "(a secret) is wrong"


def test_the_archive_is_the_one_of_the_source() -> None:
    assert SecretValue("sample").archive() == archive(sample())
