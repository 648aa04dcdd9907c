"""The clock that a demonstration and tests move through a file."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path

import pytest

from clock import Clock
from domain.db import Database
from tests.support.databases import Schemas
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


class _NextMonth(datetime):
    """What a machine's clock says after somebody set it wrong."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> _NextMonth:
        return super().now(tz) + timedelta(days=30)


def test_a_machine_whose_clock_is_set_forward_settles_nothing_early(
    schemas: Schemas, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even in the minute until the database's time is measured again."""
    database = Database(schemas.live("mariadb"))
    clock = Clock(database)
    before = clock.now()
    assert abs(before - datetime.now(UTC)) < timedelta(minutes=1)
    monkeypatch.setattr("clock.datetime", _NextMonth)
    assert timedelta() < clock.now() - before < timedelta(minutes=1)
    database.dispose()
