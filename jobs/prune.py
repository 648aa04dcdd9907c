"""What is forgotten: messages that were done a month ago, nonces that nobody can use any more."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from domain import outbox
from jobs.process import Process, current

KEEP_MESSAGES: Final = timedelta(days=30)


def prune() -> int:
    """RQ's way in: how many rows were forgotten."""
    return prune_all(current())


def prune_all(process: Process) -> int:
    """In small transactions, until nothing is old enough."""
    forgotten = 0
    before = process.context.clock.now() - KEEP_MESSAGES
    while not process.stopping.is_set():
        count = process.context.database.transact(lambda session: outbox.prune(session, before))
        if count == 0:
            break
        forgotten += count
    return forgotten
