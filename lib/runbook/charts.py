"""Charts of facts: a title, units, the threshold drawn, and the same numbers as text for those who cannot see it.

Drawn with matplotlib's figure alone (no pyplot: nothing global, half the import). The picture is a PNG, the text form
is what tests compare.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from io import BytesIO
from math import ceil, inf
from typing import TYPE_CHECKING, Any

from runbook import draw
from runbook.rows import Fact, Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from runbook.context import Context
    from runbook.diagnosis import Causes
    from runbook.p1 import Page

LEAST_HOURS, MOST_HOURS = 6, 24  # that a timeline shows
_PAPER = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
GOOD, BAD, QUIET, LINE = "#3c7d4f", "#b3362c", "#5b7fa6", "#8c1d18"


@dataclass(frozen=True)
class Chart:
    """A picture and the rows behind it; with nothing to plot, only a sentence that says why."""

    title: str
    rows: Sequence[Row]
    png: bytes = b""
    why: str = ""

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        if not self.png:
            return draw.page(draw.note(f"{self.title}: {self.why}"))
        return {"image/png": self.png, "text/plain": f"{self.title}\n{draw.text_table(self.rows)}"}


def etl_week(run: Context, week: Fact) -> Chart:
    """Successful and failed runs for each of the team's last seven days; a day without runs is a bar of height zero.

    Today's bar is hatched: the day is not over.
    """
    seen = {r["date"]: r for r in week.rows}
    days = [run.moment.today - timedelta(days=n) for n in range(6, -1, -1)]
    rows = [{"date": d, **{k: seen.get(d, {}).get(k, 0) for k in ("success", "failed")}, "": ""} for d in days]
    rows[-1][""] = "today so far"

    def paint(axes: Axes) -> None:
        labels = [f"{r['date']:%a %d %b}\n{r['']}" for r in rows]
        good, bad = [r["success"] for r in rows], [r["failed"] for r in rows]
        for bars in (
            axes.bar(labels, good, color=GOOD, label="success"),
            axes.bar(labels, bad, bottom=good, color=BAD, label="failed"),
        ):
            bars[-1].set(hatch="///", edgecolor="white", alpha=0.6)
        ok_from = run.settings.thresholds.etl_runs.ok_from
        axes.axhline(ok_from, color=LINE, linestyle="--", linewidth=1, label=f"ok from {ok_from:g} successful")
        axes.set_ylim(0, 1.1 * max(ok_from, *(r["success"] + r["failed"] for r in rows)))
        axes.set_ylabel("runs per day")

    return _chart("ETL runs per day, last 7 days", week, rows, paint)


def errors(run: Context, seen: Fact) -> Chart:
    """The system's errors per hour over the last 24 h; titled as the newest 1,000 when there may be more.

    No threshold is drawn, and the title says why: a line at its hourly share would be crossed by a single error.
    """
    first = run.moment.ago(24)
    ours = [r for r in seen.rows if r["_ours"]]
    counts = Counter(int((r["at"] - first) / timedelta(hours=1)) for r in ours)
    start = [first + timedelta(hours=n) for n in range(24)]
    rows = [{"hour from": run.moment.local(t), "errors": counts[n]} for n, t in enumerate(start)]

    def paint(axes: Axes) -> None:
        axes.bar(range(24), [r["errors"] for r in rows], width=0.9, align="edge", color=BAD)
        axes.set_xticks(range(0, 24, 3), [f"{run.moment.local(start[n]):%a %H:%M}" for n in range(0, 24, 3)])
        axes.set_ylim(0, 1.1 * max(counts.values()))
        axes.set_ylabel("errors per hour")
        axes.yaxis.get_major_locator().set_params(integer=True)
        axes.set_xlabel(f"hour beginning ({run.settings.time_zone})")
        axes.plot([], [], " ", label=f"{len(ours):,} in all")

    title = f"Errors per hour, newest {len(seen.rows):,}" if seen.more else "Errors per hour, last 24 h"
    limit = run.settings.thresholds.errors.alert_above
    title += f" (alert above {limit:,} in all; one hour has no limit)"
    return _chart(title, seen, [r for r in rows if r["errors"]], paint, empty="no errors in the last 24 h")


def scores(run: Context, seen: Fact) -> Chart:
    """Scored accounts for each of the newest seven score dates, with the team's today marked."""
    rows = sorted(seen.rows, key=lambda r: r["score_date"])

    def paint(axes: Axes) -> None:
        days = [(r["score_date"] - run.moment.today).days for r in rows]
        axes.bar(days, [r["accounts"] for r in rows], width=0.7, color=QUIET)
        shown = range(min([*days, -6]), 1)
        axes.set_xticks(shown, [f"{run.moment.today + timedelta(days=d):%a %d %b}" for d in shown])
        oldest = -run.settings.thresholds.scores.warn_days
        axes.axvline(oldest - 0.5, color=LINE, linestyle="--", linewidth=1, label="newest left of this: alert")
        axes.set_ylabel("accounts scored")

    return _chart("Account scores by date", seen, rows, paint)


