"""The Logging query language, compiled into a predicate for log entries.

https://cloud.google.com/logging/docs/view/logging-query-language: NOT has the highest precedence, then OR, then AND,
which is optional; everything except AND, OR, NOT and regular expressions ignores case. A missing field of a payload or
label fails every comparison; a field that LogEntry does not have is an error. Only the function log_id() is supported.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from operator import eq, ge, gt, le, lt, ne
from typing import Any, NamedTuple
from urllib.parse import quote

from lark import Lark, Token, Transformer, v_args
from lark.exceptions import UnexpectedInput, VisitError

from gcp_sandbox.http import ApiError

_GRAMMAR = r"""
start: [all_of]
?all_of: any_of | all_of "AND"? any_of       -> both
?any_of: unary | any_of "OR" unary           -> either
?unary: ("NOT" | MINUS) unary                -> negated
      | "(" all_of ")" | comparison | call | anywhere
comparison: path OP operand
?operand: value | "(" operands ")"
?operands: choice | operands "AND" choice    -> both
?choice: wanted | choice "OR" wanted         -> either
?wanted: operand | "NOT" wanted              -> negated
value: STRING | VALUE
path: WORD ("." (WORD | STRING))*
anywhere: path | STRING
call: FUNCTION (STRING | VALUE) ("," (STRING | VALUE))* ")"

