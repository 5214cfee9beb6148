"""A progress bar with the title of the running step."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runbook.runner.execution import OnStep


def progress() -> OnStep | None:
    """A progress bar on stderr with the title of the running step; None if stderr is not a terminal."""
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        return None
    from tqdm import tqdm

    bars: list[tqdm] = []

    def on_step(done: int, total: int, step: str) -> None:
        if not bars:  # created late, so that a refused run shows no bar
            bars.append(tqdm(total=total, leave=False, bar_format="{n_fmt}/{total_fmt} {bar:20} {elapsed}  {desc}"))
        bars[0].n = done
        bars[0].set_description_str(step)
        if done == total:
            bars[0].close()

    return on_step