def freshness(run: Context, seen: Fact) -> Chart:
    """The age of each table's newest row as a share of its own limit."""
    limits = {t.name: t.limit_hours for t in run.settings.tables.freshness}
    rows = [
        {"table": r["table_name"], "hours stale": r["minutes_stale"] / 60, "limit h": limits[r["table_name"]]}
        for r in seen.rows
        if r["minutes_stale"] is not None
    ]

    def paint(axes: Axes) -> None:
        bars = []
        for r in rows:
            share = 100 * r["hours stale"] / r["limit h"]
            name = f"{r['table']} (limit {r['limit h']:g} h)"
            bars.append((name, share, f" {r['hours stale']:.1f} h", share > 100))
        _bars(axes, bars, 100, "limit")
        axes.set_xlabel("age of the newest row, % of the table's limit")

    return _chart("Data freshness", seen, rows, paint, left=0.23)


def revisions(run: Context, seen: Fact, logged: Fact) -> Chart:
    """Errors of the last 24 h by the revision that logged them, oldest revision first; the serving one is marked."""
    counts = Counter(r["_revision"] for r in logged.rows)
    rows = [
        {"revision": r["revision"], "traffic %": r["traffic"], "errors": counts[r["revision"]]}
        for r in sorted(seen.rows, key=lambda r: r["created"])
    ]

    def paint(axes: Axes) -> None:
        names = [f"{r['revision']}{' (serves)' if r['traffic %'] else ''}" for r in rows]
        bars = axes.barh(names, [r["errors"] for r in rows], color=[BAD if r["traffic %"] else QUIET for r in rows])
        axes.bar_label(bars, [f" {r['errors']}" for r in rows])
        axes.set_xlabel("errors in 24 h")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set_xlim(0, max([r["errors"] for r in rows] + [1]) * 1.15)
        axes.plot([], [], " ", label="newest at the top")

    if logged.gaps:  # bars of nothing would say that there were none
        return _chart("Errors by revision, last 24 h", logged, [], paint)
    return _chart("Errors by revision, last 24 h", seen, rows, paint, left=0.27)


def timeline(run: Context, logged: Fact, runs: Fact, changed: Fact, causes: Causes) -> Chart:
    """Log entries per five minutes and failed runs, with each change and the first symptom marked.

    Of the last six hours, or as far back as the first symptom if that is within a day.
    """
    first = min((c.since for c in causes if c.since), default=run.moment.at)
    hours = max(LEAST_HOURS, min(MOST_HOURS, 1 + ceil((run.moment.at - first) / timedelta(hours=1))))
    start, step = run.moment.ago(hours), timedelta(minutes=5)
    counts = Counter(int((r["at"] - start) / step) for r in logged.rows if r["at"] >= start)
    failed = [r["started_at"] for r in runs.rows if r["status"] == "failed" and r["started_at"] >= start]
    marks = [(c["at"], f"{c['what']} {c['resource'].split('/', 1)[-1]}") for c in changed.rows if c["at"] >= start]
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
        axes.set_ylim(0, top * 1.62)
        axes.set_xlim(-hours, 0)
        ticks = range(0, -hours - 1, -ceil(hours / 9))
        axes.set_xticks(ticks, [f"{run.moment.local(run.moment.ago(-n)):%H:%M}" for n in ticks])
        axes.get_xticklabels()[0].set_ha("right")
        axes.yaxis.get_major_locator().set_params(integer=True)
        axes.set_ylabel("entries per 5 min")
        axes.set_xlabel(f"time ({run.settings.time_zone}); the right edge is when this looks")

    title = f"What happened in the last {hours} hours"
    return _chart(title, logged, sorted(rows, key=lambda r: r["from"]), paint, empty="no log entries and no changes")


def _mark(axes: Axes, marks: Sequence[tuple[float, str]], hours: float, top: float) -> None:
    """A line for each change, and its name on the first of four rows where it covers no other; a table has them all."""
    ends = [-inf] * 4
    for n, (x, said) in enumerate(marks):
        axes.axvline(x, color=QUIET, linewidth=1, zorder=1, label=None if n else "change")
        wide = 0.0072 * hours * len(said)
        left = min(x + 0.005 * hours, -wide)
        row = next((n for n, end in enumerate(ends) if end < left), None)
        if row is not None:
            ends[row] = left + wide
            axes.text(left, top * (1.55 - 0.11 * row), said, fontsize=7, color=QUIET, va="center", bbox=_PAPER)


