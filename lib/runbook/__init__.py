"""Runbooks as code: everything that a notebook uses. Each name is imported on first use.

from runbook import answer, charts, checks, facts, start

answer()
run = start("daily_check", globals())
seen = run.read(errors=facts.errors())
run.check(checks.errors, seen.errors)
run.close()
"""

from importlib import import_module
from typing import Any

_NAMES = {name: f"runbook.{name}" for name in ("charts", "checks", "facts", "incidents", "plans")}
_NAMES |= {"answer": "runbook.session.answer", "start": "runbook.session.run"}
__all__ = sorted(_NAMES)


def __getattr__(name: str) -> Any:
    """Import a name on first use, so that the command line does not load what only notebooks need."""
    if name not in _NAMES:
        raise AttributeError(f"module 'runbook' has no attribute {name!r}")
    module = import_module(_NAMES[name])
    return getattr(module, name) if name in ("answer", "start") else module
