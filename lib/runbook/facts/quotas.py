"""Quotas of Google's APIs that were exceeded, with usage against limit (guide: Quota exceeded).

From Cloud Monitoring: https://cloud.google.com/monitoring/alerts/using-quota-metrics names the metrics and the resource,
https://cloud.google.com/monitoring/api/ref_v3/rest/v3/projects.timeSeries/list the request, which takes one metric.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from runbook.cloud.answer import objects
from runbook.cloud.client import Cloud
from runbook.cloud.failures import CannotRead
from runbook.facts.base import Answer, Read, each, fact
from runbook.facts.fields import items, mapping, number, text, time_of
from runbook.model.moment import Moment
from runbook.model.rows import Quota

MOST = 5  # quotas whose usage is read: those that were exceeded last
HOURS = 25  # limits are written once a day
_EXCEEDED, _LIMIT, _RATE, _HELD = "quota/exceeded", "quota/limit", "quota/rate/net_usage", "quota/allocation/usage"
# How the points of so many seconds become one.
_BY = {_EXCEEDED: (3600, "COUNT_TRUE"), _LIMIT: (HOURS * 3600, "MAX"), _RATE: (60, "SUM"), _HELD: (HOURS * 3600, "MAX")}
_Series = tuple[str, str, str, str, list[tuple[datetime, int]]]  # kind, metric, limit's name, location, its points


@fact
def quotas(cloud: Cloud, moment: Moment) -> Read:
    """The quotas that were exceeded in the last 25 hours, the last one first: one request, and three more if any was.

    That there is no row does not say that none was exceeded: some APIs write no quota metrics.
    """
    path = f"v3/projects/{cloud.settings.project}/timeSeries"

    def query(kind: str, only: Iterable[str] = ()) -> dict[str, Any]:
        wanted = f'metric.type="serviceruntime.googleapis.com/{kind}" AND resource.type="consumer_quota"'
        wanted += f' AND resource.labels.project_id="{cloud.settings.project}"'  # others may be in its metrics scope
        if names := ", ".join(f'"{name}"' for name in only):
            wanted += f" AND metric.labels.quota_metric=one_of({names})"
        times = {"interval.startTime": f"{moment.ago(HOURS):%FT%TZ}", "interval.endTime": f"{moment.at:%FT%TZ}"}
        seconds, how = _BY[kind]
        by = {"aggregation.alignmentPeriod": f"{seconds}s", "aggregation.perSeriesAligner": f"ALIGN_{how}"}
        return {"filter": wanted, **times, **by, "pageSize": 50_000}

    def one(kind: str, only: Iterable[str] = ()) -> Answer:
        found = list[_Series]()
        for page in cloud.pages("monitoring", path, **query(kind, only)):
            if items(page, "executionErrors") or items(page, "unreachable"):
                raise CannotRead("Cloud Monitoring says that its answer is incomplete", "run again.")
            found += (_series(kind, s) for s in objects(page, "timeSeries"))
        return Answer(found)

    def see() -> Answer:
        hit = [(s, [at for at, times in s[-1] if times], sum(n for _, n in s[-1])) for s in one(_EXCEEDED).rows]
        newest = sorted((h for h in hit if h[1]), key=lambda h: max(h[1]), reverse=True)
        names = sorted({series[1] for series, *_ in newest[:MOST]})
        more = each((_LIMIT, _RATE, _HELD), lambda kind: one(kind, names), "{} of quotas".format) if names else Answer(())
        known = list(more.rows)
        rows = [Quota(*s[1:4], *_usage(*s[1:4], known), times, max(ats)) for s, ats, times in newest[:MOST]]
        return Answer(rows, len(newest) > MOST, more.gaps)

    line = 'curl -s -H "Authorization: Bearer $(gcloud auth print-access-token)" '
    return Read("quotas", f"{line}'https://monitoring.googleapis.com/{path}?{urlencode(query(_EXCEEDED))}'", see)


def _series(kind: str, found: Any) -> _Series:
    """One time series; a point without a time is left out."""
    labels = (text(found, "metric", "labels", "quota_metric") or "unnamed", text(found, "metric", "labels", "limit_name"))
    points = ((time_of(p, "interval", "endTime"), _value(p)) for p in items(found, "points"))
    return kind, *labels, text(found, "resource", "labels", "location"), [(at, n) for at, n in points if at]


def _value(point: Any) -> int:
    """The value of a point as a whole number: int64 is a text, and true is one."""
    given = next((v for v in mapping(point, "value").values() if v is not None), 0)
    return number({"it": int(given) if isinstance(given, bool) else given}, "it")


def _usage(metric: str, limit_name: str, location: str, known: list[_Series]) -> tuple[int | None, int | None, str]:
    """The most that was used in a period of a limit, the limit, and the period; see `Quota`."""

    def mine(kind: str, name: str = "") -> Iterator[tuple[datetime, int]]:
        found = (s for s in known if s[:2] == (kind, metric) and s[3] == location and (not name or s[2] == name))
        return (point for series in found for point in series[-1])

    limit = max((n for _, n in mine(_LIMIT, limit_name)), default=None)
    name = limit_name.lower()
    minutes, held = Counter[datetime](), max((n for _, n in mine(_HELD)), default=None)
    for at, count in mine(_RATE):
        minutes[at] += count
    if "user" in name or not (minutes or held is not None):
        return None, limit, ""
    if held is not None and not minutes:
        return held, limit, "moment"
    per = next((p for p in ("minute", "day") if re.search(f"per-?{p}", name)), "")
    used = {"minute": max(minutes.values()), "day": minutes.total()}
    return used.get(per), limit, per
