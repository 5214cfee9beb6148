"""The result of applying a plan: the status of each change."""

from dataclasses import dataclass
from typing import Any, Literal

from runbook.display import Row, blocks, one_line
from runbook.model.findings import Finding, Findings, Verdict
from runbook.model.plan import Change, Plan

ChangeStatus = Literal["done", "failed", "unknown", "not attempted"]
Result = Literal["planned", "nothing to do", "refused", "applied", "failed", "unknown"]
LINES = 10  # so many changes the answer of a run lists
_COLOUR = {"planned": "warn", "nothing to do": "ok", "applied": "ok", "unknown": "unknown"}


@dataclass(frozen=True)
class Outcome:
    """The result of a plan. `statuses` has one entry for each change; `said` explains; `next` has one step per entry.

    `by` has one row for each approval used. `planned_in` is the folder of the run that made the plan.
    """

    plan: Plan
    result: Result
    statuses: tuple[tuple[ChangeStatus, str], ...] = ()
    said: str = ""
    next: tuple[str, ...] = ()
    began: Any = None
    by: tuple[Row, ...] = ()
    planned_in: str = ""

    @property
    def findings(self) -> Findings:
        """The outcome as findings of the verdict."""
        if self.result in ("planned", "nothing to do"):
            return Findings((Finding("change", self.plan.operation, self.result, "as requested", Verdict.ok),))
        if self.result == "refused":
            said = f"refused: {self.said.splitlines()[0]}"
            return Findings((Finding("change", self.plan.operation, said, "approved", Verdict.alert),))
        found = [self._finding(c, *status) for c, status in zip(self.plan.changes, self.statuses, strict=True)]
        if self.result != "applied" and all(f.verdict is Verdict.ok for f in found):  # taken over at the end
            said = f"{self.result}: {self.said}"
            found.append(Finding("change", self.plan.operation, said, "applied", Verdict.unknown, *self.next[:1]))
        return Findings(tuple(found))

    @property
    def lines(self) -> list[str]:
        """What the answer of the run says of it: the details of a refusal; else the changes and their statuses.

        Of a plan, also its notes: what a person should know before signing.
        """
        if self.result == "refused":
            return self.said.splitlines()[1:]
        found = [
            f"a message to {c.resource}" if c.optional else f"{c.resource}: {c.before} → {c.after}"
            for c in self.plan.changes
        ]
        for n, (status, said) in enumerate(self.statuses):
            found[n] = f"{status}: {found[n]}" + (f"; {said}" if said and status != "done" else "")
        notes = self.plan.notes if found and self.result == "planned" else ()
        more = [f"and {len(found) - LINES} more changes"] if len(found) > LINES else []
        return [*map(one_line, found[:LINES]), *more, *(f"note: {note}" for note in notes)]

    def _finding(self, change: Change, status: ChangeStatus, said: str) -> Finding:
        bad = Verdict.warn if change.optional else Verdict.alert
        verdict = {"done": Verdict.ok, "unknown": min(bad, Verdict.unknown)}.get(status, bad)
        hint = "" if status == "done" else "notify them yourself." if change.optional else change.undo
        value = f"{change.action}: {status}" + (f", {said}" if said else "")
        return Finding("change", change.resource, value, "done", verdict, hint)

    def plain(self) -> Row:
        """The outcome as JSON-ready data."""
        pairs = zip(self.plan.changes, self.statuses, strict=False)
        changes = [{**c.plain(), "status": status, "said": said} for c, (status, said) in pairs]
        about = {"plan": self.plan.whole_id, "operation": self.plan.operation, "result": self.result, "said": self.said}
        return {**about, "planned_in": self.planned_in, "approvals": list(self.by), "changes": changes}

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        said = f"{self.result.capitalize()}: {self.said}".rstrip(": ")
        block = blocks.banner(said, _COLOUR.get(self.result, "alert"))
        if self.statuses:
            block += blocks.table(
                {"no": n, "change": c.action, "of": c.resource, "status": status, "": said}
                for n, (c, (status, said)) in enumerate(zip(self.plan.changes, self.statuses, strict=True), 1)
            )
        if self.by:
            block += blocks.table(self.by)
        place = [f"Plan {self.plan.id} was made in {self.planned_in}."] if self.planned_in else []
        return blocks.page(block + blocks.notes([*place, *(f"Next: {step}" for step in self.next)]))
