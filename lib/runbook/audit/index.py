"""The records of a store as rows, for lists, searches and pages. A record that does not verify says so in its row."""

import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, NamedTuple

from runbook.approvals.proved import faults
from runbook.config import RUNBOOKS
from runbook.config.schema import Settings
from runbook.display.text import one_line
from runbook.model import BadInput, Broken, Row, UnknownName, Verdict, nearest, time_of
from runbook.model.report import answer_lines, findings_of
from runbook.records import Store, examined, is_report, json_of, listed, mapping, rows_of, store_of

NAME = re.compile(r"\d{8}T\d{6}Z-[A-Za-z][\w-]*-[0-9a-f]{4,8}")
EQUAL = ("environment", "incident", "verdict")  # fields that a search compares as a whole
FIELDS = ("check", "subject", "value", "limit", "verdict", "next")
AHEAD = timedelta(minutes=10)  # by how much the clocks of two machines may differ
EVER = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)
AT_ONCE, LONG, LISTED = 64, 300, 10
WRITES = {"APPLY", "INTENT", "WRITE"}
DAILY = "daily_check"  # of which every day has a run


class Run(NamedTuple):
    """One run as the store has it: `record` is record.json, or the begin.json of a run without an end, or {}.

    `report` is {} without a valid one. `faults` are the reasons why it does not verify. All of it may be anybody's:
    `files` are those of the record, by name.
    """

    name: str
    record: Row
    report: Row
    rows: list[Row]
    faults: tuple[str, ...]
    files: dict[str, bytes]

    # Its runbook, by its name; its parameters, as somebody says; and whether it ended by itself.
    runbook = property(lambda self: self.name[17:].rpartition("-")[0])
    given = property(lambda self: mapping(self.record.get("parameters") or [*self.rows, {}][0].get("parameters")))
    ended = property(lambda self: bool(self.report) and self.record.get("status", "finished") == "finished")

    # Whether it wrote something; else the plan that `runbook plans` only compared in it, "" for none.
    wrote = property(lambda self: bool({row["kind"] for row in self.rows} & WRITES))
    compared = property(lambda self: "" if self.wrote else plain(self.record.get("compares")))

    @property
    def findings(self) -> list[Row]:
        """The findings of its report as plain text, the worst first; what is none is left out."""
        found = sorted(findings_of(self.report), key=lambda one: Verdict[str(one["verdict"])], reverse=True)
        return [{name: plain(one.get(name)) for name in FIELDS} for one in found]

    @property
    def verdict(self) -> str:
        """Its verdict; `none` if it has none, and `unverified` if it does not verify."""
        return "none" if not self.ended else "unverified" if self.faults else self.report["verdict"]


def names_in(store: Store) -> list[str]:
    """The names of all records, the newest first; what has another name is no record."""
    found = (place.removeprefix("runs/") for place in store.children("runs"))
    return sorted((name for name in found if NAME.fullmatch(name)), reverse=True)


def read_run(store: Store, name: str) -> Run:
    """One run, whatever its files contain. Raises NoRecord if the store does not answer."""
    found = examined(store, name)
    report, begin = (json_of(found.files.get(f"{part}.json")) for part in ("report", "begin"))
    rows, report = list[Row](), report if is_report(report) else {}
    with suppress(Broken):  # what cannot be read is no row; `faults` says that it was changed
        rows = rows_of(found.files.get("journal.jsonl", b""), name)
    return Run(name, found.record or mapping(begin), report, rows, faults(store, found), found.files)


