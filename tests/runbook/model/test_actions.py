"""The arguments of a stored plan are anybody's: none of them ends its quotes in a statement, or its part of a URL."""

from __future__ import annotations

from typing import Any

import pytest

from runbook.model.actions import ACTIONS, arguments

GOOD: dict[str, Any] = {"before": "a", "after": "b", "keep_days": 7, "operation": "COPY", "at": "@1773235800000"}
GOOD |= {"type": "STRING", "mode": "NULLABLE", "was": "ACTIVE", "revision": "a-00001", "version": 1, "repeat": "safe"}
OTHER: dict[str, dict[str, Any]] = {  # what the same name is in one action
    "route traffic": {"before": {"a": 100}, "after": {"b": 100}},
    "update function": {"before": {"memory": "1Gi"}, "after": {"memory": "2Gi"}},
    "add secret version": {"before": 1, "after": 2},
}
NAMES = ("service", "function", "job", "secret", "dataset", "table", "to_dataset", "to_table", "column", "type", "at")
BAD = [
    "x` STRING, DROP COLUMN `y",
    "x`",
    "x'",
    'x"',
    "x;y",
    "x\\y",
    "x\ny",
    "x\n",
    "a/../b",
    "a?b",
    "a#b",
    "a.b/c",
    "x\u202ey",
]
EMPTY = set(NAMES) - {"at"}


def given(action: str) -> dict[str, Any]:
    """Arguments that are good; a name is "x_1"."""
    fields = ACTIONS[action].model_fields
    return {name: OTHER.get(action, {}).get(name, GOOD.get(name, "x_1")) for name in fields}


@pytest.mark.parametrize("action", ACTIONS)
def test_a_name_is_only_a_name(action: str) -> None:
    whole = given(action)
    assert arguments(action, whole).action == action
    for name in whole.keys() & set(NAMES):
        for bad in [*BAD, *([""] if name in EMPTY else [])]:
            with pytest.raises(ValueError, match=name):
                arguments(action, whole | {name: bad})


def test_what_bigquery_calls_a_table_is_one() -> None:
    """Letters, marks, numbers, connectors, dashes and spaces (https://cloud.google.com/bigquery/docs/tables)."""
    for name in ("größe", "2026-03 backup", "m²", "顧客_1", "a\u0301"):
        assert arguments("copy table", given("copy table") | {"table": name}).table == name
