"""`select` of a world file: the functions that an entry is about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import BeforeValidator

from gcp_sandbox.world.inventory import Function, Part


class BadWorld(ValueError):
    """An invalid world: the message names the file and the key."""


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_listed)]


class Select(Part):
    """Which functions: each given field must match. `optional`: a system may have none of them."""

    name: Names = ()
    source_system: Names = ()
    table: Names = ()
    secret: Names = ()
    optional: bool = False

    def of(self, functions: Sequence[Function]) -> list[Function]:
        """The functions that match. Raises BadWorld if there are none."""
        found = [f for f in functions if self._matches(f)]
        if not found and not self.optional:
            raise BadWorld(f"select {self.model_dump(exclude_defaults=True)} selects no function")
        return found

    def _matches(self, f: Function) -> bool:
        own = {"name": [f.name], "source_system": [f.source_system], "table": f.tables, "secret": f.secrets}
        return all(set(wanted) & set(own[field]) for field, wanted in self if wanted and field in own)
