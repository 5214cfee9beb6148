"""Charts of what a change would affect."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING

from runbook.charts.base import BAD, QUIET, Chart, chart, draw_bars
from runbook.model.facts import Fact

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from runbook.context import Context


def revisions(run: Context, seen: Fact, logged: Fact) -> Chart:
    """Errors of the last 24 h by the revision that logged them, oldest revision first; the serving one is marked."""
    counts = Counter(r.revision for r in logged.rows)
    oldest_first = sorted(seen.rows, key=lambda r: r.created)
    rows = [{"revision": r.revision, "traffic %": r.traffic, "errors": counts[r.revision]} for r in oldest_first]

    def paint(axes: Axes) -> None:
        names = [f"{r['revision']}{' (serves)' if r['traffic %'] else ''}" for r in rows]
        bars = axes.barh(names, [r["errors"] for r in rows], color=[BAD if r["traffic %"] else QUIET for r in rows])
        axes.bar_label(bars, [f" {r['errors']}" for r in rows])
        axes.set_xlabel("errors in 24 h")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set_xlim(0, max([r["errors"] for r in rows] + [1]) * 1.15)
        axes.plot([], [], " ", label="newest at the top")

    # Without the log, bars of zero would mean that there were no errors.
    fact, shown = (logged, []) if logged.gaps else (seen, rows)
    return chart("Errors by revision, last 24 h", fact, shown, paint, left=0.27)


def backups(run: Context, tables: Fact, snapshots: Fact) -> Chart:
    """The age of each table's newest snapshot in hours; a table without a snapshot has no bar, only a label."""
    newest_last = reversed(snapshots.rows)
    old = {r.table: (run.moment.at - r.taken) / timedelta(hours=1) for r in newest_last}
    rows = [{"table": r.table, "hours old": old.get(r.table)} for r in tables.rows]

    def paint(axes: Axes) -> None:
        bars = []
        for r in rows:
            age = r["hours old"] or 0
            said = " no snapshot" if r["hours old"] is None else f" {age:.0f} h"
            bars.append((r["table"], age, said, round(age) > 24))
        draw_bars(axes, bars, 24, "one day")
        axes.set_xlabel("age of the newest snapshot, hours")

    if snapshots.gaps or snapshots.absent:
        return chart("Backups", snapshots, [], paint, empty="there is no backup dataset")
    return chart("Backups", tables, rows, paint, height=1 + 0.25 * len(rows), left=0.23)
