"""What a statement gave."""

from __future__ import annotations

from dataclasses import dataclass, field

from gcp_sandbox.services.bigquery.googlesql.sql import Ref


@dataclass
class Result:
    """What a statement gave, or in a dry run would touch."""

    kind: str
    fields: list[dict] = field(default_factory=list)
    rows: list[tuple] = field(default_factory=list)
    read: list[Ref] = field(default_factory=list)
    routines: list[dict] = field(default_factory=list)
    processed: int = 0
    billed: int = 0
    target: Ref | None = None
