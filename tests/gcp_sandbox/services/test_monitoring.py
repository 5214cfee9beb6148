"""Cloud Monitoring: the quota metrics that a world has, aligned as documented, and a refusal of everything else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import requests

import gcp_sandbox
from gcp_sandbox.inprocess import InProcess
from runbook.config.load import load_settings

WORLD = """like: healthy
about: Two quotas.
quotas:
  - {metric: bigquery.googleapis.com/quota/query/usage, limit_name: QueryUsagePerDay, limit: 1000, used: 7, since: 90m}
  - {metric: run.googleapis.com/cpu, limit_name: Cpu, location: us-central1, limit: 200, used: 199, held: true}
"""
TYPE = "serviceruntime.googleapis.com/"
URL = "https://monitoring.googleapis.com/v3/projects/acme-sales-sandbox/timeSeries"
TIMES = {"interval.startTime": "2026-03-10T12:30:00Z", "interval.endTime": "2026-03-11T13:30:00Z"}


@pytest.fixture
def ask(tmp_path: Path) -> Any:
    world = tmp_path / "world.yaml"
    world.write_text(WORLD)
    session = requests.Session()
    session.mount("https://", InProcess(gcp_sandbox.app(load_settings("sandbox").inventory(), str(world))))

    def get(kind: str, more: str = "", seconds: int = 0, aligner: str = "", **other: Any) -> requests.Response:
        wanted = f'metric.type="{TYPE}{kind}" AND resource.type="consumer_quota"{more}'
        by = {"aggregation.alignmentPeriod": f"{seconds}s", "aggregation.perSeriesAligner": aligner} if aligner else {}
        return session.get(URL, params={"filter": wanted, **TIMES, **by, **other})

    return get


def points(answer: requests.Response) -> list[list[Any]]:
    found = answer.json().get("timeSeries", [])
    return [[next(iter(p["value"].values())) for p in series["points"]] for series in found]


@pytest.mark.parametrize(
    ("kind", "seconds", "aligner", "expected"),
    [
        ("quota/exceeded", 3600, "ALIGN_COUNT_TRUE", [["60", "30"], ["40"]]),
        ("quota/limit", 90000, "ALIGN_MAX", [["1000"], ["200"]]),
        ("quota/allocation/usage", 90000, "ALIGN_MAX", [["199"]]),
        ("quota/rate/net_usage", 3600, "ALIGN_SUM", [["420", "210"]]),
    ],
)
def test_a_metric(ask: Any, kind: str, seconds: int, aligner: str, expected: list[list[str]]) -> None:
    assert points(ask(kind, "", seconds, aligner)) == expected


def test_points_as_they_are(ask: Any) -> None:
    first, second = points(ask("quota/exceeded"))
    assert (first, len(second)) == ([True] * 90, 40)


def test_a_filter_by_name_and_by_project(ask: Any) -> None:
    only = ' AND metric.labels.quota_metric=one_of("run.googleapis.com/cpu")'
    assert points(ask("quota/limit", only)) == [["200"]]
    assert points(ask("quota/limit", ' AND resource.labels.project_id="other"')) == []


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"kind": "api/request_count"}, 501),
        ({"kind": "quota/limit", "more": " AND x=1"}, 501),
        ({"kind": "quota/limit", "seconds": 60, "aligner": "ALIGN_MEAN"}, 501),
        ({"kind": "quota/limit", "aggregation.crossSeriesReducer": "REDUCE_SUM"}, 501),
        ({"kind": "quota/limit", "seconds": 5, "aligner": "ALIGN_MAX"}, 400),
        ({"kind": "quota/limit", "interval.endTime": "noon"}, 400),
    ],
)
def test_what_it_does_not_know_is_refused(ask: Any, given: dict[str, Any], code: int) -> None:
    assert ask(**given).status_code == code
