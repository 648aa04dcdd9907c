"""Free ports on loopback, different for processes that ask at the same time."""

from __future__ import annotations

import fcntl
import os
import socket
import tempfile
from functools import cache
from pathlib import Path

_given: set[int] = set()


@cache
def _ledger() -> int:
    """One file for all test processes of this user: byte n is locked by the process that was given port n."""
    file = Path(tempfile.gettempdir()) / f"banyan-test-ports-{os.getuid()}"
    return os.open(file, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)


def free_port() -> int:
    """A port that nobody listens on, and that no other test process has been given.

    Asking the system for port 0 and closing it is a race between test processes: the same number may be handed out
    twice before its new owner binds it. So each number is also locked, until this process ends.
    """
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        if port in _given:
            continue
        try:
            fcntl.lockf(_ledger(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
        except BlockingIOError:
            continue
        _given.add(port)
        return port
