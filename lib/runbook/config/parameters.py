"""Reads a notebook: its steps, and the parameters that it declares.

These are in the one cell tagged `parameters`: annotated literals of type str, int, float or bool, each with a comment.
"""

import ast
import io
import json
import re
import tokenize
from collections import namedtuple
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from runbook.model import Broken

TYPES = {"str": str, "int": int, "float": float, "bool": bool}


# One declared parameter; `type` is str, int, float or bool, `comment` says what it means.
Parameter = namedtuple("Parameter", "name type default comment")


def load_notebook(path: Path) -> dict[str, Any]:
    """Read a notebook as JSON. Raises Broken if it is not a notebook."""
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        return notebook | {"cells": list(notebook["cells"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        said = f"{type(error).__name__}: {error}"
        raise Broken(f"{path.name} is not a notebook", said, next="restore the committed file.") from None


def cell_source(cell: Mapping[str, Any]) -> str:
    """A cell's text; on disk it may be one string or a list of lines."""
    return "".join(cell.get("source", ""))


def steps(cells: Iterable[Mapping[str, Any]]) -> Iterator[tuple[int, Any, str]]:
    """Each code cell that is not empty: its index, the cell, and the last H2 above it."""
    title = ""
    for index, cell in enumerate(cells):
        if cell["cell_type"] == "markdown":
            title = next(iter(re.findall(r"^## +(.+)", cell_source(cell), re.MULTILINE)), title)
        elif cell["cell_type"] == "code" and cell_source(cell).strip():
            yield index, cell, title


def declared_parameters(notebook: Path) -> dict[str, Parameter]:
    """Read the parameters that a notebook declares, in order. Raises Broken if a declaration is wrong."""
    tagged = [c for c in load_notebook(notebook)["cells"] if "parameters" in c.get("metadata", {}).get("tags", [])]
    if len(tagged) != 1 or tagged[0]["cell_type"] != "code":
        raise misdeclared(notebook, f"{len(tagged)} cells are tagged `parameters`; exactly one code cell must be")
    text = cell_source(tagged[0])
    try:
        tokens = tokenize.generate_tokens(io.StringIO(text).readline)
        comments = {t.start[0]: t.string.lstrip("# ") for t in tokens if t.type == tokenize.COMMENT}
        found = [_declared(line, comments) for line in ast.parse(text).body]
    except (SyntaxError, ValueError, tokenize.TokenError) as error:
        raise misdeclared(notebook, str(error)) from None
    return {p.name: p for p in found}


def _declared(line: ast.stmt, comments: Mapping[int, str]) -> Parameter:
    match line:
        case ast.AnnAssign(ast.Name(name), ast.Name(kind), ast.expr() as value) if kind in TYPES:
            default = ast.literal_eval(value)
            if type(default) is not TYPES[kind]:
                raise ValueError(f"line {line.lineno}: {name} says {kind}, its default is {type(default).__name__}")
            return Parameter(name, TYPES[kind], default, comments.get(line.end_lineno or line.lineno, ""))
    raise ValueError(f'line {line.lineno} is not like `name: str = "literal"  # what it means`')


def misdeclared(notebook: Path, observed: str) -> Broken:
    """Make the error for a notebook that declares its parameters wrongly."""
    return Broken(f"{notebook.name} declares its parameters wrongly", observed, next="fix the notebook's first cells.")


def injected(history: Iterable[str]) -> set[str]:
    """Find the names that papermill assigned: it adds a cell that begins with the comment `# Parameters`.

    Source: papermill.translators.
    """
    cells = [ast.parse(text).body for text in history if text.startswith("# Parameters\n")]
    targets = [t for cell in cells for line in cell if isinstance(line, ast.Assign) for t in line.targets]
    return {t.id for t in targets if isinstance(t, ast.Name)}
