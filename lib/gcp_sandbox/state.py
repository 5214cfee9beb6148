"""One project in one world: its clock, its story, and the references between its services."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from gcp_sandbox.faults import Faults
from gcp_sandbox.http import HOSTS, LOOPBACK
from gcp_sandbox.world.inventory import Inventory
from gcp_sandbox.world.schema import World
from gcp_sandbox.world.story import Story


class State:
    """The state that every service uses. `uploads` are the uploaded zips, by "bucket/object"; an unused URL has None.

    The services are classes in `services`, which this module must not import: `sandbox.Sandbox` creates them.
    """

    iam: Any
    operations: Any
    bigquery: Any
    log: Any
    functions: Any
    services: Any
    secrets: Any
    jobs: Any
    storage: Any

    def __init__(self, inventory: Inventory, world: World):
        self.inventory, self.world = inventory, world
        self.now: datetime = world.now
        self.story = Story(inventory, world)
        self.faults = Faults(world.faults)
        self.messages: list[dict[str, str]] = []
        self.uploads: dict[str, bytes | None] = {}

    def tick(self) -> datetime:
        """Advance the clock by the one second that a write takes, and return the new time."""
        self.now += timedelta(seconds=1)
        return self.now

    def serves(self, api: str, host: str) -> bool:
        """Whether a request to `host` may be for `api`; on loopback, which the CLIs use, for every Google API."""
        if api == "feeds":
            return host in {urlsplit(url).hostname for url in self.inventory.feeds.values()}
        if api == "web_app":
            return host == urlsplit(self.inventory.web_app).hostname
        if api == "call":
            return host.endswith(".a.run.app")
        return host == HOSTS[api] or host in LOOPBACK

    def operation_ended(self, name: str, resource: str, error: Any) -> None:
        """Log the end of a long-running operation."""
        raise NotImplementedError
