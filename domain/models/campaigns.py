"""Broadcasts: what is sent to many, to whom, in which batches, and what came of it."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Index,
    Integer,
    LargeBinary,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import Mapped, mapped_column

from domain.models.base import (
    At,
    Base,
    Count,
    Id,
    Json,
    Key64,
    MaybeAt,
    MaybeJson,
    MaybeKey64,
    MaybeName,
    MaybeRef,
    Name,
    Ref,
    Word,
    ascii_key,
)


class Campaign(Base):
    """群发: one broadcast. `plan_after_id` and `plan_cursor` (of WeChat's tag pages) are where planning stands; while
    `planned_at` is null a running campaign is still being planned. `way` is how a mass message leaves."""

    __tablename__ = "campaign"
    __table_args__ = (
        Index(None, "account_id", "id"),
        Index(None, "state", "scheduled_at"),  # what the clock starts, and what is under way
        CheckConstraint("channel IN ('mass', 'custom', 'subscription', 'publish')", name="channel"),
        CheckConstraint(
            "state IN ('draft', 'scheduled', 'running', 'paused', 'done', 'cancelled', 'failed')",
            name="state",
        ),
    )
    id: Mapped[Id]
    account_id: Mapped[Ref]
    name: Mapped[Name]
    channel: Mapped[Word]
    content: Mapped[str] = mapped_column(Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb"))
    audience: Mapped[Json]
    state: Mapped[Word] = mapped_column(server_default="draft")
    campaign_key: Mapped[Key64]
    window_days: Mapped[int] = mapped_column(Integer)
    scheduled_at: Mapped[MaybeAt]
    started_at: Mapped[MaybeAt]
    planned_at: Mapped[MaybeAt]
    finished_at: Mapped[MaybeAt]
    plan_after_id: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    plan_cursor: Mapped[MaybeKey64]
    plan_batches: Mapped[Count]
    way: Mapped[Word] = mapped_column(server_default="list")
    recipients: Mapped[Count]
    left_out: Mapped[Count]
    last_error: Mapped[MaybeName]
    actor: Mapped[Name]
    created_at: Mapped[At]


class CampaignFile(Base):
    """A picture of a campaign, and what WeChat calls it: `media_id` for three days, `thumb_id` for ever, `url` in
    article bodies. Nothing is uploaded twice while that holds."""

    __tablename__ = "campaign_file"
    campaign_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(ascii_key(64), primary_key=True)
    content: Mapped[bytes] = mapped_column(
        LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql", "mariadb")
    )
    media_id: Mapped[str | None] = mapped_column(ascii_key(128))
    media_expires_at: Mapped[MaybeAt]
    thumb_id: Mapped[str | None] = mapped_column(ascii_key(128))
    url: Mapped[str | None] = mapped_column(String(512))


class CampaignBatch(Base):
    """One call of a mass message, or up to 500 single messages. Claimed with a lease, like a row of the outbox.

    `msg_id` is WeChat's; `result` (JSON) what it told at the end. The figures of all batches add up to the campaign's.
    `folded` batches are parts of one call to all (batch 0), `counted` when their people's month has counted it.
    """

    __tablename__ = "campaign_batch"
    __table_args__ = (
        Index(None, "state", "next_at"),  # what a worker claims, and what is asked about
        Index(
            None, "account_id", "msg_id"
        ),  # the result event finds its batch (none yet: may come)
        CheckConstraint("way IN ('list', 'all', 'tag', 'person', 'publish')", name="way"),
        CheckConstraint(
            "state IN ('waiting', 'claimed', 'sent', 'finished', 'failed', 'unknown', 'folded',"
            " 'counted')",
            name="state",
        ),
    )
    campaign_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    no: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    account_id: Mapped[Ref]
    way: Mapped[Word]
    state: Mapped[Word]
    size: Mapped[Count]
    skipped: Mapped[Count]
    accepted: Mapped[Count]
    delivered: Mapped[Count]
    failed: Mapped[Count]
    unknown: Mapped[Count]
    attempts: Mapped[Count]
    next_at: Mapped[At]
    prepared_at: Mapped[MaybeAt]
    called_at: Mapped[MaybeAt]
    sent_at: Mapped[MaybeAt]
    finished_at: Mapped[MaybeAt]
    lease_token: Mapped[str | None] = mapped_column(ascii_key(32))
    media_id: Mapped[str | None] = mapped_column(ascii_key(128))
    msg_id: Mapped[MaybeKey64]
    msg_data_id: Mapped[MaybeKey64]
    result: Mapped[MaybeJson]
    last_error: Mapped[MaybeName]


class CampaignRecipient(Base):
    """Who is sent a campaign, once: the primary key is what makes "nobody twice" true of the plan.

    Of a mass message the batch tells what became of it; `state` says more only where single messages are sent.
    """

    __tablename__ = "campaign_recipient"
    __table_args__ = (
        Index(None, "campaign_id", "batch_no", "state"),
        CheckConstraint(
            "state IN ('waiting', 'sending', 'sent', 'failed', 'skipped', 'unknown')", name="state"
        ),
    )
    campaign_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    member_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    batch_no: Mapped[int] = mapped_column(Integer)
    state: Mapped[str] = mapped_column(ascii_key(8))
    errcode: Mapped[int | None] = mapped_column(Integer)
    tried_at: Mapped[MaybeAt]


class MassMonth(Base):
    """How many mass messages a member was sent in a month (Beijing's, as 202603): WeChat delivers four."""

    __tablename__ = "mass_month"
    month: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    member_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    sent: Mapped[Count]


class CampaignLink(Base):
    """An address inside a campaign, by the token that stands in its place."""

    __tablename__ = "campaign_link"
    __table_args__ = (UniqueConstraint("token"), Index(None, "campaign_id", "id"))
    id: Mapped[Id]
    account_id: Mapped[Ref]
    campaign_id: Mapped[Ref]
    token: Mapped[Key64]
    url: Mapped[str] = mapped_column(String(1024))


class CampaignClick(Base):
    """Somebody opened a link of a campaign; `member_id` where we know who. What they buy until `until` is its doing."""

    __tablename__ = "campaign_click"
    __table_args__ = (
        Index(None, "campaign_id", "member_id", "at"),
        Index(None, "member_id", "at"),  # a later click of another campaign
    )
    id: Mapped[Id]
    account_id: Mapped[Ref]
    campaign_id: Mapped[Ref]
    link_id: Mapped[Ref]
    member_id: Mapped[MaybeRef]
    at: Mapped[At]
    until: Mapped[At]


class CampaignOrder(Base):
    """An order that the shop reported with a campaign's token."""

    __tablename__ = "campaign_order"
    __table_args__ = (Index(None, "campaign_id", "order_id"),)
    order_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    campaign_id: Mapped[Ref]
    account_id: Mapped[Ref]
    at: Mapped[At]
