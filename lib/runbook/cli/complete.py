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
    from gcp_sandbox.world.schema import shipped

    return shipped()


RUNBOOKS, ENVIRONMENTS, WORLDS = map(_names, (_runbooks, _environments, _worlds))
