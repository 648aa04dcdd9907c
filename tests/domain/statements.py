"""What the domain really sends to the database: recorded, and explained."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import Engine, event
from sqlalchemy.orm import Session

from domain.db import Sql


@dataclass(frozen=True)
class Sent:
    """One statement as the driver got it."""

    text: str
    parameters: Any


@contextmanager
def recorded() -> Generator[list[Sent]]:
    """Every statement of this process while the block runs: SQLAlchemy's, and those that go straight to the driver."""
    sent: list[Sent] = []
    call, among, many = Sql.__call__, Sql.among, Sql.many

    def text_of(statement: Sql, session: Session, values: Sequence[Any] = ()) -> str:
        dialect = session.get_bind().dialect.name
        mark = "?" if dialect == "sqlite" else "%s"
        marks = ",".join([mark] * len(values) or ["NULL"])
        return statement.text_for(dialect).replace(f"({mark}{mark})", f"({marks})")

    def listen(_connection: Any, _cursor: Any, text: str, parameters: Any, *_: Any) -> None:
        sent.append(Sent(text, parameters))

    def _call(self: Sql, session: Session, *params: Any) -> Any:
        sent.append(Sent(text_of(self, session), params))
        return call(self, session, *params)

    def _among(self: Sql, session: Session, params: Sequence[Any], values: Iterable[Any]) -> Any:
        items = list(values)
        sent.append(Sent(text_of(self, session, items), (*params, *items)))
        return among(self, session, params, items)

    def _many(self: Sql, session: Session, rows: Sequence[tuple[Any, ...]]) -> int:
        if rows:
            sent.append(Sent(text_of(self, session), rows[0]))
        return many(self, session, rows)

    event.listen(Engine, "before_cursor_execute", listen)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Sql, "__call__", _call)
        patch.setattr(Sql, "among", _among)
        patch.setattr(Sql, "many", _many)
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
            _sqlite_step(row.detail)
            for row in rows
            if row.detail.startswith(("SCAN", "SEARCH")) and row.detail != "SCAN CONSTANT ROW"
        ]
    rows = connection.exec_driver_sql(f"EXPLAIN {sent.text}", sent.parameters)
    return [_mariadb_step(row._mapping) for row in rows]


def _sqlite_step(detail: str) -> str:
    words = detail.split()
    if "INDEX" in words:
        by = words[words.index("INDEX") + 1]
    elif (
        "PRIMARY" in words or words[0] == "SEARCH"
    ):  # the least and the greatest rowid are searched by nothing else
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
