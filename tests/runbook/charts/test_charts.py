"""Charts, by what they draw and by their text form; nobody compares pixels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from runbook import charts, checks, facts
from runbook.charts.base import draw_bars
from runbook.facts.base import Ask, observe
from runbook.model.findings import Verdict


@pytest.fixture
def drawn(sandbox: Any) -> Callable[..., tuple[str, Any]]:
    """A function `drawn(chart, ask, world, as_of)` → the text form of that chart, and what was painted."""

    def make(chart: Any, ask: Ask, world: str = "healthy", as_of: str = "") -> tuple[str, Any]:
        cloud, moment = sandbox(world, as_of)
        axes = []

        def keep(canvas: Any, file: Any, **_: Any) -> None:
            axes.append(canvas.figure.axes[0])
            file.write(b"a picture")

        run: Any = SimpleNamespace(settings=cloud.settings, moment=moment)
        with patch.object(FigureCanvasAgg, "print_png", keep):
            shown = chart(run, observe(ask, cloud, moment))
        return shown._repr_mimebundle_()["text/plain"], axes[0] if axes else None

    return make


@pytest.mark.parametrize(
    ("world", "as_of", "today"), [("healthy", "", "11"), ("no_etl", "", "11"), ("healthy", "2026-03-09T12:00", "09")]
)
def test_the_day_that_is_not_over_is_marked(drawn: Any, world: str, as_of: str, today: str) -> None:
    text, axes = drawn(charts.etl_week, facts.etl_week(), world, as_of)
    assert [line[:10] for line in text.splitlines() if line.endswith("today so far")] == [f"2026-03-{today}"]
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert [label for label in labels if "today so far" in label] == labels[-1:]
    for bars in axes.containers:
        assert [bar.get_hatch() for bar in bars] == [None] * 6 + ["///"]


@pytest.mark.parametrize("world", ["healthy", "quiet_morning", "many_errors"])
@pytest.mark.parametrize(("chart", "ask"), [(charts.etl_week, facts.etl_week()), (charts.errors, facts.errors())])
def test_bars_end_below_the_frame(drawn: Any, chart: Any, ask: Ask, world: str) -> None:
    axes = drawn(chart, ask, world)[1]
    tops = [bar.get_y() + bar.get_height() for bars in axes.containers for bar in bars] if axes else []
    assert axes is None or 0 < max(tops) <= axes.get_ylim()[1] / 1.05


@pytest.mark.parametrize("world", ["healthy", "quiet_morning", "many_errors"])
def test_errors_say_why_no_threshold_is_drawn(drawn: Any, world: str) -> None:
    text, axes = drawn(charts.errors, facts.errors(), world)
    assert text.startswith("Errors per hour, last 24 h (alert above 20 in total; there is no hourly limit)")
    assert (axes is None) == (world == "quiet_morning")


@pytest.mark.parametrize(("minutes", "bad"), [(24 * 60 + 29, False), (24 * 60 + 31, True)])
def test_a_backup_is_red_when_the_gate_warns_of_it(sandbox: Any, minutes: int, bad: bool) -> None:
    cloud, moment = sandbox()
    run: Any = SimpleNamespace(settings=cloud.settings, moment=moment)
    tables, snapshots = (observe(ask, cloud, moment) for ask in (facts.tables(), facts.snapshots()))
    aged = tuple(replace(row, taken=moment.at - timedelta(minutes=minutes)) for row in snapshots.rows)
    snapshots = replace(snapshots, rows=aged)
    with patch("runbook.charts.daily.draw_bars", wraps=draw_bars) as bars:
        charts.backups(run, tables, snapshots)
    assert {red for *_, red in bars.call_args.args[1]} == {bad}
    found = checks.safe_to_copy(tables, snapshots, replace(tables, rows=()), cloud.settings, moment)
    assert (found[0].verdict is Verdict.warn) == bad
