"""What is asked of a runbook: a value for each of its parameters, checked once and before anything happens.

Values come as they were typed (strings), or already typed from a notebook.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runbook.config.load import RUNBOOKS, load_settings, params_file
from runbook.config.parameters import Parameter, declared_parameters, misdeclared
from runbook.config.secret_scan import refuse_secret
from runbook.config.validation import check_values
from runbook.model.errors import BadParameter, UnknownName, nearest

_WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_NUMBERS = {int: r"-?(0|[1-9]\d*)", float: r"-?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?"}


@dataclass(frozen=True)
class Request:
    """A runbook and a value for each of its parameters, which are attributes too: `request.environment`."""

    runbook: str
    values: Mapping[str, Any]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name not in self.values:
            raise AttributeError(f"{self.runbook} has no parameter {name!r}; it has {', '.join(self.values)}")
        return self.values[name]


def find_runbook(runbook: str) -> Path:
    """The notebook of a runbook: its name, or the path of a notebook of your own. Raises UnknownName."""
    path = Path(runbook) if runbook.endswith(".ipynb") else RUNBOOKS / f"{runbook}.ipynb"
    if path.is_file():
        return path
    known = sorted(p.stem for p in RUNBOOKS.glob("*.ipynb"))
    raise UnknownName(
        f"there is no runbook {runbook!r}", f"looked for {path.name} in {path.parent}", next=nearest(runbook, known)
    )


def request(runbook: str, values: Mapping[str, object]) -> Request:
    """Check values, as typed or already typed, against what a runbook declares; the rest keep their defaults.

    Raises BadParameter, UnknownName for an environment that is not there, and Broken.
    """
    notebook = find_runbook(runbook)
    declared = declared_parameters(notebook)
    for name, value in values.items():
        refuse_secret(name, value)
        if name not in declared:
            raise BadParameter(
                f"{notebook.stem} has no parameter {name!r}", next=nearest(name, list(declared)) or "give none."
            )
    wanted = {n: _coerce(p, values[n]) if n in values else p.default for n, p in declared.items()}
    if "environment" not in wanted:
        raise misdeclared(notebook, "`environment: str` is missing; every runbook has it")
    params_file(wanted["environment"])
    check_values(notebook.stem, wanted, load_settings(wanted["environment"]))
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
