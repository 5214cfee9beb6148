"""A read, and how it becomes a Fact: every failure becomes a gap of the Fact."""

import json
import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from functools import cache, partial, wraps
from inspect import signature
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from runbook.cloud import Cloud
from runbook.cloud.failures import CannotRead, gap, is_json, with_role
from runbook.cloud.query import Absent, BadColumn, Value, select, type_of
from runbook.context import Context
from runbook.facts.fields import typed
from runbook.model import Broken, Fact, FactRow, Gap, Moment, RequestBlocked, Seen

SQL = Path(__file__).parent / "sql"
T = TypeVar("T")
R = TypeVar("R")
P = ParamSpec("P")


@dataclass(frozen=True)
class Answer:
    """The result of a read: rows, whether there may be more (of which functions only), gaps, and what does not exist.

    `sql` and `line` are set if the query was only known during the read.
    """

    rows: Iterable[Any]
    more: bool = False
    gaps: tuple[Gap, ...] = ()
    absent: tuple[str, ...] = ()
    sql: str = ""
    line: str = ""
    only: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Read:
    """A read that can be executed: `line` is the equivalent command, `see` makes the requests.

    `thing` is what does not exist if the cloud answers 404; if it is "", a 404 is an error. `no_history_of` names a
    source without history: a run with `as_of` gets a gap. `function` is the function that is read, "" for several.
    """

    name: str
    line: str
    see: Callable[[], Answer]
    sql: str = ""
    thing: str = ""
    no_history_of: str = ""
    function: str = ""


Ask = Callable[[Cloud, Moment], Read]


def fact(read: Callable[Concatenate[Cloud, Moment, P], Read]) -> Callable[P, Ask]:
    """A fact from a function that makes its `Read`: called with the arguments after `moment`, it returns an `Ask`."""
    known = signature(read)

    @wraps(read)
    def asking(*given: P.args, **named: P.kwargs) -> Ask:
        try:
            bound = known.bind(None, None, *given, **named)  # raises here, not in the thread that reads
        except TypeError as error:
            raise TypeError(f"{read.__name__}() {error}") from None
        bound.apply_defaults()
        # However they were written: they tell one question from another.
        return partial(read, **dict(tuple(bound.arguments.items())[2:]))

    # For help, and for Jupyter.
    asking.__signature__ = known.replace(parameters=list(known.parameters.values())[2:], return_annotation="Ask")
    return asking


def observe(ask: Ask, cloud: Cloud, moment: Moment) -> Fact:
    """Execute one read. What cannot be read is a gap of the Fact; a broken query or a blocked request raises."""
    read = ask(cloud, moment)
    if moment.past and read.no_history_of:
        why = f"{read.no_history_of} has no history; it only shows the current state"
        answer = Answer((), gaps=(Gap(read.name, why, "run without as_of to see the current state."),))
    else:
        answer = attempt(read.see, read.name, read.thing)
    sql, line = answer.sql or read.sql, answer.line or read.line
    gaps = tuple(with_role(g, cloud.settings) if g.permission else g for g in answer.gaps)
    about = {name: getattr(answer, name) for name in ("more", "only", "absent")}
    about |= {"function": read.function, "zone": moment.zone}
    # The parameters of the fact's function, such as hours; no time is in them.
    about["question"] = f"{read.name} {getattr(ask, 'keywords', {})}"
    return Fact(read.name, tuple(_local(row, moment) for row in answer.rows), line, moment.at, sql, gaps, **about)


def _local(row: Any, moment: Moment) -> Any:
    """A row with its times in the team's time zone."""
    values = row if isinstance(row, dict) else vars(row)
    times = {}
    for name, value in values.items():
        with suppress(OverflowError):  # the first or the last day that datetime supports
            if isinstance(value, datetime):
                times[name] = moment.local(value)
    return {**row, **times} if isinstance(row, dict) else replace(row, **times)


def attempt(see: Callable[[], Answer], subject: str, thing: str) -> Answer:
    """Execute `see`: `thing` may be absent, or `subject` becomes a gap. Raises any other error."""
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


def readable(name: str, found: Iterable[T], row: Callable[[T], R | None], next: str, order: Any = None) -> Answer:
    """The rows that can be read, in an order if there is one, and a gap with the number of those that cannot."""
    made = [row(one) for one in found]
    rows = [one for one in made if one is not None]
    lost = len(made) - len(rows)
    gaps = (Gap(name, f"{lost} of {len(made)} cannot be read", next),) if lost else ()
    return Answer(sorted(rows, key=order) if order else rows, gaps=gaps)


