"""Everything that runbooks can write: each write with its read-back. Only the executor imports this package.

An action has two functions. `observe` reads the current state and compares it with the change: `old`, `new`, `pending`
(in progress), `failed` (Google reports a failure) or `other`; it also returns the data that the write needs, such as an
etag. `do` sends the write through `send`, which the guard allows once per request. Whether a write worked is observed,
never taken from its answer. Start with base.py, then scheduling.py for an example.
"""

from runbook.apply.actions import functions, message, scheduling, secrets, tables
from runbook.apply.actions.base import Action, Observation

_MODULES = (message, functions, scheduling, secrets, tables)
ACTIONS: dict[str, Action] = {name: action for module in _MODULES for name, action in module.ACTIONS.items()}
