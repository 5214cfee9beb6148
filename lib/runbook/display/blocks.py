"""Rows as tables, for people: HTML with inline styles (Jupyter keeps them in untrusted notebooks) and aligned text.

Everything shown is a `Block`: the same content as HTML and as text. Nothing here reads a clock, so equal rows give
equal bytes.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from html import escape
from typing import Any

from runbook.data_file import table as table_of
from runbook.display.text import Row, show, text_table, visible

MOST_ROWS = 20

HTML = table_of(__file__, "html.yaml")


@dataclass(frozen=True)
class Block:
    """One thing to show, as HTML and as plain text."""

    html: str
    text: str

    def __add__(self, other: "Block") -> "Block":
        return Block(self.html + other.html, "\n".join(t for t in (self.text, other.text) if t))


def page(block: Block) -> dict[str, str]:
    """The MIME bundle of a block, as IPython expects it."""
    return {"text/html": block.html, "text/plain": block.text}


def table(rows: Iterable[Row], empty: str = "no rows") -> Block:
    """A table of at most `MOST_ROWS` rows, and a note with the number of further rows; a `verdict` is coloured."""
    rows = list(rows)
    if not rows:
        return note(empty)
    head = "".join(HTML["th"].format(escape(visible(str(name)).replace("_", " "))) for name in rows[0])
    body = "".join(f"<tr>{''.join(_cell(k, row.get(k)) for k in rows[0])}</tr>" for row in rows[:MOST_ROWS])
    shown = Block(HTML["table"].format(head=head, body=body), text_table(rows[:MOST_ROWS]))
    more = len(rows) - MOST_ROWS
    return shown + note(f"… and {more:,} more rows (all of them are in .frame)") if more > 0 else shown


def _cell(name: str, value: Any) -> str:
    text = escape(show(value))
    if name == "verdict" and text in HTML["tint"]:
        ink, paper = HTML["tint"][text]
        text = HTML["badge"].format(ink=ink, paper=paper, text=text)
    if name == "notebook" and text:
        text = HTML["notebook"].format(text)
    if name == "command":
        text = HTML["command"].format(" ".join(map(HTML["word"].format, text.split(" "))))
    style = ";white-space:nowrap" if isinstance(value, date) else ";white-space:pre-line" if "\n" in text else ""
    if isinstance(value, int | float) and not isinstance(value, bool):
        style = ";text-align:right"
    return str(HTML["td"].format(style=style, text=text))


def note(text: str) -> Block:
    """One paragraph."""
    text = visible(text)
    return Block(HTML["note"].format(escape(text)), text)


def joined(parts: Iterable[Block]) -> Block:
    """Blocks, one below the other."""
    return sum(parts, Block("", ""))


def notes(texts: Iterable[str]) -> Block:
    """A paragraph for each text."""
    return joined(map(note, texts))


def verbatim(text: str) -> Block:
    """Text to copy, with its line breaks."""
    text = visible(text)
    return Block(HTML["verbatim"].format(escape(text)), text)


def banner(text: str, verdict: str) -> Block:
    """One prominent line, in the colours of a verdict."""
    (ink, paper), text = HTML["tint"][verdict], visible(text)
    return Block(HTML["banner"].format(ink=ink, paper=paper, text=escape(text)), text)


def equivalent_command(lines: Iterable[str]) -> Block:
    """The equivalent commands, collapsed in HTML."""
    shown = verbatim("\n".join(lines))
    if not shown.text:
        return Block("", "")
    return Block(HTML["equivalent"].format(shown.html), f"Equivalent command:\n{shown.text}")
