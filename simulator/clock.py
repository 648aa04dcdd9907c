"""The time the simulator lives in: the machine's, moved by an offset that others may share through a file."""

import json
import os
import threading
import time
from pathlib import Path


class Clock:
    """Seconds since the epoch, plus an offset; the offset lives in `path` when one is given.

    The file holds `{"offset_seconds": n}`. Anybody may write it: it is read again whenever it changes,
    so a server and its simulator agree on the time without asking each other.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._offset = 0.0
        self._stamp: tuple[int, int] | None = None
        self._lock = threading.Lock()

    def now(self) -> float:
        """The simulated time in seconds since the epoch."""
        return time.time() + self.offset

    @property
    def offset(self) -> float:
        """How far the simulated time is ahead of the machine's, in seconds."""
        if self._path is not None:
            self._refresh(self._path)
        return self._offset

    def move_to(self, offset_seconds: float) -> None:
        """Set the offset, and tell everybody who reads the same file."""
        with self._lock:
            self._offset = float(offset_seconds)
            if self._path is not None:
                self._write(self._path)

    def _refresh(self, path: Path) -> None:
        try:
            status = path.stat()
        except FileNotFoundError:
            return
        stamp = (status.st_mtime_ns, status.st_ino)
        if stamp == self._stamp:
            return
        with self._lock:
            try:
                self._offset = float(json.loads(path.read_text("utf-8"))["offset_seconds"])
            except ValueError:  # somebody is in the middle of writing it: next time
                return
            self._stamp = stamp

    def _write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f"{path.name}.{os.getpid()}.new")
        draft.write_text(json.dumps({"offset_seconds": self._offset}), "utf-8")
        draft.replace(path)
