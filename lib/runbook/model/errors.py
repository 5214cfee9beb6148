"""The error classes, and the exit codes of `runbook` and of `papermill --engine runbook`.

RunbookError              what, observed, effect, next; shown as these four lines, never as a traceback
├── BadInput        (2)   rejected before the run starts
│   ├── BadParameter      a runbook parameter: unknown, of the wrong type, or similar to a secret
│   ├── BadSettings       params/*.yaml: missing, malformed, a wrong key or value, a placeholder
│   ├── UnknownName       a runbook, environment or world that does not exist
│   └── NoCredentials     no Application Default Credentials, or expired ones
├── Refused         (5)   a plan that must not be applied, or an approval that must not be given
├── NoAnswer        (1)   no connection to the sandbox or to Google
├── NoRecord        (1)   the record store is not writable
│   ├── Taken             a name in it that somebody else created first
│   └── ForeignFile       a file in it that is no record: a link, or larger than 32 MiB
└── Broken          (1)   a fault in the runbook itself
    ├── RequestBlocked    a request that the read-only guard blocks
    └── OverCap           a query that would cost more than the cap
"""

from difflib import get_close_matches
from enum import IntEnum
from typing import Any

from runbook.display import visible


def require(*rules: tuple[Any, str]) -> None:
    """Raise Refused with the reason of the first rule that is not met."""
    for met, why in rules:
        if not met:
            raise Refused(why, next='review the plan with "runbook approve"; see params/approvers/README.md.')


class Exit(IntEnum):
    """Exit codes. A test compares them with the table in docs/running.md."""

    OK = 0
    BROKEN = 1
    BAD_INPUT = 2
    ALERT = 3
    UNKNOWN = 4
    REFUSED = 5
    KERNEL_DIED = 6
    TIMEOUT = 7
    INTERRUPTED = 130
    TERMINATED = 143


class RunbookError(Exception):
    """An error that a person can act on: `what` happened, what was `observed`, the `effect`, and what to do `next`,
    one step a line.
    """

    exit = Exit.BROKEN

    def __init__(self, what: str, observed: str = "", effect: str = "Nothing was changed.", next: str = ""):
        super().__init__(what)
        self.what, self.observed, self.effect, self.next = what, observed, effect, next

    def __str__(self) -> str:
        lines = [f"{type(self).__name__}: {self.what}", *(f"  {line}" for line in self.observed.splitlines())]
        lines += [f"  {self.effect}"] if self.effect else []
        lines += [f"  Next: {step}" for step in self.next.splitlines()]
        return visible("\n".join(lines))

    def _render_traceback_(self) -> list[str]:
        """The lines that IPython shows instead of a traceback."""
        return str(self).splitlines()


class BadInput(RunbookError):
    exit = Exit.BAD_INPUT


class BadParameter(BadInput): ...


class BadSettings(BadInput): ...


class UnknownName(BadInput): ...


class NoCredentials(BadInput): ...


class Refused(RunbookError):
    exit = Exit.REFUSED


class NoAnswer(RunbookError): ...


class NoRecord(RunbookError): ...


class Taken(NoRecord):
    """A name in the record store already exists: another process created it first."""

    def __init__(self, name: str):
        super().__init__("somebody else wrote this into the record store first", name, next="run again.")


class ForeignFile(NoRecord): ...


class Broken(RunbookError): ...


class RequestBlocked(Broken): ...


class OverCap(Broken): ...


def nearest(name: str, known: list[str]) -> str:
    """A suggestion for an unknown name: the closest valid name, else all valid names; "" if there are none."""
    near = get_close_matches(name, known, 1, 0.5)
    return f"did you mean {near[0]}?" if near else f"use one of: {', '.join(known)}." if known else ""
