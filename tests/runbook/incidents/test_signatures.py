"""Texts → signatures → causes: no text raises or takes long, data is no message, and the index finds what a scan would."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from runbook.config.load import YAML_LOADER
from runbook.incidents.texts.codes import rows, tables
from runbook.incidents.texts.signatures import Signature, signatures
from tests.slices import every

CASES = Path(__file__).parents[1] / "cases"
SIGNATURES, TEXTS = (
    yaml.load((CASES / f"{name}.yaml").read_text(encoding="utf-8"), Loader=YAML_LOADER)
    for name in ("signatures", "texts")
)
# Parts of texts that parsers stumble over.
PARTS = [
    "'",
    '"',
    "`",
    "\\",
    "{",
    "}",
    "[",
    "(",
    ")",
    ":",
    "\n",
    "/",
    "@",
    ".",
    "…",
    "\x00",
    "\ud800",
    "503",
    "Error: ",
]
PARTS += ["Traceback (most recent call last)", 'File "a.py", line 3, in f', "During handling of the above exception, "]
PARTS += [
    "another exception occurred:",
    "(Caused by ",
    "HTTP status code ",
    '{"error": {"code": 403, "message": "x',
    "[Errno ",
]
PARTS += [
    'returned "',
    "INVALID_SESSION_ID",
    "google.api_core.exceptions.Forbidden: 403 ",
    "signal ",
    "9" * 30,
    "message='",
]


@pytest.mark.parametrize("case", SIGNATURES, ids=lambda c: c["text"][:50])
def test_what_a_text_says(case: dict[str, Any]) -> None:
    found = signatures(case["text"])
    first = found[0] if found else Signature()
    for part in ("exception", "module", "http", "signal"):
        if part in case:
            assert getattr(first, part) == case[part], first
    assert set(case.get("codes", ())) <= set(first.codes), first
    assert case.get("says", "") in first.message, first
    if "not" in case:
        assert all(case["not"] not in one.message and case["not"] not in one.codes for one in found), found
    if "chained" in case:
        assert [one.exception for one in found if one.chained] == [case["chained"]], found


@pytest.mark.parametrize("case", TEXTS, ids=lambda c: c["text"][:50])
def test_what_a_text_tells(case: dict[str, Any]) -> None:
    found = tables().match(case["text"], case.get("platform", False), case.get("system", ""))
    wanted = case["cause"] if isinstance(case["cause"], list) else [case["cause"]]
    told = found.row.cause if found else ""
    vague = (
        found and found.row.hint and found.row.cause == "crash_after_deploy"
    )  # without a deployment it proves nothing
    assert told in wanted or (wanted == [""] and vague), found


@given(st.one_of(st.text(), st.lists(st.sampled_from(PARTS)).map("".join)))
def test_no_text_raises(text: str) -> None:
    for one in signatures(text):
        assert isinstance(one, Signature)
        assert one.http == 0 or 400 <= one.http < 600
    tables().match(text, True, "salesforce")


@pytest.mark.parametrize("part", [*every(9, PARTS), "a.", "a@b.", "/a", "{}", "a'", "'a ", "Error ", "a://"])
def test_no_text_takes_long(part: str) -> None:
    text = part * (20_000 // len(part))
    began = time.process_time()
    tables().match(text, True, "")
    assert time.process_time() - began < 2


@pytest.mark.parametrize("case", TEXTS[::7], ids=lambda c: c["text"][:50])
def test_the_index_finds_what_a_scan_finds(case: dict[str, Any]) -> None:
    text, platform, system = case["text"], case.get("platform", False), case.get("system", "")
    for one in signatures(text):
        fits = [row for row in rows() if row.holds(one, platform, system, text.lower())]
        best = max((row.rank[:4] for row in fits), default=None)
        found = [m.row.rank[:4] for m in tables()._of(one, platform, system, text)]
        assert found == ([best] if best else [])


def test_a_team_adds_rows_of_its_own() -> None:
    text = "billing-proxy said E1047"
    assert tables().match(text, False, "") is None
    own = ((("cause", "billing"), ("says", "said E1047")),)
    found = tables(own).match(text, False, "")
    assert found
    assert found.row.cause == "billing"
