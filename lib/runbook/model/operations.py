"""What may be changed: the actions that each operation may contain, and the rule for its approval. Pure."""

from typing import Literal, NamedTuple

from pydantic import Field

from runbook.data_file import table
from runbook.model import actions as act
from runbook.model.strict import Count, Name, Part, Positive


class Allowed(NamedTuple):
    """The runbooks that may plan an operation, and the actions that it may contain besides messages."""

    runbooks: tuple[str, ...]
    actions: tuple[type[act.Args], ...]


OPERATIONS = {
    name: Allowed(tuple(row["runbooks"]), tuple(act.ACTIONS[action] for action in row["actions"]))
    for name, row in table(__file__, "operations.yaml").items()
}


def needed(operation: str) -> set[str]:
    """The permissions that the changes of an operation need; none if no runbook offers it."""
    kinds = OPERATIONS.get(operation, Allowed((), ())).actions
    return {p for kind in kinds for p in (*kind.permissions, *kind.by_operation.get(operation, ()))}


def allowed(runbook: str, operation: str, action: str) -> bool:
    """Whether a plan of this runbook and operation may contain this action."""
    known = OPERATIONS.get(operation, Allowed((), ()))
    return runbook in known.runbooks and action in {kind.action for kind in (act.Notify, *known.actions)}


class Rule(Part):
    """A row of the guide's approval matrix: every role in `signers` must sign. A signature is valid for `valid_hours`.

    `roles` are the elevated roles that the operation needs. `alone_in_p1`: during an open P1 the on-call requester may
    sign alone. `offered: false`: no runbook does it. `watch_s`: how long the closing checks watch, in seconds.
    `notify`: contacts who get a message before the first change.
    """

    risk: Literal["low", "medium", "high", "critical"]
    signers: list[Name]
    roles: list[str] = Field([])
    window: str = ""
    valid_hours: Positive = 24
    alone_in_p1: bool = False
    watch_s: Count = 0
    offered: bool = True
    notify: list[Name] = Field([])
