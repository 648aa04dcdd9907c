"""Column types by which migrations are written. Never change one: old migrations must keep their meaning."""

from __future__ import annotations

from typing import Any

from sqlalchemy import DateTime, String
from sqlalchemy.dialects import mysql


def ascii_key(length: int) -> Any:
    """A key of `length` ASCII characters, compared by bytes on every engine."""
    return String(length).with_variant(
        mysql.VARCHAR(length, charset="ascii", collation="ascii_bin"), "mysql", "mariadb"
    )


def instant() -> Any:
    """An instant in UTC with microseconds."""
    return DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
