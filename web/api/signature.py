"""Who calls: the signature of a request, the key behind it, and what that key may do.

X-Banyan-Signature = hex HMAC-SHA256(secret, METHOD \\n PATH?QUERY \\n TIMESTAMP \\n NONCE \\n sha256hex(body))
"""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar, cast
from urllib.parse import quote

import redis
from flask import current_app, g, request

from context import Context
from domain import accounts, api_keys
from domain.accounts import OpenAccount
from domain.api_keys import OpenKey
from web import clients
from web.current import context
from web.errors import Refusal

WINDOW_SECONDS: Final = 300
KEPT_SECONDS: Final = 3
"""How long a process remembers a key and its account: a revoked key works no longer than that."""
MAX_BODY_BYTES: Final = 4 * 1024 * 1024
RATE_SECONDS: Final = 10
RATE_REQUESTS: Final = 2000
"""Requests of one key in `RATE_SECONDS`. A shop in a loop is stopped; one with more orders than this sends batches."""

_KEY = re.compile(r"[0-9A-Za-z_]{1,64}")
_NONCE = re.compile(r"[!-~]{1,64}")
_TIMESTAMP = re.compile(r"[0-9]{1,12}")

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Caller:
    """A shop whose signature was right."""

    key: OpenKey
    account: OpenAccount


class Callers:
    """The keys that this process has seen in the last seconds, with their accounts."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._known: dict[str, tuple[float, Caller | None]] = {}

    def find(self, public_key: str) -> Caller | None:
        """The caller of this key, from memory for `KEPT_SECONDS`."""
        if not _KEY.fullmatch(public_key):
            return None
        until, caller = self._known.get(public_key, (0.0, None))
        if time.monotonic() >= until:
            caller = self._look_up(public_key)
            if caller is None:
                return None  # not remembered: a stranger could fill the memory with inventions
            self._known[public_key] = (time.monotonic() + KEPT_SECONDS, caller)
        return caller

    def _look_up(self, public_key: str) -> Caller | None:
        keyring = self._context.keyring
        with self._context.database.reading() as session:
            key = api_keys.find(session, keyring, public_key)
            if key is None:
                return None
            account = accounts.get_by_id(session, key.account_id)
            return Caller(key, accounts.unseal(account, keyring))


def caller() -> Caller:
    """Who makes the present request."""
    return cast(Caller, g.caller)


_scopes: dict[str, str] = {}


def needs(scope: str) -> Callable[[F], F]:
    """Say which scope a view asks for. A view that does not say is refused to everybody."""

    def note(view: F) -> F:
        _scopes[view.__name__] = scope
        return view

    return note


def check_signature() -> None:
    """Before every view of the API: know the caller, or refuse with 401, 403, 413 or 429."""
    request.max_content_length = MAX_BODY_BYTES
    timestamp, nonce = _header("Timestamp"), _header("Nonce")
    public_key, signature = _header("Key"), _header("Signature")
    if not _TIMESTAMP.fullmatch(timestamp) or not _NONCE.fullmatch(nonce):
        raise Refusal(
            401, "bad_signature_headers",
            "X-Banyan-Timestamp is in seconds and X-Banyan-Nonce has 1 to 64 visible ASCII characters",
        )  # fmt: skip
    found = current_app.extensions["banyan_api_callers"].find(public_key)
    secret = found.key.secret if found else "no such key, but the time it takes is the same"
    if not _is_signed(secret, timestamp, nonce, signature) or found is None:
        raise Refusal(401, "bad_signature", "the key is unknown or the signature is wrong")
    _check_key(found.key, int(timestamp))
    _check_rate(found.key)
    now = context().clock.now()
    if not context().database.transact(
        lambda session: api_keys.use_nonce(session, found.key.id, nonce, now)
    ):
        raise Refusal(401, "nonce_used", "this nonce was used before: sign every request anew")
    g.caller = found


def _header(name: str) -> str:
    value = request.headers.get(f"X-Banyan-{name}", "")
    if not value:
        raise Refusal(401, "not_signed", f"the header X-Banyan-{name} is missing")
    return value


def _is_signed(secret: str, timestamp: str, nonce: str, signature: str) -> bool:
    """Whether the signature is that of this request, compared in constant time."""
    digest = hashlib.sha256(request.get_data(cache=True)).hexdigest()
    given = signature.lower().encode()
    query = request.query_string.decode("latin-1")
    right = False
    for path in _spellings(request.path):
        target = f"{path}?{query}" if query else path
        text = "\n".join([request.method, target, timestamp, nonce, digest])
        made = hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()
        right |= hmac.compare_digest(made.encode(), given)
    return right


def _spellings(path: str) -> set[str]:
    """How the client may have written the path. WSGI hands it on decoded, and `|` or `:` in an order number may be
    sent as they are or percent-encoded; every spelling here means the same resource. A decoded `?` or `%` may not stand
    as it is: it would read like a query, or like another letter, that somebody signed."""
    plain = set() if {"?", "%"} & set(path) else {path}
    return plain | {quote(path, safe="/:@!$&'()*+,;=~"), quote(path, safe="/")}


def _check_key(key: OpenKey, timestamp: int) -> None:
    """After the signature, so that only its owner learns what is wrong with a key."""
    now = context().clock.now()
    if abs(now.timestamp() - timestamp) > WINDOW_SECONDS:
        raise Refusal(
            401, "stale_timestamp", f"the timestamp is more than {WINDOW_SECONDS} s away from our clock",
            server_time=int(now.timestamp()),
        )  # fmt: skip
    if key.revoked_at is not None:
        raise Refusal(401, "key_revoked", "this key was revoked")
    if key.has_expired(now):
        raise Refusal(401, "key_expired", "this key has expired")
    if not key.allows_address(clients.address()):
        raise Refusal(
            403, "address_refused", "this key may not be used from here", address=clients.address()
        )
    scope = _scopes[(request.endpoint or "").rpartition(".")[2]]
    if scope not in key.scopes:
        raise Refusal(403, "scope_missing", f"this key lacks the scope {scope}", scope=scope)


def _check_rate(key: OpenKey) -> None:
    """A counter in Redis for each key and ten seconds. Without Redis nobody is refused: orders matter more."""
    second = int(context().clock.now().timestamp())
    name = f"banyan:api-rate:{key.id}:{second // RATE_SECONDS}"
    try:
        with context().redis.pipeline(transaction=False) as pipe:
            pipe.incr(name)
            pipe.expire(name, 2 * RATE_SECONDS)
            used = int(pipe.execute()[0])
    except redis.RedisError as error:
        current_app.logger.warning("rates are not counted: %s", error)
        return
    if used > RATE_REQUESTS:
        raise Refusal(
            429, "too_many_requests", f"more than {RATE_REQUESTS} requests in {RATE_SECONDS} s",
            retry_after=RATE_SECONDS - second % RATE_SECONDS,
        )  # fmt: skip
