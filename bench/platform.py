"""A platform that does nothing but take its time: answers every call after `latency`, however many are out at once.

`python bench/platform.py PORT LATENCY_MS`. The simulator knows the rules of WeChat and pays for it with the processor
that the worker needs; here only the worker is measured.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
from typing import Final

_TOKEN: Final = b'{"access_token":"bench-token","expires_in":7200}'
_TEMPLATES: Final = b'{"template_list":[]}'
_HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


class Platform:
    """All connections share one counter of message numbers."""

    def __init__(self, latency_seconds: float) -> None:
        self._latency = latency_seconds
        self._numbers = itertools.count(1)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection: a request, an answer, a request …"""
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(_length(head))
                await asyncio.sleep(self._latency)
                body = self._answer(head)
                writer.write(_HEAD % len(body) + body)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def _answer(self, head: bytes) -> bytes:
        line = head.partition(b"\r\n")[0]
        if b"/stable_token" in line:
            return _TOKEN
        if b"/get_all_private_template" in line:
            return _TEMPLATES
        return b'{"errcode":0,"errmsg":"ok","msgid":%d}' % next(self._numbers)


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


async def main(port: int, latency_ms: float) -> None:
    """Serve on loopback until it is ended."""
    platform = Platform(latency_ms / 1000)
    server = await asyncio.start_server(platform.serve, "127.0.0.1", port, backlog=512)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), float(sys.argv[2])))
