"""What it takes to apply a plan, by the settings: who signs, from when, for how long."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from runbook.config.schema import Window
from runbook.model.errors import Refused
from runbook.model.operations import Rule
from runbook.records.plans import PlanFile, Terms, clock, utc_text

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def terms_of(rule: Rule, requester: str, opening: datetime, incident: str = "") -> Terms:
    """The terms of a plan whose operation has this rule in the settings. `opening`: see `opens`."""
    fixed = {name: getattr(rule, name) for name in ("risk", "signers", "window", "valid_hours", "alone_in_p1")}
    return Terms(**fixed, not_before=utc_text(opening), requester=requester, incident=incident)


def opens(window: Window | None, now: datetime, zone: ZoneInfo) -> datetime:
    """`now` inside a preferred window, or where there is none; else when the window opens next. All in UTC.

    A window that ends before it starts ends on the next day. Raises Refused for one that never opens.
    """
    if window is None:
        return now
    for offset in range(-1, 15):  # two weeks, because a change of the clocks can swallow an opening
        day = now.astimezone(zone).date() + timedelta(days=offset)
        start = _at(day, window.start, zone)
        end = _at(day + timedelta(days=window.end <= window.start), window.end, zone)
        if _DAYS[day.weekday()] in window.days and start < end and now < end:
            return max(start, now)
    raise Refused("the preferred window of this operation never opens", next="mend `windows` in its params file.")


def _at(day: date, text: str, zone: ZoneInfo) -> datetime:
    hour, minute = map(int, text.split(":"))  # 24:00 is the next day's midnight
    return (datetime.combine(day, time(), zone) + timedelta(hours=hour, minutes=minute)).astimezone(UTC)


def current_terms(file: PlanFile, rule: Rule) -> Terms:
    """The terms of a plan file, as the settings have them now."""
    return terms_of(rule, file.terms.requester, clock(file.terms.not_before), file.terms.incident)
