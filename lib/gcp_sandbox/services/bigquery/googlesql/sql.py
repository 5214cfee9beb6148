"""GoogleSQL as text: the type of a statement, and errors with their position."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import groupby
from typing import Any, NamedTuple

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, TokenError
from sqlglot.tokens import Token, TokenType

from gcp_sandbox.http import ApiError

# sqlglot reports unparsed commands on stderr; here they become an error of the API.
logging.getLogger("sqlglot").setLevel(logging.ERROR)

_SCRIPT = {"DECLARE", "IF", "LOOP", "WHILE", "REPEAT", "FOR", "CASE", "EXECUTE", "RAISE", "BEGIN", "COMMIT", "ROLLBACK"}
_QUERIES = {"SELECT", "WITH", "FROM", "("}
_OF_ONE_WORD = {"INSERT", "UPDATE", "DELETE", "MERGE", "CALL", "ASSERT", "SET"}
_OF_TWO_WORDS = {"CREATE", "DROP", "ALTER", "TRUNCATE", "UNDROP", "EXPORT", "LOAD", "GRANT", "REVOKE"}

# Keywords allowed between CREATE and the type of the object.
_BETWEEN = {"OR", "REPLACE", "TEMP", "TEMPORARY", "SNAPSHOT", "EXTERNAL", "MATERIALIZED"}


class Ref(NamedTuple):
    """A table, in the notation of Google's messages."""

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
    """`kind` is BigQuery's statementType; only what this sandbox executes has a `tree`: a query, and ALTER TABLE.

    Functions that read the tree are only called for statements that have one.
    """

    kind: str
    tree: Any
    text: str

    def at(self, node: exp.Expression | None) -> str:
        """The position of a node in the text, " at [line:column]"; empty if the node is not from the text."""
        found = next((n for n in node.walk() if "start" in n.meta), None) if node else None
        return position(self.text, found.meta["start"]) if found else ""


def invalid(message: str) -> ApiError:
    """400 with BigQuery's reason for an invalid query."""
    return ApiError(400, "INVALID_ARGUMENT", message, "invalidQuery")


def unsupported(what: str) -> ApiError:
    """501 for a feature of Google that this sandbox does not support."""
    return ApiError(501, "UNIMPLEMENTED", f"gcp_sandbox does not execute {what}", "notImplemented")


def position(text: str, offset: int) -> str:
    """A text offset in the notation of Google's messages: " at [line:column]", counted from 1."""
    return f" at [{text.count(chr(10), 0, offset) + 1}:{offset - text.rfind(chr(10), 0, offset)}]"


def parse(text: str) -> Statement:
    """The statement of a query; several are a SCRIPT. Raises ApiError `Syntax error: … at [line:column]`."""
    known = _parsed(text)
    return replace(known, tree=known.tree and known.tree.copy())  # executing it changes the tree


@lru_cache(256)  # each query comes twice, first as a dry run
def _parsed(text: str) -> Statement:
    try:
        tokens = sqlglot.tokenize(text, read="bigquery")
    except TokenError:
        quote = max(text.find("'"), text.find('"'), text.find("`"), 0)
        raise invalid("Syntax error: Unclosed string literal" + position(text, quote)) from None
    groups = groupby(tokens, key=lambda token: token.token_type == TokenType.SEMICOLON)
    statements = [list(group) for separates, group in groups if not separates]
    if not statements:
        raise invalid("Syntax error: Unexpected end of statement at [1:1]")
    words = [token.text.upper() for token in statements[0]]
    if len(statements) > 1 or words[0] in _SCRIPT:
        return Statement("SCRIPT", None, text)
    if words[0] in _QUERIES:
        return Statement("SELECT", _tree(text, statements[0]), text)
    kind = _kind(words)
    if not kind:
        first = statements[0][0]
        raise invalid(f"Syntax error: Unexpected {_called(first)}" + position(text, first.start))
    return Statement(kind, _tree(text, statements[0]) if kind == "ALTER_TABLE" else None, text)


def _kind(words: list[str]) -> str:
    """The statementType from the first words; "" for none."""
    if words[0] in _OF_ONE_WORD:
        return words[0]
    if words[0] not in _OF_TWO_WORDS or len(words) < 2:
        return ""
    between = [word for word in words[1:4] if word in _BETWEEN]
    thing = next(word for word in [*words[1:], ""] if word not in _BETWEEN)
    kind = f"{words[0]}_SNAPSHOT_TABLE" if "SNAPSHOT" in between else f"{words[0]}_{thing}"
    return kind + "_AS_SELECT" * (kind == "CREATE_TABLE" and "AS" in words)


def _tree(text: str, tokens: list[Token]) -> exp.Expression:
    try:
        tree = sqlglot.parse_one(text[: tokens[-1].end + 1], read="bigquery")
    except ParseError as error:
        raise invalid(_syntax(text, tokens, error)) from None
    if any(not select.expressions for select in tree.find_all(exp.Select)):
        raise invalid("Syntax error: SELECT list must not be empty" + position(text, tokens[0].start))
    return tree


def _syntax(text: str, tokens: list[Token], error: ParseError) -> str:
    where = error.errors[0]
    lines = text.split("\n")
    offset = sum(len(line) + 1 for line in lines[: where["line"] - 1]) + where["col"] - 1
    token = next((t for t in tokens if t.start <= offset <= t.end), None)
    expects = where["description"].startswith(("Expect", "Required"))
    if token is None or (token == tokens[-1] and expects):
        return "Syntax error: Unexpected end of statement" + position(text, tokens[-1].end + 1)
    return f"Syntax error: Unexpected {_called(token)}" + position(text, token.start)


def _called(token: Token) -> str:
    kinds = {TokenType.STRING: "string literal", TokenType.NUMBER: "number", TokenType.VAR: "identifier"}
    if token.token_type in kinds:
        return f'{kinds[token.token_type]} "{token.text}"'
    return f"keyword {token.text.upper()}" if token.text.isalpha() else f'"{token.text}"'
