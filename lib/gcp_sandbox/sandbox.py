"""The state behind the app: one project in one world, each service built when it is first asked for."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from gcp_sandbox import audit
from gcp_sandbox.app import HOSTS
from gcp_sandbox.faults import Faults
from gcp_sandbox.functions import Functions
from gcp_sandbox.iam import Iam
from gcp_sandbox.inventory import Inventory
from gcp_sandbox.logging import Log
from gcp_sandbox.operations import Operations
from gcp_sandbox.scheduler import Jobs
from gcp_sandbox.secrets import Secrets
from gcp_sandbox.serving import Services
from gcp_sandbox.story import Story
from gcp_sandbox.world import World

if TYPE_CHECKING:
    from gcp_sandbox.bigquery.engine import Engine

_LOOPBACK = {"127.0.0.1", "localhost", "[::1]"}


class Sandbox:
    """One project in one world: its clock, its permissions and its services.

    `uploads` are the zips that were uploaded, by "bucket/object"; an upload URL that nobody used yet has None.
    """

    def __init__(self, inventory: Inventory, world: World):
        self.inventory, self.world = inventory, world
        self.now: datetime = world.now
        self.story = Story(inventory, world)
        self.iam = Iam(self)
        self.faults = Faults(world.faults)
        self.operations = Operations(self)
        self.messages: list[dict[str, str]] = []
        self.uploads: dict[str, bytes | None] = {}

    def tick(self) -> datetime:
        """Move the clock by the second that a write takes, and return the new time."""
        self.now += timedelta(seconds=1)
        return self.now

    def audit(self, permission: str, api: str, path: str, answer: Any) -> None:
        """Log a change that a call has made, or was refused, as Admin Activity does; of a read there is no entry."""
        if permission in audit.MADE:
            self.log.add(audit.made(self, permission, api, path, answer))

    def serves(self, api: str, host: str) -> bool:
        """Whether a request to `host` may be for `api`; on loopback, where the CLIs come in, every Google API may."""
        if api == "feeds":
            return host in {urlsplit(url).hostname for url in self.inventory.feeds.values()}
        if api == "call":
            return host.endswith(".a.run.app")
        return host == HOSTS[api] or host in _LOOPBACK

    @cached_property
    def bigquery(self) -> Engine:
        # DuckDB and the parser of SQL take long to import, and many runs ask for no table.
        from gcp_sandbox.bigquery.engine import Engine

        return Engine(self)

    @cached_property
    def log(self) -> Log:
        return Log(self)

    @cached_property
    def functions(self) -> Functions:
        return Functions(self)

    @cached_property
    def services(self) -> Services:
        return Services(self)

    @cached_property
    def secrets(self) -> Secrets:
        return Secrets(self)

    @cached_property
    def jobs(self) -> Jobs:
        return Jobs(self)
