"""The state of a run, and the values that the runner passes to the kernel process."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from runbook.model import Fact, Findings, Moment, RunbookError

if TYPE_CHECKING:
    from pathlib import Path

    from runbook.cloud import Cloud
    from runbook.cloud.connect import Begun
    from runbook.config import Request, Settings
    from runbook.records.journal import Journal


class Told(NamedTuple):
    """What a run is told besides its parameters: the value of a secret, or one of the words below.

    `takeover` and `abandon` name the owner of an attempt whose process is dead, as `runbook apply` was told. `compare`
    is a plan that `runbook plans` only compares with what would be planned now; `notify`: if it is stale, its requester
    and its signers get a message. `scheduled`: the contacts for alerts are notified of this run.
    """

    secret: bytes | None = None
    takeover: str = ""
    abandon: str = ""
    compare: str = ""
    notify: bool = False
    scheduled: bool = False


NOTHING_TOLD = Told()


@dataclass
class KernelContext:
    """What the runner passes to this process before the first cell: the record's directory, what the run is told, and a
    prefetched connection. Empty in a kernel that Jupyter started. `plan` is the stored plan that the newest run of this
    process compares or applies, "" for none.
    """

    directory: Path | None = None
    told: Told = NOTHING_TOLD
    prefetch: Begun = field(default_factory=dict)
    plan: str = ""


KERNEL = KernelContext()


@dataclass
class Context:
    """One run: its request, system, moment, and the folder of its record.

    `clock_trusted`: whether `moment` comes from the cloud's clock. The rest is what the run has read and found so far:
    `findings` by the question that they answer, `checked` (the ids of facts that a check has used), `again`
    (parameters for a rerun), and `answer` (the lines of the report's answer).
    """

    request: Request
    settings: Settings
    cloud: Cloud
    moment: Moment
    clock_trusted: bool
    folder: Path
    journal: Journal
    facts: list[Fact] = field(default_factory=list)
    checked: set[int] = field(default_factory=set)
    findings: dict[Hashable, Findings] = field(default_factory=dict)
    again: dict[str, str] = field(default_factory=dict)
    answer: Sequence[str] = ()

    def judge(self, name: Hashable, found: Findings, *facts: Fact, again: Mapping[str, str] | None = None) -> Findings:
        """Add findings from these facts to the verdict; they replace earlier findings on the same question.

        A question is a name, such as that of the check, and what its facts asked. Of a fact that is not as it was read,
        such as a part of one, its rows count too. `again` has parameter values for a rerun, such as when the problem
        was noticed.
        """
        self.checked |= {id(fact) for fact in facts}
        of = (f.question if any(f is one for one in self.facts) else f"{f.question} {f.rows}" for f in facts)
        self.findings[(name, *of)] = found
        self.again |= again or {}
        return found

    @property
    def unchecked(self) -> list[Fact]:
        """The newest read of each question, if no check has used it."""
        return [fact for fact in {f.question: f for f in self.facts}.values() if id(fact) not in self.checked]

    @contextmanager
    def errors_tell_what_was_written(self) -> Iterator[None]:
        """Make an error raised inside list the changes that this run has sent, not "Nothing was changed"."""
        try:
            yield
        except RunbookError as error:
            from runbook.records.journal import progress  # later, because the command line imports this module at once

            rows = self.journal.read()
            if written := [row for row in rows if row["kind"] == "WRITE"]:
                plan = written[0]["plan"]
                error.effect = "\n  ".join([f"Before this error, changes of plan {plan} were sent:", *progress(rows)])
                error.next = f"{error.next}\ncheck each change, and go on: runbook apply {plan}".lstrip()
            raise
