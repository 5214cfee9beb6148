"""Everything that runbooks can write, each write beside its read-back. Only `writing` imports this module.

An action has two halves. `look` reads how things are now and says which side of the change that is: `old`, `new`,
`pending` (still on its way), `failed` (Google says so) or `other`; what it read is the guard of the write. `do` sends
the write, through a `send` that the door lets pass once. Whether a write worked is never taken from its answer, only
from looking again.
"""

from __future__ import annotations

from runbook.actions import message, scheduling, secret, service, table
from runbook.actions.action import Action, Look

__all__ = ["ACTIONS", "Action", "Look"]

ACTIONS: dict[str, Action] = {
    **message.ACTIONS,
    **service.ACTIONS,
    **scheduling.ACTIONS,
    **secret.ACTIONS,
    **table.ACTIONS,
}
