"""Independent reads at once."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from runbook.context import Context
from runbook.facts.read import Ask, look
from runbook.rows import Seen


def read(run: Context, asks: Mapping[str, Ask]) -> Seen:
    """Make all reads of a run, each under its name; the run remembers them."""
    with run.told(), ThreadPoolExecutor(max_workers=len(asks)) as pool:
        facts = list(pool.map(lambda ask: look(ask, run.cloud, run.moment), asks.values()))
    run.facts += facts
    return Seen(dict(zip(asks, facts, strict=True)))
