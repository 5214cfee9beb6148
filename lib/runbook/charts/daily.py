"""Charts of the daily check, and of what a change would affect."""

from collections import Counter
from datetime import timedelta

from runbook.charts.base import BAD, GOOD, LINE, PHONE, QUIET, Axes, Chart, chart, draw_bars
from runbook.context import Context
from runbook.model import Fact
from runbook.model.rows import EtlDay


def etl_week(run: Context, week: Fact) -> Chart:
    """Successful and failed runs for each of the team's last seven days; a day without runs is a bar of height zero.

    Today's bar is hatched: the day is not over.
    """
    seen = {r.date: r for r in week.rows}
    days = [run.moment.today - timedelta(days=n) for n in range(6, -1, -1)]
    none = EtlDay(run.moment.today, 0, 0)
    rows = [{**seen.get(d, none).shown, "date": d, "": "today so far" * (d == days[-1])} for d in days]

    def paint(axes: Axes) -> None:
        labels = [f"{r['date']:%a %d %b}\n{r['']}" for r in rows]
        good, bad = [r["success"] for r in rows], [r["failed"] for r in rows]
        worked = axes.bar(labels, good, color=GOOD, label="success")
        failed = axes.bar(labels, bad, bottom=good, color=BAD, label="failed")
        for bars in (worked, failed):
            bars[-1].set(hatch="///", edgecolor="white", alpha=0.6)
        ok_from = run.settings.thresholds.etl_runs.ok_from
        axes.axhline(ok_from, color=LINE, linestyle="--", linewidth=1, label=f"ok from {ok_from:g} successful")
        axes.set(ylabel="runs per day", ylim=(0, 1.1 * max(ok_from, *(r["success"] + r["failed"] for r in rows))))

    return chart("ETL runs per day, last 7 days", week, rows, paint)


def errors(run: Context, seen: Fact) -> Chart:
    """The system's errors per hour over the last 24 h; titled as the newest 1,000 when there may be more.

    No threshold is drawn, and the title says why: the limit applies to 24 h, and its hourly share is less than one
    error.
    """
    first = run.moment.ago(24)
    ours = [r for r in seen.rows if r.ours]
    counts = Counter(int((r.at - first) / timedelta(hours=1)) for r in ours)
    start = [first + timedelta(hours=n) for n in range(24)]
    rows = [{"hour from": run.moment.local(t), "errors": counts[n]} for n, t in enumerate(start)]

    def paint(axes: Axes) -> None:
        axes.bar(range(24), [r["errors"] for r in rows], width=0.9, align="edge", color=BAD)
        axes.set_xticks(range(0, 24, 3), [f"{run.moment.local(start[n]):%a %H:%M}" for n in range(0, 24, 3)])
        labels = {"xlabel": f"hour beginning ({run.settings.time_zone})", "ylabel": "errors per hour"}
        axes.set(**labels, ylim=(0, 1.1 * max(counts.values())))
        axes.yaxis.get_major_locator().set_params(integer=True)
        axes.plot([], [], " ", label=f"{len(ours):,} in total")

    title = f"Errors per hour, newest {len(seen.rows):,}" if seen.more else "Errors per hour, last 24 h"
    title += f" (alert above {run.settings.thresholds.errors.alert_above:,} in total; there is no hourly limit)"
    return chart(title, seen, [r for r in rows if r["errors"]], paint, empty="no errors in the last 24 h")


def scores(run: Context, seen: Fact) -> Chart:
    """Scored accounts for each of the newest seven score dates, with the team's today marked."""
    rows = sorted(seen.rows, key=lambda r: r.score_date)

    def paint(axes: Axes) -> None:
        days = [(r.score_date - run.moment.today).days for r in rows]
        axes.bar(days, [r.accounts for r in rows], width=0.7, color=QUIET)
        shown = range(min([*days, -6]), 1)
        axes.set_xticks(shown, [f"{run.moment.today + timedelta(days=d):%a %d %b}" for d in shown])
        oldest = -run.settings.thresholds.scores.warn_days
        axes.axvline(oldest - 0.5, color=LINE, linestyle="--", linewidth=1, label="newest left of this: alert")
        axes.set_ylabel("accounts scored")

    return chart("Account scores by date", seen, [r.shown for r in rows], paint)


def freshness(run: Context, seen: Fact) -> Chart:
    """The age of each table's newest row as a percentage of the table's limit."""
    limits = {t.name: t.limit_hours for t in run.settings.tables.freshness}
    ages = ((r.table_name, r.minutes_stale) for r in seen.rows if r.minutes_stale is not None)
    rows = [{"table": name, "hours stale": minutes / 60, "limit h": limits[name]} for name, minutes in ages]

    def paint(axes: Axes) -> None:
        names = [f"{r['table']} (limit {r['limit h']:g} h)" for r in rows]
        shares = [100 * r["hours stale"] / r["limit h"] for r in rows]
        said = [f" {r['hours stale']:.1f} h" for r in rows]
        draw_bars(axes, zip(names, shares, said, [s > 100 for s in shares], strict=True), 100, "limit", above=True)
        axes.set_xlabel("age of the newest row, % of the table's limit")

    return chart("Data freshness", seen, rows, paint, height=1.3 + 0.36 * len(rows), left=0.03, width=PHONE)


def revisions(run: Context, seen: Fact, logged: Fact) -> Chart:
    """Errors of the last 24 h by the revision that logged them, oldest revision first; the serving one is marked."""
    counts = Counter(r.revision for r in logged.rows)
    oldest_first = sorted(seen.rows, key=lambda r: r.created)
    rows = [{"revision": r.revision, "traffic %": r.traffic, "errors": counts[r.revision]} for r in oldest_first]

    def paint(axes: Axes) -> None:
        names = [r["revision"] + " (serves)" * bool(r["traffic %"]) for r in rows]
        bars = axes.barh(names, [r["errors"] for r in rows], color=[BAD if r["traffic %"] else QUIET for r in rows])
        axes.bar_label(bars, [f" {r['errors']}" for r in rows])
        axes.set(xlabel="errors in 24 h", xlim=(0, max([r["errors"] for r in rows] + [1]) * 1.15))
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.plot([], [], " ", label="newest at the top")

    # Without the log, bars of zero would mean that there were no errors.
    fact, shown = (logged, []) if logged.gaps else (seen, rows)
    return chart("Errors by revision, last 24 h", fact, shown, paint, left=0.42, width=PHONE)


def backups(run: Context, tables: Fact, snapshots: Fact) -> Chart:
    """The age of each table's newest snapshot in hours; a table without a snapshot has no bar, only a label."""
    old = {r.table: (run.moment.at - r.taken) / timedelta(hours=1) for r in reversed(snapshots.rows)}  # newest last
    rows = [{"table": r.table, "hours old": old.get(r.table)} for r in tables.rows]

    def paint(axes: Axes) -> None:
        said = [" no snapshot" if r["hours old"] is None else f" {r['hours old']:.0f} h" for r in rows]
        ages = [(r["table"], r["hours old"] or 0) for r in rows]
        bars = [(name, age, label, round(age) > 24) for (name, age), label in zip(ages, said, strict=True)]
        draw_bars(axes, bars, 24, "one day", above=True)
        axes.set_xlabel("age of the newest snapshot, hours")

    if snapshots.gaps or snapshots.absent:
        return chart("Backups", snapshots, [], paint, empty="there is no backup dataset")
    return chart("Backups", tables, rows, paint, height=1.3 + 0.36 * len(rows), left=0.03, width=PHONE)
