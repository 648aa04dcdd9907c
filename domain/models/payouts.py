"""Money that leaves."""

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
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from domain.models.base import (
    At,
    Base,
    Count,
    Fen,
    FenFromZero,
    Id,
    Json,
    Key64,
    MaybeAt,
    MaybeJson,
    MaybeKey64,
    MaybeName,
    Ref,
    Sealed,
    Word,
    ascii_key,
)


class Merchant(Base):
    """商户号: the WeChat Pay side of an account. Secrets are sealed with the place `merchant/<account>/<column>`."""

    __tablename__ = "merchant"
    account_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    mch_id: Mapped[Key64]
    serial_no: Mapped[Key64]
    private_key: Mapped[bytes] = mapped_column(LargeBinary(8000))
    api_v3_key: Mapped[Sealed]
    public_key_id: Mapped[Key64]
    public_key: Mapped[str] = mapped_column(Text)
    transfer_scene_id: Mapped[Word]
    report_infos: Mapped[Json]


class Withdrawal(Base):
    """提现: a member's wish for money, and the payout that answers it under one number for ever (`payout_no`).

    `amount_fen` is what leaves the balance: the member receives it less `fee_fen` and `tax_fen`. `provider_state`,
    `package_info` and `confirm_by` are what WeChat Pay says of the transfer; `round` counts the times it was put up
    for approval. `terms` is what the transfer was begun with: the same number must always carry the same content.
    `ask_at` is when WeChat Pay is asked next; `alarm` names what a person has to look at. From `giving_up_at` on, a
    person wants it ended: nothing is sent any more, and it ends when WeChat Pay says that there is no bill.
    """

    __tablename__ = "withdrawal"
    __table_args__ = (
        UniqueConstraint("payout_no"),
        UniqueConstraint("member_id", "client_token"),
        UniqueConstraint("account_id", "provider_bill_no"),
        Index(None, "account_id", "status", "id"),  # the queue, by state
        Index(None, "member_id", "requested_at"),  # what was asked for today
        Index(None, "status", "ask_at", "id"),  # what the sweep has to look after
        Index(None, "account_id", "finished_at"),  # what a reconciliation compares
        Index(None, "alarm"),  # NULL almost everywhere: what people must look at
        Index(None, "account_id", "requested_at"),  # who was paid lately, for risk
        CheckConstraint(
            "status IN ('requested', 'approved', 'rejected', 'paying', 'paid', 'failed')",
            name="status",
        ),
        CheckConstraint("method IN ('wechat', 'offline')", name="method"),
        CheckConstraint("amount_fen > fee_fen + tax_fen", name="amount"),
    )
    id: Mapped[Id]
    account_id: Mapped[Ref]
    member_id: Mapped[Ref]
    payout_no: Mapped[str] = mapped_column(ascii_key(32))
    client_token: Mapped[Key64]
    method: Mapped[Word]
    amount_fen: Mapped[Fen]
    fee_fen: Mapped[FenFromZero]
    tax_fen: Mapped[FenFromZero]
    status: Mapped[Word]
    round: Mapped[int] = mapped_column(Integer, server_default=text("1"))
    reason: Mapped[MaybeName]
    proof: Mapped[MaybeName]
    provider_bill_no: Mapped[MaybeKey64]
    provider_state: Mapped[str | None] = mapped_column(ascii_key(32))
    package_info: Mapped[str | None] = mapped_column(Text)
    confirm_by: Mapped[MaybeAt]
    terms: Mapped[MaybeJson]
    ask_at: Mapped[MaybeAt]
    alarm: Mapped[MaybeKey64]
    giving_up_at: Mapped[MaybeAt]
    requested_at: Mapped[At]
    decided_at: Mapped[MaybeAt]
    paying_at: Mapped[MaybeAt]
    finished_at: Mapped[MaybeAt]


class WithdrawalApproval(Base):
    """One person's yes to one withdrawal in one round. Append-only; the key makes two yeses two people."""

    __tablename__ = "withdrawal_approval"
    withdrawal_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    round: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    actor: Mapped[str] = mapped_column(String(190), primary_key=True)
    at: Mapped[At]


class Reconciliation(Base):
    """对账: the last comparison of an account's payouts with WeChat Pay, of one kind and one Beijing day.

    kind "numbers": every recent transfer asked for by its number on that day. kind "bill": the payouts that ended on
    that day against the fund-flow bills around it. `differences` are the first hundred, `difference_count` all of them;
    `unanswered` is what could not be compared. A new comparison of the same day replaces the row.
    """

    __tablename__ = "reconciliation"
    __table_args__ = (
        UniqueConstraint("account_id", "kind", "day"),  # also the newest of a kind
        CheckConstraint("kind IN ('numbers', 'bill')", name="kind"),
    )
    id: Mapped[Id]
    account_id: Mapped[Ref]
    kind: Mapped[Word]
    day: Mapped[date] = mapped_column(Date)
    compared: Mapped[Count]
    unanswered: Mapped[Count]
    paid_fen: Mapped[FenFromZero]
    difference_count: Mapped[Count]
    differences: Mapped[Json]
    at: Mapped[At]
