"""The clock that a demonstration and tests move through a file."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from clock import Clock
from tests.support.servers import set_clock


def test_two_changes_within_one_step_of_the_file_system_s_time_are_both_seen(
    tmp_path: Path,
) -> None:
    file = tmp_path / "clock.json"
    clock = Clock(file=file)
    for days in (1, 2):
        set_clock(file, timedelta(days=days).total_seconds())
        os.utime(file, ns=(1, 1))
        assert clock.now() - datetime.now(UTC) > timedelta(days=days, seconds=-1)
