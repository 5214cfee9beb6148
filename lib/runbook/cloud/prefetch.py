"""Connect and ask for the time while this process still imports what it needs for more than that."""

from __future__ import annotations

import os
from concurrent import futures
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING

from runbook.cloud.client import Cloud
from runbook.cloud.connect import connect
from runbook.cloud.target import target
from runbook.config.load import load_settings

if TYPE_CHECKING:
    from runbook.config.schema import Settings

LIMIT_S = 30  # how long a run waits for what was begun, before it asks again by itself
Connected = tuple[Cloud, datetime, bool]  # a cloud, its time, and whether that is its own clock's


class Prefetch:
    """A connection that was begun for one environment and world; it can be taken once."""

    def __init__(self, environment: str, world: str):
        self.where: tuple[str, str] | None = (environment, world)
        pool = futures.ThreadPoolExecutor(1)
        self.begun = pool.submit(lambda: _connect(load_settings(environment), world))
        pool.shutdown(wait=False)

    def take(self, environment: str, world: str) -> Connected | None:
        """What it brought; None where it is for another place, failed, or is not there in time."""
        if self.where != (environment, world):
            return None
        self.where = None
        with suppress(Exception):  # whatever it was, it happens again where somebody is told
            return self.begun.result(timeout=LIMIT_S)
        return None


def prefetch(environment: str, world: str) -> Prefetch | None:
    """Begin, except where the sandbox is in this process: then there is nothing to wait for."""
    if target(environment) == "sandbox" and not os.environ.get("RUNBOOK_SANDBOX"):
        return None
    return Prefetch(environment, world)


def connect_now(settings: Settings, world: str, begun: Prefetch | None) -> Connected:
    """Connect and ask for the time, see `connect` and `Cloud.now`; or take what was begun."""
    return (begun.take(settings.environment, world) if begun else None) or _connect(settings, world)


def _connect(settings: Settings, world: str) -> Connected:
    cloud = connect(settings, world)
    return (cloud, *cloud.now())
