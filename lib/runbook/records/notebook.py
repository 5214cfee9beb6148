"""The steps of a notebook."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from runbook.config.parameters import cell_source


def steps(cells: Iterable[Mapping[str, Any]]) -> Iterator[tuple[int, Any, str]]:
    """Each code cell that is not empty: its index, the cell, and the last H2 above it."""
    title = ""
    for index, cell in enumerate(cells):
        if cell["cell_type"] == "markdown":
            title = next(iter(re.findall(r"^## +(.+)", cell_source(cell), re.MULTILINE)), title)
        elif cell["cell_type"] == "code" and cell_source(cell).strip():
            yield index, cell, title
