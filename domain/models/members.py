"""Members, bindings, codes."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Index,
    Integer,
    UniqueConstraint,
    false,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from domain.models.base import (
    At,
    Base,
    Count,
    FenFromZero,
    Id,
    Key64,
    MaybeAt,
    MaybeKey64,
    MaybeName,
    MaybeRef,
    MaybeSealed,
    Name,
    Ref,
    Word,
    ascii_key,
)


class Member(Base):
    """会员: one follower of one account. `followed_at` is the greatest CreateTime that changed `following`;
    `source_scene_id` the code by which they joined. `lang` is empty while they take the account's language; `unread`:
    notices wait for their next visit."""

    __tablename__ = "member"
    __table_args__ = (
        UniqueConstraint("account_id", "openid"),
        UniqueConstraint("account_id", "code"),
        Index(None, "account_id", "unionid"),
        Index(None, "account_id", "phone_index"),
        Index(None, "account_id", "email_index"),
        # Counting and planning a broadcast.
        Index(None, "account_id", "following", "promotions_muted", "muted", "id"),
        Index(
            None, "account_id", "joined_at"
        ),  # who joined on a day; the console's list, newest first
        # The console's filters, each with the order of the list behind it, and names by their beginning.
        Index(None, "account_id", "status", "joined_at"),
        Index(None, "account_id", "following", "joined_at"),
        Index(None, "account_id", "grade", "joined_at"),
        Index(None, "account_id", "nickname"),
        Index(
            None, "referrer_id", "id"
        ),  # the direct downline, and rebuilding `relation` from the truth
        Index(None, "source_scene_id", "following"),  # who came by a code, and who of them stayed
        CheckConstraint("status IN ('active', 'suspended')", name="status"),
    )
    id: Mapped[Id]
    account_id: Mapped[Ref]
    openid: Mapped[Key64]
    unionid: Mapped[MaybeKey64]
    code: Mapped[Word]
    nickname: Mapped[MaybeName]
    remark: Mapped[MaybeName]
    referrer_id: Mapped[MaybeRef]
    bound_at: Mapped[MaybeAt]
    bound_scene_id: Mapped[MaybeRef]
    source_scene_id: Mapped[MaybeRef]
    status: Mapped[Word] = mapped_column(server_default="active")
    grade: Mapped[Word] = mapped_column(server_default="")
    promoter: Mapped[Word] = mapped_column(server_default="")
    following: Mapped[bool] = mapped_column(
        Boolean(create_constraint=False), server_default=false()
    )
    follow_changed_at: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    joined_at: Mapped[At]
    unfollowed_at: Mapped[MaybeAt]
    first_paid_at: Mapped[MaybeAt]
    muted: Mapped[bool] = mapped_column(Boolean(create_constraint=False), server_default=false())
    promotions_muted: Mapped[bool] = mapped_column(
        Boolean(create_constraint=False), server_default=false()
    )
    lang: Mapped[str] = mapped_column(ascii_key(8), server_default="")
    unread: Mapped[bool] = mapped_column(Boolean(create_constraint=False), server_default=false())
    phone: Mapped[MaybeSealed]
    phone_index: Mapped[MaybeKey64]
    email: Mapped[MaybeSealed]
    email_index: Mapped[MaybeKey64]
    real_name: Mapped[MaybeSealed]
    real_name_index: Mapped[MaybeKey64]
    grade_pinned: Mapped[bool] = mapped_column(
        Boolean(create_constraint=False), server_default=false()
    )


class Identity(Base):
    """The same person in a linked app (mini program): its app id and openid there."""

    __tablename__ = "identity"
    __table_args__ = (UniqueConstraint("account_id", "app_id", "openid"), Index(None, "member_id"))
    id: Mapped[Id]
    account_id: Mapped[Ref]
    app_id: Mapped[Key64]
    openid: Mapped[Key64]
    member_id: Mapped[Ref]


class Relation(Base):
    """Closure of `member.referrer_id` for the three paid levels. `flask members check` proves that they agree."""

    __tablename__ = "relation"
    __table_args__ = (
        Index(None, "descendant_id", "level", "ancestor_id"),  # the uplines of a member
        CheckConstraint("level BETWEEN 1 AND 3", name="level"),
    )
    ancestor_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    level: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    descendant_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)


class BindingHistory(Base):
    """Every change of a referrer. Append-only; `seq` counts the changes of one member from 1."""

    __tablename__ = "binding_history"
    __table_args__ = (
        UniqueConstraint("member_id", "seq"),
        Index(None, "account_id", "at"),  # who came to whose team on a day
    )
    id: Mapped[Id]
    account_id: Mapped[Ref]
    member_id: Mapped[Ref]
    seq: Mapped[int] = mapped_column(Integer)
    from_referrer_id: Mapped[MaybeRef]
    to_referrer_id: Mapped[MaybeRef]
    scene_id: Mapped[MaybeRef]
    reason: Mapped[Name]
    actor: Mapped[Name]
    at: Mapped[At]


class Tree(Base):
    """One row per account that is updated (Galera certifies writes, not locks) before a member with downlines moves."""

    __tablename__ = "tree"
    account_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    version: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))


class Tally(Base):
    """What a member's team amounts to, per level: rows are added, a job folds them into one (`folded`).

    A read sums all rows of the member in one SELECT, so it never waits and nothing is ever updated.
    """

    __tablename__ = "tally"
    __table_args__ = (Index(None, "member_id", "level"), Index(None, "folded", "id"))
    id: Mapped[Id]
    member_id: Mapped[Ref]
    level: Mapped[int] = mapped_column(Integer)
    folded: Mapped[bool] = mapped_column(Boolean(create_constraint=False), server_default=false())
    people: Mapped[Count]
    following: Mapped[Count]
    buyers: Mapped[Count]
    orders: Mapped[Count]
    spent_fen: Mapped[FenFromZero]
    refunded_fen: Mapped[FenFromZero]
    earned_fen: Mapped[FenFromZero]
    frozen_fen: Mapped[FenFromZero]


class Event(Base):
    """What a follower did: scan, follow, leave, click, view, buy, or a binding that was refused. Append-only.

    `push_key` is made from the message, so a repeated push adds nothing.
    """

    __tablename__ = "event"
    __table_args__ = (
        UniqueConstraint("account_id", "push_key"),
        Index(None, "account_id", "kind", "at"),
        Index(None, "member_id", "at"),
    )
    id: Mapped[Id]
    account_id: Mapped[Ref]
    push_key: Mapped[Key64]
    kind: Mapped[Word]
    member_id: Mapped[MaybeRef]
    scene_id: Mapped[MaybeRef]
    detail: Mapped[MaybeName]
    at: Mapped[At]
