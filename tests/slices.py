"""Which cases of a wide test `make test` runs. The other cases have the marker `full`, and `make test-full` runs all of them.

Each rule is fixed, so that every run of `make test` runs the same cases.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest


def first(cases: Iterable[Any]) -> list[Any]:
    """The first case only."""
    return [_case(case, number == 0) for number, case in enumerate(cases)]


def every(step: int, cases: Iterable[Any]) -> list[Any]:
    """The first case, and every `step`th after it."""
    return [_case(case, number % step == 0) for number, case in enumerate(cases)]


def first_of_each(kind: Callable[[Any], Any], cases: Iterable[Any]) -> list[Any]:
    """The first case of each kind."""
    return every_of_each(sys.maxsize, kind, cases)


def every_of_each(step: int, kind: Callable[[Any], Any], cases: Iterable[Any]) -> list[Any]:
    """The first case of each kind, and every `step`th of that kind after it."""
    seen: Counter[Any] = Counter()
    made = []
    for case in cases:
        made.append(_case(case, seen[kind(case)] % step == 0))
        seen[kind(case)] += 1
    return made


def rotating(rows: Sequence[Any], columns: Sequence[Any], step: int = 1) -> list[Any]:
    """Pairs, for two parameters: each row with a column that changes from row to row, so that no row or column is left out.

    With a `step`, only the first row and every `step`th after it.
    """
    fewer = min(len(rows), len(columns))
    return [
        _case((row, column), (y // step - x) % fewer == 0 and y % step == 0)
        for y, row in enumerate(rows)
        for x, column in enumerate(columns)
    ]


def selected(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    """The parameters of the selected tests of a module that use the fixture which asks, so that it prepares no more."""
    items = [i for i in request.session.items if isinstance(i, pytest.Function) and i.module is request.module]
    return [i.callspec.params for i in items if request.fixturename in i.fixturenames and hasattr(i, "callspec")]


def _case(case: Any, always: bool) -> Any:
    values = case if isinstance(case, tuple) else (case,)
    return pytest.param(*values, marks=() if always else pytest.mark.full)
