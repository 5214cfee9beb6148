"""What a shell completes: names that params, the runbooks, the sandbox and the record stores know."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import click

# The places in a store in which something has this name. Runs name their incident inside, which would take too long.
_PLACES = {"incident": ("notes", "incidents", "notified"), "record": ("runs",), "plan": ("plans",)}
_PLACES["what"] = _PLACES["record"] + _PLACES["incident"]


def complete(kind: str) -> Callable[..., list[str]]:
    """The completion of a `runbook`, an `environment`, a `world`, a plan, an incident, a record, or both (`what`)."""

    def found(context: click.Context, _parameter: click.Parameter, start: str) -> list[str]:
        with suppress(Exception):  # no message may stand in the line that somebody types
            return sorted(name for name in set(_names(kind, context.params)) if name.startswith(start))
        return []

    return found


def _names(kind: str, given: Any) -> Iterator[str]:
    from runbook.cloud.target import shipped_worlds
    from runbook.config.load import RUNBOOKS, environments, load_settings
    from runbook.model import RunbookError
    from runbook.records.record import store_of

    if kind in ("runbook", "world", "environment"):
        known = {"runbook": lambda: [path.stem for path in RUNBOOKS.glob("*.ipynb")], "environment": environments}
        yield from known.get(kind, lambda: [name for name, _ in shipped_worlds()])()
        return
    for name in [given["environment"]] if given.get("environment") else environments():
        with suppress(RunbookError):  # such as params with placeholders
            store = store_of(load_settings(name))
            for path in (path for place in _PLACES[kind] for path in store.children(place)):
                one = path.rpartition("/")[2]
                yield one[:12] if kind == "plan" else one if path.startswith("runs/") else one.upper()
