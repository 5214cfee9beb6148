"""The steps of a notebook, and the report that it shows."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from runbook.config.parameters import cell_source
from runbook.model.report import MIME
from runbook.records.record import is_report


def steps(cells: Iterable[Mapping[str, Any]]) -> Iterator[tuple[int, Any, str]]:
    """Each code cell that is not empty: its index, the cell, and the last H2 above it."""
    title = ""
    for index, cell in enumerate(cells):
        if cell["cell_type"] == "markdown":
            title = next(iter(re.findall(r"^## +(.+)", cell_source(cell), re.MULTILINE)), title)
        elif cell["cell_type"] == "code" and cell_source(cell).strip():
            yield index, cell, title


def shown_report(cells: Iterable[Mapping[str, Any]]) -> dict[str, Any] | None:
    """The last report that these cells show; None if there is none, or if it is not valid."""
    shown = [o["data"][MIME] for cell in cells for o in cell.get("outputs", ()) if MIME in o.get("data", {})]
    return dict(shown[-1]) if shown and is_report(shown[-1]) else None
