"""Things that are done again and again, each at its own interval."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Tick:
    """Something to do every so many seconds. It must be harmless twice, and short: the others wait for it."""

    name: str
    seconds: float
    do: Callable[[], object]


class Ticker:
    """Does ticks when they are due, one after another, until told to stop."""

    def __init__(self, ticks: Sequence[Tick], stopping: threading.Event) -> None:
        self._due = [(tick, float("-inf")) for tick in ticks]
        self._stopping = stopping

    def run(self) -> None:
        """Until `stopping`. A tick that fails is done again at its next time, like any other."""
        while not self._stopping.is_set():
            now = time.monotonic()
            self._due = [
                (tick, now + tick.seconds if at <= now and self._done(tick) else at)
                for tick, at in self._due
            ]
            next_at = min((at for _tick, at in self._due), default=now + 1)
            self._stopping.wait(max(0.01, next_at - time.monotonic()))

    @staticmethod
    def _done(tick: Tick) -> bool:
        try:
            tick.do()
        except Exception as error:
            # The database, Redis, a bug in one tick: the clock goes on, because everything waits for it.
            _log.warning("%s: %s: %s", tick.name, type(error).__name__, error)
        return True
