"""Free ports on loopback, different for processes that ask at the same time."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import tempfile
from pathlib import Path

_held: list[int] = []


def free_port() -> int:
    """A port that nobody listens on, and that no other test process has been given.

    Asking the system for port 0 and closing it is a race between test processes: the same number may be handed out
    twice before its new owner binds it. So each number is also taken with a lock file, until this process ends.
    """
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        handle = os.open(
            Path(tempfile.gettempdir()) / f"banyan-port-{port}", os.O_CREAT | os.O_RDWR, 0o666
        )
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _held.append(handle)
            return port
        os.close(handle)
