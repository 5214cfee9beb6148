"""Text from elsewhere is shown so that nothing in it hides or moves what is around it."""

from __future__ import annotations

import unicodedata

import pytest

from runbook.config.request import request
from runbook.display import blocks
from runbook.display.text import is_plain, one_line, visible
from runbook.model.errors import BadParameter

HIDDEN = ["\x1b[2J\x1b[1;1H", "\x1b]0;title\x07", "a\rb", "\u202egnihton", "\u2066x\u2069", "\x9b1A", "a\nb", "\ud800"]
HIDDEN += [
    f"a{letter}" for letter in "\u00ad\u034f\u115f\u17b4\u180b\u2065\u2800\u3164\ufe0f\uffa0\U000e0100\U0001d159"
]


@pytest.mark.parametrize("text", HIDDEN, ids=ascii)
def test_what_hides_a_plan_is_refused_and_written_out(text: str) -> None:
    for name in ("reason", "function"):
        with pytest.raises(BadParameter) as error:
            request("rollback", {name: text})
        assert "not printable" in str(error.value)
        assert str(error.value).replace("\n", "").isprintable()
    shown = (
        blocks.table([{text: text, "verdict": text}]),
        blocks.note(text),
        blocks.banner(text, "ok"),
        blocks.equivalent_command([text]),
    )
    for block in (*shown, blocks.verbatim(text)):
        for said in (block.html, block.text):
            assert is_plain(said.replace("\n", ""))


def test_every_letter_that_shows_nothing_is_written_out() -> None:
    """By what Unicode says of each in its name, which knows fewer than the property that `is_plain` takes."""
    words = ["VARIATION SELECTOR", "HANGUL FILLER", "CHOSEONG FILLER", "JUNGSEONG FILLER", "SCRIPT FILLER"]
    words += ["ZERO WIDTH", "INVISIBLE", "NULL NOTEHEAD", "PATTERN BLANK"]
    named = [c for c in map(chr, range(0x110000)) if any(word in unicodedata.name(c, "") for word in words)]
    assert len(named) > 260
    assert [ascii(c) for c in named if is_plain(c) or visible(c) == c] == []


def test_what_people_write_stays_as_it_is() -> None:
    for text in ("déjà vu — “quoted” 値 🙂", "two\nlines", "e\u0301"):
        assert visible(text) == text
    assert one_line(" two\nlines\u2028and\rmore ") == "two lines\\u2028and\\rmore"
    assert visible("a\tb\u00a0c") == "a b c"
