"""Accounts and the people who run them."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Index,
    Integer,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column

from domain.models.base import (
    At,
    Base,
    Id,
    Json,
    Key64,
    Key128,
    MaybeAt,
    MaybeJson,
    MaybeRef,
    Name,
    Ref,
    Sealed,
    Word,
    ascii_key,
)


class Account(Base):
    """公众号: one official account. Secrets are sealed with the place `account/<id>/<column>`."""

    __tablename__ = "account"
    __table_args__ = (
        UniqueConstraint("slug"),
        UniqueConstraint("app_id"),
        CheckConstraint("mode IN ('plain', 'compatible', 'safe')", name="mode"),
        CheckConstraint("depth BETWEEN 1 AND 3", name="depth"),
    )
    id: Mapped[Id]
    slug: Mapped[Key64]
    name: Mapped[Name]
    app_id: Mapped[Key64]
    gh_id: Mapped[Key64]
    mode: Mapped[Word]
    depth: Mapped[int] = mapped_column(Integer)
    app_secret: Mapped[Sealed]
    token: Mapped[Sealed]
    aes_key: Mapped[Sealed]
    settings: Mapped[Json]
    created_at: Mapped[At]


class ApiKey(Base):
    """A shop's key: belongs to one account; the secret is sealed with the place `api_key/<key>/secret`."""

    __tablename__ = "api_key"
    __table_args__ = (UniqueConstraint("public_key"), Index(None, "account_id"))
    id: Mapped[Id]
    account_id: Mapped[Ref]
    public_key: Mapped[Key64]
    secret: Mapped[Sealed]
    scopes: Mapped[Json]
    addresses: Mapped[MaybeJson]
    expires_at: Mapped[MaybeAt]
    revoked_at: Mapped[MaybeAt]
    created_at: Mapped[At]


class ApiNonce(Base):
    """A nonce that was used: accepted once, whatever happens to Redis. The clock prunes old ones by `at`."""

    __tablename__ = "api_nonce"
    __table_args__ = (Index(None, "at"),)
    api_key_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    nonce: Mapped[str] = mapped_column(ascii_key(64), primary_key=True)
    at: Mapped[At]


class Audit(Base):
    """Who changed what. Append-only."""

    __tablename__ = "audit"
    __table_args__ = (
        Index(None, "account_id", "id"),
        Index(None, "subject", "id"),
        # The console's log: newest first, of a day, by whom, and what.
        Index(None, "account_id", "at"),
        Index(None, "account_id", "actor", "at"),
        Index(None, "account_id", "action", "at"),
    )
    id: Mapped[Id]
    account_id: Mapped[MaybeRef]
    actor: Mapped[Name]
    action: Mapped[Key64]
    subject: Mapped[Key128]
    before: Mapped[MaybeJson]
    after: Mapped[MaybeJson]
    at: Mapped[At]
