"""Signs of life in Redis, for /readyz: `banyan:alive:clock`, `banyan:alive:worker:fast`, …; gone after a minute."""

from __future__ import annotations

import os
import threading
from typing import Final

import redis

EVERY_SECONDS: Final = 15
GONE_AFTER_SECONDS: Final = 60


def say(store: redis.Redis, name: str) -> None:
    """Say that `name` lives; a Redis that is away cannot be told, and that shows in /readyz by itself."""
    try:
        store.set(f"banyan:alive:{name}", os.getpid(), ex=GONE_AFTER_SECONDS)
    except redis.RedisError:
        return


class Pulse:
    """Says it from a thread, because a worker may sit in one job for most of a minute."""

    def __init__(self, store: redis.Redis, name: str) -> None:
        self._store = store
        self._name = name
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="pulse", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._stopped.is_set():
            say(self._store, self._name)
            self._stopped.wait(EVERY_SECONDS)