def row_of(run: Run, system: Settings) -> Row:
    """The row of a run: plain text and JSON-ready, whatever its files contain; `day` is the team's.

    `bad` has what was not ok.
    """
    began, outcome, said = time_in(run.name), mapping(run.report.get("outcome")), run.report.get("headline")
    bad = [one for one in run.findings if one["verdict"] != "ok"]
    if run.faults or not run.ended:
        said = "; ".join(run.faults) or run.record.get("why") or "it has no report"
        bad = [dict(zip(FIELDS, ("run", run.runbook, plain(said), "", "unknown", ""), strict=True))]
    said = f"only compared with plan {run.compared[:12]}: {said}" if run.compared else said
    row = {"id": run.name, "at": f"{began:%FT%TZ}", "day": str(began.astimezone(system.zone).date()), "bad": bad}
    row |= {"environment": system.environment, "answer": [*map(plain, answer_lines(run.report))]}
    row["verdict"] = run.verdict
    incident = None if run.compared else run.given.get("incident")
    words = {"person": run.record.get("person") or run.record.get("who"), "incident": incident}
    words |= {"headline": said, "plan": outcome.get("plan"), "runbook": run.runbook}
    words["result"] = None if run.compared else outcome.get("result")
    row["causes"] = [f"{one['subject']}: {one['value']}" for one in bad if one["check"] == "cause"]
    return row | {key: plain(text) for key, text in words.items()}


def search(system: Settings, since: datetime | None, until: datetime | None, words: Row) -> Iterator[Row]:
    """The rows that have all words in their fields, the newest first, read as they are asked for. Raises NoRecord."""
    store, first, last = store_of(system), since or EVER[0], until or EVER[1]
    names = (n for n in names_in(store) if first <= time_in(n) < last)
    with ThreadPoolExecutor(8) as pool:
        while some := list(islice(names, AT_ONCE)):
            rows = pool.map(lambda name: row_of(read_run(store, name), system), some)
            yield from (row for row in rows if all(_has(row, *word) for word in words.items()))


def _has(row: Row, field: str, text: str) -> bool:
    said = str(row.get(field, row)).casefold()
    return said == text.casefold() if field in EQUAL else text.casefold() in said


def short(row: Row) -> Row:
    """The row of a record for a terminal."""
    lines = row["answer"] if row["bad"] and not row["result"] else ()
    said = "; ".join(row["causes"]) or [*lines, row["headline"]][0]
    result = row["result"] if row["result"] not in ("", said.partition(":")[0].casefold()) else ""
    about = ": ".join(filter(None, (row["incident"], result, said)))
    shown = {"began (UTC)": row["at"][:16], "verdict": row["verdict"], "runbook": row["runbook"], "by": row["person"]}
    return shown | {"environment": row["environment"], "answer": about, "record": row["id"][-8:]}


def changes_of(run: Run) -> tuple[list[Row], list[Row]]:
    """The changes of a run with their states, and the approvals that it used: as rows for a terminal.

    A run that only planned has them in its plan, and one that was stopped in its journal.
    """
    outcome, plan = mapping(run.report.get("outcome")), mapping(json_of(run.files.get("plan.json")))
    ends = {str(row.get("number")): plain(row.get("state")) for row in run.rows if row["kind"] == "CONFIRM"}
    begun = [
        mapping(row.get("change")) | {"status": ends.get(str(row.get("number")), "begun, not confirmed")}
        for row in run.rows
        if row["kind"] == "INTENT"
    ]
    made = listed(outcome.get("changes")) or listed(mapping(plan.get("content")).get("changes")) or begun
    used = [outcome, *(row for row in run.rows if row["kind"] == "APPLY")]
    by = next(filter(None, (listed(row.get("approvals")) for row in used)), [])
    names, said = ("action", "resource", "before", "after"), {"new": "done", "": "planned"}
    changes = [{name: plain(one.get(name)) for name in (*names, "status")} for one in filter(mapping, made)]
    changes = [one | {"status": said.get(one["status"], one["status"])} for one in changes]
    who = {"approved by": "approver", "as": "role", "reason": "reason", "why it could not wait": "override"}
    return changes, [{title: plain(one.get(name)) for title, name in who.items()} for one in filter(mapping, by)]


def require_possible(words: Row, systems: Iterable[Settings]) -> None:
    """Raise UnknownName for a verdict or a runbook that no record can have: to find nothing would be no answer."""
    runbooks = {path.stem for path in RUNBOOKS.glob("*.ipynb")}
    runbooks |= {name[17:].rpartition("-")[0] for system in systems for name in names_in(store_of(system))}
    known = {"verdict": [*Verdict.__members__, "none", "unverified"], "runbook": sorted(runbooks)}
    for field, values in known.items():
        text = words.get(field, "").casefold()
        if not any(text == value or (text in value and field not in EQUAL) for value in (*values, "")):
            raise UnknownName(f"no record has the {field} {words[field]!r}", next=nearest(text, values))


