"""Which entries of a book time or a notice may still change: looking at all of them would take ever longer."""

import threading
from collections.abc import Iterable


class Watch:
    """A set of keys that several threads add to and drop from."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._keys = set(keys)
        self._lock = threading.Lock()

    def add(self, key: str) -> None:
        """Look at this entry from now on."""
        with self._lock:
            self._keys.add(key)

    def drop(self, key: str) -> None:
        """Look at it no more."""
        with self._lock:
            self._keys.discard(key)

    def all(self) -> list[str]:
        """The keys at this moment."""
        with self._lock:
            return list(self._keys)
