"""The layout of lib/, read from its files: who imports whom, in which order, and how large everything is.

`make fix` writes the drawing into CONTRIBUTING; tests/test_layout.py holds the order, the drawing and the budgets.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from inspect import isfunction
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
LIB = ROOT / "lib"
# Each may import only itself and those before it. The root __init__ of a package is exempt: it imports lazily.
ORDER = {
    "runbook": "data_file display model config cloud records context approvals facts checks plans incidents charts audit apply "
    "session runner cli",
    "gcp_sandbox": "http wire world faults state operations services sandbox app serve inprocess checkout",
}
BUDGET = {"runbook": 8_800, "gcp_sandbox": 4_500}
# Lines over the budget: a debt since the diagnosis reads signatures. Lower it with every line that goes; whether it may
# become more, the reviewer decides.
OVER = {"runbook": 2464}
DIRECTORY, MODULE, FUNCTION = 1_200, 200, 40
ROOM = 35  # lines of a module: with less room, it is almost full, because a new check or key needs some
WHAT_TO_DO = f"""
Blank lines, comments, docstrings and data files (YAML, SQL, HTML) are free. All other lines in lib/ count.
The balance: .venv/bin/pytest tests/test_layout.py -k budgets. Its last lines show it, also when the test passes.
- A package has too many lines: move texts and tables into YAML or SQL, and remove code that is duplicated or unused.
  If you find no line to remove, say in the commit message what the new lines are for, and set OVER in tests/layout.py
  to the number above. The reviewer decides.
- A package has fewer lines than OVER allows: set OVER to the number above.
- A module has more than {MODULE} lines: move one of its subjects into a module of its own. A directory has more than
  {DIRECTORY:,}: make a subdirectory. A function has more than {FUNCTION}: split it."""
BEGIN, END = "<!-- drawn by make fix -->\n", "<!-- end of the drawing -->\n"


class Import(NamedTuple):
    """What a module imports: a module's dotted name, and whether only type checkers see it."""

    name: str
    typing: bool


@cache
def modules(package: str) -> dict[str, Path]:
    """Every module of a package by its dotted name; a directory goes by its own name."""
    found = {}
    for path in sorted((LIB / package).rglob("*.py")):
        parts = path.relative_to(LIB).with_suffix("").parts
        if "sample" not in parts:  # the code of a function: data, that the sandbox deploys
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def parsed(path: Path) -> ast.Module:
    """The tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imports(path: Path) -> tuple[Import, ...]:
    """Everything that a file imports, inside functions and for type checkers, too."""
    tree = parsed(path)
    typing = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    known = {**modules("runbook"), **modules("gcp_sandbox")}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [Import(alias.name, id(node) in typing) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            names = {name if name in known else node.module or "" for name in inner}
            found += [Import(name, id(node) in typing) for name in sorted(names)]
    return tuple(found)


def layer(name: str) -> str:
    """The layer of a module: the first part below its package, "" for the package itself."""
    return [*name.split("."), ""][1]


def edges(package: str) -> dict[str, set[str]]:
    """Module → the modules of the same package that it imports, without the package's root."""
    return {
        name: {i.name for i in imports(path) if i.name.startswith(f"{package}.")} - {name}
        for name, path in modules(package).items()
        if name != package
    }


def circles(graph: dict[str, set[str]]) -> Iterator[list[str]]:
    """A way round from each module that lies on one."""
    for start in graph:
        ways = [[start]]
        seen = set()
        while ways:
            way = ways.pop()
            for step in sorted(graph.get(way[-1], ())):
                if step == start:
                    yield [*way, start]
                    ways = []
                    break
                if step not in seen:
                    seen.add(step)
                    ways.append([*way, step])


def drawing() -> str:
    """Each layer on a line: what is in it, and which layers it imports."""
    lines = []
    for package, order in ORDER.items():
        used: dict[str, set[str]] = {name: set() for name in order.split()}
        for name, to in edges(package).items():
            used[layer(name)] |= {layer(other) for other in to} - {layer(name)}
        known = modules(package)
        wide = max(map(len, used))
        lines.append(f"{package}: {headline(known[package])}\n")
        for name, others in used.items():
            arrow = f"→ {' '.join(n for n in used if n in others)}" if others else ""
            lines.append(f"  {name:{wide}}  {headline(known[f'{package}.{name}'])}")
            lines += [f"  {'':{wide}}  {arrow}"] if arrow else []
        lines.append("")
    return "\n".join(["```", *lines[:-1], "```", ""])


def offered(package: ModuleType) -> list[str]:
    """The names of the functions that a package offers: those that its `__init__` imports."""
    return sorted(name for name, value in vars(package).items() if isfunction(value))


def headline(path: Path) -> str:
    """The first line of a module's docstring."""
    return (ast.get_docstring(parsed(path)) or "").partition("\n")[0]


def write_drawing() -> None:
    """Put the drawing into CONTRIBUTING."""
    page = ROOT / "CONTRIBUTING.md"
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    page.write_text(f"{before}{BEGIN}{drawing()}{END}{rest.partition(END)[2]}", encoding="utf-8")


@cache
def code_lines(path: Path) -> frozenset[int]:
    """The numbers of the lines that are code: no blank, no comment, no docstring."""
    text = path.read_text(encoding="utf-8")
    prose: set[int] = set()
    for node in ast.walk(parsed(path)):
        body = getattr(node, "body", None)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and body and isinstance(body[0], ast.Expr):
            said = body[0]
            if isinstance(said.value, ast.Constant) and isinstance(said.value.value, str):
                prose |= set(range(said.lineno, (said.end_lineno or said.lineno) + 1))
    lines = enumerate(text.splitlines(), 1)
    return frozenset(n for n, line in lines if line.strip() and not line.strip().startswith("#") and n not in prose)


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Each function of a module, and of how many lines of code it consists."""
    lines = code_lines(path)
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, sum(node.lineno <= n <= (node.end_lineno or 0) for n in lines)


def data_lines(package: str) -> int:
    """Lines of the files that are no Python: SQL, worlds, phrases."""
    found = (p for p in (LIB / package).rglob("*") if p.suffix in (".sql", ".yaml"))
    return sum(len(p.read_text(encoding="utf-8").splitlines()) for p in found)


if __name__ == "__main__":
    write_drawing()
