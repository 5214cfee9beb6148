"""A plan and its changes: what would change, and who must approve. Plain data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from runbook.display import Row, blocks
from runbook.model.actions import Args, RunOnce, arguments
from runbook.model.canonical import plan_id
from runbook.model.errors import Refused
from runbook.model.findings import Findings
from runbook.model.operations import OPERATIONS, Rule, allowed


@dataclass(frozen=True)
class Change:
    """One change: an action with its arguments. Its text is made from the arguments.

    `undo` is the command that undoes it. If `undo` is "", `no_undo` is the reason. `line` is the equivalent gcloud or
    bq command. The plan id covers no time and no etag: what the write needs from the moment before it is in `notes`,
    which is not part of the plan.
    """

    args: Args
    undo: str
    line: str = ""
    notes: Row = field(default_factory=dict)
    no_undo: str = ""

    # The command that undoes it, or the reason why there is none.
    way_back = property(lambda self: self.undo or self.no_undo)
    action = property(lambda self: self.args.action)
    resource = property(lambda self: self.args.text[0])
    before = property(lambda self: self.args.text[1])
    after = property(lambda self: self.args.text[2])
    # Whether later changes continue if it fails: a message that is not accepted does not stop a rollback.
    optional = property(lambda self: self.args.optional)

    def plain(self) -> Row:
        """The data that the plan id covers."""
        text = {name: getattr(self, name) for name in ("action", "resource", "before", "after", "undo", "no_undo")}
        return text | {"independent": self.args.independent, "args": self.args.model_dump()}


def change_of(row: Mapping[str, Any], runbook: str, operation: str) -> Change:
    """A change from a plan file. Raises Refused if its text differs from its arguments, or if it is not allowed."""
    try:
        change = Change(arguments(row["action"], row["args"]), row["undo"], no_undo=row["no_undo"])
        same = change.plain() == row
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        same = False
    if not same:
        raise Refused("the plan's text differs from what it would do", "its file was not written by a runbook")
    if not allowed(runbook, operation, change.action):
        raise Refused(f"{operation} of {runbook} has no action {change.action!r}", "its file was edited")
    return change


@dataclass(frozen=True)
class Plan:
    """Ordered changes and what they rely on. There are none if the system is already in the requested state.

    `operation` names the row of the settings' approval matrix. `watch` names the functions that the closing checks
    watch. `notes` is what a person should know before signing. `already_applied` are changes that were made earlier:
    they are not part of the id, but are verified with the others. The run adds `origin` (runbook, parameters,
    environment, code), `rule` (the settings' row) and `preferred` (its window in words). A `refusal` says why there
    is no plan.
    """

    operation: str
    reason: str
    changes: tuple[Change, ...]
    relies_on: Row
    gates: Findings
    watch: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    already_applied: tuple[Change, ...] = ()
    origin: Mapping[str, Any] = field(default_factory=dict)
    rule: Rule | None = None
    preferred: str = ""
    refusal: Refused | None = None

    @property
    def only_notifies(self) -> bool:
        """Whether it sends messages and changes nothing: then it does not need the cloud's clock."""
        known = OPERATIONS.get(self.operation)  # a refused plan has the name of its runbook
        return bool(known) and not known.actions

    @property
    def only_adds(self) -> bool:
        """Whether nobody signs it, and each change only adds something, such as a snapshot: two may do so at once."""
        signed = self.rule is None or self.rule.signers
        return bool(self.changes) and not signed and all(change.args.only_adds for change in self.changes)

    @property
    def may_be_alone(self) -> bool:
        """Whether one person may sign it in an open P1: its rule says so, and what it repeats is safe to repeat."""
        repeats = [change.args.repeat for change in self.changes if isinstance(change.args, RunOnce)]
        return bool(self.rule and self.rule.alone_in_p1) and set(repeats) <= {"safe"}

    @property
    def content(self) -> Row:
        """What the id covers: never a time, an etag or a gate."""
        about = {"operation": self.operation, **self.origin, "reason": self.reason}
        return {**about, "changes": [c.plain() for c in self.changes], "relies_on": self.relies_on}

    # The SHA-256 of the content, in hex. An approval signs this id.
    whole_id = property(lambda self: plan_id(self.content))

    # The first 12 characters of the whole id, which people type.
    id = property(lambda self: self.whole_id[:12])

    @property
    def no_changes(self) -> str:
        """Why there are no changes."""
        usual = "no message requested" if self.only_notifies else "already in the requested state"
        return " ".join(self.notes) or usual

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        if self.refusal:
            return blocks.page(blocks.banner(f"No plan: {self.refusal.what}. {self.refusal.observed}", "alert"))
        if not self.changes:
            return blocks.page(blocks.banner(f"Nothing to do: {self.no_changes.rstrip('.')}.", "ok"))
        rows = [
            {"no": n, "change": c.action, "of": c.resource, "before": c.before, "after": c.after, "undo": c.way_back}
            for n, c in enumerate(self.changes, 1)
        ]
        who = " and ".join(self.rule.signers) or "no approval required"
        if self.may_be_alone:
            who += " (during an open P1, the on-call engineer alone)"
        about = {"plan": self.id, "operation": f"{self.operation}, risk {self.rule.risk}", "who must sign": who}
        about |= {"preferred time": self.preferred or "any", "reason": self.reason or "none given"}
        about["relies on"] = "; ".join(f"{k}: {v}" for k, v in self.relies_on.items()) or "nothing"
        block = blocks.table([{"what would change": k, " ": v} for k, v in about.items()]) + blocks.table(rows)
        return blocks.page(block + blocks.notes(self.notes) + blocks.equivalent_command(c.line for c in self.changes))
