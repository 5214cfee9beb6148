"""An embedded Google Cloud for practice, rehearsal and tests: the same REST APIs, with SQL that is actually executed.

    wsgi = gcp_sandbox.app(inventory, world="healthy")

`inventory` is plain data (world/inventory.py), a world is a YAML file (world/schema.py). The sandbox does not depend on
its callers: HTTP is the contract. app.py has the app, sandbox.py the state, services/ the APIs. Start with app.py.
"""

from __future__ import annotations

from typing import Any

from gcp_sandbox.app import App


def app(inventory: dict[str, Any], world: str = "healthy") -> Any:
    """The WSGI app of one fresh project. Raises BadWorld, and pydantic's ValidationError for a bad inventory."""
    from gcp_sandbox.sandbox import Sandbox
    from gcp_sandbox.world.inventory import Inventory
    from gcp_sandbox.world.schema import load

    return App(Sandbox(Inventory.model_validate(inventory), load(world)))
