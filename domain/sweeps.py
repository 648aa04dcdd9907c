"""Where a walk through an account's members stands, kept in the transaction that walks on."""

from __future__ import annotations

from sqlalchemy.orm import Session

from domain.db import Sql
from domain.models import Sweep

# Not INSERT IGNORE, whose shared lock on a row that is there would make two workers at once deadlock.
_OPEN = Sql(
    "INSERT INTO sweep (account_id, task, after_id) VALUES (?, ?, 0) ON DUPLICATE KEY UPDATE after_id = after_id",
    sqlite="INSERT OR IGNORE INTO sweep (account_id, task, after_id) VALUES (?, ?, 0)",
)


def place(session: Session, account_id: int, task: str) -> Sweep:
    """The place of this walk, locked: whoever else walks waits, and goes on from where this transaction stops."""
    _OPEN(session, account_id, task)
    return session.get_one(Sweep, (account_id, task), with_for_update=True)
