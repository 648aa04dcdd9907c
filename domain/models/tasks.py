"""Long work that a person started and may leave."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Index, Integer, LargeBinary, UniqueConstraint, text
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import Mapped, mapped_column

from domain.models.base import (
    At,
    Base,
    Count,
    Id,
    Json,
    MaybeAt,
    MaybeJson,
    MaybeKey64,
    MaybeRef,
    Name,
    Ref,
    Word,
    ascii_key,
)


class Task(Base):
    """Long work: what was asked (`params`, JSON), how far it is (`done` of `total`, 0 when unknown), what came of it.

    `open_key` is unique while the task is open, so one kind of work runs once at a time; then null. A worker holds
    the task until `lease_until`; one that died leaves it to the next, which goes on from `cursor`.
    """

    __tablename__ = "task"
    __table_args__ = (
        UniqueConstraint("open_key"),
        Index(None, "state", "lease_until", "id"),  # what a worker claims
        Index(None, "account_id", "kind", "id"),  # the newest of a kind
        CheckConstraint("state IN ('waiting', 'running', 'done', 'failed')", name="state"),
    )
    id: Mapped[Id]
    account_id: Mapped[MaybeRef]
    kind: Mapped[Word]
    open_key: Mapped[str | None] = mapped_column(ascii_key(128))
    params: Mapped[Json]
    cursor: Mapped[MaybeJson]
    state: Mapped[Word]
    done: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    total: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    result: Mapped[MaybeJson]
    actor: Mapped[Name]
    attempts: Mapped[Count]
    lease_token: Mapped[MaybeKey64]
    lease_until: Mapped[At]
    created_at: Mapped[At]
    finished_at: Mapped[MaybeAt]


class Intake(Base):
    """Tables that somebody uploaded: checked by one task, written by another. `content` is sealed, and gone (null) when
    it was written or has waited too long: it holds people's names and phone numbers."""

    __tablename__ = "intake"
    __table_args__ = (
        Index(None, "account_id", "id"),  # the newest uploads of an account
        CheckConstraint("kind IN ('orders', 'takeover')", name="kind"),
    )
    id: Mapped[Id]
    account_id: Mapped[Ref]
    kind: Mapped[Word]
    name: Mapped[Name]
    options: Mapped[Json]
    size: Mapped[int] = mapped_column(Integer)
    content: Mapped[bytes | None] = mapped_column(
        LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql", "mariadb")
    )
    check_task_id: Mapped[MaybeRef]
    write_task_id: Mapped[MaybeRef]
    actor: Mapped[Name]
    created_at: Mapped[At]
