"""Texts of failing runs and of the platform, from real failures."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from gcp_sandbox.wire import number
from gcp_sandbox.world.failures import KINDS, Line, mebibytes
from gcp_sandbox.world.inventory import Function, Inventory

if TYPE_CHECKING:
    from gcp_sandbox.world.schema import World


_SERVICES = {
    "gmail": "gmail.googleapis.com",
    "google_calendar": "calendar-json.googleapis.com",
    "calendar": "calendar-json.googleapis.com",
    "vertex_ai": "aiplatform.googleapis.com",
}


class Words:
    """Fills the numbers and names of one project into the texts of failures."""

    def __init__(self, inventory: Inventory, world: World):
        self.inventory, self.world = inventory, world

    def error(self, kind: str, function: Function) -> str:
        """The error of a run with this kind of failure; if the platform stopped it, the platform's first line."""
        found = KINDS[kind]
        if not found.code or not (found.error or found.lines):
            return ""
        return self._fill(found.words(function) or found.lines[0].text, function)

    def lines(self, kind: str, function: Function, at: datetime, first: str = "") -> Iterator[tuple[datetime, Line]]:
        """The lines that the platform logs for this kind of failure at that time."""
        for n, line in enumerate(KINDS[kind].lines):
            text = self._fill(line.text, function, at, first)
            yield at + timedelta(milliseconds=120 * n), line._replace(text=text)

    def _fill(self, text: str, function: Function, at: datetime | None = None, first: str = "") -> str:
        if "{" not in text:
            return text
        mib, here = mebibytes(function.memory), self.inventory
        secret, version, state = self._secret(function)
        table = next((t for t in here.tables if t.name in function.tables), here.tables[-1])
        return text.format(
            mib=mib,
            used=mib + 1 + number("used", function.name, at, below=mib // 12),
            first=first,
            system=function.source_system.title(),
            project=here.project,
            project_number=here.project_number,
            region=here.region,
            dataset=here.dataset,
            table=next(iter(function.tables), table.name),
            verb="updateData" if function.tables else "getData",
            column=table.time_column,
            missing=next((c for t in self.world.tables if t.name == table.name for c in t.drop), "preferred_name"),
            secret=secret,
            version=version,
            state=state,
            service=_SERVICES.get(function.source_system, "bigquery.googleapis.com"),
            n=10**18 + number("endpoint", here.project, below=10**9),
            rows=1 + number("rows", function.name, below=90),
        )

    def _secret(self, function: Function) -> tuple[str, int, str]:
        """The disabled version of the function's first secret whose newest version is not enabled in the world."""
        for said in self.world.secrets:
            if said.name in function.secrets and said.versions and said.versions[-1].state != "ENABLED":
                return said.name, len(said.versions), said.versions[-1].state
        return next(iter(function.secrets), "none"), 2, "DISABLED"
