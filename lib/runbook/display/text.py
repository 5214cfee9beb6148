"""Values and tables as text without hidden characters."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

Row = dict[str, Any]
BLANK = "\u115f\u1160\u2800\u3164\uffa0"  # letters and signs that show nothing


def is_plain(text: str) -> bool:
    """Whether text is printable, without characters that show nothing, which could push a line off the screen."""
    return text.isprintable() and not set(text) & set(BLANK)


def visible(text: str) -> str:
    """Text without hidden characters: control, escape and bidi characters become escape sequences, line ends stay."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else _written_out(c) for c in text)


def _written_out(char: str) -> str:
    return " " if char.isspace() and char not in "\r\v\f\x1c\x1d\x1e\x1f\x85\u2028\u2029" else ascii(char)[1:-1]


def show(value: Any) -> str:
    """A value for people: times to the minute with zone, numbers with thousands separators, "" for None."""
    if value is None:
        return ""
    if isinstance(value, list | tuple):
        return visible(", ".join(map(str, value)))
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M %Z}"
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"
    return visible(str(value))


def text_table(rows: Sequence[Row]) -> str:
    """Rows as aligned columns under their names; a cell never spans lines."""
    if not rows:
        return ""
    cells = [[visible(str(name)) for name in rows[0]]]
    cells += [[" ".join(show(row.get(name)).split()) for name in rows[0]] for row in rows]
    widths = [max(len(line[n]) for line in cells) for n in range(len(cells[0]))]
    cells.insert(1, ["-" * width for width in widths])
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in cells)
