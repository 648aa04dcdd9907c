"""Who sent this callback, and when: the two checks in front of everything else.

https://developers.weixin.qq.com/doc/service/guide/dev/push/

The signature covers neither the body nor `echostr`, and never expires by itself: check `is_signed`
and `is_fresh` both, and in safe mode pass the `Encrypt` field.
"""

from __future__ import annotations

import hashlib
import hmac
from datetime import datetime

FRESH_SECONDS = 300
_LONGEST_TIMESTAMP = 12


def signature(token: str, timestamp: str, nonce: str, encrypted: str | None = None) -> str:
    """Hex SHA-1 over the sorted, joined values; with `encrypted` it is the `msg_signature` of safe
    mode.
    """
    values = (
        [token, timestamp, nonce] if encrypted is None else [token, timestamp, nonce, encrypted]
    )
    # "replace", because a stranger's query may hold anything, and a wrong signature is the right
    # answer to it.
    return hashlib.sha1(
        "".join(sorted(values)).encode("utf-8", "replace"), usedforsecurity=False
    ).hexdigest()


def is_signed(
    given: str, token: str, timestamp: str, nonce: str, encrypted: str | None = None
) -> bool:
    """Whether `given` is the signature of these values, compared in constant time."""
    # Bytes, because compare_digest raises on text that is not ASCII, and `given` is whatever a
    # stranger typed.
    return hmac.compare_digest(
        given.encode("utf-8", "replace"), signature(token, timestamp, nonce, encrypted).encode()
    )


def is_fresh(timestamp: str, now: datetime) -> bool:
    """Whether `timestamp` (Unix seconds, as text from the query) lies within `FRESH_SECONDS` of `now` (aware)."""
    if not (timestamp.isascii() and timestamp.isdigit()) or len(timestamp) > _LONGEST_TIMESTAMP:
        return False
    return abs(now.timestamp() - int(timestamp)) <= FRESH_SECONDS
