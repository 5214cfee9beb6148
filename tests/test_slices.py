"""The slices of wide tests: nothing is lost, and what `make test` keeps represents the rest."""

from __future__ import annotations

from typing import Any

import pytest

from tests.slices import every, every_of_each, first, first_of_each, rotating


def kept(cases: list[Any]) -> list[tuple[Any, ...]]:
    """The cases that `make test` runs."""
    return [case.values for case in cases if not case.marks]


@pytest.mark.parametrize(
    "cases", [first("abcd"), every(3, "abcd"), first_of_each(str.upper, "abcd"), every_of_each(2, str.upper, "abcd")]
)
def test_every_case_stays_in_the_full_run(cases: list[Any]) -> None:
    assert [case.values for case in cases] == [("a",), ("b",), ("c",), ("d",)]
    assert {mark.name for case in cases for mark in case.marks} <= {"full"}


def test_what_is_kept() -> None:
    assert kept(first("abcd")) == [("a",)]
    assert kept(every(3, "abcd")) == [("a",), ("d",)]
    assert kept(first_of_each(str.upper, "aAbBa")) == [("a",), ("b",)]
    assert kept(every_of_each(2, str.upper, "aAbBaA")) == [("a",), ("b",), ("a",)]


@pytest.mark.parametrize(("rows", "columns"), [("abc", "xy"), ("ab", "xyz"), ("ab", "xy"), ("a", "xyz")])
def test_no_row_and_no_column_is_left_out(rows: str, columns: str) -> None:
    cases = rotating(rows, columns)
    assert len(cases) == len(rows) * len(columns)
    assert len(kept(cases)) == max(len(rows), len(columns))
    assert ({row for row, _ in kept(cases)}, {column for _, column in kept(cases)}) == ({*rows}, {*columns})
