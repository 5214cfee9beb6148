"""The moment that a run examines, and the team's day around it."""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, timezone, tzinfo

from runbook.model.errors import BadParameter


@dataclass(frozen=True)
class Moment:
    """A time `at` in UTC, and the team's `zone`.

    `past` is true if the run examines an earlier time (`as_of`). Sources without a history are then gaps.
    """

    at: datetime
    zone: tzinfo
    past: bool = False

    # The team's date at this moment.
    today = property(lambda self: self.at.astimezone(self.zone).date())

    def midnight(self, days_ago: int = 0) -> datetime:
        """The start of the team's day, `days_ago` days back, in UTC. A day may have 23 or 25 hours."""
        return datetime.combine(self.today - timedelta(days=days_ago), time(), self.zone).astimezone(UTC)

    def ago(self, hours: float) -> datetime:
        """`hours` before this moment, in UTC."""
        return self.at - timedelta(hours=hours)

    def local(self, when: datetime) -> datetime:
        """A time in the team's zone. Its offset is fixed: times of one zone are compared without their offsets, which
        is wrong in the hour that comes twice."""
        there = when.astimezone(self.zone)
        return there.replace(tzinfo=timezone(there.utcoffset() or timedelta(), there.tzname() or ""))

    def parameter(self, when: datetime) -> str:
        """A time as the value of a parameter: the team's time, with an offset in the hour that comes twice."""
        there = when.astimezone(self.zone)
        once = there.utcoffset() == there.replace(fold=1 - there.fold).utcoffset()
        return there.strftime("%Y-%m-%dT%H:%M") if once else there.isoformat(timespec="minutes")


def moment_of(as_of: str, now: datetime, zone: tzinfo, name: str = "as_of") -> Moment:
    """`now`, or `as_of` if given: ISO 8601, in the team's time unless it has an offset.

    Raises BadParameter, with the parameter's `name`, for a time that is not valid, not unique, or in the future.
    """
    if not as_of:
        return Moment(now, zone)
    at = time_of(as_of, zone, name)
    if at > now:
        why = f"is in the future; the cloud's clock says {now:%FT%TZ}"
        raise BadParameter(f"{name}={as_of}", why, next="use a time in the past.")
    return Moment(at, zone, past=True)


def time_of(text: str, zone: tzinfo, name: str) -> datetime:
    """A time in UTC, from ISO 8601 in the team's time unless it has an offset.

    Raises BadParameter, with the parameter's `name`, for a time that is not valid or not unique.
    """
    try:
        given = datetime.fromisoformat(text)
        at = (given if given.tzinfo else given.replace(tzinfo=zone)).astimezone(UTC)
        ways = set() if given.tzinfo else {given.replace(tzinfo=zone, fold=n).isoformat()[-6:] for n in (0, 1)}
    except (ValueError, OverflowError):
        why, hint = "is not a valid time, such as 2026-03-10T09:00", "use that format, in the team's time."
        raise BadParameter(f"{name}={text}", why, next=hint) from None
    if len(ways) > 1:  # the clocks are set forward or back then
        why = f"does not exist or exists twice in {zone}: the clocks change then"
        raise BadParameter(f"{name}={text}", why, next=f"add the offset: {' or '.join(sorted(ways))}.")
    return at
