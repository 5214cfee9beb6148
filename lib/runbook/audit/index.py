"""The records of a store as rows, for lists, searches and pages. A record that does not verify says so in its row."""

import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from difflib import ndiff
from itertools import islice
from typing import Any, NamedTuple

from runbook.audit.verify import faults
from runbook.config.schema import Settings
from runbook.display.text import Row, visible
from runbook.model.errors import BadInput, Broken
from runbook.model.findings import Verdict
from runbook.model.moment import time_of
from runbook.model.report import MIME, answer_lines
from runbook.records.files import json_of
from runbook.records.journal import rows_of
from runbook.records.notebook import steps
from runbook.records.record import is_report, store_of
from runbook.records.store import Store

NAME = re.compile(r"(\d{8}T\d{6}Z)-([A-Za-z]\w*)-[0-9a-f]{4,8}")
EQUAL = ("environment", "incident", "verdict")  # fields that a search compares as a whole
AT_ONCE, LONG = 64, 300


class Run(NamedTuple):
    """One run as the store has it: `record` is record.json, or the begin.json of a run without an end, or {}.

    `report` is {} without a valid one. `faults` are the reasons why it does not verify. All of it may be anybody's.
    """

    name: str
    record: Row
    report: Row
    rows: list[Row]
    faults: tuple[str, ...]

    @property
    def at(self) -> datetime:
        """When it began, in UTC, by its name."""
        return time_in(self.name)

    @property
    def given(self) -> Row:
        """Its parameters."""
        return mapping(self.record.get("parameters") or next((row.get("parameters") for row in self.rows), None))

    @property
    def findings(self) -> list[Row]:
        """The findings of its report; each has the fields of a Finding as text, and a verdict."""
        rows = [
            row for row in listed(self.report.get("findings")) if mapping(row).get("verdict") in Verdict.__members__
        ]
        names = ("check", "subject", "value", "limit", "verdict", "next")
        return [{name: plain(row.get(name)) for name in names} for row in rows]

    @property
    def verdict(self) -> str:
        """Its verdict; `none` if it has none, and `unverified` if it does not verify."""
        ended = self.record.get("status", "finished") == "finished"
        return "unverified" if self.faults else self.report["verdict"] if self.report and ended else "none"


def names_in(store: Store) -> list[str]:
    """The names of all records, the newest first; what has another name is no record."""
    found = (place.removeprefix("runs/") for place in store.children("runs"))
    return sorted((name for name in found if NAME.fullmatch(name)), reverse=True)


def read_run(store: Store, name: str) -> Run:
    """One run, whatever its files contain. Raises NoRecord if the store does not answer."""
    place = f"runs/{name}"
    report, *markers = (json_of(store.read(f"{place}/{part}.json")) for part in ("report", "record", "begin"))
    record, rows = next((one for one in markers if isinstance(one, dict)), {}), []
    with suppress(Broken):  # what cannot be read is no row; `faults` says that it was changed
        rows = rows_of(store.read(f"{place}/journal.jsonl") or b"", f"{store}/{place}")
    return Run(name, record, report if is_report(report) else {}, rows, faults(store, name))


def given_in(store: Store, name: str) -> Row:
    """The parameters of a run; {} if nothing says them."""
    for part in ("record", "begin"):
        if isinstance(found := json_of(store.read(f"runs/{name}/{part}.json")), dict):
            return mapping(found.get("parameters"))
    return read_run(store, name).given


def row_of(run: Run, system: Settings) -> Row:
    """The row of a run: plain text and JSON-ready, whatever its files contain; `day` is the team's.

    `bad` has what was not ok, `checks` the worst verdict of each check and the first number in its value.
    """
    outcome, found, checks = mapping(run.report.get("outcome")), run.findings, dict[str, list[Any]]()
    for one in found:
        if one["check"] not in checks or Verdict[one["verdict"]] > Verdict[checks[one["check"]][0]]:
            number = re.match(r"[≥ ]*(\d[\d,]*(?:\.\d+)?)(?![\d-])", one["value"])
            checks[one["check"]] = [one["verdict"], float(number[1].replace(",", "")) if number else None]
    bad = [one for one in found if one["verdict"] != "ok"]
    said, why = run.report.get("headline"), "; ".join(run.faults) or run.record.get("why") or "it has no report"
    if run.verdict in ("none", "unverified"):
        bad, said = (
            [{"verdict": "unknown", "check": "run", "subject": NAME.fullmatch(run.name)[2], "value": plain(why)}],
            why,
        )
    row = {"id": run.name, "at": f"{run.at:%FT%TZ}", "day": f"{run.at.astimezone(system.zone):%F}"}
    row |= {
        "environment": system.environment,
        "verdict": run.verdict,
        "answer": [*map(plain, answer_lines(run.report))],
    }
    words = {"runbook": NAME.fullmatch(run.name)[2], "incident": run.given.get("incident"), "headline": said}
    words |= {
        "person": run.record.get("person") or run.record.get("who"),
        "plan": outcome.get("plan"),
        "result": outcome.get("result"),
    }
    causes = [f"{one['subject']}: {one['value']}" for one in found if one["check"] == "cause"]
    return row | {key: plain(text) for key, text in words.items()} | {"causes": causes, "bad": bad, "checks": checks}


