"""What the merchant says in the chat: menus, automatic replies and their media; and the tags of followers."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Index,
    Integer,
    LargeBinary,
    String,
    Text,
    UniqueConstraint,
    false,
    text,
    true,
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
    MaybeName,
    MaybeRef,
    Name,
    Ref,
    Word,
    ascii_key,
)


class MenuVersion(Base):
    """菜单: the default menu and the conditional ones of an account, as one document. Saving makes the next version;
    `menu_ids` is what WeChat called the conditional ones when this version was pushed."""

    __tablename__ = "menu_version"
    __table_args__ = (UniqueConstraint("account_id", "version"),)
    id: Mapped[Id]
    account_id: Mapped[Ref]
    version: Mapped[int] = mapped_column(Integer)
    menu: Mapped[Json]
    note: Mapped[MaybeName]
    actor: Mapped[Name]
    created_at: Mapped[At]
    menu_ids: Mapped[MaybeJson]
    pushed_by: Mapped[MaybeName]
    pushed_at: Mapped[MaybeAt]


class Reply(Base):
    """自动回复: what the merchant wants answered, and when. `messages` is the JSON of bodies.py; null for a row of an
    earlier release, whose one text is `body`. `variants`: other messages by language, for who reads it. `timeouts`
    counts texts on which a pattern took too long."""

    __tablename__ = "reply"
    __table_args__ = (
        UniqueConstraint("account_id", "kind", "matching", "keyword"),
        CheckConstraint("matching IN ('exact', 'contains', 'regex')", name="matching"),
        CheckConstraint("kind IN ('keyword', 'click', 'subscribe', 'default')", name="kind"),
    )
    id: Mapped[Id]
    account_id: Mapped[Ref]
    kind: Mapped[Word] = mapped_column(server_default="keyword")
    keyword: Mapped[str] = mapped_column(String(190))
    matching: Mapped[Word]
    body: Mapped[str] = mapped_column(String(2000))
    messages: Mapped[str | None] = mapped_column(Text)
    variants: Mapped[str | None] = mapped_column(Text)
    priority: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    enabled: Mapped[bool] = mapped_column(Boolean(create_constraint=False), server_default=true())
    timeouts: Mapped[Count]


class ReplyMedia(Base):
    """素材: a picture, voice or video of the merchant, with the media_id that WeChat gave it: for three days, or for
    ever when it is `permanent` (uploads.FOREVER)."""

    __tablename__ = "reply_media"
    __table_args__ = (
        UniqueConstraint("account_id", "digest"),
        Index(None, "media_expires_at"),  # what has to be uploaded again
        CheckConstraint("kind IN ('image', 'voice', 'video')", name="kind"),
    )
    id: Mapped[Id]
    account_id: Mapped[Ref]
    kind: Mapped[Word]
    name: Mapped[Name]
    extension: Mapped[Word]
    digest: Mapped[Key64]
    size: Mapped[int] = mapped_column(Integer)
    content: Mapped[bytes] = mapped_column(
        LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql", "mariadb")
    )
    media_id: Mapped[str | None] = mapped_column(ascii_key(128))
    media_expires_at: Mapped[MaybeAt]
    permanent: Mapped[bool] = mapped_column(
        Boolean(create_constraint=False), server_default=false()
    )
    actor: Mapped[Name]
    created_at: Mapped[At]


class Tag(Base):
    """标签: a tag as WeChat has it; `people` is WeChat's count when it was last read."""

    __tablename__ = "tag"
    account_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    tag_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    name: Mapped[Name]
    people: Mapped[Count]
    read_at: Mapped[At]


class TagRule(Base):
    """标签规则: members with this value of an attribute carry this tag. `tag_id` is null until WeChat has the tag."""

    __tablename__ = "tag_rule"
    __table_args__ = (
        UniqueConstraint("account_id", "attribute", "value"),
        CheckConstraint(
            "attribute IN ('grade', 'bought', 'depth', 'promoter', 'channel')", name="attribute"
        ),
    )
    id: Mapped[Id]
    account_id: Mapped[Ref]
    attribute: Mapped[Word]
    value: Mapped[Key64]
    name: Mapped[Name]
    tag_id: Mapped[int | None] = mapped_column(Integer)


class MemberTag(Base):
    """A tag of a member. `state`: `set` WeChat has it too; `add` and `remove` wait to be told to WeChat; `refused`
    WeChat will not take it (`error`). `ours`: a rule wants it, so a rule may take it away."""

    __tablename__ = "member_tag"
    __table_args__ = (
        Index(None, "account_id", "tag_id", "member_id"),  # who carries a tag
        Index(None, "account_id", "state", "tag_id", "member_id"),  # what waits to be told
        CheckConstraint("state IN ('set', 'add', 'remove', 'refused')", name="state"),
    )
    member_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    tag_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    account_id: Mapped[Ref]
    state: Mapped[Word]
    ours: Mapped[bool] = mapped_column(Boolean(create_constraint=False), server_default=false())
    error: Mapped[MaybeName]


class TagMark(Base):
    """A member whose tags may have changed. Rows are only ever added, and deleted by the job that looked."""

    __tablename__ = "tag_mark"
    __table_args__ = (Index(None, "account_id", "id"),)
    id: Mapped[Id]
    account_id: Mapped[Ref]
    member_id: Mapped[Ref]


class Blacklisted(Base):
    """黑名单: an openid that WeChat keeps out: their pushes do not come. They need not be a member."""

    __tablename__ = "blacklisted"
    account_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    openid: Mapped[str] = mapped_column(ascii_key(64), primary_key=True)
    member_id: Mapped[MaybeRef]
    actor: Mapped[Name]
    at: Mapped[At]


class FollowerSync(Base):
    """粉丝同步: one walk through WeChat's list of followers; `next_openid` is where it stands."""

    __tablename__ = "follower_sync"
    __table_args__ = (
        Index(None, "account_id", "id"),
        UniqueConstraint("open_key"),
        CheckConstraint("state IN ('list', 'absent', 'profiles', 'done', 'failed')", name="state"),
    )
    id: Mapped[Id]
    account_id: Mapped[Ref]
    open_key: Mapped[MaybeRef]
    state: Mapped[Word]
    next_openid: Mapped[str] = mapped_column(ascii_key(64), server_default="")
    after_id: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    total: Mapped[Count]
    listed: Mapped[Count]
    joined: Mapped[Count]
    returned: Mapped[Count]
    left_count: Mapped[Count]
    profiles: Mapped[Count]
    retry_at: Mapped[MaybeAt]
    last_error: Mapped[MaybeName]
    actor: Mapped[Name]
    started_at: Mapped[At]
    listed_at: Mapped[MaybeAt]
    finished_at: Mapped[MaybeAt]


class SeenFollower(Base):
    """An openid that a running sync found in WeChat's list; deleted when the sync ends."""

    __tablename__ = "seen_follower"
    sync_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    member_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
