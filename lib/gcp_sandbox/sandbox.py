"""The state behind the app: one project in one world, with every service."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from gcp_sandbox.operations import Operations
from gcp_sandbox.services.functions.functions import Functions
from gcp_sandbox.services.iam import Iam
from gcp_sandbox.services.logging import audit
from gcp_sandbox.services.logging.logging import Log
from gcp_sandbox.services.run.serving import Services
from gcp_sandbox.services.scheduler import Jobs
from gcp_sandbox.services.secrets import Secrets
from gcp_sandbox.services.storage import Storage
from gcp_sandbox.state import State
from gcp_sandbox.world.inventory import Inventory
from gcp_sandbox.world.schema import World


class Sandbox(State):
    """One project in one world with all of its services, each created on first use."""

    def __init__(self, inventory: Inventory, world: World):
        super().__init__(inventory, world)
        self.iam = Iam(self)
        self.operations = Operations(self)
        self.storage = Storage(self)

    def audit(self, permission: str, api: str, path: str, answer: Any) -> None:
        """Log a change that a call made, or that was refused, as in Admin Activity; reads have no entry."""
        if permission in audit.MADE:
            self.log.add(audit.made(self, permission, api, path, answer))

    def operation_ended(self, name: str, resource: str, error: Any) -> None:
        for entry in audit.ended(self, name, resource, error):
            self.log.add(entry)

    @cached_property
    def bigquery(self) -> Any:
        # DuckDB and the SQL parser are slow to import, and many runs read no table.
        from gcp_sandbox.services.bigquery.engine import Engine

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