def not_ok(rows: Iterable[Row]) -> list[Row]:
    """Each check and subject that was not ok in rows, newest first: in how many runs, when last, and why.

    The worst is first. Each cause of a subject is a row of its own.
    """
    groups: dict[tuple[str, ...], list[tuple[Row, Row]]] = {}
    for row in rows:
        for one in row["bad"]:
            what = row["environment"], one["check"], one["subject"], one["value"] * (one["check"] == "cause")
            groups.setdefault(what, []).append((one, row))
    made = []
    for (environment, check, subject, _), found in groups.items():
        row, worst = found[0][1], max(Verdict[one["verdict"]] for one, _ in found)
        times, why = len({row["id"] for _, row in found}), dict.fromkeys(o["value"] for o, r in found if r is row)
        said = {"verdict": worst.name, "environment": environment, "finding": f"{check}, {subject}", "times": times}
        made.append(said | {"last": row["at"][:10], "newest value": "; ".join(why), "record": row["id"][-8:]})
    return sorted(made, key=lambda one: (-Verdict[one["verdict"]], -one["times"]))


def missing(system: Settings, since: datetime | None, until: datetime | None) -> list[Row]:
    """As `not_ok`: the days without a daily check, from the first one on until yesterday. Raises NoRecord."""
    names, now = names_in(store := store_of(system)), datetime.now(UTC)
    had = {time_in(name).astimezone(system.zone).date() for name in names if f"-{DAILY}-" in name}
    end = min(until or now, now).astimezone(system.zone).date()
    first = max(min(had, default=end), (since or EVER[0] + timedelta(days=1)).astimezone(system.zone).date())
    days = [str(day) for n in range((end - first).days) if (day := first + timedelta(n)) not in had]
    why = f"no record on {'… ' * (len(days) > LISTED)}{', '.join(days[-LISTED:])}" if had else f"none in {store}"
    said = {"verdict": "unknown", "environment": system.environment, "finding": f"run, {DAILY}", "times": len(days)}
    return [said | {"last": (days or ["never"])[-1], "newest value": why, "record": ""}] if days or not had else []


def find_record(store: Store, text: str, gone: Iterable[str] = ()) -> str:
    """The one record whose name contains a text, or the newest for "newest"; `gone` may be named, too.

    Raises BadInput.
    """
    names, latest = sorted({*names_in(store), *gone}, reverse=True), datetime.now(UTC) + AHEAD
    if text == "newest":  # a clock that was wrong once would hide all others
        found = [name for name in names if time_in(name) <= latest][:1]
    else:
        found = [name for name in names if text in name]
    if len(found) != 1:
        said = "\n".join(found[:5]) or f"searched {store}/runs"
        hint = "give its last 8 characters." if found else "see: runbook records"
        raise BadInput(f"{len(found)} records are named {text!r}", said, "", hint)
    return found[0]


def since_of(text: str, system: Settings, option: str) -> datetime | None:
    """A time in UTC from `7d`, `12h` or ISO 8601 in the team's time; None for "". Raises BadParameter."""
    if ago := re.fullmatch(r"(\d{1,5})([dh])", text):
        return datetime.now(UTC) - timedelta(hours=int(ago[1]) * (24 if ago[2] == "d" else 1))
    return time_of(text, system.zone, option) if text else None


def time_in(name: str) -> datetime:
    """When a record began, in UTC, by its name; the year 1 for a name with no time."""
    with suppress(ValueError):
        return datetime.strptime(name[:16], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    return EVER[0]


def plain(value: Any) -> str:
    """Somebody's words as one line of visible text of at most 300 characters; "" for None."""
    text = one_line("" if value is None else value)
    return text if len(text) <= LONG else f"{text[: LONG - 1]}…"
