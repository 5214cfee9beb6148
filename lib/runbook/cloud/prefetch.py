"""Connects and reads the cloud's clock in a thread, while the kernel process still imports its modules."""

from __future__ import annotations

import os
from concurrent import futures
from contextlib import suppress
from datetime import datetime

from runbook.cloud.client import Cloud
from runbook.cloud.connect import connect
from runbook.cloud.target import target
from runbook.config.load import load_settings
from runbook.config.schema import Settings

LIMIT_S = 30  # how long a run waits for the prefetched connection before it connects by itself
Connected = tuple[Cloud, datetime, bool]  # a cloud, the time, and whether it comes from the cloud's clock


class Prefetch:
    """A connection started for one environment and world. It can be taken once."""

    def __init__(self, environment: str, world: str):
        self.where: tuple[str, str] | None = (environment, world)
        pool = futures.ThreadPoolExecutor(1)
        self.begun = pool.submit(lambda: _connect(load_settings(environment), world))
        pool.shutdown(wait=False)

    def take(self, environment: str, world: str) -> Connected | None:
        """The connection; None if it is for another environment or world, failed, or is not ready in time."""
        if self.where != (environment, world):
            return None
        self.where = None
        with suppress(Exception):  # the run connects again, and reports the error then
            return self.begun.result(timeout=LIMIT_S)
        return None


def prefetch(environment: str, world: str) -> Prefetch | None:
    """Start a connection; None if the sandbox is in this process, which needs no prefetch."""
    if target(environment) == "sandbox" and not os.environ.get("RUNBOOK_SANDBOX"):
        return None
    return Prefetch(environment, world)


def connect_now(settings: Settings, world: str, begun: Prefetch | None) -> Connected:
    """Take the prefetched connection, or connect and read the clock; see `connect` and `Cloud.now`."""
    return (begun.take(settings.environment, world) if begun else None) or _connect(settings, world)


def _connect(settings: Settings, world: str) -> Connected:
    cloud = connect(settings, world)
    return (cloud, *cloud.now())
