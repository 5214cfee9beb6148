"""Values and tables as text without hidden characters."""

from collections.abc import Sequence
from datetime import date, datetime
from functools import cache
from typing import Any

Row = dict[str, Any]
DAY = "%a %Y-%m-%d %H:%M %Z"  # how a time to come is written
BLANK = "\u2800\U0001d159\U00016fe4"  # empty Braille, note, Khitan filler: Unicode has no property for these


def is_plain(text: str) -> bool:
    """Whether text is printable, without characters that show nothing, which could push a line off the screen."""
    return text.isprintable() and (text.isascii() or _shown().isinstance_python(text))


@cache
def _shown() -> Any:
    """What takes only text without a `BLANK`, and without characters that Unicode lets no program show.

    Source: Default_Ignorable_Code_Point in https://www.unicode.org/Public/UCD/latest/ucd/DerivedCoreProperties.txt,
    which the expressions of pydantic know, and unicodedata does not.
    """
    from pydantic_core import SchemaValidator, core_schema

    return SchemaValidator(core_schema.str_schema(pattern=rf"^[^{BLANK}\p{{Default_Ignorable_Code_Point}}]*$"))


def visible(text: str) -> str:
    """Text without hidden characters: control, escape, bidi and invisible ones are written out, line ends stay."""
    return text if is_plain(text) else "".join(c if c == "\n" or is_plain(c) else _written_out(c) for c in text)


def one_line(text: object) -> str:
    """Somebody's words as one line of visible text: nothing in them can look like a line of ours."""
    return " ".join(visible(str(text)).split())


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
    cells += [[one_line(show(row.get(name))) for name in rows[0]] for row in rows]
    widths = [max(len(line[n]) for line in cells) for n in range(len(cells[0]))]
    cells.insert(1, ["-" * width for width in widths])
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in cells)


def few(names: Sequence[str]) -> str:
    """Up to three names; if there are more, two names and how many more, so that the line fits the screen."""
    return ", ".join(names) if len(names) <= 3 else f"{', '.join(names[:2])} and {len(names) - 2} more"