def search(system: Settings, since: datetime | None, until: datetime | None, words: Row) -> Iterator[Row]:
    """The rows that match all words, the newest first, read as they are asked for. Raises NoRecord."""
    store = store_of(system)
    names = (
        name
        for name in names_in(store)
        if (not since or time_in(name) >= since) and (not until or time_in(name) < until)
    )
    names = (name for name in names if str(words.get("runbook", "")) in name)
    with ThreadPoolExecutor(8) as pool:
        while some := list(islice(names, AT_ONCE)):
            rows = pool.map(lambda name: row_of(read_run(store, name), system), some)
            yield from (row for row in rows if all(_has(row, *word) for word in words.items()))


def _has(row: Row, field: str, text: str) -> bool:
    said = str(row.get(field, row)).casefold()
    return said == text.casefold() if field in EQUAL else text.casefold() in said


def not_ok(rows: Iterable[Row]) -> list[Row]:
    """Each check and subject that was not ok in rows, newest first: how often, when last, and why. The worst first."""
    groups: dict[tuple[str, ...], list[tuple[Row, Row]]] = {}
    for row in rows:
        for one in row["bad"]:
            groups.setdefault((row["environment"], one["check"], one["subject"]), []).append((one, row))
    made = []
    for (environment, check, subject), found in groups.items():
        (newest, row), worst = found[0], max(Verdict[one["verdict"]] for one, _ in found)
        said = {"verdict": worst.name, "finding": f"{check}, {subject}", "times": len(found), "last": row["at"][:16]}
        made.append(said | {"why": newest["value"], "environment": environment, "record": row["id"]})
    return sorted(made, key=lambda one: (-Verdict[one["verdict"]], -one["times"]))


def find_record(store: Store, text: str) -> str:
    """The name of the one record whose name contains a text; "newest" is the newest. Raises BadInput."""
    names = names_in(store)
    found = names[:1] if text == "newest" else [name for name in names if text in (name, *name.split("-")[-1:])]
    found = found or [name for name in names if text in name]
    if len(found) == 1:
        return found[0]
    said = "\n".join(found[:5]) or f"searched {store}/runs"
    raise BadInput(
        f"{len(found)} records are named {text!r}", said, "", "give its last 8 characters; see: runbook records."
    )


def differences(store: Store, first: Run, second: Run) -> tuple[list[Row], list[str]]:
    """The findings that differ between two runs, as rows, and the lines that their cells show differently."""
    sides = [{(one["check"], one["subject"]): one for one in run.findings} for run in (first, second)]
    rows = []
    for key in dict.fromkeys([*sides[1], *sides[0]]):
        old, new = ("{verdict}: {value}".format(**side[key]) if key in side else "none" for side in sides)
        rows += [{"check": key[0], "subject": key[1], "before": old, "after": new}] if old != new else []
    texts = [
        _texts(json_of(store.read(f"runs/{run.name}/{NAME.fullmatch(run.name)[2]}.ipynb"))) for run in (first, second)
    ]
    lines = []
    for cell in (name for name in texts[1] if name in texts[0] and texts[0][name] != texts[1][name]):
        changed = [line for line in ndiff(texts[0][cell], texts[1][cell]) if line[0] in "+-"]
        lines += [f"{cell}:", *changed]
    return rows, lines


def _texts(notebook: Any) -> dict[str, list[str]]:
    """The facts that each cell of a notebook shows, in lines, by its step and id; no findings, commands and rulers."""
    found: dict[str, list[str]] = {}
    for _, cell, title in steps(map(mapping, listed(mapping(notebook).get("cells")))):
        data = [mapping(mapping(one).get("data")) for one in listed(cell.get("outputs"))]
        text = "\n".join("".join(one.get("text/plain", "")).partition("Equivalent command:")[0] for one in data)
        if not text.startswith("verdict ") and not any(MIME in one for one in data):
            lines = (" ".join(line.split()) for line in text.splitlines())
            found[f"{title} ({cell.get('id')})"] = [line for line in lines if line.strip("- ")]
    return found


def since_of(text: str, system: Settings, option: str) -> datetime | None:
    """A time in UTC from `7d`, `12h` or ISO 8601 in the team's time; None for "". Raises BadParameter."""
    if ago := re.fullmatch(r"(\d{1,5})([dh])", text):
        return datetime.now(UTC) - timedelta(hours=int(ago[1]) * {"d": 24, "h": 1}[ago[2]])
    return time_of(text, system.zone, option) if text else None


def time_in(name: str) -> datetime:
    """When a record began, in UTC, by its name."""
    with suppress(ValueError):
        return datetime.strptime(name[:16], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    return datetime.min.replace(tzinfo=UTC)


def plain(value: Any) -> str:
    """Somebody's words as one line of visible text of at most 300 characters; "" for None."""
    text = " ".join(visible("" if value is None else str(value)).split())
    return text if len(text) <= LONG else f"{text[: LONG - 1]}…"


def mapping(value: Any) -> Row:
    """A value if it is a mapping, else {}."""
    return value if isinstance(value, dict) else {}


def listed(value: Any) -> list[Any]:
    """A value if it is a list, else []."""
    return value if isinstance(value, list) else []
