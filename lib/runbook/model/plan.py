"""The rows of a change: what would be different, and who must agree. Plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runbook.display import blocks
from runbook.display.text import Row
from runbook.model.canonical import plan_id
from runbook.model.errors import Refused
from runbook.model.findings import Findings
from runbook.model.operations import Args, allowed, arguments

if TYPE_CHECKING:
    from runbook.model.operations import Rule


@dataclass(frozen=True)
class Change:
    """One thing that would be different: an action with its arguments, from which its text is made.

    `undo` is the command that goes back; where it is "", `no_undo` is the reason. `line` is the equivalent gcloud or bq
    command.
    Nothing of a change is a time or an etag; what must be known of the moment before the write is in `notes`, which
    are no part of the plan.
    """

    args: Args
    undo: str
    line: str = ""
    notes: Row = field(default_factory=dict)
    no_undo: str = ""

    @property
    def way_back(self) -> str:
        """The command that goes back, or why there is none."""
        return self.undo or f"none: {self.no_undo}"

    @property
    def action(self) -> str:
        return self.args.action

    @property
    def resource(self) -> str:
        return self.args.text[0]

    @property
    def before(self) -> str:
        return self.args.text[1]

    @property
    def after(self) -> str:
        return self.args.text[2]

    @property
    def optional(self) -> bool:
        """Whether what comes after it goes on without it: a rollback does not wait for a message to be accepted."""
        return self.args.optional

    def plain(self) -> Row:
        """What the plan's id is made of."""
        text = {name: getattr(self, name) for name in ("action", "resource", "before", "after", "undo", "no_undo")}
        return text | {"args": self.args.model_dump()}


def change_of(row: Mapping[str, Any], runbook: str, operation: str) -> Change:
    """A change as a plan file has it. Raises Refused unless its text is that of its arguments, and it may be there."""
    try:
        change = Change(arguments(row["action"], row["args"]), row["undo"], no_undo=row["no_undo"])
        same = change.plain() == row
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        same = False
    if not same:
        raise Refused("the plan shows something else than it would do", "its file was not written by a runbook")
    if not allowed(runbook, operation, change.action):
        raise Refused(f"{operation} of {runbook} has no action {change.action!r}", "its file was edited")
    return change


@dataclass(frozen=True)
class Plan:
    """Ordered changes and what they rely on; empty when everything already is as asked.

    `operation` names the row of the settings' matrix, `watch` the functions that the closing checks look at, `notes`
    what a person should know before signing. `already_applied` are changes that were made before, by their names: no
    part of the id, but confirmed with the others. `origin` (what runs where, by which code), `rule`, the settings' row,
    and `preferred`, its window in words, are added by the run. With a `refusal` there is no plan, and it says why.
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
    def content(self) -> Row:
        """What the id hashes: never a time, an etag, or a gate."""
        return {
            "operation": self.operation,
            **self.origin,
            "reason": self.reason,
            "changes": [c.plain() for c in self.changes],
            "relies_on": self.relies_on,
        }

    @property
    def whole_id(self) -> str:
        """The SHA-256 of the content, in hex; this is what an approval signs."""
        return plan_id(self.content)

    @property
    def id(self) -> str:
        """The first 12 characters of the whole id: what people type."""
        return self.whole_id[:12]

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        if self.refusal:
            return blocks.page(blocks.banner(f"No plan: {self.refusal.what}. {self.refusal.observed}", "alert"))
        if not self.changes:
            said = " ".join(self.notes) or "everything already is as asked."
            return blocks.page(blocks.banner(f"Nothing to do: {said}", "ok"))
        rows = [
            {
                "no": n,
                "change": c.action,
                "of": c.resource,
                "before": c.before,
                "after": c.after,
                "way back": c.way_back,
            }
            for n, c in enumerate(self.changes, 1)
        ]
        assert self.rule is not None
        who = " and ".join(self.rule.signers) or "nobody; it is journalled"
        if self.rule.alone_in_p1:
            who += " (during an open P1 the on-call engineer alone)"
        about = {
            "plan": self.id,
            "operation": f"{self.operation}, risk {self.rule.risk}",
            "who must sign": who,
            "preferred time": self.preferred or "any",
            "reason": self.reason or "none given",
            "relies on": ", ".join(f"{k} {v}" for k, v in self.relies_on.items()) or "nothing",
        }
        block = blocks.table([{"what would change": k, " ": v} for k, v in about.items()]) + blocks.table(rows)
        for text in self.notes:
            block += blocks.note(text)
        return blocks.page(block + blocks.equivalent_command(c.line for c in self.changes))
