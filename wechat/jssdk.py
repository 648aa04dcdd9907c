"""JS-SDK: the ticket that pages are signed with, one for all processes, and the signature of an address.

A ticket is asked for early (half of its life), by one process at a time, and kept in Redis beside the access token.
Unlike a token it is never refused by WeChat's servers: only a browser notices a bad one, so its age is all we go by.

https://developers.weixin.qq.com/doc/service/guide/h5/jssdk.html
"""

from __future__ import annotations

import copy
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Final
from urllib.parse import urldefrag

import redis

from wechat.clock import Clock, utc_now
from wechat.errors import Retryable, WeChatError
from wechat.shared import Shared, text
from wechat.tokens import lifetime_seconds

PATH: Final = "/cgi-bin/ticket/getticket"
LOCK_SECONDS: Final = 15
WAIT_SECONDS: Final = 16.0
"""Longer than a lock that nobody gives back."""
POLL_SECONDS: Final = 0.05
SILENCE_SECONDS: Final = 1.0
"""A failure is everybody's answer for so long: a page that needs a ticket may be opened by thousands at once."""
EXTENSION_SECONDS: Final = 30.0
BORROWED_SECONDS: Final = 1.0
"""How long the old one is used before it is looked whether another process has the next."""

_RELEASE: Final = (
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"
)


@dataclass(frozen=True, slots=True)
class Ticket:
    """A jsapi ticket, until when it is used without asking again, and its end (Unix seconds)."""

    value: str = field(repr=False)
    fresh_until: float
    expires_at: float


@dataclass(frozen=True, slots=True)
class JsConfig:
    """What a page hands to wx.config. `timestamp` in Unix seconds."""

    app_id: str
    timestamp: int
    nonce: str
    signature: str


class TicketService:
    """Keeps the jsapi ticket of one account. Thread-safe; any number of processes may run one for the same account.

    `ask` fetches a new one (`{"ticket": …, "expires_in": …}`) and raises WeChatError. Without Redis every process asks
    for itself, which is allowed: WeChat gives everybody the same ticket until it expires.
    """

    def __init__(
        self,
        client: redis.Redis | None,
        app_id: str,
        ask: Callable[[], dict[str, Any]],
        *,
        clock: Clock = utc_now,
    ) -> None:
        self._shared = Shared(client)
        self._ask = ask
        self._clock = clock
        self._key = f"wechat:{{{app_id}}}:jsapi_ticket"
        self._lock = threading.Lock()
        self._memory: Ticket | None = None
        self._failure: tuple[float, WeChatError] | None = None

    def current(self) -> Ticket:
        """The ticket to sign with now; asks WeChat only when nobody holds a fresh one. While another thread or process
        asks, one that has not ended serves on."""
        ticket = self._fresh(self._memory)
        if ticket is None and self._lock.locked():
            ticket = self._old_one()
        return ticket if ticket is not None else self._renewed(time.monotonic())

    def _renewed(self, came_at: float) -> Ticket:
        with self._lock:
            ticket = self._fresh(self._memory) or self._fresh(self._stored())
            if ticket is None:
                self._raise_recent_failure(came_at)
                try:
                    ticket = self._fetched_alone()
                except WeChatError as error:
                    ticket = self._old_one()
                    if ticket is None:
                        self._failure = (time.monotonic(), copy.copy(error))
                        raise
                else:
                    self._failure = None
            self._memory = ticket
            return ticket

    def _raise_recent_failure(self, came_at: float) -> None:
        if self._failure is None:
            return
        at, error = self._failure
        if at >= came_at or time.monotonic() - at < SILENCE_SECONDS:
            raise copy.copy(error) from None

    def _fresh(self, ticket: Ticket | None) -> Ticket | None:
        if ticket is None or self._clock().timestamp() >= ticket.fresh_until:
            return None
        return ticket

    def _old_one(self, seconds: float = EXTENSION_SECONDS) -> Ticket | None:
        """The one we have, so much longer, while there is no other."""
        now, ticket = self._clock().timestamp(), self._memory
        if ticket is None or now >= ticket.expires_at:
            return None
        until = min(now + seconds, ticket.expires_at)
        return Ticket(ticket.value, until, ticket.expires_at)

    def _fetched_alone(self) -> Ticket:
        """Fetch while no other process does; what another fetched in the meantime is as good."""
        owner, key = secrets.token_hex(8), f"{self._key}:lock"
        give_up_at = time.monotonic() + WAIT_SECONDS
        while not self._shared.ask(
            lambda client: client.set(key, owner, nx=True, ex=LOCK_SECONDS), True
        ):
            old = self._old_one(BORROWED_SECONDS)
            if old is not None:
                return old
            if time.monotonic() >= give_up_at:
                break
            time.sleep(POLL_SECONDS)
            ticket = self._fresh(self._stored())
            if ticket is not None:
                return ticket
        try:
            return self._fresh(self._stored()) or self._fetched()
        finally:
            self._shared.ask(lambda client: client.eval(_RELEASE, 1, key, owner), 0)

    def _fetched(self) -> Ticket:
        answer = self._ask()
        value, expires_in = answer.get("ticket"), answer.get("expires_in")
        if not isinstance(value, str) or not value or not isinstance(expires_in, int):
            raise Retryable("the answer holds no ticket", path=PATH)
        now = self._clock().timestamp()
        ticket = Ticket(value, now + lifetime_seconds(expires_in), now + expires_in)
        seconds = max(1, int(ticket.fresh_until - now))
        stored = json.dumps(asdict(ticket))
        self._shared.ask(lambda client: client.set(self._key, stored, ex=seconds), None)
        return ticket

    def _stored(self) -> Ticket | None:
        raw = self._shared.ask(lambda client: client.get(self._key), None)
        if raw is None:
            return None
        try:
            stored = json.loads(text(raw))
            return Ticket(
                str(stored["value"]), float(stored["fresh_until"]), float(stored["expires_at"])
            )
        except (ValueError, TypeError, KeyError):
            return None  # written by another version of this program: as good as nothing


def signature(ticket: str, nonce: str, timestamp: int, url: str) -> str:
    """SHA-1 over the four values in the documented order. `url` is what the address bar shows, letter by letter, but
    without `#` and what follows it: a router of the page changes that part without loading anything."""
    address = urldefrag(url).url
    signed = f"jsapi_ticket={ticket}&noncestr={nonce}&timestamp={timestamp}&url={address}"
    return hashlib.sha1(signed.encode(), usedforsecurity=False).hexdigest()  # WeChat's choice


def config_for(app_id: str, tickets: TicketService, url: str, timestamp: int) -> JsConfig:
    """What the page at `url` hands to wx.config."""
    nonce = secrets.token_hex(8)
    signed = signature(tickets.current().value, nonce, timestamp, url)
    return JsConfig(app_id, timestamp, nonce, signed)
