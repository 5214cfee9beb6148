"""The moment that a run looks at, and the team's day around it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from runbook.model.errors import BadParameter


@dataclass(frozen=True)
class Moment:
    """`at` in UTC; `zone` the team's; `past` when a run looks back (`as_of`), so that what keeps no past is a gap."""

    at: datetime
    zone: ZoneInfo
    past: bool = False

    @property
    def today(self) -> date:
        """The team's date at this moment."""
        return self.at.astimezone(self.zone).date()

    def midnight(self, days_ago: int = 0) -> datetime:
        """When the team's day began that lies `days_ago` back, in UTC; a day may have 23 or 25 hours."""
        start = datetime.combine(self.today - timedelta(days=days_ago), time(), self.zone)
        return start.astimezone(UTC)

    def ago(self, hours: float) -> datetime:
        """`hours` before this moment, in UTC."""
        return self.at - timedelta(hours=hours)

    def local(self, when: datetime) -> datetime:
        """A time in the team's zone, as people read it."""
        return when.astimezone(self.zone)


def moment_of(as_of: str, now: datetime, zone: ZoneInfo, name: str = "as_of") -> Moment:
    """`now`, or `as_of` (ISO 8601; without an offset it is the team's time). Raises BadParameter, which says `name`."""
    if not as_of:
        return Moment(now, zone)
    try:
        at = datetime.fromisoformat(as_of)
        at = (at if at.tzinfo else at.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise BadParameter(
            f"{name}={as_of}", "is no ISO 8601 time", next="write it as 2026-03-10T08:30, in the team's time."
        ) from None
    if at > now:
        raise BadParameter(
            f"{name}={as_of}", f"lies in the future; the cloud's clock says {now:%FT%TZ}", next="look back."
        )
    return Moment(at, zone, past=True)
