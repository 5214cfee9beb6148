"""The terms for applying a plan, from the settings: who signs, and when an approval is valid."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from runbook.config.schema import Window
from runbook.model.errors import Refused
from runbook.model.operations import Rule
from runbook.records.plans import PlanFile, Terms, clock, utc_text

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def terms_of(rule: Rule, requester: str, opening: datetime, incident: str = "") -> Terms:
    """The terms of a plan whose operation has this rule. `opening` is from `opens`."""
    fixed = {name: getattr(rule, name) for name in ("risk", "signers", "window", "valid_hours", "alone_in_p1")}
    return Terms(**fixed, not_before=utc_text(opening), requester=requester, incident=incident)


def opens(window: Window | None, now: datetime, zone: ZoneInfo) -> datetime:
    """`now` inside a preferred window or without a window; else the next opening. All times in UTC.

    A window whose end is before its start ends on the next day. Raises Refused for a window that never opens.
    """
    if window is None:
        return now
    for offset in range(-1, 15):  # two weeks, because a daylight saving change can remove an opening
        day = now.astimezone(zone).date() + timedelta(days=offset)
        start = _at(day, window.start, zone)
        end = _at(day + timedelta(days=window.end <= window.start), window.end, zone)
        if _DAYS[day.weekday()] in window.days and start < end and now < end:
            return max(start, now)
    raise Refused("the preferred window of this operation never opens", next="fix `windows` in its params file.")


def _at(day: date, text: str, zone: ZoneInfo) -> datetime:
    hour, minute = map(int, text.split(":"))  # 24:00 is the next day's midnight
    return (datetime.combine(day, time(), zone) + timedelta(hours=hour, minutes=minute)).astimezone(UTC)


def current_terms(file: PlanFile, rule: Rule) -> Terms:
    """The terms of a plan file, from the current settings."""
    return terms_of(rule, file.terms.requester, clock(file.terms.not_before), file.terms.incident)
