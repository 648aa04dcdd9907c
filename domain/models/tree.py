"""The tree at work: moves, disputes; statistics; what came from elsewhere."""

from __future__ import annotations

from datetime import date

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Date,
    Index,
    Integer,
    String,
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
    Key128,
    MaybeAt,
    MaybeName,
    MaybeRef,
    Name,
    Ref,
    Word,
    ascii_key,
)


class Move(Base):
    """A large team on its way to another referrer. The member has moved; the closure of the team follows in chunks.

    `level` and `after_id` are the cursor: the next of the team's members at that level. `total` is an estimate of the
    first moment, `moved` what has been done.
    """

    __tablename__ = "move"
    __table_args__ = (
        Index(None, "state", "account_id", "id"),
        Index(None, "member_id", "state"),
        CheckConstraint("state IN ('running', 'done', 'superseded')", name="state"),
    )
    id: Mapped[Id]
    account_id: Mapped[Ref]
    member_id: Mapped[Ref]
    from_referrer_id: Mapped[MaybeRef]
    to_referrer_id: Mapped[MaybeRef]
    reason: Mapped[Name]
    actor: Mapped[Name]
    state: Mapped[Word]
    level: Mapped[int] = mapped_column(Integer, server_default=text("1"))
    after_id: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    total: Mapped[Count]
    moved: Mapped[Count]
    created_at: Mapped[At]
    finished_at: Mapped[MaybeAt]


class Dispute(Base):
    """申诉: a promoter objects to a binding. `open_key` is the member while the dispute is open, else null."""

    __tablename__ = "dispute"
    __table_args__ = (
        UniqueConstraint("open_key"),
        Index(None, "account_id", "state", "id"),
        Index(None, "member_id", "id"),
        CheckConstraint("state IN ('open', 'upheld', 'rejected')", name="state"),
    )
    id: Mapped[Id]
    account_id: Mapped[Ref]
    member_id: Mapped[Ref]
    open_key: Mapped[MaybeRef]
    friend_id: Mapped[MaybeRef]
    state: Mapped[Word]
    opened_at: Mapped[At]
    decided_at: Mapped[MaybeAt]
    decided_by: Mapped[MaybeName]


class DisputeNote(Base):
    """What was said in a dispute, by whom. Append-only; `note_key` is made from the push, so a repeat adds nothing."""

    __tablename__ = "dispute_note"
    __table_args__ = (UniqueConstraint("note_key"), Index(None, "dispute_id", "id"))
    id: Mapped[Id]
    dispute_id: Mapped[Ref]
    note_key: Mapped[Key128]
    actor: Mapped[Name]
    body: Mapped[str] = mapped_column(String(1000))
    at: Mapped[At]


class Daily(Base):
    """What one Beijing day brought a member on one level (1 to 3), the whole account (member 0, level 0), or everybody
    on one level (member 0, level 1 to 3).

    Computed again from the rows whenever asked: nothing reads it to decide anything.
    """

    __tablename__ = "daily"
    __table_args__ = (Index(None, "member_id", "day"),)
    account_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    day: Mapped[date] = mapped_column(Date, primary_key=True)
    member_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    level: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    people: Mapped[Count]
    orders: Mapped[Count]
    spent_fen: Mapped[FenFromZero]
    refunded_fen: Mapped[FenFromZero]
    accrued_fen: Mapped[FenFromZero]
    settled_fen: Mapped[FenFromZero]
    voided_fen: Mapped[FenFromZero]
    clawed_fen: Mapped[FenFromZero]


class Board(Base):
    """排行: one edition of a ranking of one period. Readers see the newest that is `ready`."""

    __tablename__ = "board"
    __table_args__ = (
        Index(None, "account_id", "metric", "period", "starts_on", "id"),
        CheckConstraint("metric IN ('earned', 'people')", name="metric"),
        CheckConstraint("period IN ('week', 'month', 'all')", name="period"),
    )
    id: Mapped[Id]
    account_id: Mapped[Ref]
    metric: Mapped[Word]
    period: Mapped[Word]
    starts_on: Mapped[date] = mapped_column(Date)
    ready: Mapped[bool] = mapped_column(Boolean(create_constraint=False), server_default=false())
    size: Mapped[Count]
    made_at: Mapped[At]


class Standing(Base):
    """A member's place in one edition; equal values share a place."""

    __tablename__ = "standing"
    __table_args__ = (Index(None, "board_id", "place", "member_id"),)
    board_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    member_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    place: Mapped[int] = mapped_column(Integer)
    value: Mapped[int] = mapped_column(BigInteger)


class ImportedRow(Base):
    """A row of another system that has been taken over, by its key there: an import run again goes on, never twice."""

    __tablename__ = "imported_row"
    account_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    source: Mapped[str] = mapped_column(ascii_key(32), primary_key=True)
    kind: Mapped[str] = mapped_column(ascii_key(16), primary_key=True)
    foreign_key: Mapped[str] = mapped_column(ascii_key(64), primary_key=True)
    our_id: Mapped[Ref]
    content_hash: Mapped[Key64]
    at: Mapped[At]


class Lease(Base):
    """Something that only one process may do at a time, until when, and which one does it."""

    __tablename__ = "lease"
    name: Mapped[str] = mapped_column(ascii_key(64), primary_key=True)
    token: Mapped[Key64]
    until: Mapped[At]


class AccountDay(Base):
    """What is counted on a Beijing day and cannot be computed again later: followers at its end. And what would be too
    much to count whenever somebody looks: bindings, messages that left or failed."""

    __tablename__ = "account_day"
    account_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    day: Mapped[date] = mapped_column(Date, primary_key=True)
    following: Mapped[Count]
    bound: Mapped[Count]
    sent: Mapped[Count]
    failed: Mapped[Count]
    counted_at: Mapped[At]
