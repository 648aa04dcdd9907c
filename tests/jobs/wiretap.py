"""A wire between a worker and the platform that sees whose process each connection belongs to, and can hold answers."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit


class Wiretap:
    """Passes bytes on. `senders`: path → ids of processes that asked for it. `hold`: no answers get back."""

    def __init__(self, url: str) -> None:
        self._target = (urlsplit(url).hostname or "", urlsplit(url).port or 80)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.senders: dict[str, set[int]] = {}
        self.held = 0
        self._held_path: str | None = None
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = [self._listener]
        threading.Thread(target=self._accept, daemon=True).start()

    def hold(self, path: str | None) -> None:
        """From now on answers to this path are kept back for ever."""
        self._held_path = path

    def close(self) -> None:
        for each in self._sockets:
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                near, peer = self._listener.accept()
            except OSError:
                return  # closed
            far = socket.create_connection(self._target)
            self._sockets += [near, far]
            owner = _owner_of(peer[1], self._listener.getsockname()[1])
            conversation = _Conversation(self, near, far, owner)
            threading.Thread(target=conversation.requests, daemon=True).start()
            threading.Thread(target=conversation.answers, daemon=True).start()

    def seen(self, path: str, owner: int) -> bool:
        """Note a request; whether its answer is to be held."""
        with self._lock:
            self.senders.setdefault(path, set()).add(owner)
            holds = path == self._held_path
            self.held += holds
            return holds


class _Conversation:
    def __init__(self, tap: Wiretap, near: socket.socket, far: socket.socket, owner: int) -> None:
        self._tap, self._near, self._far, self._owner = tap, near, far, owner
        self._holding = False

    def requests(self) -> None:
        for data in _chunks(self._near):
            words = data.split(b" ", 2)
            if words[0] in (b"GET", b"POST"):
                self._holding = self._tap.seen(urlsplit(words[1].decode()).path, self._owner)
            _send(self._far, data)

    def answers(self) -> None:
        for data in _chunks(self._far):
            if not self._holding:
                _send(self._near, data)


def _chunks(source: socket.socket) -> Generator[bytes]:
    while True:
        try:
            data = source.recv(65536)
        except OSError:
            return
        if not data:
            return
        yield data


def _send(target: socket.socket, data: bytes) -> None:
    try:
        target.sendall(data)
    except OSError:
        return  # it has gone; so will the other side


@contextmanager
def tapping(url: str) -> Generator[Wiretap]:
    tap = Wiretap(url)
    try:
        yield tap
    finally:
        tap.close()


def _owner_of(port: int, server_port: int) -> int:
    """The process that holds the client's end of a connection, as the kernel tells: 0 when it has gone."""
    inode = _inode_of(port, server_port)
    for folder in Path("/proc").glob("[0-9]*/fd"):
        try:
            for link in folder.iterdir():
                if os.readlink(link) == f"socket:[{inode}]":
                    return int(folder.parent.name)
        except OSError:
            continue  # ended meanwhile, or not ours to look into
    return 0


def _inode_of(port: int, server_port: int) -> str:
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1].endswith(f":{port:04X}") and fields[2].endswith(f":{server_port:04X}"):
            return fields[9]
    return ""