def limits(run: Context, page: Page, *facts: Fact) -> Chart:
    """What the newest runs of functions that ran into a limit took and used, as a share of the limit that is deployed.

    `facts` are those that the page was made from.
    """
    rows = page.near

    def paint(axes: Axes) -> None:
        bars = [(_of_run(r), 100 * (r["seen"] or 0) / r["limit"], _against(r), r["_hit"]) for r in rows]
        _bars(axes, bars, 100, "limit", room=1.6, fontsize=8)
        axes.plot([], [], "s", color=BAD, label="stopped by it")
        axes.plot([], [], "s", color=GOOD, label="not stopped")
        axes.set_xlabel("% of the limit that is deployed")

    blind = next((f for f in facts if f.gaps), facts[0])
    title = "Newest runs and their limits"
    return _chart(title, blind, rows, paint, empty="nothing ran into a limit", height=1 + 0.25 * len(rows), left=0.34)


def _of_run(row: Row) -> str:
    return f"{row['function']}, {row['what']}" + (f", {row['run']:%a %H:%M}" if row["run"] else "")


def _against(row: Row) -> str:
    seen = "not told" if row["seen"] is None else f"{row['seen']:,.0f}"
    return f" {seen} of {row['limit']:,} {row['unit']}{' by params' * (row['limit by'] == 'params')}: {row['ended']}"


def backups(run: Context, tables: Fact, snapshots: Fact) -> Chart:
    """The age of each table's newest snapshot in hours; a table without one has no bar and says so."""
    newest: dict[str, Any] = {}
    for row in snapshots.rows:
        newest.setdefault(row["table"], row["taken"])
    old = {table: (run.moment.at - taken) / timedelta(hours=1) for table, taken in newest.items()}
    rows = [{"table": r["table"], "hours old": old.get(r["table"])} for r in tables.rows]

    def paint(axes: Axes) -> None:
        bars = []
        for r in rows:
            age = r["hours old"] or 0
            said = " no snapshot" if r["hours old"] is None else f" {age:.0f} h"
            bars.append((r["table"], age, said, round(age) > 24))
        _bars(axes, bars, 24, "one day")
        axes.set_xlabel("age of the newest snapshot, hours")

    if snapshots.gaps or snapshots.absent:
        return _chart("Backups", snapshots, [], paint, empty="there is no backup dataset")
    return _chart("Backups", tables, rows, paint, height=1 + 0.25 * len(rows), left=0.23)


def _bars(
    axes: Axes, bars: Iterable[tuple[str, float, str, bool]], limit: float, label: str, room: float = 1.15, **text: Any
) -> None:
    """Bars to the right, the first at the top, and their limit. Each has a name, a length, what stands at its end, and
    whether it is bad; `room` is for what stands there."""
    names, lengths, said, bad = zip(*bars, strict=True)
    drawn = axes.barh(range(len(names)), lengths, color=[BAD if one else GOOD for one in bad])
    axes.set_yticks(range(len(names)), names)
    axes.bar_label(drawn, said, **text)
    axes.axvline(limit, color=LINE, linestyle="--", linewidth=1, label=label)
    axes.set_xlim(0, max([*lengths, limit]) * room)
    axes.invert_yaxis()


def _chart(
    title: str,
    fact: Fact,
    rows: Sequence[Row],
    paint: Callable[[Axes], None],
    empty: str = "no rows to plot",
    height: float = 2.9,
    left: float = 0.07,
) -> Chart:
    if not rows:
        return Chart(title, rows, why="could not be seen" if fact.gaps else empty)
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # Margins are set and the canvas prints itself: a layout engine and savefig would each draw everything once more.
    figure = Figure(figsize=(8.5, height), dpi=100)
    axes = figure.add_subplot()
    figure.subplots_adjust(left=left, right=0.985, top=1 - 0.32 / height, bottom=0.55 / height)
    paint(axes)
    axes.set_title(title + (" (incomplete)" if fact.gaps else ""), loc="left", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    axes.legend(fontsize=8, frameon=False, loc="lower right", bbox_to_anchor=(1, 1), ncols=5, borderaxespad=0)
    png = BytesIO()
    FigureCanvasAgg(figure).print_png(png, metadata={"Software": None})
    return Chart(title, rows, png.getvalue())
