"""The tables of codes: every row can be read, names a known cause and its source, and says one thing once."""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

import runbook.incidents
from runbook.config.signatures import CAUSES as ALL_CAUSES

DIRECTORY = Path(runbook.incidents.__file__).with_name("codes")
FILES = ["bigquery", "cloud_run", "google", "http", "hubspot", "network", "python", "salesforce", "vertex", "workspace"]
CAUSES = {*ALL_CAUSES} - {"web_app"}  # no text states that a page does not answer
SYSTEMS = {"", "bigquery", "gmail", "google_calendar", "hubspot", "salesforce", "vertex_ai"}
CONDITIONS = ("code", "http", "exception", "says", "platform", "signal")
FIELDS = {*CONDITIONS, "cause", "detail", "hint", "unconfirmed", "final", "source"}


# Words of one part that are written in capitals for nothing else; errno names are the rest.
ALONE = {"BLOCKLIST", "RECITATION", "SPII", "UNAUTHENTICATED"}
QUOTAS = {("quota", "seconds"), ("quota", "hours")}


@cache
def blocks(name: str) -> list[dict[str, Any]]:
    """The blocks of a file."""
    return yaml.safe_load((DIRECTORY / f"{name}.yaml").read_text(encoding="utf-8"))


def rows() -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Every row of every file with its file and block."""
    return [(name, block, row) for name in FILES for block in blocks(name) for row in block["rows"]]


def shown(name: str, row: dict[str, Any]) -> str:
    """A row in a message."""
    return f"{name}: {row}"


def conditions(row: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
    """What a row asks for."""
    return tuple((c, row[c]) for c in CONDITIONS if c in row)


def order(row: dict[str, Any]) -> tuple[str, list[str]]:
    """By cause, then by what a row asks for."""
    return row["cause"], [str(row.get(c, "")) for c in CONDITIONS]


def test_there_is_a_table_for_each_platform_and_vendor() -> None:
    assert sorted(p.stem for p in DIRECTORY.glob("*")) == sorted(FILES), (
        "Add the new file to FILES here, and its system to SYSTEMS"
    )


def test_every_block_has_a_source_and_a_system_that_functions_can_have() -> None:
    every = [(name, block) for name in FILES for block in blocks(name)]
    wrong = [(n, b.get("source")) for n, b in every if not str(b.get("source", "")).startswith("https://")]
    wrong += [(n, b["system"]) for n, b in every if b.get("system", "") not in SYSTEMS]
    wrong += [(n, sorted(b)) for n, b in every if not {*b} <= {"source", "system", "rows"} or not b["rows"]]
    assert not wrong, (
        "a block has rows, the URL of its list as `source`, and perhaps a `system`; add a new one to SYSTEMS"
    )


def test_every_row_has_fields_that_are_known_a_cause_and_a_condition() -> None:
    wrong = [
        shown(n, r) for n, _, r in rows() if not {*r} <= FIELDS or r.get("cause") not in CAUSES or not conditions(r)
    ]
    assert not wrong, (
        f"a row has a condition ({', '.join(CONDITIONS)}), no other fields than FIELDS, and a cause; add the name of a new cause "
        "under `causes` in lib/runbook/config/values.yaml"
    )


def test_what_a_row_asks_for_is_of_its_kind() -> None:
    wrong = []
    for name, _, row in rows():
        ok = re.fullmatch(r"[A-Za-z][\w.-]*", row.get("code", "x")) and re.fullmatch(
            r"[A-Za-z_][\w.]*", row.get("exception", "x")
        )
        ok = (
            ok
            and re.fullmatch(r"[1-5]\d\d|[45]xx|52x", str(row.get("http", 400)))
            and isinstance(row.get("signal", 0), int)
        )
        ok = ok and str(row.get("source", "https://")).startswith("https://")
        ok = ok and row.get("hint", True) is True and row.get("final", False) is False
        if not ok:
            wrong.append(shown(name, row))
    assert not wrong, "lib/runbook/incidents/texts/codes.py documents the fields of a row"


def test_a_code_is_no_word_of_plain_english() -> None:
    plain = [shown(n, r) for n, _, r in rows() if re.fullmatch(r"[a-z]+|[A-Z][a-z]+", r.get("code", "A_B"))]
    assert not plain, "a plain word stands in many messages: ask for `reason: word` in says"


def test_a_code_of_one_word_without_a_system_is_a_hint() -> None:
    bare = [
        row for _, block, row in rows() if re.fullmatch("[A-Z]+", row.get("code", "A_B")) and not block.get("system")
    ]
    sure = {row["code"] for row in bare if not row.get("hint") and len(conditions(row)) == 1}
    assert {code for code in sure if not re.fullmatch("E[A-Z]{4,}", code)} <= ALONE, "capitals alone are emphasis, too"


def compiles(expression: str) -> bool:
    """Whether it is a regular expression."""
    try:
        re.compile(expression, re.IGNORECASE)
    except re.error:
        return False
    return True


@pytest.mark.parametrize("kind", ["says", "platform"])
def test_expressions_compile(kind: str) -> None:
    assert not [shown(name, row) for name, _, row in rows() if not compiles(row.get(kind, ""))]


@pytest.mark.parametrize(
    "text", ["", "a", "Traceback (most recent call last):", "The sync of 12 rows to the table is done."]
)
def test_no_expression_matches_what_every_run_says(text: str) -> None:
    said = [
        (name, row, row[kind])
        for name, _, row in rows()
        for kind in ("says", "platform")
        if conditions(row) == ((kind, row.get(kind)),)
    ]
    found = [shown(name, row) for name, row, expression in said if re.search(expression, text, re.IGNORECASE)]
    assert not found, "the expression matches what is no error: make it narrower"


def test_a_detail_says_how_long_a_quota_lasts() -> None:
    wrong = [shown(n, r) for n, _, r in rows() if "detail" in r and (r["cause"], r["detail"]) not in QUOTAS]
    assert not wrong


def test_nothing_is_said_twice() -> None:
    counts = Counter((block.get("system", ""), conditions(row)) for _, block, row in rows())
    assert not [c for c, n in counts.items() if n > 1], "two rows ask for the same: keep one, with the right cause"


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_sorted_by_cause_within_each_subject(name: str) -> None:
    text = (DIRECTORY / f"{name}.yaml").read_text(encoding="utf-8")
    assert re.match("# .+", text), "a file says what it is about"
    assert text.count("\n\n# ") == len(blocks(name)), "each block has a title"
    for block in blocks(name):
        assert block["rows"] == sorted(block["rows"], key=order), (
            f"rows are sorted by cause, then by their conditions: {', '.join(CONDITIONS)}; a row without one comes first"
        )


def test_what_was_found_in_no_list_is_never_sure() -> None:
    from runbook.incidents.texts.codes import rows as loaded

    unconfirmed = [row for row in loaded() if row.unconfirmed]
    assert unconfirmed
    assert {row.strength for row in unconfirmed} == {2}
    assert {row.hint for row in unconfirmed} == {False}  # a hint says less anyway
    assert any(row._replace(unconfirmed=False).strength == 3 for row in unconfirmed)
