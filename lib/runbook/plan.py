"""The rows of a change: what would be different, who must agree, and what became of it. Plain data, as in `rows`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from runbook import draw
from runbook.canonical import plan_id
from runbook.errors import Refused
from runbook.operations import Args, allowed, arguments
from runbook.rows import Finding, Findings, Row, Verdict

if TYPE_CHECKING:
    from runbook.settings import Operation

Fate = Literal["done", "failed", "unknown", "not attempted"]
Result = Literal["planned", "nothing to do", "refused", "applied", "failed", "unknown"]
_COLOUR = {"planned": "warn", "nothing to do": "ok", "applied": "ok", "unknown": "unknown"}


@dataclass(frozen=True)
class Change:
    """One thing that would be different: an action with its arguments, from which its text is made.

    `undo` is the command that goes back, or "none: …" with the reason. `line` is the equivalent gcloud or bq command.
    Nothing of a change is a time or an etag; what must be known of the moment before the write is in `notes`, which
    are no part of the plan.
    """

    args: Args
    undo: str
    line: str = ""
    notes: Row = field(default_factory=dict)

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
        text = {name: getattr(self, name) for name in ("action", "resource", "before", "after", "undo")}
        return text | {"args": self.args.model_dump()}


def change_of(row: Mapping[str, Any], runbook: str, operation: str) -> Change:
    """A change as a plan file has it. Raises Refused unless its text is that of its arguments, and it may be there."""
    try:
        change = Change(arguments(row["action"], row["args"]), row["undo"])
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
    what a person should know before signing. `there` are changes that were made before, by their names: no part of the
    id, but confirmed with the others. `place` (what runs where, by which code), `rule`, the settings' row, and
    `preferred`, its window in words, are added by the run. With a `refusal` there is no plan, and it says why.
    """

    operation: str
    reason: str
    changes: tuple[Change, ...]
    relies_on: Row
    gates: Findings
    watch: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    there: tuple[Change, ...] = ()
    place: Mapping[str, Any] = field(default_factory=dict)
    rule: Operation | None = None
    preferred: str = ""
    refusal: Refused | None = None

    @property
    def content(self) -> Row:
        """What the id hashes: never a time, an etag, or a gate."""
        return {
            "operation": self.operation,
            **self.place,
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
            return draw.page(draw.banner(f"No plan: {self.refusal.what}. {self.refusal.observed}", "alert"))
        if not self.changes:
            said = " ".join(self.notes) or "everything already is as asked."
            return draw.page(draw.banner(f"Nothing to do: {said}", "ok"))
        rows = [
            {"no": n, "change": c.action, "of": c.resource, "before": c.before, "after": c.after, "way back": c.undo}
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
        block = draw.table([{"what would change": k, " ": v} for k, v in about.items()]) + draw.table(rows)
        for text in self.notes:
            block += draw.note(text)
        return draw.page(block + draw.by_hand(c.line for c in self.changes))


@dataclass(frozen=True)
class Outcome:
    """What became of a plan. `fates` has one entry for each change; `said` explains, `next` is one step a line.

    `by` has a row for each approval that was used, `planned_in` is the folder of the run that made the plan.
    """

    plan: Plan
    result: Result
    fates: tuple[tuple[Fate, str], ...] = ()
    said: str = ""
    next: tuple[str, ...] = ()
    began: Any = None
    by: tuple[Row, ...] = ()
    planned_in: str = ""

    @property
    def findings(self) -> Findings:
        """The outcome as findings of the verdict."""
        if self.result in ("planned", "nothing to do"):
            return Findings((Finding("change", self.plan.operation, self.result, "as asked", Verdict.ok),))
        if self.result == "refused":
            row = Finding(
                "change", self.plan.operation, f"refused: {self.said.splitlines()[0]}", "approved", Verdict.alert
            )
            return Findings((row,))
        pairs = zip(self.plan.changes, self.fates, strict=True)
        return Findings(tuple(self._finding(change, fate, said) for change, (fate, said) in pairs))

    def _finding(self, change: Change, fate: Fate, said: str) -> Finding:
        bad = Verdict.warn if change.optional else Verdict.alert
        verdict = {"done": Verdict.ok, "unknown": min(bad, Verdict.unknown)}.get(fate, bad)
        back = "" if change.undo.startswith("none") else change.undo
        hint = "" if fate == "done" else "tell them yourself." if change.optional else back
        value = f"{change.action}: {fate}" + (f", {said}" if said else "")
        return Finding("change", change.resource, value, "done", verdict, hint)

    def plain(self) -> Row:
        """The outcome as JSON-ready data."""
        return {
            "plan": self.plan.whole_id,
            "operation": self.plan.operation,
            "result": self.result,
            "said": self.said,
            "planned_in": self.planned_in,
            "approvals": list(self.by),
            "changes": [
                {**c.plain(), "fate": fate, "said": said}
                for c, (fate, said) in zip(self.plan.changes, self.fates, strict=False)
            ],
        }

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        block = draw.banner(f"{self.result.upper()}: {self.said}".rstrip(": "), _COLOUR.get(self.result, "alert"))
        if self.fates:
            rows = [
                {"no": n, "change": c.action, "of": c.resource, "fate": fate, "": said}
                for n, (c, (fate, said)) in enumerate(zip(self.plan.changes, self.fates, strict=True), 1)
            ]
            block += draw.table(rows)
        if self.by:
            block += draw.table(self.by)
        if self.planned_in:
            block += draw.note(f"Plan {self.plan.id} was made in {self.planned_in}.")
        for step in self.next:
            block += draw.note(f"Next: {step}")
        return draw.page(block)
