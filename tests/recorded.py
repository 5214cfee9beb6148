"""The recorded answers in tests/real: which there are, and the table of them in docs/real-system.md, which `make fix` writes.

`index.yaml` has the kind and the right reading of each; `routes.yaml` says to which route each belongs, and what of a route
nobody has confirmed.
"""

from __future__ import annotations

import json
import re
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


# What may stand in a recorded answer: names of our invented system, public names of Google, and what is reserved for
# examples. Two numbers are Google's: that of gcloud's own client, and that of the example in the reference.
_NUMBERS = "750551868292|764086051850|123456789012"
_PROJECT = f"lumen-crm-prod|{_NUMBERS}"
_HOSTS = (
    r"([\w-]+\.)*(example|test|invalid)(\.(com|org|net))?|test\.test",
    r"([\w-]+\.)*(google|googleapis)\.com|serving\.knative\.dev|[a-z0-9-]*docker\.pkg\.dev",
    r"[\w-]+-(h7k2|abc|xxxx)-uc\.a\.run\.app|[\w-]+-750551868292\.[\w-]+\.(run|cloudfunctions\.appspot)\.(app|com)",
    r"[\w-]+-lumen-crm-prod\.cloudfunctions\.net|([\w-]+\.)?lumen-crm-prod\.\w+\.r\.appspot\.com",
    r"[a-z0-9]+-dot-abc-tp\.appspot\.com",
)
_ACCOUNTS = (
    r"(lumen-crm-prod|gcf-admin-robot)\.iam\.gserviceaccount\.com",
    r"(developer|appspot)\.gserviceaccount\.com",
)
_TOP = "app|ai|at|au|biz|br|ca|ch|cloud|cn|co|com|de|dev|eu|fr|info|io|jp|net|nl|org|se|test|uk|us"
# What a text is searched for → what may stand there.
_SEARCHED = {
    r"(?<![\d.])(?<!-0000-)(\d{12})(?![\d.])": _NUMBERS,
    r"\bprojects?/([^/\"\s\\'?]+)": f"{_PROJECT}|_",
    r"[?&]project=([\w.:-]+)": _PROJECT,
    r"\"project(?:Id|_id|Number|_number)?\"\s*:\s*\"(?:projects/)?([^/\"]+)\"": _PROJECT,
    r"(?<![\w.-])([a-z][a-z0-9-]{4,28}[a-z0-9]):[A-Za-z_]\w*\.\w+": _PROJECT,
    r"`([a-z][a-z0-9-]{4,28}[a-z0-9])\.\w+\.": _PROJECT,
    r"\bpkg\.dev/([^/\"]+)": f"{_PROJECT}|serverless-runtimes|cloud-ops",
    r"\b([\w.+-]+@[\w-]+(?:\.[\w-]+)*\.[a-z]+)": rf"([\w.+-]+@)({'|'.join((*_HOSTS, *_ACCOUNTS))})",
    r"https?://([^/\"\s\\?,):']+)": "|".join(_HOSTS),
    rf"(?i)(?<![\w.@/-])((?:[\w-]+\.)+(?:{_TOP}))(?![\w-]|\.\w)": "|".join(_HOSTS),
    r"(?<![\w./-])(\d{1,3}(?:\.\d{1,3}){3})(?![\w.])": r"203\.0\.113\.\d+|192\.0\.2\.\d+|198\.51\.100\.\d+|(10|127)\..+",
    r"(?<![\w:])((?:[0-9a-f]{1,4}:){2,7}:?[0-9a-f]{0,4})(?![\w:])": r"2001:db8:.*|\d\d:\d\d:\d\d",
    r"(\+\d[\d ().-]{7,}\d|\(?\b\d{3}\)?[ .-]\d{3}[ .-]\d{4}\b)": r".*555.01\d\d",
}


def not_ours(text: str) -> list[str]:
    """The projects, people, hosts, addresses and phone numbers in a text that are not of the invented system."""
    found = ((said, allowed) for pattern, allowed in _SEARCHED.items() for said in re.findall(pattern, text))
    return sorted({said for said, allowed in found if not re.fullmatch(allowed, said)})