def each(things: Iterable[T], see: Callable[[T], Answer], name: Callable[[T], str] = str) -> Answer:
    """Read several things at the same time; one that is absent or a gap, under its `name`, hides no other."""
    with ThreadPoolExecutor(max_workers=10) as pool:
        answers = list(pool.map(lambda thing: attempt(lambda: see(thing), name(thing), name(thing)), things))
    gaps, absent = tuple(g for a in answers for g in a.gaps), tuple(gone for a in answers for gone in a.absent)
    sql, line = ";\n".join(a.sql for a in answers if a.sql), "\n".join(a.line for a in answers if a.line)
    return Answer([row for a in answers for row in a.rows], False, gaps, absent, sql, line)


@dataclass(frozen=True)
class Query:
    """A named query for rows of one class: `parts` are identifiers from the settings, `values` are query parameters.

    `optional` maps a part to the type of its column. The part becomes NULL if params do not name the column, or if the
    table does not have it; in the second case, the Fact gets a gap.
    """

    name: str
    sql: str
    kind: type[FactRow]
    parts: Mapping[str, str]
    values: Mapping[str, Value]
    optional: Mapping[str, str] = field(default_factory=dict)

    def text(self, without: Iterable[str] = ()) -> str:
        """The SQL with its identifiers, `without` the optional columns that do not exist."""
        gone = {part for part in self.optional if not self.parts[part] or self.parts[part] in without}
        null = {part: f"CAST(NULL AS {self.optional[part]})" for part in gone}
        return template(self.sql).format(**{**self.parts, **null})

    def read(self, cloud: Cloud) -> Read:
        line = bq_line(cloud, self.text(), self.values)
        return Read(self.name, line, lambda: self._see(cloud), self.text(), thing=self.parts["table"])

    def _see(self, cloud: Cloud) -> Answer:
        table = self.parts["table"]
        missing: list[str] = []
        while True:
            sql = self.text(missing)
            try:
                found = asked(cloud, self.name, sql, self.values, self.sql, self.kind)
            except BadColumn as error:
                if error.column in missing or error.column not in (self.parts[part] for part in self.optional):
                    raise CannotRead(f"{table} has no column {error.column}", "correct `tables` in params.") from None
                missing.append(error.column)
            else:
                said = ("the column does not exist", "correct `tables` in params.")
                gaps = (Gap(f"column {c} of {table}", *said) for c in missing)
                return replace(found, gaps=(*gaps, *found.gaps), sql=sql)


def asked(cloud: Cloud, name: str, sql: str, values: Mapping[str, Value], label: str, kind: type[FactRow]) -> Answer:
    """The rows of a named query, and a gap for each column with values of another type.

    Raises like `select`, but CannotRead if BigQuery does not accept or confirm the query, or if it costs too much.
    """
    try:
        found = select(cloud, sql, values, {"query": label})
    except RequestBlocked:
        raise
    except Broken as error:
        said = f"{error.what}: {' '.join(error.observed.splitlines()[:1])}"
        raise CannotRead(said, error.next or "report it.") from None
    rows, wrong = typed(found, kind)
    why, next = "some values are of another type", "correct `tables` in params."
    return Answer(rows, gaps=tuple(Gap(f"{name}: {column}", why, next) for column in wrong))


@cache
def template(name: str) -> str:
    """The text of sql/<name>.sql without its comments."""
    return re.sub(r"--.*\n", "", (SQL / f"{name}.sql").read_text(encoding="utf-8")).strip()


def bq_line(cloud: Cloud, sql: str, values: Mapping[str, Value]) -> str:
    """The `bq` command that runs the same query."""
    words = ["bq", "query", f"--project_id={cloud.settings.project}", "--use_legacy_sql=false"]
    words += [f"--maximum_bytes_billed={cloud.settings.cost_cap}"]
    for name, value in values.items():
        said = str(value) if isinstance(value, str | date) else json.dumps(value)  # a datetime is a date, too
        words.append(shlex.quote(f"--parameter={name}:{type_of(value)}:{said}"))
    return " ".join([*words, shlex.quote(" ".join(sql.split()))])


def observe_all(run: Context, asks: Mapping[str, Ask]) -> Seen:
    """Execute all reads of a run at the same time, each under its name; the run keeps the facts."""
    with run.errors_tell_what_was_written(), ThreadPoolExecutor(max_workers=len(asks)) as pool:
        facts = list(pool.map(lambda ask: observe(ask, run.cloud, run.moment), asks.values()))
    run.facts += facts
    return Seen(dict(zip(asks, facts, strict=True)))
