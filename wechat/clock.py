"""Time as this package takes it in: a function, so that a demonstration or a test can move it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

Clock = Callable[[], datetime]
"""Answers with the present instant, aware."""

# WeChat's day. No daylight saving since 1991, so no zone data is needed.
BEIJING = timezone(timedelta(hours=8))


def utc_now() -> datetime:
    """The machine's time."""
    return datetime.now(UTC)
