"""A merchant's days and months are China's: one time zone, no summer time."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, timezone
from typing import Final

CHINA: Final = timezone(timedelta(hours=8))


def day_of(at: datetime) -> date:
    """China's date of an instant."""
    return at.astimezone(CHINA).date()


def month_of(at: datetime) -> int:
    """China's month of an instant as a number: 202603."""
    return int(f"{day_of(at):%Y%m}")


def begin_of(day: date) -> datetime:
    """The first instant of a day, in UTC."""
    return datetime.combine(day, time(), CHINA).astimezone(UTC)


def bounds(day: date) -> tuple[datetime, datetime]:
    """First instant of a day and of the next one, in UTC."""
    return begin_of(day), begin_of(day + timedelta(days=1))
