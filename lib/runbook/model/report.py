"""The report at the end of a run: all findings, the worst verdict in one sentence, and the next steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runbook.display import blocks
from runbook.model.errors import Exit
from runbook.model.findings import Findings, Verdict, findings_block
from runbook.model.outcome import Outcome

MIME = "application/vnd.runbook.report+json"

_NOW = {Verdict.alert: "act now", Verdict.warn: "it works, but investigate today", Verdict.ok: "all checks passed"}
_NOW[Verdict.unknown] = "something could not be read, so this is not an all-clear"
_THEN = {Verdict.alert: "at that time, action was needed", Verdict.warn: "it worked, but needed attention that day"}


@dataclass(frozen=True)
class Report:
    """The end of a notebook. `about` says where and when; `next` has one step per entry; `past` as in `Moment`."""

    about: Mapping[str, str]
    findings: Findings
    next: tuple[str, ...] = ()
    outcome: Outcome | None = None
    past: bool = False

    verdict = property(lambda self: self.findings.worst)

    @property
    def exit(self) -> Exit:
        """The exit code of the verdict; a refusal has its own."""
        refused = self.outcome is not None and self.outcome.result == "refused"
        return Exit.REFUSED if refused else self.verdict.exit

    @property
    def sentence(self) -> str:
        """The worst verdict in one sentence, with the first three findings that cause it."""
        word, meaning = self.verdict.name.upper(), _NOW[self.verdict]
        if self.past:
            meaning = _THEN.get(self.verdict, meaning)
        if self.outcome:
            meaning = f"{self.outcome.said.splitlines()[0]}; verdict {word}, {meaning}"
            word = self.outcome.result.capitalize()
        worst = [f for f in self.findings if f.verdict is self.verdict and self.verdict is not Verdict.ok]
        causes = "; ".join(f"{f.check}, {f.subject}: {f.value}" for f in worst[:3])
        more = f"; and {len(worst) - 3} more" if len(worst) > 3 else ""
        return f"{word}: {meaning} ({self.findings.counts})." + (f" {causes}{more}." if causes else "")

    def plain(self) -> dict[str, Any]:
        """The report as JSON-ready data."""
        made = {"outcome": self.outcome.plain()} if self.outcome else {}
        verdict = {"verdict": self.verdict.name, "exit": int(self.exit), "sentence": self.sentence}
        return {**self.about, **made, **verdict, "next": list(self.next), "findings": self.findings.plain()}

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        block = blocks.banner(self.sentence, self.verdict.name) + findings_block(self.findings)
        block += blocks.notes(f"Next: {step}" for step in self.next)
        return {**blocks.page(block), MIME: self.plain()}
