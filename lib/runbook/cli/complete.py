"""What a shell completes: names that params, the runbooks, the sandbox and the record stores know."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import click


def complete(kind: str) -> Callable[..., list[str]]:
    """The completion of a `runbook`, an `environment`, a `world`, a plan (`plans`) or an incident (`notes`)."""

    def found(context: click.Context, _parameter: click.Parameter, start: str) -> list[str]:
        with suppress(Exception):  # no message may stand in the line that somebody types
            return sorted(name for name in set(_names(kind, context.params)) if name.startswith(start))
        return []

    return found


def _names(kind: str, given: Any) -> Iterator[str]:
    from runbook.cloud.target import shipped_worlds
    from runbook.config.load import RUNBOOKS, environments, load_settings
    from runbook.model.errors import RunbookError
    from runbook.records.record import store_of

    if kind in ("runbook", "world", "environment"):
        known = {"runbook": lambda: [path.stem for path in RUNBOOKS.glob("*.ipynb")], "environment": environments}
        yield from known.get(kind, lambda: [name for name, _ in shipped_worlds()])()
        return
    for name in [given["environment"]] if given.get("environment") else environments():
        with suppress(RunbookError):  # such as params with placeholders
            found = (one.rpartition("/")[2] for one in store_of(load_settings(name)).children(kind))
            yield from (one[:12] if kind == "plans" else one.upper() for one in found)
