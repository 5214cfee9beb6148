"""Charts of the P1 page."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from math import ceil, inf

from runbook.charts.base import BAD, GOOD, LINE, PHONE, QUIET, Axes, Chart, chart, draw_bars
from runbook.context import Context
from runbook.incidents.causes import Causes
from runbook.incidents.headroom import Headroom
from runbook.incidents.page import Page
from runbook.model import Fact

LEAST_HOURS, MOST_HOURS = 6, 24  # range of a timeline
_PAPER = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}


def timeline(run: Context, logged: Fact, runs: Fact, changed: Fact, causes: Causes) -> Chart:
    """Log entries per five minutes and failed runs, with each change and the first symptom marked.

    Shows the last six hours, or back to the first symptom if that is within a day.
    """
    first = min((c.since for c in causes if c.since), default=run.moment.at)
    hours = max(LEAST_HOURS, min(MOST_HOURS, 1 + ceil((run.moment.at - first) / timedelta(hours=1))))
    start, step = run.moment.ago(hours), timedelta(minutes=5)
    counts = Counter(int((r.at - start) / step) for r in logged.rows if r.at >= start)
    failed = [r.started_at for r in runs.rows if r.status == "failed" and r.started_at >= start]
    marks = [(c.at, f"{c.what} {c.resource.split('/', 1)[-1]}") for c in changed.rows if c.at >= start]
    symptom = [(first, "first symptom")] if start <= first < run.moment.at else []
    rows = [{"from": run.moment.local(start + n * step), "entries": counts[n], "change": ""} for n in counts]
    rows += [{"from": run.moment.local(at), "entries": 0, "change": said} for at, said in (*symptom, *marks)]

    def x(at: datetime) -> float:
        return (at - run.moment.at) / timedelta(hours=1)

    def paint(axes: Axes) -> None:
        top = max([*counts.values(), 1])
        if counts:
            ago = [x(start + n * step) for n in counts]
            axes.bar(ago, list(counts.values()), width=5 / 60, align="edge", color=BAD, label="log entries")
        if failed:
            axes.plot([*map(x, failed)], [top * 1.05] * len(failed), "x", color=LINE, label="failed run")
        for at, said in symptom:
            axes.axvline(x(at), color=LINE, linestyle="--", linewidth=1, label=said)
        _mark(axes, sorted((x(at), said) for at, said in marks), hours, top)
        axes.set(xlim=(-hours, 0), ylim=(0, top * 1.9), ylabel="entries per 5 min")
        axes.set_xlabel(f"{run.settings.time_zone}; the right edge is the time of this run", fontsize=9)
        ticks = range(0, -hours - 1, -ceil(hours / 6))
        axes.set_xticks(ticks, [f"{run.moment.local(run.moment.ago(-n)):%H:%M}" for n in ticks])
        axes.get_xticklabels()[0].set_ha("right")
        axes.yaxis.get_major_locator().set_params(integer=True)

    title, size = f"What happened in the last {hours} hours", {"width": PHONE, "height": 3.4, "left": 0.1}
    in_order = sorted(rows, key=lambda r: r["from"])
    return chart(title, logged, in_order, paint, "no log entries, failed runs or changes", **size)


def _mark(axes: Axes, marks: Sequence[tuple[float, str]], hours: float, top: float) -> None:
    """A line for each change, and its name on the first of four rows with room for it; the table lists all names."""
    ends = [-inf] * 4
    for n, (x, said) in enumerate(marks):
        axes.axvline(x, color=QUIET, linewidth=1, zorder=1, label=None if n else "change")
        wide = 0.0157 * hours * len(said)
        left = min(x + 0.005 * hours, -wide)
        row = next((n for n, end in enumerate(ends) if end < left), None)
        if row is not None:
            ends[row] = left + wide
            axes.text(left, top * (1.82 - 0.17 * row), said, fontsize=9, color=QUIET, va="center", bbox=_PAPER)


def limits(run: Context, page: Page, *facts: Fact) -> Chart:
    """Duration and memory of the newest runs of functions that hit a limit, as a percentage of the deployed limit.

    `facts` are the facts that the page was made from.
    """
    rows = page.headroom

    def paint(axes: Axes) -> None:
        names = [f"{r.function}, {r.what}" + (f", {r.run:%a %H:%M}" if r.run else "") for r in rows]
        bars = [(name, 100 * (r.seen or 0) / r.limit, _against(r), r.hit) for name, r in zip(names, rows, strict=True)]
        draw_bars(axes, bars, 100, "limit", above=True)
        axes.plot([], [], "s", color=BAD, label="stopped by the limit")
        axes.plot([], [], "s", color=GOOD, label="not stopped")
        axes.set_xlabel("% of the deployed limit")

    unknowns = next((f for f in facts if f.gaps), facts[0])
    shown, size = [r.shown for r in rows], {"height": 1.3 + 0.36 * len(rows), "left": 0.03, "width": PHONE}
    return chart("Newest runs and their limits", unknowns, shown, paint, "no function hit a limit", **size)


def _against(row: Headroom) -> str:
    seen = "not logged" if row.seen is None else f"{row.seen:,.0f}"
    return f" {seen} of {row.limit:,} {row.unit}{' in params' * (row.limit_by == 'params')}: {row.ended}"
