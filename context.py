"""What every process of Banyan holds: settings, database, keys, clock, Redis and one platform client per account."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from threading import Lock

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from clock import Clock
from config import Settings
from domain.accounts import OpenAccount
from domain.db import Database
from domain.secrets import Keyring
from wechat.client import PlatformClient

CALLBACK_LOCK_SECONDS = 1
CALLBACK_STATEMENT_SECONDS = 2


@dataclass(frozen=True)
class Context:
    """Built once per process by `open_context`; the doors get it from app.py or from their own start."""

    settings: Settings
    database: Database
    callback_database: Database
    keyring: Keyring
    clock: Clock
    _clients: dict[tuple[str, str], PlatformClient] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    @cached_property
    def redis(self) -> redis.Redis:
        """Redis for requests: 0.3 s and no second try; redis-py's own patience is a minute."""
        return redis.Redis.from_url(
            self.settings.redis_url,
            socket_timeout=0.3,
            socket_connect_timeout=0.3,
            retry=Retry(NoBackoff(), 0),
        )

    def platform(self, account: OpenAccount) -> PlatformClient:
        """The account's client of WeChat; one per process, threads share it, a changed secret makes a new one."""
        key = (account.app_id, account.app_secret)
        with self._lock:
            if key not in self._clients:
                hosts = self.settings.wechat
                self._clients[key] = PlatformClient(
                    account.app_id,
                    lambda: account.app_secret,
                    store=self.redis,
                    api_base=hosts.api_base,
                    mp_base=hosts.mp_base,
                    open_base=hosts.open_base,
                    clock=self.clock.now,
                )
            return self._clients[key]

    def close(self) -> None:
        """Give connections back: at the end of a process, before a fork."""
        self.database.dispose()
        self.callback_database.dispose()


def open_context(settings: Settings) -> Context:
    """Open everything; nothing is connected until it is used."""
    settings.data.dir.mkdir(parents=True, exist_ok=True)
    database = Database(settings.database_url)
    callback = Database(
        settings.database_url,
        lock_wait_seconds=CALLBACK_LOCK_SECONDS,
        statement_seconds=CALLBACK_STATEMENT_SECONDS,
        pool_size=settings.server.threads,
    )
    return Context(
        settings,
        database,
        callback,
        Keyring(settings.secrets.master_key),
        Clock(callback, settings.demo.clock_file),  # its statements give up before WeChat does
    )
