"""What a run carries from its start to its end, and what the runner handed to the process in which its cells run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runbook.model.errors import RunbookError

if TYPE_CHECKING:
    from pathlib import Path

    from runbook.cloud.client import Cloud
    from runbook.cloud.prefetch import Prefetch
    from runbook.config.request import Request
    from runbook.config.schema import Settings
    from runbook.display.text import Row
    from runbook.model.facts import Fact
    from runbook.model.findings import Findings
    from runbook.model.moment import Moment
    from runbook.records.journal import Journal


@dataclass
class KernelContext:
    """What the runner handed to this process, before the first cell: where the record is kept, a secret's value, and a
    connection that was begun. Empty in a kernel that Jupyter started."""

    directory: Path | None = None
    secret: bytes | None = None
    prefetch: Prefetch | None = None


KERNEL = KernelContext()


@dataclass
class Context:
    """One run: what was asked, of which system, when, and where its record is kept.

    `certain` is whether `moment` is the cloud's own time. The rest is what it has read and found so far: `findings`
    by the name of the check, `checked` the facts that some check looked at, `again` values for looking again.
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
    findings: dict[str, Findings] = field(default_factory=dict)
    again: dict[str, str] = field(default_factory=dict)

    def judge(self, name: str, found: Findings, *facts: Fact, again: Mapping[str, str] | None = None) -> Findings:
        """Let findings from these facts count in the verdict; they replace what was found under this name before.

        `again` has values of parameters for looking again, such as when it was noticed.
        """
        self.checked |= {id(fact) for fact in facts}
        self.findings[name] = found
        self.again |= again or {}
        return found

    @contextmanager
    def errors_tell_what_was_written(self) -> Iterator[None]:
        """An error in here tells what this run wrote before it, and never that nothing was changed."""
        try:
            yield
        except RunbookError as error:
            rows = self.journal.read()
            if written := [row for row in rows if row["kind"] == "WRITE"]:
                plan = written[0]["plan"]
                error.effect = "\n  ".join([f"Before this, changes of plan {plan} were sent:", *_done(rows)])
                error.next = f"{error.next} Then: runbook apply {plan}, which looks again and goes on.".lstrip()
            raise


def _done(rows: list[Row]) -> Iterator[str]:
    """What the journal of a run says of each change that was begun, one a line."""
    ends = {row["number"]: row["state"] for row in rows if row["kind"] == "CONFIRM"}
    for row in rows:
        if row["kind"] == "INTENT":
            state = ends.get(row["number"], "begun, not confirmed")
            said = "done" if state == "new" else state
            yield f"{row['number']}. {row['change']['action']}, {row['change']['resource']}: {said}"
