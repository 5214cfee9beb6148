"""What a shell completes: names that params, the runbooks, the sandbox and the record store know."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import click


def _names(find: Callable[[Any], Iterable[str]]) -> Callable[..., list[str]]:
    def complete(context: click.Context, _parameter: click.Parameter, start: str) -> list[str]:
        with suppress(Exception):  # no message may stand in the line that somebody types
            return sorted(name for name in set(find(context.params)) if name.startswith(start))
        return []

    return complete


def _runbooks(_given: Any) -> Iterable[str]:
    from runbook.config.load import RUNBOOKS

    return (path.stem for path in RUNBOOKS.glob("*.ipynb"))


def _environments(_given: Any) -> Iterable[str]:
    from runbook.config.load import environments

    return environments()


def _worlds(_given: Any) -> Iterable[str]:
    from runbook.cloud.target import shipped_worlds

    return (name for name, _ in shipped_worlds())


def _stored(folder: str, length: int | None = None) -> Callable[[Any], Iterable[str]]:
    """The names in a folder of the record stores of every environment, or of the one that was given."""

    def find(given: Any) -> Iterable[str]:
        from runbook.config.load import environments, load_settings
        from runbook.model.errors import RunbookError
        from runbook.records.record import store_of

        for name in [given["environment"]] if given.get("environment") else environments():
            with suppress(RunbookError):  # such as params with placeholders
                found = store_of(load_settings(name)).children(folder)
                yield from (one.rpartition("/")[2].removesuffix(".ipynb")[:length] for one in found)

    return find


RUNBOOKS, ENVIRONMENTS, WORLDS = map(_names, (_runbooks, _environments, _worlds))
PLANS, INCIDENTS = _names(_stored("plans", 12)), _names(lambda given: map(str.upper, _stored("notes")(given)))
