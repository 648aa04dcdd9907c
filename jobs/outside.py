"""Requests to addresses that others name: webhooks, alerts, pictures of members. Never to a private address unless the
operator allows it, never along a redirect, never for long.

The name is looked up once and the connection goes to the very address that was checked, so that a name which changes
its mind in between leads nowhere.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

import urllib3
from certifi import where
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

CONNECT_SECONDS: Final = 3.0
READ_SECONDS: Final = 8.0
TOTAL_SECONDS: Final = 20.0
"""Of a whole answer: the time-out of a socket begins anew with every byte."""


class Unreachable(Exception):
    """No answer: the message says why, without the address's path or query."""


class Declined(Unreachable):
    """An answer that will be the same next time: there is no such thing, or it is too long."""


@dataclass(frozen=True, slots=True)
class Answered:
    """The status of an answer, and how long it took in milliseconds."""

    status: int
    took_ms: int


def post(url: str, body: bytes, headers: Mapping[str, str], *, private: bool) -> Answered:
    """POST `body` as JSON. `private`: addresses of this machine and of private networks are allowed. Raises
    `Unreachable`."""
    headers = {**headers, "Content-Type": "application/json; charset=utf-8"}
    # A shop may say as much as it likes; nobody listens.
    status, _, took_ms = _asked("POST", url, 0, private, headers, body)
    return Answered(status, took_ms)


def get(url: str, *, most_bytes: int, private: bool) -> bytes:
    """What stands at an address, when it answers 200 with at most `most_bytes`. `private` as for `post`. Raises
    `Unreachable`, `Declined`."""
    status, content, _ = _asked("GET", url, most_bytes + 1, private, {})
    if status != 200:
        kind = Declined if 400 <= status < 500 else Unreachable
        raise kind(f"answered {status}")
    if len(content) > most_bytes:
        raise Declined("the answer is too long")
    return content


def _asked(
    method: str, url: str, read_bytes: int, private: bool, headers: Mapping[str, str], body: bytes | None = None
) -> tuple[int, bytes, int]:  # fmt: skip
    """(status, the first `read_bytes` of the answer, milliseconds without the look-up of the name)."""
    try:
        parts = urlsplit(url)
        address = _resolve(parts, private)
    except ValueError as error:  # brackets that do not match, a port that is none
        raise Declined("not an address") from error
    began = time.monotonic()
    with _pool(parts, address) as pool:
        try:
            answer = pool.urlopen(
                method, f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}", body=body,
                headers={**headers, "Host": parts.netloc}, redirect=False, retries=False, preload_content=False,
            )  # fmt: skip
            # As it came: what a few bytes unpack to has no bound.
            content = answer.read(read_bytes, decode_content=False) if read_bytes else b""
            answer.close()
        except HTTPError as error:
            raise Unreachable(type(error).__name__) from error
    took = time.monotonic() - began
    if read_bytes and took >= TOTAL_SECONDS:
        raise Unreachable("the answer does not end")
    return answer.status, content, round(took * 1000)


def _resolve(parts: SplitResult, private: bool) -> str:
    try:
        found = socket.getaddrinfo(parts.hostname, _port(parts), type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Unreachable("the name cannot be looked up") from error
    addresses = [str(info[4][0]) for info in found]
    if not private and not all(_is_public(each) for each in addresses):
        raise Unreachable("the address is a private one")
    return addresses[0]


def _is_public(address: str) -> bool:
    one = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(one, ipaddress.IPv6Address):
        if one.ipv4_mapped is None and (one.is_reserved or one.is_site_local):
            return False  # NAT64 and its like, behind which is any IPv4 address
        one = one.ipv4_mapped or one.sixtofour or one
    return one.is_global and not one.is_multicast


def _port(parts: SplitResult) -> int:
    return parts.port or (443 if parts.scheme == "https" else 80)


class _Plain(HTTPConnection):
    """A connection that gives `lines` a second handle of its socket: TLS takes the first one over."""

    def __init__(self, *args: Any, lines: list[socket.socket], **more: Any) -> None:
        super().__init__(*args, **more)
        self._lines = lines

    def _new_conn(self) -> socket.socket:
        made = super()._new_conn()
        self._lines.append(made.dup())
        return made


class _Secure(_Plain, HTTPSConnection):
    """The same under TLS."""


@contextmanager
def _pool(parts: SplitResult, address: str) -> Generator[urllib3.HTTPConnectionPool]:
    """For one request. What is still open after `TOTAL_SECONDS` is hung up on."""
    lines: list[socket.socket] = []
    common: dict[str, Any] = {
        "timeout": urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS), "maxsize": 1, "lines": lines,
    }  # fmt: skip
    made: urllib3.HTTPConnectionPool
    if parts.scheme == "http":
        made = urllib3.HTTPConnectionPool(address, _port(parts), **common)
        made.ConnectionCls = _Plain
    else:
        made = urllib3.HTTPSConnectionPool(
            address, _port(parts), cert_reqs="CERT_REQUIRED", ca_certs=where(), server_hostname=parts.hostname,
            assert_hostname=parts.hostname, **common,
        )  # fmt: skip
        made.ConnectionCls = _Secure
    timer = threading.Timer(TOTAL_SECONDS, _hang_up, [lines])
    timer.daemon = True
    timer.start()
    try:
        with made as pool:
            yield pool
    finally:
        timer.cancel()
        for line in lines:
            line.close()


def _hang_up(lines: Sequence[socket.socket]) -> None:
    for line in lines:
        with suppress(OSError):  # it ended at this moment
            line.shutdown(socket.SHUT_RDWR)
