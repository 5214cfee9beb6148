"""Tables that are data: YAML files beside the modules that use them."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml

YAML_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # nine times as fast, if libyaml is installed


@cache
def table(module: str, name: str) -> Any:
    """The content of a YAML file in the directory of a module, which is given by its `__file__`."""
    return yaml.load(Path(module).with_name(name).read_text(encoding="utf-8"), Loader=YAML_LOADER)


def text_of(module: str, name: str, /, **given: object) -> dict[str, str]:
    """The parts of an error, as a RunbookError takes them, from `errors.yaml` beside a module."""
    return {part: text.format(**given) for part, text in table(module, "errors.yaml")[name].items()}
