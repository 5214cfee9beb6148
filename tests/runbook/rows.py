"""Rows of facts for tests: fields that a case does not name have an empty value of their type."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime
from typing import Any, TypeVar

from runbook.model.rows import FactRow

AT = datetime(2026, 3, 11, 13, 30, tzinfo=UTC)
EMPTY = {"str": "", "int": 0, "float": 0.0, "bool": False, "datetime": AT, "date": AT.date(), "Any": None}
R = TypeVar("R", bound=FactRow)


def row(kind: type[R], **given: Any) -> R:
    """A row of a kind. Lists become tuples, as the facts have them."""
    empty = {f.name: _empty(str(f.type)) for f in fields(kind)}
    return kind(**{**empty, **{k: tuple(v) if isinstance(v, list) else v for k, v in given.items()}})


def _empty(type_: str) -> Any:
    if type_.endswith("None"):
        return None
    return {"Mapping": {}, "tuple": ()}.get(type_.partition("[")[0]) if "[" in type_ else EMPTY[type_]
