"""What is forgotten: messages done and webhooks tried a month ago; nonces, sessions, links and uploads of no use."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Final

from sqlalchemy.orm import Session

from domain import api_keys, campaigns, intake, outbox, referrals, webhooks
from domain import sessions as web_sessions
from domain.china import month_of
from domain.staff import lockout, sessions
from jobs.process import Process, current

KEEP_MESSAGES: Final = timedelta(days=30)
KEEP_MONTHS: Final = timedelta(days=62)
"""How many mass messages somebody was sent in a month matters in that month only."""
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
    month = month_of(now - KEEP_MONTHS)
    forgetting: tuple[Callable[[Session], int], ...] = (
        lambda session: outbox.prune(session, now - KEEP_MESSAGES),
        lambda session: webhooks.prune_log(session, now - KEEP_MESSAGES),
        lambda session: api_keys.prune_nonces(session, now - KEEP_NONCES),
        lambda session: campaigns.prune_months(session, month),
        lambda session: sessions.prune(session, now),
        lambda session: lockout.prune(session, now),
        lambda session: web_sessions.prune(session, now - KEEP_SESSIONS),
        lambda session: intake.prune(session, now - intake.KEPT),
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
