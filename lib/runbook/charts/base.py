"""Charts of facts: a title, units, the threshold as a line, and the same numbers as text for accessibility.

Drawn with matplotlib's Figure alone: without pyplot there is no global state and half the import time. The image is a
PNG; tests compare the text form.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from runbook.display import Row, blocks, text_table
from runbook.model import Fact

Axes = Any  # of matplotlib, which is imported only to draw
Paint = Callable[[Axes], None]
Bars = Iterable[tuple[str, float, str, bool]]
PHONE = 5.2  # inches: texts of 9 points can be read at 390 pixels
GOOD, BAD, QUIET, LINE = "#3c7d4f", "#b3362c", "#5b7fa6", "#8c1d18"


@dataclass(frozen=True)
class Chart:
    """An image and its rows; if there is nothing to plot, only a sentence that says why."""

    title: str
    rows: Sequence[Row]
    png: bytes = b""
    why: str = ""

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        if not self.png:
            return blocks.page(blocks.note(f"{self.title}: {self.why}"))
        return {"image/png": self.png, "text/plain": f"{self.title}\n{text_table(self.rows)}"}


def draw_bars(axes: Axes, bars: Bars, limit: float, label: str, above: bool = False) -> None:
    """Horizontal bars, the first at the top, and their limit: of each its name, length, label and if it is bad.

    `above`: name and label are above the bar, for a chart that is read on a phone.
    """
    names, lengths, said, bad = zip(*bars, strict=True)
    rows = range(len(names))
    drawn = axes.barh(rows, lengths, height=0.35 if above else 0.8, color=[BAD if one else GOOD for one in bad])
    if above:
        for row in rows:
            axes.text(0, row - 0.24, f"{names[row]}: {said[row].strip()}", va="bottom", fontsize=9)
        axes.set_ylim(-0.8, len(names) - 0.6)
    else:
        axes.bar_label(drawn, said)
    axes.set_yticks(() if above else rows, () if above else names)
    axes.axvline(limit, color=LINE, linestyle="--", linewidth=1, label=label)
    axes.set_xlim(0, max([*lengths, limit]) * (1.02 if above else 1.15))
    axes.invert_yaxis()


def chart(
    title: str, fact: Fact, rows: Sequence[Row], paint: Paint, empty: str = "no rows to plot", **size: float
) -> Chart:
    """A chart that `paint` draws; without rows, a sentence that says why. `size`: height and width in inches, left.

    One that is 5.2 wide can be read on a phone, where it is 3.6 wide; its legend has a row of its own.
    """
    if not rows:
        return Chart(title, rows, why="could not be read" if fact.gaps else empty)
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    height, left, wide = size.get("height", 2.9), size.get("left", 0.07), size.get("width", 8.5)
    top, small = (0.32, 8) if wide > 6 else (0.56, 9)
    # Fixed margins and print_png: a layout engine and savefig would each draw everything a second time.
    figure = Figure(figsize=(wide, height), dpi=100 if wide > 6 else 120)
    axes = figure.add_subplot()
    figure.subplots_adjust(left=left, right=0.985, top=1 - top / height, bottom=0.55 / height)
    paint(axes)
    figure.text(0.01, 1 - 0.24 / height, title + (" (incomplete)" if fact.gaps else ""), fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=small)
    look = {"fontsize": small, "frameon": False, "ncols": 5, "borderaxespad": 0, "columnspacing": 1}
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), **look)
    png = BytesIO()
    FigureCanvasAgg(figure).print_png(png, metadata={"Software": None})
    return Chart(title, rows, png.getvalue())
