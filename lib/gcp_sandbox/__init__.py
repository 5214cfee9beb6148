"""An embedded Google Cloud for practice, rehearsal and tests: the same REST APIs, with SQL that is really executed.

    wsgi = gcp_sandbox.app(inventory, world="healthy")

`inventory` is plain data (gcp_sandbox/inventory.py), a world is a YAML file (gcp_sandbox/world.py). Nothing here knows
who calls: HTTP is the contract.
"""

from __future__ import annotations

from typing import Any

# First of all: the import of a submodule sets its name on the package, and would later replace the function below.
from gcp_sandbox.app import App


def app(inventory: dict[str, Any], world: str = "healthy") -> Any:
    """The WSGI app of one fresh project. Raises BadWorld, and pydantic's ValidationError for a bad inventory."""
    from gcp_sandbox.inventory import Inventory
    from gcp_sandbox.sandbox import Sandbox
    from gcp_sandbox.world import load

    return App(Sandbox(Inventory.model_validate(inventory), load(world)))
