"""GoogleSQL as text: its statements, of which kind each is, and what is wrong with it at which place."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, TokenError
from sqlglot.tokens import Token, TokenType

from gcp_sandbox.app import ApiError

# sqlglot reports on stderr what it keeps as an opaque command; here that becomes an answer of the API.
logging.getLogger("sqlglot").setLevel(logging.ERROR)

_SCRIPT = {"DECLARE", "IF", "LOOP", "WHILE", "REPEAT", "FOR", "CASE", "EXECUTE", "RAISE"}
_QUERIES = {"SELECT", "WITH", "FROM", "("}
_OTHERS = {"INSERT", "UPDATE", "DELETE", "MERGE", "TRUNCATE", "CREATE", "DROP", "ALTER", "UNDROP", "CALL", "BEGIN"}
_OTHERS |= {"COMMIT", "ROLLBACK", "EXPORT", "LOAD", "GRANT", "REVOKE", "ASSERT", "SET"}


class Ref(NamedTuple):
    """A table, written as Google's messages write it."""

    project: str
    dataset: str
    table: str

    def __str__(self) -> str:
        return f"{self.project}:{self.dataset}.{self.table}"

    @property
    def resource(self) -> dict:
        return {"projectId": self.project, "datasetId": self.dataset, "tableId": self.table}


@dataclass
class Statement:
    """One parsed statement. `kind` is BigQuery's statementType, `options` the OPTIONS of the object that it creates."""

    kind: str
    tree: exp.Expression | None
    text: str
    options: dict[str, exp.Expression] = field(default_factory=dict)

    def at(self, node: exp.Expression | None) -> str:
        """Where a node stands in the text, " at [line:column]"; empty for one that is not from the text."""
        found = next((n for n in node.walk() if "start" in n.meta), None) if node else None
        return position(self.text, found.meta["start"]) if found else ""


def invalid(message: str) -> ApiError:
    """400 with the reason that BigQuery gives for a wrong query."""
    return ApiError(400, "INVALID_ARGUMENT", message, "invalidQuery")


def unsupported(what: str) -> ApiError:
    """What Google does and this sandbox does not: never a guess."""
    return ApiError(501, "UNIMPLEMENTED", f"gcp_sandbox does not execute {what}", "notImplemented")


def position(text: str, offset: int) -> str:
    """An offset in a text as Google's messages end with it: " at [line:column]", counted from 1."""
    return f" at [{text.count(chr(10), 0, offset) + 1}:{offset - text.rfind(chr(10), 0, offset)}]"


def parse(text: str) -> list[Statement]:
    """Every statement of a query. Raises ApiError `Syntax error: … at [line:column]`."""
    try:
        tokens = sqlglot.tokenize(text, read="bigquery")
    except TokenError:
        raise invalid("Syntax error: Unclosed string literal" + position(text, _last_quote(text))) from None
    groups = [group for group in _split(tokens) if group]
    if not groups:
        raise invalid("Syntax error: Unexpected end of statement at [1:1]")
    if groups[0][0].text.upper() in _SCRIPT or _is_block(groups[0]):
        return [Statement("SCRIPT", None, text)]
    return [_statement(text, group) for group in groups]


def _last_quote(text: str) -> int:
    return max(text.find("'"), text.find('"'), text.find("`"), 0)


def _is_block(group: list[Token]) -> bool:
    words = [t.text.upper() for t in group[:2]]
    return words[0] == "BEGIN" and words[1:] not in ([], ["TRANSACTION"])


def _split(tokens: list[Token]) -> Iterator[list[Token]]:
    group: list[Token] = []
    for token in tokens:
        if token.token_type == TokenType.SEMICOLON:
            yield group
            group = []
        else:
            group.append(token)
    yield group


