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
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException
from typing import Final
from urllib.parse import SplitResult, quote, urlsplit

from certifi import where
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

CONNECT_SECONDS: Final = 3.0
READ_SECONDS: Final = 8.0
WHOLE_SECONDS: Final = 20.0
"""What is said and answered on a connection: much less than the lease of the row behind it."""
_READ_BYTES: Final = 1024


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
    status, _, took_ms = _asked("POST", url, _READ_BYTES, private, headers, body)
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
    connection, late = _connection(parts, address), threading.Event()
    watch = threading.Timer(WHOLE_SECONDS, lambda: _hang_up(wire, late))
    try:
        connection.connect()
        wire = (
            connection.sock
        )  # the connection itself forgets it when the answer says "Connection: close"
        watch.start()
        connection.timeout = READ_SECONDS
        connection.request(
            method, _target(parts), body=body, headers={**headers, "Host": parts.netloc}, preload_content=False
        )  # fmt: skip
        answer = connection.getresponse()
        # As it came: what a few bytes unpack to has no bound.
        content = answer.read(read_bytes, decode_content=False)
    except (
        HTTPError,
        HTTPException,
        OSError,
        ValueError,
    ) as error:  # a certificate of another name is the last
        raise Unreachable(type(error).__name__) from error
    finally:
        watch.cancel()
        connection.close()
    if late.is_set():
        raise Unreachable("the answer took too long")
    return answer.status, content, round((time.monotonic() - began) * 1000)


def _target(parts: SplitResult) -> str:
    """Path and query; letters that cannot stand there are percent-encoded."""
    query = f"?{parts.query}" if parts.query else ""
    return quote((parts.path or "/") + query, safe="%!$&'()*+,/:;=?@[]~")


def _hang_up(wire: socket.socket, late: threading.Event) -> None:
    """End a call whose answer comes drop by drop: time-outs begin anew with every drop."""
    late.set()
    with suppress(OSError):  # it has just ended
        socket.socket.shutdown(
            wire, socket.SHUT_RDWR
        )  # under TLS, whose own way is not for two threads


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


def _connection(parts: SplitResult, address: str) -> HTTPConnection:
    if parts.scheme == "http":
        return HTTPConnection(address, _port(parts), timeout=CONNECT_SECONDS)
    return HTTPSConnection(
        address, _port(parts), timeout=CONNECT_SECONDS, cert_reqs="CERT_REQUIRED", ca_certs=where(),
        server_hostname=parts.hostname, assert_hostname=parts.hostname,
    )  # fmt: skip
