"""The answer of a run, at the top of its notebook: the first cell makes the place, and `Run.close` fills it in.

The runner writes it again from the report, because any cell can fill in the place.
"""

import sys

from runbook.model import Shown
from runbook.model.report import Report, answer_block

PLACE = "runbook-answer"


def answer(report: Report | None = None) -> None:
    """Make the place of the answer, if this is a notebook; with a report, fill it in.

    Until the run has ended, it says that there is no verdict.
    """
    ended = report is not None
    if "IPython" in sys.modules:
        from IPython import get_ipython
        from IPython.display import display

        if get_ipython():
            display(Shown(answer_block(report.plain() if ended else None)), display_id=PLACE, update=ended)
