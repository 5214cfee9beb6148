"""Find, read and validate the params file of an environment; an error names the key and what to do."""

import os
from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import cache, reduce
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import ValidationError

from runbook.config.schema import Settings, record_place
from runbook.data_file import YAML_LOADER
from runbook.model import BadInput, BadSettings, UnknownName, nearest, text_of

ROOT = Path(__file__).resolve().parents[3]
RUNBOOKS = ROOT / "runbooks"


def params_directory() -> Path:
    """Where the params files are: RUNBOOK_PARAMS, or params/ in the repository."""
    return Path(os.environ.get("RUNBOOK_PARAMS") or ROOT / "params")


def environments() -> list[str]:
    """The environments that have a params file."""
    return sorted(path.stem for path in params_directory().glob("*.yaml"))


def matching(patterns: Sequence[str]) -> list[str]:
    """The environments whose names match one of the patterns, such as prod-*."""
    return [name for name in environments() if any(fnmatchcase(name, one) for one in patterns)]


def params_file(environment: str) -> Path:
    """The params file of an environment. Raises UnknownName if there is none."""
    path, known = params_directory() / f"{environment}.yaml", environments()
    if environment not in known:
        hint = nearest(environment, known) or "create its params file; params/sandbox.yaml is a complete example."
        raise UnknownName(f"unknown environment {environment!r}", f"looked for {path.name} in {path.parent}", next=hint)
    return path


def records_variable() -> str:
    """RUNBOOK_RECORDS, which overrides `records`; "" if it is not set. Raises BadInput for any other URL than gs://."""
    path = os.environ.get("RUNBOOK_RECORDS", "")
    try:
        return record_place(path)
    except ValueError as error:
        raise BadInput(**text_of(__file__, "records_variable", path=path, why=error)) from None


def load_settings(environment: str) -> Settings:
    """Read and validate params/<environment>.yaml. Raises UnknownName, BadSettings and, from the variable, BadInput."""
    records_variable()
    path = params_file(environment)
    try:
        return _settings(environment, path, _texts(path))
    except OSError as error:
        raise BadSettings(**text_of(__file__, "unreadable_file", file=path.name, why=error.strerror or error)) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadSettings(f"{path.name} is not valid YAML", str(error), next="fix the reported line.") from None


@cache  # a file of hundreds of lines, for each of a hundred environments
def _parsed(text: str) -> Any:
    return yaml.load(text, Loader=YAML_LOADER)


def _texts(path: Path, *below: Path) -> tuple[str, ...]:
    """The texts of a params file and of those that it `extends`, the base first. Raises BadSettings."""
    text = path.read_text(encoding="utf-8")
    raw, home = _parsed(text), params_directory().resolve()
    if not isinstance(raw, dict) or "extends" not in raw:
        return (text,)
    base = (path.parent / str(raw["extends"])).resolve()
    if not base.is_file() or not base.is_relative_to(home) or base in below:
        said = f"extends: {raw['extends']} is no other file in {home} or below"
        raise BadSettings(f"{path.name} is not valid", said, next="name a file such as base/team.yaml.")
    return (*_texts(base, *below, path.resolve()), text)


def _merged(base: Any, own: Any) -> Any:
    """A base with what a file says instead: mappings are merged by key; lists and values are replaced."""
    if not isinstance(base, dict) or not isinstance(own, dict):
        return own
    return base | {key: _merged(base.get(key), value) for key, value in own.items()}


@cache  # by the texts: a change of a file is seen
def _settings(environment: str, path: Path, texts: tuple[str, ...]) -> Settings:
    raw = reduce(_merged, map(_parsed, texts))
    if not isinstance(raw, dict):
        raise BadSettings(f"{path.name} is not a YAML mapping", next="start from params/sandbox.yaml.")
    raw = {key: value for key, value in raw.items() if key != "extends"}
    if empty := sorted(_placeholders(raw)):
        said = "\n".join(f"{key}: {value}" for key, value in empty)
        raise BadSettings(f"{path.name} still has placeholders", said, next="replace each of them, then try again.")
    try:
        return Settings.model_validate(raw | {"environment": environment})
    except ValidationError as error:
        raise _explain(path, error) from None


def _placeholders(value: Any, key: str = "") -> list[tuple[str, str]]:
    """Every `<placeholder>` in a params file, with its key."""
    if isinstance(value, dict):
        return [p for k, v in value.items() for p in _placeholders(v, f"{key}.{k}" if key else str(k))]
    if isinstance(value, list):
        return [p for n, v in enumerate(value) for p in _placeholders(v, f"{key}[{n}]")]
    return [(key, value)] if isinstance(value, str) and value.startswith("<") and value.endswith(">") else []


def _explain(path: Path, error: ValidationError) -> BadSettings:
    lines = []
    for one in error.errors():
        key = ".".join(map(str, one["loc"]))
        problem = one["msg"].removeprefix("Value error, ")
        if one["type"] == "extra_forbidden":
            problem = "unknown key. " + nearest(str(one["loc"][-1]), _keys(one["loc"][:-1])).capitalize()
        else:
            problem += f" (the value is {one['input']!r})" if not isinstance(one["input"], dict | list) else ""
        lines.append(f"{key}: {problem}" if key else problem)
    return BadSettings(f"{path.name} is not valid", "\n".join(lines), next="fix these keys, then try again.")


def _keys(location: tuple[int | str, ...]) -> list[str]:
    """The valid keys at a location of the file, from the models."""
    model: Any = Settings
    for step in location:
        fields = getattr(model, "model_fields", {})
        model = fields[step].annotation if step in fields else get_args(model)[-1]
    return list(getattr(model, "model_fields", ()))
