"""What is asked of a runbook: its declared parameters, and values for them, checked once and before anything happens.

A runbook declares its parameters in the one cell tagged `parameters`, as annotated literals of type str, int, float or
bool with a comment each. Values come as they were typed (strings), or already typed from a notebook.
"""

from __future__ import annotations

import ast
import io
import json
import math
import re
import tokenize
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runbook import forms, settings
from runbook.cloud.connect import check_world, target
from runbook.errors import BadParameter, Broken, UnknownName
from runbook.settings import nearest

TYPES = {"str": str, "int": int, "float": float, "bool": bool}
_WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_NUMBERS = {int: r"-?(0|[1-9]\d*)", float: r"-?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?"}
# A name that says that its value is a secret; a secret's *name* (`secret`, `secret_name`) is none.
_SECRET_NAME = re.compile(
    r"passw|passphrase|token|credential|bearer|(api|access|private)_?key|client_?secret|secret_?(value|key|data|payload)",
    re.IGNORECASE,
)
# How well-known secrets begin: PEM, Google (API key, access and refresh token, client secret), Slack, GitHub, GitLab,
# AWS, Stripe and others, HubSpot, a JSON Web Token, a service account's key file, a password inside a URL.
_SECRET_VALUE = re.compile(
    r"-----BEGIN |AIza[\w-]{20}|\bya29\.|\b1//0\w|GOCSPX-|\bxox[a-z]-|hooks\.slack\.com/services/|\bgh[a-z]_\w{20}"
    r"|github_pat_|glpat-|\bAKIA[0-9A-Z]{12}|\b[sr]k[-_]\w{16}|\bpat-[a-z0-9]+-[0-9a-f]{8}|\beyJ[\w-]{8,}\.[\w-]{8,}"
    r"|\"private_key\"|://[^/\s:@]+:[^/\s@]+@"
)


@dataclass(frozen=True)
class Parameter:
    """One declared parameter; `type` is str, int, float or bool, `comment` says what it means."""

    name: str
    type: type
    default: str | int | float | bool
    comment: str


@dataclass(frozen=True)
class Request:
    """A runbook and a value for each of its parameters, which are attributes too: `request.environment`."""

    runbook: str
    values: Mapping[str, Any]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name not in self.values:
            raise AttributeError(f"{self.runbook} has no parameter {name!r}; it has {', '.join(self.values)}")
        return self.values[name]


def find(runbook: str) -> Path:
    """The notebook of a runbook: its name, or the path of a notebook of your own. Raises UnknownName."""
    path = Path(runbook) if runbook.endswith(".ipynb") else settings.RUNBOOKS / f"{runbook}.ipynb"
    if path.is_file():
        return path
    known = sorted(p.stem for p in settings.RUNBOOKS.glob("*.ipynb"))
    raise UnknownName(
        f"there is no runbook {runbook!r}", f"looked for {path.name} in {path.parent}", next=nearest(runbook, known)
    )


