"""Long work that a person started and may leave."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Index, Integer, UniqueConstraint, text
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
