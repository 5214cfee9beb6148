"""Text from elsewhere is shown so that nothing in it hides or moves what is around it."""

from __future__ import annotations

import pytest

from runbook.config.request import request
from runbook.display import blocks
from runbook.display.text import visible
from runbook.model.errors import BadParameter

HIDDEN = ["\x1b[2J\x1b[1;1H", "\x1b]0;title\x07", "a\rb", "\u202egnihton", "\u2066x\u2069", "\x9b1A", "a\nb", "\ud800"]


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
            assert said.replace("\n", "").isprintable()


def test_what_people_write_stays_as_it_is() -> None:
    for text in ("déjà vu — “quoted” 値 🙂", "two\nlines"):
        assert visible(text) == text
    assert visible("a\tb\u00a0c") == "a b c"
