"""The report at the end of a run: all findings, the worst verdict in one sentence, and the next steps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import shorten
from typing import Any

from runbook.display import Block, blocks
from runbook.model.errors import Exit
from runbook.model.findings import Findings, Verdict, findings_block
from runbook.model.outcome import Outcome

MIME = "application/vnd.runbook.report+json"
LINES = 6  # of the answer, if a run has none of its own

_NOW = {Verdict.alert: "act now", Verdict.warn: "it can wait, but investigate today", Verdict.ok: "all checks passed"}
_NOW[Verdict.unknown] = "something could not be read, so this is not an all-clear"
_THEN = {Verdict.alert: "at that time, action was needed", Verdict.warn: "it could wait, but needed attention that day"}


@dataclass(frozen=True)
class Report:
    """The end of a notebook. `about` says where and when; `next` has one step per entry; `past` as in `Moment`.

    `answer` are the lines below the sentence; of a run without its own, these are its changes and the worst findings.
    """

    about: Mapping[str, str]
    findings: Findings
    next: tuple[str, ...] = ()
    outcome: Outcome | None = None
    past: bool = False
    answer: Sequence[str] = ()

    verdict = property(lambda self: self.findings.worst)

    @property
    def exit(self) -> Exit:
        """The exit code of the verdict; a refusal has its own."""
        return Exit.REFUSED if self.outcome and self.outcome.result == "refused" else self.verdict.exit

    @property
    def headline(self) -> str:
        """The worst verdict in one sentence, and how many findings there are of each."""
        meanings, word = (_NOW | _THEN if self.past else _NOW), self.verdict.name.upper()
        meaning = meanings[self.verdict] if self.findings else "nothing was checked, so this is not an all-clear"
        if self.outcome:
            meaning = f"{self.outcome.said.splitlines()[0]}; verdict {word}, {meaning}"
            word = self.outcome.result.capitalize()
        return f"{word}: {meaning}" + (f" ({self.findings.counts})." if self.findings else ".")

    @property
    def sentence(self) -> str:
        """The headline, with the first three findings that cause it."""
        worst = [f for f in self.findings if f.verdict is self.verdict and self.verdict is not Verdict.ok]
        causes = "; ".join(f"{f.check}, {f.subject}: {shorten(f.value, 100, placeholder='…')}" for f in worst[:3])
        more = f"; and {len(worst) - 3} more" if len(worst) > 3 else ""
        return self.headline + (f" {causes}{more}." if causes else "")

    def plain(self) -> dict[str, Any]:
        """The report as JSON-ready data."""
        made = {"outcome": self.outcome.plain()} if self.outcome else {}
        made |= {"verdict": self.verdict.name, "exit": int(self.exit), "sentence": self.sentence}
        made |= {"headline": self.headline, "answer": list(self.answer), "next": list(self.next)}
        return {**self.about, **made, "findings": self.findings.plain()}

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        worst_first = sorted(self.findings, key=lambda f: -f.verdict)
        block = blocks.banner(self.sentence, self.verdict.name) + findings_block(worst_first)
        block += blocks.notes(f"Next: {step}" for step in self.next)
        return {**blocks.page(block), MIME: self.plain()}


def answer_block(report: Mapping[str, Any] | None) -> Block:
    """The answer of a run from the data of its report, which a cell may have changed: what is missing is left out.

    None is a run without an end.
    """
    if report is None:
        return blocks.banner("No verdict: this run has not finished.", "unknown")
    steps = report["next"] if isinstance(report.get("next"), list) else []
    block = blocks.banner(str(report.get("headline", "")), report["verdict"])
    return block + blocks.notes([*answer_lines(report), *(f"Next: {step}" for step in steps)])


def findings_of(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The findings in the data of a report, without those that have not the fields of one: a cell may change them."""
    rows = report["findings"] if isinstance(report.get("findings"), list) else []
    rows = [one for one in rows if isinstance(one, dict) and one.keys() >= {"check", "subject", "value", "verdict"}]
    return [one for one in rows if str(one["verdict"]) in Verdict.__members__]


def answer_lines(report: Mapping[str, Any]) -> list[str]:
    """The lines of a report's answer: its own, or its changes and its worst findings."""
    own = [*map(str, report["answer"])] if isinstance(report.get("answer"), list) else []
    if own and not report.get("outcome"):
        return own
    bad = sorted((f for f in findings_of(report) if Verdict[f["verdict"]]), key=lambda f: -Verdict[f["verdict"]])
    return own + [f"{f['verdict']}: {f['check']}, {f['subject']}: {f['value']}" for f in bad[:LINES]]
