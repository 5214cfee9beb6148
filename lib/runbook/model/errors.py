"""What can go wrong, as one tree, and the exit codes of `runbook` and of `papermill --engine runbook`.

RunbookError              what, observed, effect, next; shown as these four lines, never as a traceback
├── BadInput        (2)   refused before anything happened
│   ├── BadParameter      a runbook's parameter: unknown, of the wrong type, or looking like a secret
│   ├── BadSettings       params/*.yaml: missing, malformed, a wrong key or value, a placeholder
│   ├── UnknownName       a runbook, an environment or a world that is not there
│   └── NoCredentials     no Application Default Credentials, or expired ones
├── Refused         (5)   a plan that may not be applied, or an approval that may not be given
├── NoAnswer        (1)   the sandbox or Google cannot be reached at all
├── NoRecord        (1)   the records folder cannot be written
└── Broken          (1)   the runbook itself is wrong
    ├── RequestBlocked          a request that the door does not let pass
    └── OverCap           a query that would cost more than the cap
"""

from __future__ import annotations

from difflib import get_close_matches
from enum import IntEnum
from typing import Any

from runbook.display.text import visible


def require(*rules: tuple[Any, str]) -> None:
    """Raise Refused with the reason of the first rule that does not hold."""
    for holds, why in rules:
        if not holds:
            raise Refused(why, next='look at the plan again with "runbook approve"; see params/approvers/README.md.')


class Exit(IntEnum):
    """Exit codes; the README's table of them is tested against this class."""

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
    """An error that a person can act on: `what` happened, what was `observed`, the `effect`, and what to do `next`."""

    exit = Exit.BROKEN

    def __init__(self, what: str, observed: str = "", effect: str = "Nothing was changed.", next: str = ""):
        super().__init__(what)
        self.what, self.observed, self.effect, self.next = what, observed, effect, next

    def __str__(self) -> str:
        lines = [f"{type(self).__name__}: {self.what}"]
        lines += [f"  {line}" for line in self.observed.splitlines()]
        lines += [f"  {self.effect}"] if self.effect else []
        lines += [f"  Next: {self.next}"] if self.next else []
        return visible("\n".join(lines))

    def _render_traceback_(self) -> list[str]:
        """IPython shows these lines in place of a traceback."""
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


class Broken(RunbookError): ...


class RequestBlocked(Broken): ...


class OverCap(Broken): ...


def nearest(name: str, known: list[str]) -> str:
    """What to try in place of a name that is not there; "" where nothing is known."""
    near = get_close_matches(name, known, 1, 0.5)
    return f"did you mean {near[0]}?" if near else f"there is: {', '.join(known)}." if known else ""
