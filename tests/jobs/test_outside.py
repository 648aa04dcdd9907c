"""What comes back from addresses that others name."""

from __future__ import annotations

import gzip
import socket
import threading
from collections.abc import Generator, Iterable
from contextlib import contextmanager

from jobs import outside

HEAD = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"


@contextmanager
def answering(pieces: Iterable[bytes]) -> Generator[str]:
    """A server that answers one request with these pieces, a short while between them, until nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        door.settimeout(20)
        over = threading.Event()

        def serve() -> None:
            caller, _ = door.accept()
            with caller:
                caller.recv(65536)
                for piece in pieces:
                    try:
                        caller.sendall(piece)
                    except OSError:
                        return  # they have hung up
                    if over.wait(0.02):
                        return

        server = threading.Thread(target=serve)
        server.start()
        try:
            yield f"http://127.0.0.1:{door.getsockname()[1]}/alarm"
        finally:
            over.set()
            server.join()


def test_an_answer_is_not_unpacked() -> None:
    """Nobody asked for it to be packed, and a few bytes may unpack to any number."""
    packed = gzip.compress(bytes(100_000_000))
    length = f"Content-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n\r\n".encode()
    with answering([HEAD + length + packed]) as url:
        assert outside.get(url, most_bytes=1_000_000, private=True) == packed
