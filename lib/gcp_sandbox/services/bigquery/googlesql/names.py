"""Names in a statement: the tables and columns that it reads or writes, and the routines that it calls."""

from __future__ import annotations

import re

from sqlglot import exp

from gcp_sandbox.services.bigquery.googlesql.sql import Ref, Statement, invalid, position, unsupported

# GoogleSQL functions that the parser does not know and that DuckDB has with the same name and meaning.
_UNTYPED = {"ERROR"}


def tables(statement: Statement, project: str, dataset: str) -> dict[Ref, exp.Table]:
    """The tables that a statement names, without its own CTEs; each node then carries its `ref` in `meta`.

    Raises ApiError for a table without a dataset, a table function, and INFORMATION_SCHEMA.
    """
    found: dict[Ref, exp.Table] = {}
    ctes = {cte.alias for cte in statement.tree.find_all(exp.CTE)}
    for node in statement.tree.find_all(exp.Table):
        if not node.db and node.name in ctes:
            continue
        if not isinstance(node.this, exp.Identifier):
            raise invalid(f"Table-valued function not found: {node.this.name or node.name}")
        if "INFORMATION_SCHEMA." in node.name.upper():
            raise unsupported(node.name)
        if not (node.db or dataset):
            raise invalid(f'Table "{node.name}" must be qualified with a dataset (e.g. dataset.table).')
        ref = Ref(node.catalog or project, node.db or dataset, node.name)
        node.meta["ref"] = ref
        found[ref] = node
    return found


def routines(statement: Statement, project: str) -> list[dict]:
    """The routines that a statement calls, as routine references. Raises ApiError for an unknown bare function."""
    found = []
    for node in statement.tree.find_all(exp.Anonymous):
        if node.name.upper() in _UNTYPED:
            continue
        top: exp.Expression = node
        while isinstance(top.parent, exp.Dot):
            top = top.parent
        names = [n.name for n in top.flatten() if isinstance(n, exp.Identifier)] if top is not node else []
        parts = [*names, *node.name.split(".")]
        if len(parts) == 1:
            raise invalid(f"Function not found: {parts[0]}" + _near(statement.text, parts[0]))
        if len(parts) == 3 and isinstance(top.parent, exp.Sub):
            # The parser treats my-project.dataset.f(x) as a subtraction.
            parts[0] = f"{top.parent.this.name}-{parts[0]}"
        owner = parts[0] if len(parts) > 2 else project
        found.append({"projectId": owner, "datasetId": parts[-2], "routineId": parts[-1]})
    return found


def _near(text: str, word: str) -> str:
    match = re.search(rf"\b{re.escape(word)}\s*\(", text, re.IGNORECASE)
    return position(text, match.start()) if match else ""


def columns_read(statement: Statement, node: exp.Table, names: list[str]) -> set[str]:
    """Which of a table's columns a statement reads, and so is billed for: `*` reads all, COUNT(*) none.

    The table's own name as a value is a whole row.
    """
    lower = {name.lower(): name for name in names}
    row = node.alias_or_name.lower()
    read = {
        lower[column.name.lower()]
        for column in statement.tree.find_all(exp.Column)
        if column.name.lower() in lower and column.table in ("", node.alias_or_name)
    }
    for column in statement.tree.find_all(exp.Column):
        whole = column.name.lower() == row and not column.table and row not in lower
        if whole and column.find_ancestor(exp.Select) is node.find_ancestor(exp.Select):
            return set(names)
    for star in statement.tree.find_all(exp.Star):
        if isinstance(star.parent, exp.Count) or star.find_ancestor(exp.Select) is not node.find_ancestor(exp.Select):
            continue
        if isinstance(star.parent, exp.Column) and star.parent.table != node.alias_or_name:
            continue
        without = {column.name.lower() for column in star.args.get("except_") or star.args.get("except") or []}
        read |= {name for name in names if name.lower() not in without}
    return read


def bounded(node: exp.Table, column: str) -> bool:
    """Whether the SELECT that reads a table compares this column with something other than a column."""
    where = node.find_ancestor(exp.Select).args.get("where")
    for part in where.find_all(exp.GT, exp.GTE, exp.LT, exp.LTE, exp.EQ, exp.Between) if where else ():
        columns = [c.name.lower() for c in part.find_all(exp.Column)]
        if columns == [column.lower()] and not part.find_ancestor(exp.Or, exp.Not):
            return True
    return False


def hidden_aliases(statement: Statement, known: set[str]) -> None:
    """Refuse a name that only an alias of the same SELECT defines, where GoogleSQL does not allow aliases."""
    for select in statement.tree.find_all(exp.Select):
        sources = [s.this for s in (select.args.get("from_"), *(select.args.get("joins") or [])) if s]
        if not sources or not all(isinstance(s, exp.Table) and "ref" in s.meta for s in sources):
            continue
        aliases = {e.alias.lower() for e in select.expressions if isinstance(e, exp.Alias)} - known
        for part in (*select.expressions, select.args.get("where")):
            for column in part.find_all(exp.Column) if part else ():
                if column.name.lower() in aliases and not column.table and column.parent_select is select:
                    raise invalid(f"Unrecognized name: {column.name}" + statement.at(column))
