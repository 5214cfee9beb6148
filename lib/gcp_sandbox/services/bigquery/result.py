"""The result of a statement."""

from __future__ import annotations

from dataclasses import dataclass, field

from gcp_sandbox.services.bigquery.googlesql.sql import Ref


@dataclass
class Result:
    """The result of a statement; for a dry run, what it would read or write."""

    kind: str
    fields: list[dict] = field(default_factory=list)
    rows: list[tuple] = field(default_factory=list)
    read: list[Ref] = field(default_factory=list)
    routines: list[dict] = field(default_factory=list)
    processed: int = 0
    billed: int = 0
    target: Ref | None = None
