"""Everything that runbooks can write, each write beside its read-back. Only the executor imports this package.

An action has two halves. `observe` reads how things are now and says which side of the change that is: `old`, `new`,
`pending` (still on its way), `failed` (Google says so) or `other`; what it read is the guard of the write. `do` sends
the write, through a `send` that the guard lets pass once. Whether a write worked is never taken from its answer, only
from looking again. Start with base.py, then scheduling.py for an example.
"""

from __future__ import annotations

from runbook.apply.actions import functions, message, scheduling, secrets, tables
from runbook.apply.actions.base import Action, Observation

__all__ = ["ACTIONS", "Action", "Observation"]

ACTIONS: dict[str, Action] = {
    **message.ACTIONS,
    **functions.ACTIONS,
    **scheduling.ACTIONS,
    **secrets.ACTIONS,
    **tables.ACTIONS,
}
