"""What is told, and what leaves."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from domain.models.base import (
    At,
    Base,
    Count,
    Id,
    Json,
    Key64,
    Key128,
    MaybeAt,
    MaybeJson,
    MaybeKey64,
    MaybeName,
    MaybeRef,
    Ref,
    Word,
    ascii_key,
)


class Notice(Base):
    """What a member should be told; the inbox of the chat. A message about it is an `outbox` row."""

    __tablename__ = "notice"
    __table_args__ = (UniqueConstraint("notice_key"), Index(None, "member_id", "id"))
    id: Mapped[Id]
    account_id: Mapped[Ref]
    member_id: Mapped[Ref]
    occasion: Mapped[Word]
    notice_key: Mapped[Key128]
    params: Mapped[Json]
    created_at: Mapped[At]
    read_at: Mapped[MaybeAt]


class Outbox(Base):
    """发件箱: a message that must leave. The row is the message, an RQ job is a doorbell (money.md 2.5)."""

    __tablename__ = "outbox"
    __table_args__ = (
        UniqueConstraint("dedupe_key"),
        Index(None, "state", "topic", "next_at", "id"),  # what a drain claims
        Index(None, "lease_token"),
        Index(None, "account_id", "provider_msg_id"),  # the result event finds its row
        Index(
            None, "account_id", "done_at", "state", "delivery"
        ),  # what left on a day, counted in the index
        CheckConstraint("state IN ('pending', 'claimed', 'done', 'dead', 'unsure')", name="state"),
    )
    id: Mapped[Id]
    account_id: Mapped[Ref]
    member_id: Mapped[MaybeRef]
    topic: Mapped[Word]
    dedupe_key: Mapped[Key128]
    payload: Mapped[Json]
    state: Mapped[Word]
    attempts: Mapped[Count]
    next_at: Mapped[At]
    first_try_at: Mapped[MaybeAt]
    lease_token: Mapped[str | None] = mapped_column(ascii_key(32))
    provider_msg_id: Mapped[MaybeKey64]
    last_error: Mapped[MaybeName]
    delivery: Mapped[str | None] = mapped_column(ascii_key(32))
    delivered_at: Mapped[MaybeAt]
    created_at: Mapped[At]
    done_at: Mapped[MaybeAt]


class NoticeTemplate(Base):
    """The WeChat template that an account uses for an occasion; `fields` maps its keywords to our words (JSON)."""

    __tablename__ = "notice_template"
    account_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    occasion: Mapped[str] = mapped_column(ascii_key(32), primary_key=True)
    template_id: Mapped[Key64]
    fields: Mapped[MaybeJson]


class TextOverride(Base):
    """The merchant's own wording of one of our texts (domain/texts/)."""

    __tablename__ = "text_override"
    account_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    text_key: Mapped[str] = mapped_column(ascii_key(64), primary_key=True)
    body: Mapped[str] = mapped_column(String(2000))
