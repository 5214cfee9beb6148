"""Metadata of one BigQuery table."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from gcp_sandbox.services.bigquery import values
from gcp_sandbox.services.bigquery.googlesql.sql import Ref


@dataclass
class Table:
    """Metadata of a table. `kind` is TABLE, SNAPSHOT or CLONE; the latter two have a `base`."""

    ref: Ref
    created: datetime
    modified: datetime
    kind: str = "TABLE"
    base: Ref | None = None
    expires: datetime | None = None
    fields: list[dict] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The DuckDB name."""
        return f"{values.quoted(self.ref.dataset)}.{values.quoted(self.ref.table)}"

    @property
    def column_names(self) -> list[str]:
        return [f["name"] for f in self.fields]
