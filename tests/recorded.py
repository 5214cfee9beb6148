"""The recorded answers in tests/real: which there are, and the table of them in docs/real-system.md, which `make fix` writes.

`index.yaml` has the kind and the right reading of each; `routes.yaml` says to which route each belongs, and what of a route
nobody has confirmed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

REAL = Path(__file__).parent / "real"
PAGE = Path(__file__).parents[1] / "docs" / "real-system.md"
BEGIN, END = "<!-- written by make fix -->\n", "<!-- end of the table -->\n"

INDEX: dict[str, dict[str, Any]] = yaml.safe_load((REAL / "index.yaml").read_text(encoding="utf-8"))
ROUTES: list[dict[str, Any]] = yaml.safe_load((REAL / "routes.yaml").read_text(encoding="utf-8"))
GIVEN = {p.stem: json.loads(p.read_text(encoding="utf-8")) for p in sorted(REAL.glob("*.json"))}
COLUMNS = {"recorded": ("recorded",), "recorded in part": ("trimmed", "text"), "documented": ("documentation",)}


def word(name: str) -> str:
    """The first word of an entry's name: it says which reader gets the answer."""
    return name.partition("_")[0]


def answers(route: dict[str, Any]) -> list[str]:
    """The entries of a route: those whose names have one of its words."""
    return [name for name in INDEX if any(name == w or name.startswith(f"{w}_") for w in route.get("words", ()))]


def table() -> str:
    """A Markdown table: each route with its entries by kind, and what is unconfirmed."""
    lines = [f"| route | {' | '.join(COLUMNS)} | unconfirmed |", "|---|---|---|---|---|"]
    for route in ROUTES:
        cells = [
            " ".join(f"`{name}`" for name in answers(route) if INDEX[name]["kind"] in kinds)
            for kinds in COLUMNS.values()
        ]
        lines.append(f"| `{route['route']}` | {' | '.join(cells)} | {route.get('unconfirmed', '')} |")
    return "\n".join(lines) + "\n"


def write_table() -> None:
    """Write the table into its page."""
    said = PAGE.read_text(encoding="utf-8")
    before, after = said.split(BEGIN)[0], said.split(END)[1]
    PAGE.write_text(f"{before}{BEGIN}\n{table()}\n{END}{after}", encoding="utf-8")
