"""Waiting for something that another process does: ask again until it is so, with a deadline. Never just sleep."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(ask: Callable[[], T], seconds: float = 30.0, *, what: str = "") -> T:
    """The first true answer of `ask`. Fails the test after `seconds`, and says `what` was awaited."""
    give_up = time.monotonic() + seconds
    while not (answer := ask()):
        if time.monotonic() > give_up:
            raise AssertionError(f"not within {seconds} s: {what or ask}")
        time.sleep(0.01)
    return answer
