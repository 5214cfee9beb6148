"""Cloud Monitoring v3: the quota metrics of the project, from the world's `quotas`; no others are known.

The metrics and their labels: https://cloud.google.com/monitoring/alerts/using-quota-metrics. One answer of
`quota/exceeded` is recorded (tests/real/series_exceeded.json); how points are aligned is as documented
(https://cloud.google.com/monitoring/api/ref_v3/rest/v3/projects.alertPolicies#Aligner).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from gcp_sandbox.http import ApiError, Call, route
from gcp_sandbox.state import State
from gcp_sandbox.wire import page, stamp
from gcp_sandbox.world.schema import Quota

_FILTER = re.compile(
    r'metric\.type="serviceruntime\.googleapis\.com/(?P<kind>[a-z_/]+)" AND resource\.type="consumer_quota"'
    r'( AND resource\.labels\.project_id="(?P<project>[^"]+)")?'
    r"( AND metric\.labels\.quota_metric=one_of\((?P<names>[^)]*)\))?"
)
# The kind and type of a metric, which aligner it is asked with, and the type that this gives.
_KINDS = {
    "quota/exceeded": ("GAUGE", "BOOL", "ALIGN_COUNT_TRUE", "INT64"),
    "quota/limit": ("GAUGE", "INT64", "ALIGN_MAX", "INT64"),
    "quota/allocation/usage": ("GAUGE", "INT64", "ALIGN_MAX", "INT64"),
    "quota/rate/net_usage": ("DELTA", "INT64", "ALIGN_SUM", "INT64"),
}
_MINUTE = timedelta(minutes=1)


@route("monitoring", "GET", "/v3/projects/{project}/timeSeries", "monitoring.timeSeries.list")
def list_time_series(sandbox: State, call: Call, **_: str) -> dict:
    """The series that match a filter for one metric, newest point first; without an aligner, every point."""
    asked = _FILTER.fullmatch(call.args.get("filter", ""))
    if not asked or asked["kind"] not in _KINDS:
        raise ApiError(501, "UNIMPLEMENTED", "gcp_sandbox knows only filters for one quota metric of consumer_quota")
    kind, how = asked["kind"], call.args.get("aggregation.perSeriesAligner", "ALIGN_NONE")
    form, raw, known, aligned = _KINDS[kind]
    if how not in ("ALIGN_NONE", known) or any(key.startswith("aggregation.c") for key in call.args):
        raise ApiError(501, "UNIMPLEMENTED", f"gcp_sandbox aligns {kind} only by {known}, and reduces nothing")
    start, end = (_time(call, key) for key in ("interval.startTime", "interval.endTime"))
    period = _period(call) if how == known else timedelta(0)
    names = re.findall(r'"([^"]+)"', asked["names"] or "")
    here = asked["project"] in (None, sandbox.inventory.project)
    found = []
    for quota in (q for q in sandbox.world.quotas if here and (not names or q.metric in names) and _has(kind, q)):
        points = [(at, n) for at, n in _points(kind, quota, sandbox.world.now) if start < at <= end]
        if shown := list(_aligned(points, start, end, period, how) if period else ((at, at, n) for at, n in points)):
            value = "boolValue" if (raw, how) == ("BOOL", "ALIGN_NONE") else "int64Value"
            labels = {"quota_metric": quota.metric} | ({} if "usage" in kind else {"limit_name": quota.limit_name})
            about = {"project_id": sandbox.inventory.project, "service": quota.metric.split("/")[0]}
            found.append(
                {
                    "metric": {"type": f"serviceruntime.googleapis.com/{kind}", "labels": labels},
                    "resource": {"type": "consumer_quota", "labels": {**about, "location": quota.location}},
                    "metricKind": form if how == "ALIGN_NONE" else "GAUGE",
                    "valueType": raw if how == "ALIGN_NONE" else aligned,
                    "points": [_point(a, b, {value: bool(n) if value == "boolValue" else str(n)}) for a, b, n in shown],
                }
            )
    return page(Call(call.method, call.host, call.path), "timeSeries", found, 100_000)


def _has(kind: str, quota: Quota) -> bool:
    return kind not in ("quota/allocation/usage", "quota/rate/net_usage") or quota.held == ("allocation" in kind)


def _points(kind: str, quota: Quota, now: datetime) -> Iterator[tuple[datetime, int]]:
    """Every point of a metric, newest first: of the minutes in which the quota was exceeded; a limit has one a day."""
    if kind == "quota/limit":
        yield from ((now - timedelta(hours=hours), quota.limit) for hours in (2, 26))
        return
    at = now
    while at > now - quota.since:
        yield at, 1 if kind == "quota/exceeded" else quota.used
        at -= _MINUTE


def _aligned(
    points: list[tuple[datetime, int]], start: datetime, end: datetime, period: timedelta, how: str
) -> Iterator[tuple[datetime, datetime, int]]:
    """One point for each period that has any, newest first, counted back from the end of the interval."""
    made = {"ALIGN_COUNT_TRUE": sum, "ALIGN_SUM": sum, "ALIGN_MAX": max}[how]
    while end > start:
        if inside := [n for at, n in points if end - period < at <= end]:
            yield end - period, end, made(inside)
        end -= period


def _point(start: datetime, end: datetime, value: dict[str, Any]) -> dict[str, Any]:
    return {"interval": {"startTime": stamp(start, 0), "endTime": stamp(end, 0)}, "value": value}


def _time(call: Call, name: str) -> datetime:
    try:
        return datetime.fromisoformat(call.args.get(name, ""))
    except ValueError:
        raise ApiError(400, "INVALID_ARGUMENT", f"Field {name} had an invalid value.") from None


def _period(call: Call) -> timedelta:
    given = re.fullmatch(r"(\d+)s", call.args.get("aggregation.alignmentPeriod", ""))
    if not given or int(given[1]) < 60:
        raise ApiError(400, "INVALID_ARGUMENT", "Field aggregation.alignmentPeriod had an invalid value: at least 60s.")
    return timedelta(seconds=int(given[1]))
