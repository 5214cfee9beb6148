"""The target of an environment: Google, or the sandbox and its worlds."""

import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Literal

from runbook.config import Settings
from runbook.config.request import Request, request
from runbook.model import BadInput, BadParameter, UnknownName, nearest, text_of

Target = Literal["google", "sandbox"]


def target(environment: str) -> Target:
    """The sandbox for the environment `sandbox` or with MOCK_MODE=1, as in the guide; else Google."""
    mock = os.environ.get("MOCK_MODE", "").lower() in ("1", "true", "yes")
    return "sandbox" if environment == "sandbox" or mock else "google"


def check_world(environment: str, world: str) -> None:
    """Raise BadParameter for a world on Google, and UnknownName for a world that does not exist."""
    if target(environment) == "google":
        raise BadParameter(**text_of(__file__, "world_on_google", world=world, environment=environment))
    with suppress(ImportError):  # `sandbox_app` reports what to install
        from gcp_sandbox.world.schema import BadWorld, load, shipped

        try:
            load(world)
        except BadWorld as error:
            raise _unusable(world, error, nearest(world, shipped())) from None


def request_on_target(runbook: str, values: Mapping[str, object]) -> Request:
    """A request that is valid for its target. Raises what `request` and `check_world` raise, and BadParameter."""
    wanted = request(runbook, values)
    if wanted.values.get("world"):
        check_world(wanted.environment, wanted.world)
    if wanted.values.get("source") == "sample" and target(wanted.environment) != "sandbox":
        raise BadParameter(**text_of(__file__, "sample_on_google", environment=wanted.environment))
    return wanted


def shipped_worlds() -> list[tuple[str, str]]:
    """The worlds that come with the sandbox, and what is true in each. Raises BadInput if it is not installed."""
    try:
        from gcp_sandbox.world.schema import load, shipped
    except ImportError as error:
        raise BadInput(**text_of(__file__, "no_sandbox", why=error)) from None
    return [(name, load(name).about) for name in shipped()]


def sandbox_app(settings: Settings, world: str) -> Any:
    """The sandbox of one system in a world ("" is `healthy`).

    Raises BadInput if it is not installed, UnknownName for a world that does not exist or does not fit the system.
    """
    try:
        import gcp_sandbox
        from gcp_sandbox.world.schema import BadWorld
    except ImportError as error:
        raise BadInput(**text_of(__file__, "no_sandbox", why=error)) from None
    try:
        return gcp_sandbox.app(settings.inventory(), world or "healthy")
    except BadWorld as error:
        raise _unusable(world, error, "see lib/gcp_sandbox/world/schema.py.") from None


def _unusable(world: str, error: Exception, hint: str) -> UnknownName:
    return UnknownName(f"the world {world!r} cannot be used", str(error), next=hint)
