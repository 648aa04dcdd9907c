"""The one clock of the doors. Production: the database's time, so that no machine settles early or steals a lease.

Demo and tests: a file {"offset_seconds": n}, shared with the simulator, moves the time of all processes at once.
"""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from domain.db import Database

MEASURE_EVERY_SECONDS = 60
STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Goes on evenly whatever the machine's clock is set to, on Linux also while the machine sleeps."""
_BOOT = datetime(1970, 1, 1, tzinfo=UTC)


class Clock:
    """`now()` is an aware instant. Costs no query: the distance to the database's clock is measured once a minute."""

    def __init__(self, database: Database | None = None, file: Path | None = None) -> None:
        self._database = None if database is None or database.is_sqlite else database
        self._file = file
        self._is_steady = self._database is not None and file is None
        self._offset = datetime.now(UTC) - self._ticks() if self._is_steady else timedelta()
        self._measured_at = float("-inf")
        self._read = (-1, -1)

    def now(self) -> datetime:
        """The present instant, UTC."""
        if self._file is not None:
            self._read_file(self._file)
        elif (
            self._database is not None
            and time.monotonic() - self._measured_at > MEASURE_EVERY_SECONDS
        ):
            self._measure(self._database)
        return self._ticks() + self._offset

    def _ticks(self) -> datetime:
        """What the distance is counted from: the time since boot, or the machine's clock where nothing is measured."""
        if not self._is_steady:
            return datetime.now(UTC)
        return _BOOT + timedelta(seconds=time.clock_gettime(STEADY))

    def _measure(self, database: Database) -> None:
        self._measured_at = time.monotonic()
        before = self._ticks()
        try:
            theirs: datetime = database.read(
                lambda session: session.scalars(text("SELECT UTC_TIMESTAMP(6)")).one()
            )
        except DBAPIError:
            return  # the callback must tell the time while the database is away; the last distance holds
        after = self._ticks()
        self._offset = theirs.replace(tzinfo=UTC) - (before + (after - before) / 2)

    def _read_file(self, file: Path) -> None:
        try:
            status = file.stat()
        except FileNotFoundError:
            self._offset = timedelta()
            return
        # Two changes may bear one time: a file system's time goes on in steps of some milliseconds.
        version = (status.st_mtime_ns, status.st_ino)
        if version != self._read:
            self._offset = timedelta(seconds=json.loads(file.read_text())["offset_seconds"])
            self._read = version
