"""Runbooks as code: what a notebook may use. `start` opens a run; facts, checks and charts are modules of this package.

from runbook import charts, checks, facts, start

run = start("daily_check", globals())
seen = run.read(errors=facts.errors())
run.check(checks.errors, seen.errors)
run.close()
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runbook.run import start

__all__ = ["start"]


def __getattr__(name: str) -> Any:
    """Import `start` when it is first used: the command line must not wait for what only a notebook needs."""
    if name == "start":
        from runbook.run import start

        return start
    raise AttributeError(f"module 'runbook' has no attribute {name!r}")
