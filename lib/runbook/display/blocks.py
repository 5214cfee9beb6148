"""Rows as tables, for people: HTML with inline styles (Jupyter keeps them in untrusted notebooks) and aligned text.

Everything shown is a `Block`: the same content as HTML and as text. Nothing here reads a clock, so equal rows give
equal bytes.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from html import escape
from typing import Any

from runbook.display.text import Row, show, text_table, visible

MOST_ROWS = 20

TINT = {
    "ok": ("#1b5e20", "#e6f4ea"),
    "warn": ("#7a4f01", "#fef3d7"),
    "unknown": ("#37474f", "#e8ebee"),
    "alert": ("#8c1d18", "#fce4e2"),
}

_CELL = "padding:4px 12px 4px 0;text-align:left;vertical-align:top;border-bottom:1px solid #dadce0"
_TABLE = "border-collapse:collapse;margin:4px 0 8px 0;font-size:13px"
_BADGE = "padding:1px 8px;border-radius:8px;white-space:nowrap"
_NOTE = "margin:2px 0;font-size:13px"
_CODE = "white-space:pre-wrap;overflow-wrap:anywhere;font-size:12px;margin:4px 0"


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
    head = "".join(f'<th style="{_CELL}">{escape(visible(str(name)).replace("_", " "))}</th>' for name in rows[0])
    body = "".join(f"<tr>{''.join(_cell(k, row.get(k)) for k in rows[0])}</tr>" for row in rows[:MOST_ROWS])
    html = f'<table style="{_TABLE}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    shown = Block(html, text_table(rows[:MOST_ROWS]))
    more = len(rows) - MOST_ROWS
    return shown + note(f"… and {more:,} more rows (all of them are in .frame)") if more > 0 else shown


def _cell(name: str, value: Any) -> str:
    text = escape(show(value))
    if name == "verdict" and text in TINT:
        ink, paper = TINT[text]
        text = f'<b style="color:{ink};background:{paper};{_BADGE}">{text}</b>'
    if name == "notebook" and text:  # in the same directory: in the repository, and in the working copies for Jupyter
        text = f'<a href="{text}.ipynb">{text}</a>'
    if name == "command":  # breaks between words only, not after each hyphen
        words = " ".join(f'<span style="white-space:nowrap">{word}</span>' for word in text.split(" "))
        text = f'<code style="font-size:12px;background:none;padding:0">{words}</code>'
    style = ";white-space:nowrap" if isinstance(value, date) else ";white-space:pre-line" if "\n" in text else ""
    if isinstance(value, int | float) and not isinstance(value, bool):
        style = ";text-align:right"
    return f'<td style="{_CELL}{style}">{text}</td>'


def note(text: str) -> Block:
    """One paragraph."""
    text = visible(text)
    return Block(f'<p style="{_NOTE}">{escape(text)}</p>', text)


def joined(parts: Iterable[Block]) -> Block:
    """Blocks, one below the other."""
    return sum(parts, Block("", ""))


def notes(texts: Iterable[str]) -> Block:
    """A paragraph for each text."""
    return joined(map(note, texts))


def verbatim(text: str) -> Block:
    """Text to copy, with its line breaks."""
    text = visible(text)
    return Block(f'<pre style="{_CODE}">{escape(text)}</pre>', text)


def banner(text: str, verdict: str) -> Block:
    """One prominent line, in the colours of a verdict."""
    (ink, paper), text = TINT[verdict], visible(text)
    style = f"margin:4px 0;padding:6px 12px;border-left:4px solid {ink};background:{paper};color:{ink};font-size:14px"
    return Block(f'<div style="{style}">{escape(text)}</div>', text)


def equivalent_command(lines: Iterable[str]) -> Block:
    """The equivalent commands, collapsed in HTML."""
    text = visible("\n".join(lines))
    if not text:
        return Block("", "")
    summary = '<summary style="font-size:12px;color:#5f6368;cursor:pointer">Equivalent command</summary>'
    html = f'<details>{summary}<pre style="{_CODE}">{escape(text)}</pre></details>'
    return Block(html, f"Equivalent command:\n{text}")
