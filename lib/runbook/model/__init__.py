"""The data that flows through a run: facts and gaps, findings and verdicts, plans, outcomes, reports, and errors.

Plain data and pure functions: no reads and no writes. actions.py lists what can be changed, one class with typed
arguments for each action. Start with facts.py, then findings.py and plan.py.

What is offered here takes no time to import, so that the command line starts at once. The rest is imported from its
module: rows.py makes many classes, and the others need pydantic.
"""

from runbook.data_file import table, text_of
from runbook.display import Row
from runbook.model.canonical import canonical, plan_id
from runbook.model.command import command
from runbook.model.errors import (
    BadInput,
    BadParameter,
    BadSettings,
    Broken,
    Exit,
    ForeignFile,
    NoAnswer,
    NoCredentials,
    NoRecord,
    OverCap,
    Refused,
    RequestBlocked,
    RunbookError,
    Taken,
    UnknownName,
    nearest,
    require,
)
from runbook.model.facts import INTERNAL, Fact, FactRow, Gap, Seen, Shown
from runbook.model.findings import Finding, Findings, Verdict, join, known_findings
from runbook.model.moment import Moment, moment_of, time_of
