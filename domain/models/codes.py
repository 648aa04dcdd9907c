"""Codes, what WeChat issued for them, what they brought; posters and their templates."""

from __future__ import annotations

from datetime import date

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Date,
    Index,
    Integer,
    LargeBinary,
    String,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import Mapped, mapped_column

from domain.models.base import (
    At,
    Base,
    Count,
    FenFromZero,
    Id,
    Json,
    Key64,
    Key128,
    MaybeAt,
    MaybeKey64,
    MaybeName,
    MaybeRef,
    Name,
    Ref,
    Word,
    ascii_key,
)


class Scene(Base):
    """场景值: what a code carries, and whom it leads to. Append-only: a code is never reassigned.

    A promoter's scene with a `sku` is the code of a product poster of theirs: it binds like their own.
    `renew_at`: when its temporary ticket should be made anew; null for one that is not in use, or permanent.
    """

    __tablename__ = "scene"
    __table_args__ = (
        UniqueConstraint("account_id", "code"),
        UniqueConstraint("owner_key"),
        Index(None, "renew_at"),  # what the clock has renewed
        CheckConstraint("kind IN ('promoter', 'channel', 'product')", name="kind"),
    )
    id: Mapped[Id]
    account_id: Mapped[Ref]
    code: Mapped[Key64]
    kind: Mapped[Word]
    owner_key: Mapped[Key128]
    member_id: Mapped[MaybeRef]
    label: Mapped[MaybeName]
    created_at: Mapped[At]
    sku: Mapped[MaybeKey64]
    renew_at: Mapped[MaybeAt]


class QrTicket(Base):
    """带参二维码: what WeChat issued for a scene. Permanent ones have no `expires_at`."""

    __tablename__ = "qr_ticket"
    __table_args__ = (Index(None, "scene_id", "expires_at"),)
    id: Mapped[Id]
    account_id: Mapped[Ref]
    scene_id: Mapped[Ref]
    ticket: Mapped[str] = mapped_column(ascii_key(255))
    url: Mapped[str] = mapped_column(String(255))
    expires_at: Mapped[MaybeAt]
    created_at: Mapped[At]


class Code(Base):
    """渠道码, 商品码: how the merchant keeps a scene that is not a promoter's. Its own answer is a text (`reply`), a
    picture of ours (`media`, a row of reply_media), or one of WeChat's library (`media_id`). `people` and `following`
    are counted by the clock at `counted_at`."""

    __tablename__ = "code"
    __table_args__ = (Index(None, "account_id", "scene_id"),)  # the list, page by page
    scene_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    account_id: Mapped[Ref]
    name: Mapped[Name]
    reply: Mapped[str | None] = mapped_column(String(2000))
    media_id: Mapped[str | None] = mapped_column(ascii_key(128))
    media: Mapped[MaybeRef]
    tag: Mapped[MaybeName]
    created_at: Mapped[At]
    archived_at: Mapped[MaybeAt]
    people: Mapped[Count]
    following: Mapped[Count]
    counted_at: Mapped[MaybeAt]


class PermanentPool(Base):
    """永久二维码: how many of an account's have been given. One row an account; it only grows."""

    __tablename__ = "permanent_pool"
    account_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    granted: Mapped[Count]


class PermanentGrant(Base):
    """One permanent code that the merchant gave to a scene, for ever. Append-only; `number` counts from 1."""

    __tablename__ = "permanent_grant"
    __table_args__ = (UniqueConstraint("scene_id"),)
    account_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    scene_id: Mapped[Ref]
    actor: Mapped[Name]
    granted_at: Mapped[At]


class CodeDay(Base):
    """What one Beijing day brought a code (`subject` code) or a variant of the poster (`subject` template; 0 is the
    built-in one). Computed again from the rows whenever asked: nothing reads it to decide anything."""

    __tablename__ = "code_day"
    __table_args__ = (
        Index(None, "account_id", "day"),  # the rows that a new computation replaces
        CheckConstraint("subject IN ('code', 'template')", name="subject"),
    )
    account_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    subject: Mapped[str] = mapped_column(ascii_key(16), primary_key=True)
    ref_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    day: Mapped[date] = mapped_column(Date, primary_key=True)
    posters: Mapped[Count]
    scans: Mapped[Count]
    follows: Mapped[Count]
    joined: Mapped[Count]
    leaves: Mapped[Count]
    buyers: Mapped[Count]
    orders: Mapped[Count]
    sales_fen: Mapped[FenFromZero]


class Poster(Base):
    """推广海报: the last picture of a scene, as WeChat keeps it; made anew when `fingerprint` or the media lapse.
    `template_id` 0 is the built-in design."""

    __tablename__ = "poster"
    __table_args__ = (Index(None, "member_id"),)  # a member's wish finds the picture
    scene_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    member_id: Mapped[Ref]
    qr_ticket_id: Mapped[Ref]
    template_id: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    fingerprint: Mapped[Key64]
    media_id: Mapped[str] = mapped_column(ascii_key(128))
    media_expires_at: Mapped[At]
    asked_at: Mapped[At]


class PosterTemplate(Base):
    """海报模板: a design of one account. Never edited: a changed one is a new row, so that statistics stay true. Active
    ones of a purpose share the members by `weight`."""

    __tablename__ = "poster_template"
    __table_args__ = (
        Index(None, "account_id", "purpose", "retired_at"),
        CheckConstraint("purpose IN ('invite', 'product')", name="purpose"),
    )
    id: Mapped[Id]
    account_id: Mapped[Ref]
    name: Mapped[Name]
    purpose: Mapped[Word]
    design: Mapped[Json]
    created_at: Mapped[At]
    retired_at: Mapped[MaybeAt]
    weight: Mapped[int] = mapped_column(Integer, server_default=text("1"))


class Picture(Base):
    """A background that the merchant uploaded, as we encoded it again: a JPEG of at most 2 MB."""

    __tablename__ = "picture"
    __table_args__ = (UniqueConstraint("account_id", "digest"),)
    id: Mapped[Id]
    account_id: Mapped[Ref]
    digest: Mapped[Key64]
    width: Mapped[int] = mapped_column(Integer)
    height: Mapped[int] = mapped_column(Integer)
    jpeg: Mapped[bytes] = mapped_column(
        LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql", "mariadb")
    )
    created_at: Mapped[At]


class Avatar(Base):
    """头像 of a member, who let us know it on WeChat's page of consent: a small JPEG, as we encoded it again. Erased
    with the name."""

    __tablename__ = "avatar"
    member_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    account_id: Mapped[Ref]
    digest: Mapped[Key64]
    jpeg: Mapped[bytes] = mapped_column(
        LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql", "mariadb")
    )
    kept_at: Mapped[At]
