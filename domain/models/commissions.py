"""Commissions and the ledger."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Index, Integer, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from domain.models.base import (
    At,
    Base,
    Fen,
    FenFromZero,
    Id,
    Key128,
    MaybeAt,
    MaybeName,
    MaybeRef,
    Name,
    Ref,
    Word,
)


class Commission(Base):
    """佣金: the claim. One row per order line and level, or per registration (`joined_member_id`)."""

    __tablename__ = "commission"
    __table_args__ = (
        UniqueConstraint("order_id", "line_no", "level"),
        UniqueConstraint("joined_member_id", "member_id"),  # once a pair, and found when they leave
        Index(None, "member_id", "status", "amount_fen", "clawed_fen"),  # frozen money is this sum
        Index(None, "member_id", "id"),  # 明细, newest first
        Index(None, "account_id", "status", "due_at", "id"),  # what settlement claims
        CheckConstraint("kind IN ('order', 'registration')", name="kind"),
        CheckConstraint("status IN ('frozen', 'settled', 'voided', 'clawed_back')", name="status"),
        CheckConstraint("amount_fen > 0", name="amount"),
        CheckConstraint("clawed_fen BETWEEN 0 AND amount_fen", name="clawed"),
    )
    id: Mapped[Id]
    account_id: Mapped[Ref]
    kind: Mapped[Word]
    order_id: Mapped[MaybeRef]
    line_no: Mapped[int | None] = mapped_column(Integer)
    joined_member_id: Mapped[MaybeRef]
    level: Mapped[int] = mapped_column(Integer)
    member_id: Mapped[Ref]
    base_fen: Mapped[Fen]
    rate_bps: Mapped[int] = mapped_column(Integer)
    share_bps: Mapped[int] = mapped_column(Integer, server_default=text("10000"))
    amount_fen: Mapped[Fen]
    clawed_fen: Mapped[FenFromZero]
    status: Mapped[Word]
    due_at: Mapped[MaybeAt]
    settled_at: Mapped[MaybeAt]
    created_at: Mapped[At]


class Hold(Base):
    """A commission that waits for a person. `open_key` is the commission while the hold is open, else null.

    `outcome` says how it ended: released by a person, lapsed by the clock, or refused (the commission is void).
    """

    __tablename__ = "hold"
    __table_args__ = (
        UniqueConstraint("open_key"),
        Index(None, "commission_id"),
        Index(None, "account_id", "outcome", "expires_at"),  # the queue, and what lapses
        Index(None, "signal_id", "outcome", "id"),
        CheckConstraint("outcome IN ('open', 'released', 'lapsed', 'refused')", name="outcome"),
    )
    id: Mapped[Id]
    account_id: Mapped[Ref]
    commission_id: Mapped[Ref]
    member_id: Mapped[Ref]
    open_key: Mapped[MaybeRef]
    signal_id: Mapped[MaybeRef]
    reason: Mapped[Name]
    actor: Mapped[Name]
    at: Mapped[At]
    expires_at: Mapped[MaybeAt]
    outcome: Mapped[Word] = mapped_column(server_default="open")
    released_at: Mapped[MaybeAt]
    released_by: Mapped[MaybeName]
    note: Mapped[MaybeName]


class Clawback(Base):
    """追回: what one refund took from one commission, and from which bucket. Append-only."""

    __tablename__ = "clawback"
    __table_args__ = (
        UniqueConstraint("refund_id", "commission_id"),
        Index(None, "commission_id"),
        CheckConstraint("amount_fen > 0", name="amount"),
    )
    id: Mapped[Id]
    refund_id: Mapped[Ref]
    commission_id: Mapped[Ref]
    amount_fen: Mapped[Fen]
    from_bucket: Mapped[Word]
    at: Mapped[At]


class Posting(Base):
    """分录: money from one bucket to another. Append-only. Every posting concerns exactly one member."""

    __tablename__ = "posting"
    __table_args__ = (
        UniqueConstraint("posting_key"),
        # The statement; with what moved beside it, its running balance is read from the index alone.
        Index(None, "member_id", "id", "source", "destination", "amount_fen"),
        CheckConstraint("amount_fen > 0", name="amount"),
        CheckConstraint("source <> destination", name="buckets"),
    )
    id: Mapped[Id]
    posting_key: Mapped[Key128]
    account_id: Mapped[Ref]
    member_id: Mapped[Ref]
    source: Mapped[Word]
    destination: Mapped[Word]
    amount_fen: Mapped[Fen]
    reason: Mapped[Word]
    reverses_id: Mapped[MaybeRef]
    at: Mapped[At]


class Balance(Base):
    """余额: only what can be spent (`available_fen`, below zero is a debt) and what a withdrawal reserved."""

    __tablename__ = "balance"
    __table_args__ = (CheckConstraint("withdrawing_fen >= 0", name="withdrawing"),)
    member_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    account_id: Mapped[Ref]
    available_fen: Mapped[FenFromZero]
    withdrawing_fen: Mapped[FenFromZero]
