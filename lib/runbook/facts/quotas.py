"""Exceeded quotas of Google's APIs, with usage against limit, from Cloud Monitoring (guide: Quota exceeded)."""

import re
from collections import Counter, namedtuple
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from runbook.cloud import CannotRead, Cloud, objects
from runbook.facts.base import Answer, Read, each, fact
from runbook.facts.fields import items, mapping, number, text, time_of
from runbook.model import Moment, table
from runbook.model.rows import Quota

MOST = 5  # quotas whose usage is read: those that were exceeded last
HOURS = 25
_DATA = table(__file__, "quotas.yaml")
_EXCEEDED, *KINDS = _DATA["aligned"]
_LIMIT, _RATE, _HELD = KINDS  # what is read of those that were exceeded
_Point = namedtuple("_Point", "kind metric limit_name location at value")


@fact
def quotas(cloud: Cloud, moment: Moment) -> Read:
    """The quotas that were exceeded in the last 25 hours, the last one first: one request, and three more if any was.

    That there is no row does not say that none was exceeded: some APIs write no quota metrics.
    """
    project = cloud.settings.project
    path = f"v3/projects/{project}/timeSeries"

    times = {"interval.startTime": f"{moment.ago(HOURS):%FT%TZ}", "interval.endTime": f"{moment.at:%FT%TZ}"}

    def query(kind: str, only: Iterable[str] = ()) -> dict[str, Any]:
        names = ", ".join(f'"{name}"' for name in only)
        wanted = _DATA["filter"].format(kind=kind, project=project) + _DATA["only"].format(names=names) * bool(names)
        return {**_DATA["aligned"][kind], "filter": wanted, "pageSize": 50_000, **times}

    def one(kind: str, only: Iterable[str] = ()) -> Answer:
        found = list[_Point]()
        for page in cloud.pages("monitoring", path, **query(kind, only)):
            if items(page, "executionErrors") or items(page, "unreachable"):
                raise CannotRead("Cloud Monitoring says that its answer is incomplete", "repeat this run.")
            found += (_point(kind, s, p) for s in objects(page, "timeSeries") for p in items(s, "points"))
        return Answer([point for point in found if point.at])

    def see() -> Answer:
        hits = sorted((p for p in one(_EXCEEDED).rows if p.value), key=lambda p: p.at, reverse=True)
        keys = list(dict.fromkeys(p[1:4] for p in hits))
        names = sorted({metric for metric, *_ in keys[:MOST]})
        more = each(KINDS if names else (), lambda kind: one(kind, names), "{} of quotas".format)
        rows = [_quota([p for p in hits if p[1:4] == key], list(more.rows)) for key in keys[:MOST]]
        return Answer(rows, len(keys) > MOST, more.gaps)

    line = 'curl -s -H "Authorization: Bearer $(gcloud auth print-access-token)" '
    line += f"'https://monitoring.googleapis.com/{path}?{urlencode(query(_EXCEEDED))}'"
    return Read("quotas", line, see)


def _point(kind: str, series: Any, point: Any) -> _Point:
    """A point with the labels of its series; its value as a whole number (true is one), its time None if unreadable."""
    given = next(iter(mapping(point, "value").values()), 0)
    value = number({"it": int(given) if isinstance(given, bool) else given}, "it")
    return _Point(kind, *(text(series, *at) for at in _DATA["labels"]), time_of(point, "interval", "endTime"), value)


def _quota(hits: Sequence[_Point], known: Sequence[_Point]) -> Quota:
    """A quota from the points at which it was exceeded, newest first, and from the known ones of usage and limits."""
    key, minutes = hits[0][1:4], Counter[datetime]()
    mine = [p for p in known if p[1:4] in (key, (key[0], "", key[2]))]  # usage has no name of a limit
    for point in (p for p in mine if p.kind == _RATE):
        minutes[point.at] += point.value
    held, limit = (max((p.value for p in mine if p.kind == kind), default=None) for kind in (_HELD, _LIMIT))
    used = {"in a minute": max(minutes.values()), "in a day": minutes.total()} if minutes else {"at once": held}
    per = next((per for per in used if re.search(_DATA["periods"][per], key[1], re.IGNORECASE)), "")
    return Quota(*key, used.get(per), limit, per, sum(p.value for p in hits), hits[0].at)
