"""Local times: those that exist once, and those that do not (R15)."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from runbook.model.errors import BadParameter
from runbook.model.moment import Moment, moment_of

CHICAGO, NOW = ZoneInfo("America/Chicago"), datetime(2026, 12, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-11-01T00:59", "2026-11-01T05:59"),
        ("2026-11-01T02:00", "2026-11-01T08:00"),
        ("2026-11-01T01:30-05:00", "2026-11-01T06:30"),
        ("2026-11-01T01:30-06:00", "2026-11-01T07:30"),
        ("2026-11-01T07:30Z", "2026-11-01T07:30"),
        ("2026-03-08T01:59", "2026-03-08T07:59"),
        ("2026-03-08T03:00", "2026-03-08T08:00"),
        ("2026-07-01", "2026-07-01T05:00"),
    ],
)
def test_a_time_that_exists_once(text: str, utc: str) -> None:
    assert f"{moment_of(text, NOW, CHICAGO).at:%FT%H:%M}" == utc


@pytest.mark.parametrize("utc", ["2026-11-01T06:30", "2026-11-01T07:30", "2026-11-01T12:00", "2026-03-08T08:00"])
def test_a_time_as_a_parameter_is_read_again_as_the_same_time(utc: str) -> None:
    when = datetime.fromisoformat(utc).replace(tzinfo=UTC)
    said = Moment(NOW, CHICAGO).parameter(when)
    assert moment_of(said, NOW, CHICAGO).at == when


def test_times_in_the_hour_that_comes_twice_keep_their_order() -> None:
    moment = Moment(NOW, CHICAGO)
    first, second = (moment.local(datetime(2026, 11, 1, hour, 30 - hour, tzinfo=UTC)) for hour in (6, 7))
    assert first < second
    assert (f"{first:%H:%M %Z}", f"{second:%H:%M %Z}") == ("01:24 CDT", "01:23 CST")


@pytest.mark.parametrize("text", ["2026-11-01T01:00", "2026-11-01T01:59:59", "2026-03-08T02:00", "2026-03-08T02:30"])
def test_a_time_that_does_not_exist_or_exists_twice_is_refused(text: str) -> None:
    with pytest.raises(BadParameter) as refusal:
        moment_of(text, NOW, CHICAGO)
    assert "the clocks change then" in str(refusal.value)
    assert "-05:00 or -06:00" in str(refusal.value)
