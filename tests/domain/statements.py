"""What the domain really sends to the database: recorded, and explained."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.orm import Session


@dataclass(frozen=True)
class Sent:
    """One statement as the driver got it."""

    text: str
    parameters: Any


@contextmanager
def recorded() -> Generator[list[Sent]]:
    """Every statement of this process while the block runs, on any engine."""
    sent: list[Sent] = []

    def listen(_connection: Any, _cursor: Any, text: str, parameters: Any, *_: Any) -> None:
        sent.append(Sent(text, parameters))

    event.listen(Engine, "before_cursor_execute", listen)
    try:
        yield sent
    finally:
        event.remove(Engine, "before_cursor_execute", listen)


def plan_of(session: Session, sent: Sent) -> list[str]:
    """One line per step: "table by index", or "table SCANNED" where every row is read."""
    connection = session.connection()
    if connection.dialect.name == "sqlite":
        rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sent.text}", sent.parameters)
        return [
            _sqlite_step(row.detail) for row in rows if row.detail.startswith(("SCAN", "SEARCH"))
        ]
    rows = connection.exec_driver_sql(f"EXPLAIN {sent.text}", sent.parameters)
    return [_mariadb_step(row._mapping) for row in rows]


def _sqlite_step(detail: str) -> str:
    words = detail.split()
    if "INDEX" in words:
        by = words[words.index("INDEX") + 1]
    elif "PRIMARY" in words:
        by = "its key"
    else:
        return f"{words[1]} SCANNED"
    # "SCAN t USING INDEX i" reads the whole index, if in its order
    return f"{words[1]} by {by}" if words[0] == "SEARCH" else f"{words[1]} SCANNED by {by}"


def _mariadb_step(row: Any) -> str:
    if row["key"] is None:
        return f"{row['table']} SCANNED" if row["table"] else f"nothing to read: {row['Extra']}"
    whole = "SCANNED " if row["type"] == "index" else ""
    return f"{row['table']} {whole}by {row['key']}"
