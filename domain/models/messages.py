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
    MaybeKey128,
    MaybeName,
    MaybeRef,
    MaybeWord,
    Ref,
    Word,
    ascii_key,
)


class Notice(Base):
    """What a member should be told; the inbox of the chat. A message about it is an `outbox` row.

    `waiting_at`: no channel took it, so the next answer in the chat ends with it; `read_at`: it has (bot/inbox.py: the
    moment and the key of that push).
    """

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
    waiting_at: Mapped[MaybeAt]


class Outbox(Base):
    """发件箱: a message that must leave. The row is the message, an RQ job is a doorbell (money.md 2.5).

    `channel`: the rung of the ladder that took it, or was tried last; `carried_by`: the key of the row that carries it
    on, because several were merged or because WeChat said afterwards that it was not shown.
    """

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
    channel: Mapped[MaybeWord]
    carried_by: Mapped[MaybeKey128]


class NoticeTemplate(Base):
    """The WeChat template that an account uses for an occasion and a channel; `fields` maps its keywords to our words
    (JSON), `problem` is what WeChat last had against it."""

    __tablename__ = "notice_template"
    __table_args__ = (CheckConstraint("channel IN ('template', 'subscription')", name="channel"),)
    account_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    occasion: Mapped[str] = mapped_column(ascii_key(32), primary_key=True)
    channel: Mapped[str] = mapped_column(ascii_key(32), primary_key=True, server_default="template")
    template_id: Mapped[Key64]
    fields: Mapped[MaybeJson]
    problem: Mapped[MaybeName]
    problem_at: Mapped[MaybeAt]


class SubscriptionCredit(Base):
    """How many subscription notices of a template a member has allowed and WeChat has not sent yet."""

    __tablename__ = "subscription_credit"
    __table_args__ = (
        Index(None, "template_id", "credits", "member_id"),  # whom a broadcast can reach
        CheckConstraint("credits >= 0", name="credits"),
    )
    member_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    template_id: Mapped[str] = mapped_column(ascii_key(64), primary_key=True)
    credits: Mapped[Count]
    changed_at: Mapped[At]


class ServiceWindow(Base):
    """客服消息窗口: when a member last wrote or tapped, and how many customer-service messages they got since."""

    __tablename__ = "service_window"
    __table_args__ = (
        Index(None, "account_id", "spoke_at", "member_id"),
    )  # whom a broadcast can reach
    member_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    account_id: Mapped[Ref]
    spoke_at: Mapped[MaybeAt]
    tapped_at: Mapped[MaybeAt]
    spent: Mapped[Count]


class TextOverride(Base):
    """The merchant's own wording of one of our texts (domain/texts/)."""

    __tablename__ = "text_override"
    account_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    lang: Mapped[str] = mapped_column(ascii_key(8), primary_key=True, server_default="zh-CN")
    text_key: Mapped[str] = mapped_column(ascii_key(64), primary_key=True)
    body: Mapped[str] = mapped_column(String(2000))
