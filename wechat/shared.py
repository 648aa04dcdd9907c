"""Redis that may be away: every question has an answer without it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, TypeVar

import redis

T = TypeVar("T")

PAUSE_SECONDS = 2.0

_log = logging.getLogger(__name__)


class Shared:
    """Asks Redis; after a failure leaves it alone for `PAUSE_SECONDS`, so that a hung Redis costs
    one time-out, not one for every call. How long that one is, is set on the client the caller
    passes in.
    """

    def __init__(self, client: redis.Redis | None) -> None:
        self._client = client
        self._away_until = 0.0

    @property
    def configured(self) -> bool:
        """Whether there is a Redis at all (it may still be away)."""
        return self._client is not None

    def ask(self, question: Callable[[Any], T], otherwise: T) -> T:
        """`question(client)`, or `otherwise` while Redis is absent or away.

        The client is handed over untyped: redis-py declares every answer as "value or awaitable".
        """
        if self._client is None or time.monotonic() < self._away_until:
            return otherwise
        try:
            return question(self._client)
        except redis.RedisError as error:
            self._away_until = time.monotonic() + PAUSE_SECONDS
            _log.warning("Redis is away for %s s: %s", PAUSE_SECONDS, type(error).__name__)
            return otherwise


def text(value: Any) -> str:
    """A Redis value as text, whether or not the client decodes responses."""
    return value.decode() if isinstance(value, bytes) else str(value)
