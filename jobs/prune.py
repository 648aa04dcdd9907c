"""What is forgotten: messages that were done a month ago, nonces, sessions and links that nobody can use any more."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Final

from sqlalchemy.orm import Session

from domain import api_keys, outbox, referrals, sessions
from jobs.process import Process, current

KEEP_MESSAGES: Final = timedelta(days=30)
KEEP_NONCES: Final = timedelta(hours=1)
"""A signature is good for five minutes either way; after that its nonce protects nothing."""
KEEP_SESSIONS: Final = timedelta(days=1)
"""After they have expired: a sign-in that is opened again is refused at once meanwhile."""


def prune() -> int:
    """RQ's way in: how many rows were forgotten."""
    return prune_all(current())


def prune_all(process: Process) -> int:
    """In small transactions, until nothing is old enough."""
    now = process.context.clock.now()
    forgetting: tuple[Callable[[Session], int], ...] = (
        lambda session: outbox.prune(session, now - KEEP_MESSAGES),
        lambda session: api_keys.prune_nonces(session, now - KEEP_NONCES),
        lambda session: sessions.prune(session, now - KEEP_SESSIONS),
        lambda session: referrals.prune(session, now - referrals.WAITS),
    )
    return sum(_until_none(process, forget) for forget in forgetting)


def _until_none(process: Process, forget: Callable[[Session], int]) -> int:
    forgotten = 0
    while not process.stopping.is_set():
        count = process.context.database.transact(forget)
        if count == 0:
            break
        forgotten += count
    return forgotten