def load_notebook(path: Path) -> dict[str, Any]:
    """A notebook as JSON. Raises Broken when it cannot be read as one."""
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        return notebook | {"cells": list(notebook["cells"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Broken(
            f"{path.name} is no notebook", f"{type(error).__name__}: {error}", next="restore the committed file."
        ) from None


def source(cell: Mapping[str, Any]) -> str:
    """A cell's text; on disk it may be one string or a list of lines."""
    return "".join(cell.get("source", ""))


def parameters(notebook: Path) -> dict[str, Parameter]:
    """The parameters that a notebook declares, in order. Raises Broken when they are not declared as they must be."""
    tagged = [c for c in load_notebook(notebook)["cells"] if "parameters" in c.get("metadata", {}).get("tags", [])]
    if len(tagged) != 1 or tagged[0]["cell_type"] != "code":
        raise _misdeclared(notebook, f"{len(tagged)} cells are tagged `parameters`; exactly one code cell must be")
    text = source(tagged[0])
    try:
        tokens = tokenize.generate_tokens(io.StringIO(text).readline)
        comments = {t.start[0]: t.string.lstrip("# ") for t in tokens if t.type == tokenize.COMMENT}
        found = [_declared(line, comments) for line in ast.parse(text).body]
    except (SyntaxError, ValueError, tokenize.TokenError) as error:
        raise _misdeclared(notebook, str(error)) from None
    return {p.name: p for p in found}


def _declared(line: ast.stmt, comments: Mapping[int, str]) -> Parameter:
    match line:
        case ast.AnnAssign(target=ast.Name(id=name), annotation=ast.Name(id=kind), value=ast.expr() as value) if (
            kind in TYPES
        ):
            default = ast.literal_eval(value)
            if type(default) is not TYPES[kind]:
                raise ValueError(f"line {line.lineno}: {name} says {kind}, its default is {type(default).__name__}")
            return Parameter(name, TYPES[kind], default, comments.get(line.end_lineno or line.lineno, ""))
    raise ValueError(f'line {line.lineno} is not like `name: str = "literal"  # what it means`')


def _misdeclared(notebook: Path, observed: str) -> Broken:
    return Broken(f"{notebook.name} does not declare its parameters", observed, next="mend the notebook's first cells.")


def request(runbook: str, values: Mapping[str, object]) -> Request:
    """Check values, as typed or already typed, against what a runbook declares; the rest keep their defaults.

    Raises BadParameter, UnknownName for an environment or a world that is not there, and Broken.
    """
    notebook = find(runbook)
    declared = parameters(notebook)
    for name, value in values.items():
        _refuse_secret(name, value)
        if name not in declared:
            raise BadParameter(
                f"{notebook.stem} has no parameter {name!r}", next=nearest(name, list(declared)) or "give none."
            )
    wanted = {n: _coerce(p, values[n]) if n in values else p.default for n, p in declared.items()}
    if "environment" not in wanted:
        raise _misdeclared(notebook, "`environment: str` is missing; every runbook has it")
    settings.path_of(wanted["environment"])
    if wanted.get("world"):
        check_world(wanted["environment"], wanted["world"])
    if wanted.get("source") == "sample" and target(wanted["environment"]) != "sandbox":
        raise BadParameter(
            f"source=sample is not allowed with --env {wanted['environment']}",
            "sample is the sandbox's practice code; it would replace the code of a real function",
            next="give the path of the function's git checkout, or leave source out to keep the code.",
        )
    forms.check(notebook.stem, wanted, settings.load(wanted["environment"]))
    return Request(notebook.stem, wanted)


def _coerce(parameter: Parameter, value: object) -> Any:
    kind, name = parameter.type, parameter.name
    if kind is str and not isinstance(value, str):
        raise _wrong_type(parameter, value, f'quote it in a notebook; with papermill, pass it raw: -r {name} "…".')
    if kind is str and not value.isprintable():  # it is shown to whoever approves
        hidden = next(c for c in value if not c.isprintable())
        raise BadParameter(
            f"{name}={repr(value)[1:-1]}",
            f"it contains {hidden!a}, which is not printable text",
            next="write it as one plain line.",
        )
    if kind is bool and str(value).lower() in _WORDS:
        return _WORDS[str(value).lower()]
    if kind in _NUMBERS and not isinstance(value, bool) and re.fullmatch(_NUMBERS[kind], str(value), re.ASCII):
        value = kind(str(value))
    if type(value) is not kind or (kind is float and not math.isfinite(value)):
        raise _wrong_type(parameter, value, "true or false" if kind is bool else "a number such as 3, 0 or -1")
    return value


def _wrong_type(parameter: Parameter, value: object, hint: str) -> BadParameter:
    expected = parameter.type.__name__
    return BadParameter(
        f"{parameter.name}={value} is no {expected}",
        f"{parameter.name}: {expected}, {parameter.comment}".rstrip(", ") + f"; this is {type(value).__name__}",
        next=f"give {hint}." if parameter.type is not str else hint,
    )


def _refuse_secret(name: str, value: object) -> None:
    """Parameters are written into the record, so a secret must never be one. The message does not repeat the value."""
    if not name.isidentifier():
        shown = name if re.fullmatch(r"[\w.-]{1,40}", name) else "what stands before the first ="
        raise BadParameter(f"{shown!r} is no parameter's name", next="write -p name=value.")
    if _SECRET_NAME.search(name) or (isinstance(value, str) and looks_secret(value)):
        raise BadParameter(
            f"the parameter {name} looks like a secret",
            "its value is not shown here; parameters are written into the record of a run",
            "Nothing was run and nothing was written.",
            "leave it out. If it is a real secret, it now is in your shell's history: rotate it.",
        )


def looks_secret(value: str) -> bool:
    """Whether a value begins like a known kind of secret, or holds a long random string.

    Random means 32 or more characters without a break, of upper case, lower case and digits, with more than 4.2 bits of
    entropy each; so hexadecimal digests, plan ids, paths and resource names are none.
    """
    return bool(_SECRET_VALUE.search(value)) or any(map(_random, re.findall(r"[A-Za-z0-9+_=-]{32,}", value)))


def _random(word: str) -> bool:
    mixed = all(re.search(kind, word) for kind in ("[A-Z]", "[a-z]", "[0-9]"))
    return mixed and -sum(n / len(word) * math.log2(n / len(word)) for n in Counter(word).values()) > 4.2


def injected(history: Iterable[str]) -> set[str]:
    """The names that papermill assigned: it puts them into a cell that begins with the comment `# Parameters`."""
    cells = [ast.parse(text).body for text in history if text.startswith("# Parameters\n")]
    targets = [t for cell in cells for line in cell if isinstance(line, ast.Assign) for t in line.targets]
    return {t.id for t in targets if isinstance(t, ast.Name)}
