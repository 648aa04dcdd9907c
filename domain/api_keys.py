"""A shop's keys to the API: each belongs to one account, has scopes, perhaps an expiry and an address list.

The secret is sealed in the database (an HMAC needs it in clear); it is shown once, when the key is made.
"""

from __future__ import annotations

import ipaddress
import json
import secrets
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from domain.db import Sql, changed, is_duplicate, maybe_from_db, to_db, to_json
from domain.errors import Invalid, NotFound
from domain.models import ApiKey
from domain.secrets import Keyring

SCOPES: Final = (
    "orders.read", "orders.write", "products.read", "products.write", "members.read", "members.write",
)  # fmt: skip

_USE = Sql("INSERT INTO api_nonce (api_key_id, nonce, at) VALUES (?, ?, ?)")
_NEWEST_OF_CHUNK = Sql("SELECT at FROM api_nonce WHERE at < ? ORDER BY at LIMIT 1 OFFSET ?")
_PRUNE = Sql("DELETE FROM api_nonce WHERE at <= ? AND at < ?")


@dataclass(frozen=True, slots=True)
class OpenKey:
    """A key with its secret open, for the door. Never logged: its repr shows no secret."""

    id: int
    account_id: int
    public_key: str
    scopes: frozenset[str]
    addresses: tuple[str, ...]
    expires_at: datetime | None
    revoked_at: datetime | None
    secret: str = field(repr=False)

    def has_expired(self, now: datetime) -> bool:
        return self.expires_at is not None and self.expires_at <= now

    def allows_address(self, address: str | None) -> bool:
        """Whether a request may come from here; a key without a list may be used from anywhere."""
        if not self.addresses:
            return True
        try:
            here = ipaddress.ip_address(address or "")
        except ValueError:
            return False
        return any(here in ipaddress.ip_network(network) for network in self.addresses)


def add(
    session: Session,
    keyring: Keyring,
    account_id: int,
    *,
    scopes: Collection[str] = SCOPES,
    addresses: Collection[str] = (),
    expires_at: datetime | None = None,
    now: datetime,
) -> tuple[str, str]:
    """Make a key: its name and its secret, which nobody is shown again. `addresses` are IP addresses or networks.
    Raises `Invalid` for an unknown scope or a bad address."""
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown or not scopes:
        raise Invalid("scopes are some of the known ones", unknown=unknown, scopes=list(SCOPES))
    networks = [_network(one) for one in addresses]
    public_key, secret = f"bk_{secrets.token_hex(12)}", secrets.token_urlsafe(32)
    key = ApiKey(
        account_id=account_id, public_key=public_key, secret=keyring.seal(secret, _place(public_key)),
        scopes=to_json(sorted(scopes)), addresses=to_json(networks) if networks else None,
        expires_at=expires_at, created_at=now,
    )  # fmt: skip
    session.add(key)
    session.flush()
    return public_key, secret


def find(session: Session, keyring: Keyring, public_key: str) -> OpenKey | None:
    """The key of this name, also when it has expired or was revoked."""
    key = session.scalar(select(ApiKey).where(ApiKey.public_key == public_key))
    return None if key is None else _open(key, keyring)


def all_of(session: Session, account_id: int) -> list[ApiKey]:
    """The keys of an account, oldest first."""
    return list(
        session.scalars(select(ApiKey).where(ApiKey.account_id == account_id).order_by(ApiKey.id))
    )


def revoke(session: Session, public_key: str, now: datetime) -> bool:
    """Stop a key for ever; False when it had been revoked already. Raises `NotFound`."""
    key = session.scalar(select(ApiKey).where(ApiKey.public_key == public_key))
    if key is None:
        raise NotFound("no such key", key=public_key)
    query = update(ApiKey).where(ApiKey.id == key.id, ApiKey.revoked_at.is_(None))
    return changed(session.execute(query.values(revoked_at=now))) == 1


def use_nonce(session: Session, key_id: int, nonce: str, now: datetime) -> bool:
    """Take a nonce; False when this key has used it before. The caller commits it before the work begins."""
    try:
        _USE(session, key_id, nonce, to_db(now))
    except IntegrityError as error:
        if is_duplicate(error):
            return False
        raise
    return True


def prune_nonces(session: Session, before: datetime, limit: int = 1000) -> int:
    """Forget about `limit` of the nonces used before this instant, oldest first; how many. Call it until it is 0.

    The timestamps that go with them must be too old to be accepted: at least twice the window of the signature.
    """
    chunk = _NEWEST_OF_CHUNK(session, to_db(before), limit - 1).first()
    newest = None if chunk is None else maybe_from_db(chunk[0])
    return changed(_PRUNE(session, to_db(newest or before), to_db(before)))


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text, strict=False))
    except ValueError:
        raise Invalid("not an IP address or network", address=text) from None


def _place(public_key: str) -> str:
    return f"api_key/{public_key}/secret"


def _open(key: ApiKey, keyring: Keyring) -> OpenKey:
    return OpenKey(
        key.id, key.account_id, key.public_key, frozenset(json.loads(key.scopes)),
        tuple(json.loads(key.addresses)) if key.addresses else (), key.expires_at, key.revoked_at,
        keyring.open(key.secret, _place(key.public_key)),
    )  # fmt: skip
