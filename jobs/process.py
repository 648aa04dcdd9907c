"""What a worker process holds. Jobs are called by RQ without arguments of ours, so they find it here."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Event
from typing import Final

import redis

from context import Context
from domain import accounts
from domain.accounts import OpenAccount
from domain.errors import NotFound
from jobs.queues import Errand, others_wait, ring

SENDERS: Final = 48
"""Connections of one worker to WeChat: at 50 ms an answer they could do 960 messages a second, which is about what one
Python process can (0.8 to 0.9 ms of its processor for each)."""


@dataclass(frozen=True)
class Process:
    """One worker. `stopping` is set when it has been asked to end: whoever loops looks at it."""

    context: Context
    queue_redis: redis.Redis
    stopping: Event = field(default_factory=Event)
    senders: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(SENDERS, thread_name_prefix="sender")
    )

    def account(self, account_id: int) -> OpenAccount:
        """The account with its secrets, as it is now. Raises `NotFound`, `secrets.Unreadable`."""
        return self.context.database.read(
            lambda session: accounts.unseal(
                accounts.get_by_id(session, account_id), self.context.keyring
            )
        )

    def leave_room(self, errand: Errand) -> bool:
        """Whether another job waits behind this one. Then this one gets in line again, and should return."""
        if not others_wait(errand.queue, self.queue_redis):
            return False
        ring(errand, self.queue_redis)
        return True


class _Here:
    process: Process | None = None


def begin(process: Process) -> None:
    """From now on the jobs of this operating-system process work with `process`."""
    _Here.process = process


def current() -> Process:
    """What `begin` was told."""
    if _Here.process is None:
        raise NotFound("no worker runs in this process")
    return _Here.process