def _statement(text: str, tokens: list[Token]) -> Statement:
    """Parse one statement in its place, so that positions stay those of the whole text."""
    first = tokens[0]
    words = [t.text.upper() for t in tokens[:3]]
    if words[0] not in _QUERIES | _OTHERS:
        raise invalid(f"Syntax error: Unexpected {_called(first)}" + position(text, first.start))
    blank = [(0, first.start)]
    snapshot = words[0] in ("CREATE", "DROP") and words[1:] == ["SNAPSHOT", "TABLE"]
    if snapshot:
        blank.append((tokens[1].start, tokens[1].end + 1))
    options: dict[str, exp.Expression] = {}
    span = _options(tokens) if words[0] == "CREATE" else None
    if span:
        blank.append((span[0], span[2] + 1))
        options = _read_options(text[span[1] + 1 : span[2]])
    source = text[: tokens[-1].end + 1]
    for start, end in blank:
        source = source[:start] + re.sub(r"[^\n]", " ", source[start:end]) + source[end:]
    try:
        tree = sqlglot.parse_one(source, read="bigquery")
    except ParseError as error:
        raise invalid(_syntax(text, tokens, error)) from None
    if isinstance(tree, exp.Delete) and tree.args.get("tables"):
        # DELETE without FROM reads to the parser as a DELETE from several tables.
        tree.set("this", tree.args["tables"][0])
        tree.set("tables", None)
    if any(not select.expressions for select in tree.find_all(exp.Select)):
        raise invalid("Syntax error: SELECT list must not be empty" + position(text, first.start))
    return Statement(_kind(tree, snapshot, words), tree, text, options)


def _options(tokens: list[Token]) -> tuple[int, int, int] | None:
    """Where the OPTIONS(…) of the created object itself begins, opens and closes."""
    depth, found = 0, None
    for before, token in pairwise(tokens):
        if token.token_type == TokenType.L_PAREN:
            if depth == 0 and before.text.upper() == "OPTIONS":
                found = (before.start, token.start, token.end)
            depth += 1
        elif token.token_type == TokenType.R_PAREN:
            depth -= 1
            if depth == 0 and found and found[1] == found[2]:
                found = (*found[:2], token.start)
    return found


def _read_options(text: str) -> dict[str, exp.Expression]:
    pairs = sqlglot.parse_one(f"SELECT {text or 'NULL'}", read="bigquery").expressions
    return {pair.this.name: pair.expression for pair in pairs if isinstance(pair, exp.EQ)}


def _syntax(text: str, tokens: list[Token], error: ParseError) -> str:
    where = error.errors[0]
    lines = text.split("\n")
    offset = sum(len(line) + 1 for line in lines[: where["line"] - 1]) + where["col"] - 1
    token = next((t for t in tokens if t.start <= offset <= t.end), None)
    if token in (None, tokens[-1]) and where["description"].startswith(("Expect", "Required")):
        return "Syntax error: Unexpected end of statement" + position(text, tokens[-1].end + 1)
    return f"Syntax error: Unexpected {_called(token)}" + position(text, token.start)


def _called(token: Token) -> str:
    kinds = {TokenType.STRING: "string literal", TokenType.NUMBER: "number", TokenType.VAR: "identifier"}
    if token.token_type in kinds:
        return f'{kinds[token.token_type]} "{token.text}"'
    return f"keyword {token.text.upper()}" if token.text.isalpha() else f'"{token.text}"'


def _kind(tree: exp.Expression, snapshot: bool, words: list[str]) -> str:
    if isinstance(tree, exp.Query):
        return "SELECT"
    if isinstance(tree, exp.Create):
        if tree.kind != "TABLE":
            return f"CREATE_{tree.kind}"
        return "CREATE_SNAPSHOT_TABLE" if snapshot else "CREATE_TABLE" + "_AS_SELECT" * bool(tree.expression)
    if isinstance(tree, exp.Drop | exp.Alter):
        return "DROP_SNAPSHOT_TABLE" if snapshot else f"{words[0]}_{tree.args['kind']}"
    kinds = {exp.TruncateTable: "TRUNCATE_TABLE", exp.Export: "EXPORT_DATA", exp.Commit: "COMMIT_TRANSACTION"}
    kinds |= {exp.Transaction: "BEGIN_TRANSACTION", exp.Rollback: "ROLLBACK_TRANSACTION"}
    if type(tree) in kinds:
        return kinds[type(tree)]
    if isinstance(tree, exp.Insert | exp.Update | exp.Delete | exp.Merge):
        return words[0]
    if words[0] in ("GRANT", "REVOKE"):
        return f"{words[0]}_ON_TABLE"
    return "_".join(words[:2]) if words[0] in ("CREATE", "DROP", "ALTER", "LOAD", "EXPORT") else words[0]
