"""Where the merchant's systems hear of what happened, and how each delivery went."""

from __future__ import annotations

from sqlalchemy import Boolean, Index, Integer, String, UniqueConstraint, true
from sqlalchemy.orm import Mapped, mapped_column

from domain.models.base import (
    At,
    Base,
    Id,
    Json,
    Key64,
    Key128,
    MaybeAt,
    MaybeName,
    MaybeSealed,
    Ref,
    Sealed,
    Word,
)


class Webhook(Base):
    """An address of the merchant's that is told of events. `events` is a JSON list of names, empty for all.

    Secrets are sealed with the place `webhook/<public_key>/secret`; after a rotation the one before signs as well until
    `previous_until`.
    """

    __tablename__ = "webhook"
    __table_args__ = (UniqueConstraint("public_key"), Index(None, "account_id"))
    id: Mapped[Id]
    account_id: Mapped[Ref]
    url: Mapped[str] = mapped_column(String(500))
    events: Mapped[Json]
    public_key: Mapped[Key64]
    secret: Mapped[Sealed]
    previous_secret: Mapped[MaybeSealed]
    previous_until: Mapped[MaybeAt]
    active: Mapped[bool] = mapped_column(Boolean(create_constraint=False), server_default=true())
    created_at: Mapped[At]


class WebhookAttempt(Base):
    """One try to deliver one event: the log that a merchant reads. `status` is HTTP's, null without an answer."""

    __tablename__ = "webhook_attempt"
    __table_args__ = (
        Index(None, "webhook_id", "id"),  # the log of one address, newest first
        Index(None, "at", "id"),  # pruning
    )
    id: Mapped[Id]
    webhook_id: Mapped[Ref]
    outbox_id: Mapped[Ref]
    event: Mapped[Word]
    delivery_key: Mapped[Key128]
    at: Mapped[At]
    status: Mapped[int | None] = mapped_column(Integer)
    took_ms: Mapped[int] = mapped_column(Integer)
    error: Mapped[MaybeName]
