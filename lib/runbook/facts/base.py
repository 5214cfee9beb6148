"""A read before it is made, and how it becomes a Fact: what fails on the way is a gap, never a silence."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from concurrent import futures
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import TypeVar

from runbook.cloud.client import Cloud
from runbook.cloud.failures import CannotRead, gap, is_json
from runbook.cloud.query import Absent, BadColumn, Value, type_of
from runbook.context import Context
from runbook.display.text import Row
from runbook.facts.typed import asked
from runbook.model.facts import Fact, Gap, Seen
from runbook.model.moment import Moment

SQL = Path(__file__).parent / "sql"
T = TypeVar("T")


@dataclass(frozen=True)
class Answer:
    """What a read brought: rows, and whether there may be more; what was not seen, and what is not there.

    `sql` and `line` are set where only the reading showed what had to be asked.
    """

    rows: Iterable[Row]
    more: bool = False
    gaps: tuple[Gap, ...] = ()
    absent: tuple[str, ...] = ()
    sql: str = ""
    line: str = ""


@dataclass(frozen=True)
class Read:
    """A read that can be made: `line` is the equivalent command, `see` asks the cloud.

    `thing` names what is absent when the cloud answers 404; where it is "", that is an error. `no_history_of` names
    what keeps no past, so that a look back is a gap. `function` is the one that it is about, "" for several.
    """

    name: str
    line: str
    see: Callable[[], Answer]
    sql: str = ""
    thing: str = ""
    no_history_of: str = ""
    function: str = ""


Ask = Callable[[Cloud, Moment], Read]


def observe(ask: Ask, cloud: Cloud, moment: Moment) -> Fact:
    """Make one read. What could not be seen is a gap of the Fact; a broken query or a shut door raises."""
    read = ask(cloud, moment)
    if moment.past and read.no_history_of:
        why = f"{read.no_history_of} keeps no past; it only knows how things are now"
        answer = Answer((), gaps=(Gap(read.name, why, "run without as_of to see the present."),))
    else:
        answer = attempt(read.see, read.name, read.thing)
    sql = answer.sql or read.sql
    rows = tuple({k: _local(v, moment) for k, v in row.items()} for row in answer.rows)
    return Fact(
        read.name,
        rows,
        answer.line or read.line,
        moment.at,
        sql,
        answer.gaps,
        answer.more,
        answer.absent,
        read.function,
    )


def _local(value: object, moment: Moment) -> object:
    """Times are shown in the team's zone; they stay the same instants."""
    try:
        return moment.local(value) if isinstance(value, datetime) else value
    except OverflowError:  # the first or the last day that there is
        return value


def attempt(see: Callable[[], Answer], subject: str, thing: str) -> Answer:
    """Ask; then `thing` may be absent, or `subject` a gap. Raises any error that is neither."""
    from google.api_core.exceptions import NotFound

    try:
        return see()
    except Exception as error:
        if thing and isinstance(error, Absent | NotFound) and is_json(error):
            return Answer((), absent=(thing,))
        missing = gap(error, subject, read=True)
        if missing is None:
            raise
        return Answer((), gaps=(missing,))


def readable(name: str, found: Iterable[T], row: Callable[[T], Row | None], next: str) -> tuple[list[Row], list[Gap]]:
    """The rows of what can be read, and a gap that says of how many that is not so."""
    made = [row(one) for one in found]
    rows = [one for one in made if one is not None]
    lost = len(made) - len(rows)
    return rows, [Gap(name, f"{lost} of {len(made)} cannot be read", next)] if lost else []


def each(things: Iterable[T], see: Callable[[T], Answer], name: Callable[[T], str] = str) -> Answer:
    """Ask for several things at once; one that is absent or a gap, under its `name`, does not hide the others."""
    with futures.ThreadPoolExecutor(max_workers=10) as pool:
        answers = list(pool.map(lambda thing: attempt(lambda: see(thing), name(thing), name(thing)), things))
    return Answer(
        [row for a in answers for row in a.rows],
        gaps=tuple(g for a in answers for g in a.gaps),
        absent=tuple(gone for a in answers for gone in a.absent),
        sql=";\n".join(a.sql for a in answers if a.sql),
        line="\n".join(a.line for a in answers if a.line),
    )


@dataclass(frozen=True)
class Query:
    """A named query: `parts` are identifiers from the settings, `values` travel as parameters.

    `optional` maps a part to the type that its column has; where params name no such column, or the table has none, the
    part becomes NULL, and in the second case the Fact says so in a gap.
    """

    name: str
    sql: str
    parts: Mapping[str, str]
    values: Mapping[str, Value]
    optional: Mapping[str, str] = field(default_factory=dict)

    def text(self, without: Iterable[str] = ()) -> str:
        """The SQL with its identifiers filled in, `without` the optional columns that are not there."""
        gone = {part for part in self.optional if not self.parts[part] or self.parts[part] in without}
        null = {part: f"CAST(NULL AS {self.optional[part]})" for part in gone}
        return template(self.sql).format(**{**self.parts, **null})

    def read(self, cloud: Cloud) -> Read:
        line = bq_line(cloud, self.text(), self.values)
        return Read(self.name, line, lambda: self._see(cloud), self.text(), thing=self.parts["table"])

    def _see(self, cloud: Cloud) -> Answer:
        table = self.parts["table"]
        columns = {self.parts[part] for part in self.optional if self.parts[part]}
        missing: list[str] = []
        while True:
            sql = self.text(missing)
            try:
                rows, lost = asked(cloud, self.name, sql, self.values, self.sql)
            except BadColumn as error:
                if error.column not in columns - set(missing):
                    raise CannotRead(f"{table} has no column {error.column}", "correct `tables` in params.") from None
                missing.append(error.column)
            else:
                gaps = tuple(
                    Gap(f"column {c} of {table}", "there is no such column", "correct `tables` in params.")
                    for c in missing
                )
                return Answer(rows, gaps=(*gaps, *lost), sql=sql)


@cache
def template(name: str) -> str:
    """The text of sql/<name>.sql without its comments."""
    return re.sub(r"--.*\n", "", (SQL / f"{name}.sql").read_text(encoding="utf-8")).strip()


def bq_line(cloud: Cloud, sql: str, values: Mapping[str, Value]) -> str:
    """The `bq` command that runs the same query."""
    words = ["bq", "query", f"--project_id={cloud.settings.project}", "--use_legacy_sql=false"]
    words += [f"--maximum_bytes_billed={cloud.settings.cost_cap}"]
    words += [shlex.quote(f"--parameter={name}:{_bq_value(value)}") for name, value in values.items()]
    return " ".join([*words, shlex.quote(" ".join(sql.split()))])


def _bq_value(value: Value) -> str:
    if isinstance(value, datetime):
        said = value.isoformat(" ")
    else:
        said = str(value) if isinstance(value, str | date) else json.dumps(value)
    return f"{type_of(value)}:{said}"


def observe_all(run: Context, asks: Mapping[str, Ask]) -> Seen:
    """Make all reads of a run, each under its name; the run remembers them."""
    with run.errors_tell_what_was_written(), ThreadPoolExecutor(max_workers=len(asks)) as pool:
        facts = list(pool.map(lambda ask: observe(ask, run.cloud, run.moment), asks.values()))
    run.facts += facts
    return Seen(dict(zip(asks, facts, strict=True)))
