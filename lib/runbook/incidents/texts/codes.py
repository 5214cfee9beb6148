"""The tables of codes: signature → cause. The files are codes/*.yaml and, before them, `signatures` of params.

A row matches one signature if each of its conditions holds: `code`, `http` (503 or 5xx), `exception` (its class, or
module.Class), `says` (a regular expression on the message), `platform` (the same, for lines that the platform wrote),
`signal`. `system` limits a row to texts of that source system, or that name it. `hint`: ambiguous; `final: false`: only
a warning or a retry in itself; `unconfirmed`: from memory, found in no published list; `detail`: what the fix needs.
The most specific row wins, then that of a vendor. A bare class does not say who did not answer: a hint at
an outage by an exception alone needs a message.
"""

import re
from collections import namedtuple
from collections.abc import Iterable, Iterator, Mapping
from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from runbook.config import signatures as signatures_of_params
from runbook.data_file import YAML_LOADER
from runbook.incidents.texts.signatures import FORMS, Signature, signatures

FOLDER = Path(__file__).parents[1] / "codes"
WHOLE = 28  # characters of a platform's text that a function's own line must have, to be a copy of it
OF_CODE = ("crash_after_deploy", "bad_data")  # causes that an exception's class alone says least about
_ALIASES = {"vertex_ai": ("vertex", "aiplatform", "gemini"), "gmail": ("gmail",), "google_calendar": ("calendar/v3",)}
_NAMED = ("salesforce", "hubapi", "hubspot", "bigquery", "aiplatform", "google.api_core", "secretmanager")


_FIELDS = signatures_of_params.Signature.model_fields


class Code(namedtuple("Code", _FIELDS, defaults=[field.default for field in _FIELDS.values()][1:])):
    """One row of a table, with the fields of a row of params; "" is no condition. Expressions are compiled."""

    @property
    def strength(self) -> int:
        """3 for a code or a published text, 2 for a status or an exception of a library, 1 for any other exception.

        A row that was found in no list is never 3: it is likely, not sure.
        """
        if self.hint or self.unconfirmed:
            return 0 if self.hint else 2
        specific = self.code and not FORMS["general"].fullmatch(self.code)
        if specific or self.platform or self.signal or (self.says and (self.exception or self.http or self.code)):
            return 3
        return 1 if self.exception and not self.http and self.cause in OF_CODE else 2

    @property
    def rank(self) -> tuple[Any, ...]:
        """The more specific row is greater: a code or a text says more than a status and a class."""
        conditions = (self.code, self.http, self.exception, self.says, self.platform, self.signal)
        first = self.cause not in ("crash_after_deploy", "failed_deployment")  # what follows from another cause
        kind = 2 if self.platform or (self.code and not FORMS["general"].fullmatch(self.code)) else int(bool(self.says))
        return self.strength, bool(kind), sum(map(bool, conditions)), first, bool(self.system), kind, self.final

    def holds(self, one: Signature, platform: bool, system: str, text: str) -> bool:
        """Whether each condition holds."""
        wanting = (
            (self.system and not _about(self.system, system, text))
            or (self.code and (self.code not in one.codes or (platform and FORMS["general"].fullmatch(self.code))))
            or (self.http and (platform or not re.fullmatch(self.http.replace("x", r"\d"), str(one.http))))
            or (self.exception and self.exception not in (one.exception, f"{one.module}.{one.exception}"))
            or (self.hint and self.cause == "dependency_outage" and self.exception and not self.says and one.bare)
            or self.signal not in (0, one.signal)
            or (self.says and not self.says.search(one.message))
        )
        found = self.platform.search(one.message) if self.platform and not wanting else None
        return bool(found and (platform or found.end() - found.start() >= WHOLE)) if self.platform else not wanting


class Match(NamedTuple):
    """The row that a text matches, and the signature that it matched."""

    row: Code
    signature: Signature
    platform: bool

    @property
    def strength(self) -> int:
        """That of the row; a copy of the platform's text in a function's own line says less."""
        return min(self.row.strength, 2) if self.row.platform and not self.platform else self.row.strength


class Tables:
    """The rows of params, then those of the tables, which are read when the first text is looked up."""

    def __init__(self, own: Iterable[Mapping[str, Any]] = ()):
        self._own = own

    @cached_property
    def _index(self) -> dict[str, list[Code]]:
        """Rows by code, exception and signal; those with only a status or a text under ""."""
        found: dict[str, list[Code]] = {}
        for row in (*map(_code, self._own), *rows()):
            key = row.code or row.exception.rsplit(".", 1)[-1] or (row.signal and f"signal {row.signal}") or ""
            found.setdefault("platform" if row.platform and not key else key, []).append(row)
        return found

    @lru_cache(1024)  # noqa: B019 - a function that fails says the same again and again; there are a few Tables
    def match(self, text: str, platform: bool, system: str) -> Match | None:
        """The most specific row for a text, the last exception before those that led to it."""
        found = [m for one in signatures(text) for m in self._of(one, platform, system, text)]
        return max(found, key=lambda m: (not m.signature.chained, m.row.rank), default=None)

    def _of(self, one: Signature, platform: bool, system: str, text: str) -> Iterator[Match]:
        keys = ["", "platform", *one.codes, one.exception or " ", f"signal {one.signal}"]
        rows = (row for key in dict.fromkeys(keys) for row in self._index.get(key, ()))
        fits = [row for row in rows if row.holds(one, platform, system, text.lower())]
        order = {code: -n for n, code in enumerate(one.codes)}
        best = max(fits, key=lambda r: (r.rank[:5], order.get(r.code, -99), r.rank[5:]), default=None)
        if best:
            yield Match(best, one, platform)


def _about(wanted: str, system: str, text: str) -> bool:
    """Whether a text is about a vendor: it names it, or it is of a function of that vendor and names no other."""
    if wanted in text or wanted.replace("_", " ") in text or any(name in text for name in _ALIASES.get(wanted, ())):
        return True
    return wanted == system and not any(other in text for other in _NAMED if other not in _ALIASES.get(wanted, wanted))


@cache
def rows() -> tuple[Code, ...]:
    """All rows of codes/*.yaml, and the free phrases."""
    found = []
    for path in (*sorted(FOLDER.glob("*.yaml")), Path(__file__).with_name("phrases.yaml")):
        for block in yaml.load(path.read_text(encoding="utf-8"), Loader=YAML_LOADER):
            shared = {key: block[key] for key in ("source", "system") if block.get(key)}
            found += [_code({**shared, **row}) for row in block["rows"]]
    return tuple(found)


def _code(row: Mapping[str, Any]) -> Code:
    texts = {key: re.compile(row[key], re.IGNORECASE) for key in ("says", "platform") if row.get(key)}
    return Code(**{**row, **texts, "http": str(row.get("http") or "")})


@lru_cache(16)
def tables(own: tuple[tuple[tuple[str, Any], ...], ...] = ()) -> Tables:
    """The tables, with the rows of params first; made once for the same params."""
    return Tables([dict(row) for row in own])
