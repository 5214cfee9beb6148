"""The diagnosis on the sets of tests/sets: a change of the rules may not make them worse than they were."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import pytest

from tests.sets import SETS, cases, judge, summary
from tests.slices import every, first

# How many outages of a set may have another first cause, or another severity, than the truth; misses that are understood.
MISSES = dict.fromkeys(SETS, (0, 0)) | dict.fromkeys(("first", "second", "sixth"), (0, 1))
MISSES |= {"eighth": (1, 0), "ninth": (2, 1), "tenth": (0, 1), "twelfth": (1, 0)}
MISSES |= {"thirteenth": (1, 0), "fourteenth": (2, 0), "fifteenth": (0, 1), "sixteenth": (1, 0)}
MISSES |= {"seventeenth": (0, 1), "eighteenth": (3, 0)}
# A failed deployment from the day before, whose function Cloud Functions still reports as ACTIVE.
MISSED = {"twelfth/w67"}


@pytest.mark.parametrize("name", SETS)
def test_a_set_is_as_it_was_frozen(name: str) -> None:
    assert sha256(b"".join(path.read_bytes() for path in cases(name))).hexdigest() == SETS[name]


@pytest.mark.parametrize("step", first([45, 1]))
@pytest.mark.parametrize("name", every(4, SETS))
def test_a_set(name: str, step: int, record_property: Any) -> None:
    judged = [judge(path) for path in cases(name)[::step]]
    if step == 1:
        record_property("summary", f"set {name}: {summary(judged)}".replace("\n", "; "))
    assert [one for one in judged if one.sure_but_wrong] == []
    assert [one for one in judged if one.daily_wrong] == []
    assert {one.name for one in judged if one.alarm or one.missed} <= MISSED
    causes, severities = MISSES[name]
    assert sum(not one.first for one in judged) <= causes
    assert sum(not one.severity for one in judged) <= severities
