"""The answer of a run, at the top of its notebook: the first cell makes the place, and `Run.close` fills it in.

The runner writes it again from the report, because any cell can fill in the place.
"""

import sys

from runbook.display.blocks import Block
from runbook.model.facts import Shown
from runbook.model.report import Report, answer_block

PLACE = "runbook-answer"


def answer() -> None:
    """Make the place of the answer. Until the run has ended, it says that there is no verdict."""
    _show(answer_block(None), update=False)


def show_answer(report: Report) -> None:
    """Fill in the place of the answer."""
    _show(answer_block(report.plain()), update=True)


def _show(block: Block, update: bool) -> None:
    """Show a block there, if this is a notebook."""
    if "IPython" in sys.modules:
        from IPython import get_ipython
        from IPython.display import display

        if get_ipython():
            display(Shown(block), display_id=PLACE, update=update)
