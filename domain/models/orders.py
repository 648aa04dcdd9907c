"""What is sold."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Index, Integer, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from domain.models.base import (
    At,
    Base,
    Fen,
    FenFromZero,
    Id,
    Json,
    Key64,
    MaybeAt,
    MaybeJson,
    MaybeKey64,
    MaybeRef,
    Name,
    Ref,
    Word,
)


class Rule(Base):
    """佣金规则: one version, never edited. `definition` is the JSON of domain/rules.py."""

    __tablename__ = "rule"
    __table_args__ = (Index(None, "account_id", "effective_at"),)
    id: Mapped[Id]
    account_id: Mapped[Ref]
    effective_at: Mapped[At]
    definition: Mapped[Json]
    actor: Mapped[Name]
    created_at: Mapped[At]


class Product(Base):
    """商品. `terms` is null (the rule decides) or the JSON of domain/rules.py; `stock` null means not counted."""

    __tablename__ = "product"
    __table_args__ = (
        UniqueConstraint("account_id", "sku"),
        CheckConstraint("price_fen >= 0", name="price"),
        CheckConstraint("stock >= 0", name="stock"),
    )
    id: Mapped[Id]
    account_id: Mapped[Ref]
    sku: Mapped[Key64]
    name: Mapped[Name]
    price_fen: Mapped[Fen]
    stock: Mapped[int | None] = mapped_column(Integer)
    terms: Mapped[MaybeJson]
    updated_at: Mapped[At]


class Order(Base):
    """订单. `uplines` (JSON) and `rule_id` are the snapshot by which every commission can be computed again.

    `paid_fen` and `refunded_fen` are goods only. `member_id` is null while the buyer is not known;
    `buyer_*` are what the shop said of the buyer.
    """

    __tablename__ = "orders"
    __table_args__ = (
        UniqueConstraint("account_id", "order_no"),
        UniqueConstraint("account_id", "pay_transaction_id"),
        Index(
            None, "member_id", "status", "paid_fen", "refunded_fen"
        ),  # spend of one level, of all levels
        Index(None, "account_id", "status", "paid_at"),  # the console's list of one state
        Index(None, "account_id", "paid_at", "id"),  # a period, streamed: dry run, house, risk
        Index(None, "account_id", "buyer_openid"),  # orders that wait for their buyer
        Index(None, "account_id", "buyer_unionid"),
        CheckConstraint("status IN ('unpaid', 'paid', 'completed', 'closed')", name="status"),
        CheckConstraint("refunded_fen BETWEEN 0 AND paid_fen", name="refunded"),
        CheckConstraint(
            "shipping_refunded_fen BETWEEN 0 AND shipping_fen", name="shipping_refunded"
        ),
    )
    id: Mapped[Id]
    account_id: Mapped[Ref]
    order_no: Mapped[Key64]
    content_hash: Mapped[Key64]
    channel: Mapped[Word]
    status: Mapped[Word]
    member_id: Mapped[MaybeRef]
    buyer_openid: Mapped[MaybeKey64]
    buyer_unionid: Mapped[MaybeKey64]
    buyer_app_id: Mapped[MaybeKey64]
    paid_fen: Mapped[Fen]
    refunded_fen: Mapped[FenFromZero]
    shipping_fen: Mapped[FenFromZero]
    shipping_refunded_fen: Mapped[FenFromZero]
    rule_id: Mapped[MaybeRef]
    uplines: Mapped[MaybeJson]
    pay_transaction_id: Mapped[MaybeKey64]
    paid_at: Mapped[MaybeAt]
    completed_at: Mapped[MaybeAt]
    created_at: Mapped[At]


class OrderLine(Base):
    """订单行. `terms` is the product's own commission terms as they were when the order came."""

    __tablename__ = "order_line"
    __table_args__ = (
        CheckConstraint("refunded_fen BETWEEN 0 AND paid_fen", name="refunded"),
        CheckConstraint("quantity > 0", name="quantity"),
    )
    order_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    line_no: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    sku: Mapped[MaybeKey64]
    title: Mapped[Name]
    quantity: Mapped[int] = mapped_column(Integer)
    unit_price_fen: Mapped[int | None] = mapped_column(BigInteger)
    paid_fen: Mapped[Fen]
    refunded_fen: Mapped[FenFromZero]
    terms: Mapped[MaybeJson]


class Refund(Base):
    """退款 of one order, known by the shop's number; `order_id` is null while it is parked."""

    __tablename__ = "refund"
    __table_args__ = (
        UniqueConstraint("account_id", "order_no", "refund_no"),
        Index(None, "order_id"),
        Index(None, "account_id", "created_at"),  # refunds of the last days, of a day
        CheckConstraint("status IN ('parked', 'applied', 'refused')", name="status"),
    )
    id: Mapped[Id]
    account_id: Mapped[Ref]
    order_no: Mapped[Key64]
    refund_no: Mapped[Key64]
    order_id: Mapped[MaybeRef]
    content_hash: Mapped[Key64]
    status: Mapped[Word]
    goods_fen: Mapped[Fen]
    shipping_refund_fen: Mapped[FenFromZero]
    created_at: Mapped[At]


class RefundLine(Base):
    __tablename__ = "refund_line"
    __table_args__ = (CheckConstraint("refund_fen > 0", name="refund_fen"),)
    refund_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    line_no: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    refund_fen: Mapped[Fen]