FUNCTION.2: /(?!(?:AND|OR|NOT)\()[A-Za-z_]\w*\(/
OP: /=~|!~|!=|<=|>=|=|<|>|:/
MINUS: "-"
STRING: /"(?:[^"\\]|\\.)*"/
WORD: /(?!(?:AND|OR|NOT)(?:[\s()]|\Z))[^\s()"=!<>~:,.\-][^\s()"=!<>~:,.]*/
VALUE: /[^\s()"=!<>~,]+/
%ignore /\s+/
%ignore /--[^\n]*/
"""

_PARSER = Lark(_GRAMMAR, parser="lalr", maybe_placeholders=False)
_ORDER: dict[str, Callable[[Any, Any], bool]] = {"=": eq, "!=": ne, "<": lt, "<=": le, ">": gt, ">=": ge}
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\"}
_SEVERITIES = ("DEFAULT", "DEBUG", "INFO", "NOTICE", "WARNING", "ERROR", "CRITICAL", "ALERT", "EMERGENCY")
_EARLIEST, _LATEST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
_MISSING_FAILS = ("jsonPayload", "protoPayload", "labels", "resource")
# The indexed parts of a resource that all entries of one function and kind share; a revision is not one.
INDEXED = (["type"], ["labels", "service_name"], ["labels", "job_id"], ["labels", "project_id"], ["labels", "location"])
Test = Callable[[Any], bool]


class Filter(NamedTuple):
    """Whether an entry matches, what its indexed fields alone say (None: other fields decide), and the bounds (both
    included) outside of which none can match.

    Google has an index of logName, severity, timestamp, resource.type and resource.labels
    (https://cloud.google.com/logging/docs/analyze/custom-index).
    """

    matches: Test
    indexed: Callable[[Any], bool | None] = lambda _entry: None
    since: datetime = _EARLIEST
    until: datetime = _LATEST


def compiled(text: str, fields: dict[str, Callable[[Any], Any]]) -> Filter:
    """Compile a filter over entries whose top-level LogEntry fields are read by `fields` (None is "not set").

    `fields` names every field that LogEntry has; each entry has a severity, and its times are datetimes.
    Raises ApiError 400 for what Google would refuse, 501 for what only Google supports.
    """
    try:
        return _Compiler(fields).transform(_PARSER.parse(text))
    except UnexpectedInput as error:
        token = getattr(error, "token", None) or getattr(error, "char", "")
        where = f"syntax error at line {error.line}, column {error.column}, token '{token}'"
        raise _invalid(f"Unparseable filter: {where}") from None
    except VisitError as error:
        raise error.orig_exc from None


def _moment(text: str) -> datetime:
    """A timestamp or a date; without a zone it is UTC."""
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        raise _invalid(f'Invalid timestamp: "{text}"') from None
    return read if read.tzinfo else read.replace(tzinfo=UTC)


def _invalid(message: str) -> ApiError:
    return ApiError(400, "INVALID_ARGUMENT", message)


@v_args(inline=True)
class _Compiler(Transformer):
    def __init__(self, fields: dict[str, Callable[[Any], Any]]):
        super().__init__()
        self.fields = fields

    def start(self, found: Filter | None = None) -> Filter:
        return found or Filter(lambda _entry: True)

    def both(self, one: Any, other: Any) -> Any:
        if isinstance(one, Filter):
            (a, x, since, until), (b, y, later, sooner) = one, other
            return Filter(lambda e: a(e) and b(e), lambda e: _all(x(e), y(e)), max(since, later), min(until, sooner))
        return lambda compare: self.both(one(compare), other(compare))

    def either(self, one: Any, other: Any) -> Any:
        if isinstance(one, Filter):
            (a, x, since, until), (b, y, sooner, later) = one, other
            return Filter(lambda e: a(e) or b(e), lambda e: _any(x(e), y(e)), min(since, sooner), max(until, later))
        return lambda compare: self.either(one(compare), other(compare))

    def negated(self, *parts: Any) -> Any:
        inner = parts[-1]
        if isinstance(inner, Filter):
            test, known = inner.matches, inner.indexed
            return Filter(lambda e: not test(e), lambda e: None if (said := known(e)) is None else not said)
        return lambda compare: self.negated(inner(compare))

    def value(self, token: Token) -> Callable[[Callable[[str], Filter]], Filter]:
        return lambda compare: compare(_text(token))

    def path(self, *tokens: Token) -> list[str]:
        return [_text(token) for token in tokens]

    def comparison(self, path: list[str], op: Token, operand: Callable) -> Filter:
        return operand(lambda wanted: self._compare(path, str(op), wanted))

    def anywhere(self, part: list[str] | Token) -> Filter:
        needle = (".".join(part) if isinstance(part, list) else _text(part)).casefold()
        return Filter(lambda e: any(needle in leaf for read in self.fields.values() for leaf in _leaves(read(e))))

    def call(self, function: Token, *arguments: Token) -> Filter:
        if function != "log_id(" or len(arguments) != 1:
            raise ApiError(501, "UNIMPLEMENTED", f"gcp_sandbox has no filter function {function})")
        end = f"/logs/{quote(_text(arguments[0]), safe='')}"
        return _of_index(lambda e: self.fields["logName"](e).endswith(end))

    def _compare(self, path: list[str], op: str, wanted: str) -> Filter:
        top, *rest = path
        if top not in self.fields:
            raise _invalid(f"Field not found: '{top}'. Make sure that a literal is enclosed in double quotes.")
        read = self.fields[top]
        if top in ("timestamp", "receiveTimestamp") and op in _ORDER:
            return _by_time(read, op, _moment(wanted), bounds=top == "timestamp")
        if top == "severity" and op in _ORDER:
            rank, order = _rank(wanted), _ORDER[op]
            return _of_index(lambda e: order(_rank(read(e)), rank))
        fits, missing = _fits(op, wanted), _MISSING_FAILS if rest else ()
        found = Filter(lambda e: any(map(fits, _walk(read(e), rest, [] if top in missing else [""]))))
        return _of_index(found.matches) if top == "logName" or (top == "resource" and rest in INDEXED) else found


def _by_time(read: Callable, op: str, wanted: datetime, bounds: bool) -> Filter:
    order = _ORDER[op]
    since = wanted if bounds and op in ("=", ">", ">=") else _EARLIEST
    until = wanted if bounds and op in ("=", "<", "<=") else _LATEST
    return Filter(lambda e: order(read(e), wanted), since=since, until=until)


def _of_index(test: Test) -> Filter:
    return Filter(test, test)


def _all(one: bool | None, other: bool | None) -> bool | None:
    return False if False in (one, other) else None if None in (one, other) else True


def _any(one: bool | None, other: bool | None) -> bool | None:
    return True if True in (one, other) else None if None in (one, other) else False


def _rank(name: str) -> int:
    if name.isdigit():
        return int(name)
    if name.upper() not in _SEVERITIES:
        raise _invalid(f"Invalid severity: {name}")
    return 100 * _SEVERITIES.index(name.upper())


def _fits(op: str, wanted: str) -> Callable[[Any], bool]:
    if op in ("=~", "!~"):
        try:
            search = re.compile(wanted).search
        except re.error as error:
            raise _invalid(f"Invalid regular expression: {wanted}: {error}") from None
        return lambda v: (search(_plain(v)) is not None) == (op == "=~")
    if op == ":":
        needle = wanted.casefold()
        return lambda v: v not in ("", None) if needle == "*" else any(needle in leaf for leaf in _leaves(v))
    order, low, number = _ORDER[op], wanted.casefold(), _number(wanted)
    return lambda v: order(v, number) if _is_number(v) and number is not None else order(_plain(v).casefold(), low)


def _walk(value: Any, rest: list[str], missing: list[str]) -> list[Any]:
    """The values at path `rest` in `value`, through every element of a list; `missing` if there are none."""
    for n, name in enumerate(rest):
        if isinstance(value, list):
            return [found for each in value for found in _walk(each, rest[n:], missing)]
        if not isinstance(value, dict) or name not in value:
            return missing
        value = value[name]
    return missing if value is None else value if isinstance(value, list) else [value]


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _leaves(inner)
    elif value is not None:
        yield _plain(value).casefold()


def _plain(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    return value if isinstance(value, str) else json.dumps(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _text(token: Token) -> str:
    if token.type != "STRING":
        return str(token)
    return re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[0]), token[1:-1])
