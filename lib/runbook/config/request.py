"""A request: a runbook and a value for each of its parameters, checked before anything happens.

Values are strings from a command line, or already have a type when they come from a notebook.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runbook.config.load import RUNBOOKS, load_settings, params_file
from runbook.config.parameters import Parameter, declared_parameters, misdeclared
from runbook.config.validation import check_values, refuse_secret, required_type
from runbook.display import is_plain
from runbook.model import BadParameter, UnknownName, nearest

_WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}

# Python reads at most 4300 digits; BigQuery's INT64 has up to 19.
_NUMBERS = {int: r"-?(0|[1-9]\d{0,18})", float: r"-?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?"}


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
    """Find the notebook of a runbook by its name, or by the path of your own notebook. Raises UnknownName."""
    path = Path(runbook) if runbook.endswith(".ipynb") else RUNBOOKS / f"{runbook}.ipynb"
    if path.is_file():
        return path
    known = sorted(p.stem for p in RUNBOOKS.glob("*.ipynb"))
    said = f"looked for {path.name} in {path.parent}"
    raise UnknownName(f"there is no runbook {runbook!r}", said, next=nearest(runbook, known))


def request(runbook: str, values: Mapping[str, object]) -> Request:
    """Check values against the parameters that a runbook declares; parameters without a value keep their defaults.

    Raises BadParameter, UnknownName for a name that does not exist, and Broken for a notebook that declares its
    parameters wrongly.
    """
    notebook = find_runbook(runbook)
    declared = declared_parameters(notebook)
    for name, value in values.items():
        refuse_secret(name, value)
        if name not in declared:
            hint = nearest(name, list(declared)) or "give none."
            raise BadParameter(f"{notebook.stem} has no parameter {name!r}", next=hint)
    if "environment" not in declared:
        raise misdeclared(notebook, "`environment: str` is missing; every runbook has it")
    for name, parameter in declared.items():
        if (kind := required_type(name)) not in (None, parameter.type):
            raise misdeclared(notebook, f"{name} must be declared as {kind.__name__}, as in the other runbooks")
    wanted = {n: _coerce(p, values[n]) if n in values else p.default for n, p in declared.items()}
    params_file(wanted["environment"])
    check_values(notebook.stem, wanted, load_settings(wanted["environment"]))
    return Request(notebook.stem, wanted)


def _coerce(parameter: Parameter, value: object) -> Any:
    """The value in the parameter's type. Raises BadParameter."""
    kind, name = parameter.type, parameter.name
    if kind is str and not isinstance(value, str):
        raise _wrong_type(parameter, value, f'quote it in a notebook; with papermill, pass it raw: -r {name} "…".')
    if kind is str and not is_plain(value):  # it is shown to whoever approves
        said = f"it contains {next(c for c in value if not is_plain(c))!a}, which is not printable text"
        raise BadParameter(f"{name}={repr(value)[1:-1]}", said, next="write it as one plain line.")
    if kind is bool and str(value).lower() in _WORDS:
        return _WORDS[str(value).lower()]
    if kind in _NUMBERS and not isinstance(value, bool) and re.fullmatch(_NUMBERS[kind], str(value), re.ASCII):
        value = kind(str(value))
    if type(value) is not kind or (kind is float and not math.isfinite(value)):
        hint = "true or false" if kind is bool else "a number such as 3, 0 or -1"
        raise _wrong_type(parameter, value, f"give {hint}.")
    return value


def _wrong_type(parameter: Parameter, value: object, hint: str) -> BadParameter:
    name, expected = parameter.name, parameter.type.__name__
    said = f"{name}: {expected}, {parameter.comment}".rstrip(", ") + f"; this is {type(value).__name__}"
    return BadParameter(f"{name}={value} is not of type {expected}", said, next=hint)
