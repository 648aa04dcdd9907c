"""Every table of Banyan. Money is integer fen (`_fen`), rates are basis points (`_bps`), instants are UTC (`_at`).

A unique key beside a table is the idempotency of the step that writes it (money.md 2.1). Hot tables carry no foreign
keys to rows that get updated: inserting would lock the parent. Keys compare by bytes (ascii_bin): openids and order
numbers are case-sensitive. The table of orders is `orders` and order lines have no surrogate id: see docs/decisions.md.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Annotated, Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Date,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
    false,
    text,
    true,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "pk": "pk_%(table_name)s",
}


class Instant(TypeDecorator[datetime]):
    """An aware instant, stored as naive UTC with microseconds; a naive value is refused."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Any) -> Any:
        if dialect.name in {"mysql", "mariadb"}:
            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        return dialect.type_descriptor(DateTime())

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("an instant needs a time zone")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        return None if value is None else value.replace(tzinfo=UTC)


def _ascii(length: int) -> Any:
    """A key column: compared by bytes, one byte a character in every index."""
    return String(length).with_variant(
        mysql.VARCHAR(length, charset="ascii", collation="ascii_bin"), "mysql", "mariadb"
    )


Id = Annotated[int, mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)]
Ref = Annotated[int, mapped_column(BigInteger)]
MaybeRef = Annotated[int | None, mapped_column(BigInteger)]
Fen = Annotated[int, mapped_column(BigInteger)]
FenFromZero = Annotated[int, mapped_column(BigInteger, server_default=text("0"))]
Count = Annotated[int, mapped_column(Integer, server_default=text("0"))]
Word = Annotated[str, mapped_column(_ascii(32))]
Key64 = Annotated[str, mapped_column(_ascii(64))]
MaybeKey64 = Annotated[str | None, mapped_column(_ascii(64))]
Key128 = Annotated[str, mapped_column(_ascii(128))]
Name = Annotated[str, mapped_column(String(190))]
MaybeName = Annotated[str | None, mapped_column(String(190))]
Json = Annotated[str, mapped_column(Text)]
MaybeJson = Annotated[str | None, mapped_column(Text)]
At = Annotated[datetime, mapped_column(Instant)]
MaybeAt = Annotated[datetime | None, mapped_column(Instant)]
Sealed = Annotated[bytes, mapped_column(LargeBinary(2000))]
MaybeSealed = Annotated[bytes | None, mapped_column(LargeBinary(2000))]


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING)


# --- accounts and the people who run them ---------------------------------------------------------------------------


class Account(Base):
    """公众号: one official account. Secrets are sealed with the place `account/<id>/<column>`."""

    __tablename__ = "account"
    __table_args__ = (
        UniqueConstraint("slug"),
        UniqueConstraint("app_id"),
        CheckConstraint("mode IN ('plain', 'compatible', 'safe')", name="mode"),
        CheckConstraint("depth BETWEEN 1 AND 3", name="depth"),
    )
    id: Mapped[Id]
    slug: Mapped[Key64]
    name: Mapped[Name]
    app_id: Mapped[Key64]
    gh_id: Mapped[Key64]
    mode: Mapped[Word]
    depth: Mapped[int] = mapped_column(Integer)
    app_secret: Mapped[Sealed]
    token: Mapped[Sealed]
    aes_key: Mapped[Sealed]
    settings: Mapped[Json]
    created_at: Mapped[At]


class Staff(Base):
    """商家员工: a person who signs in to the console."""

    __tablename__ = "staff"
    __table_args__ = (UniqueConstraint("login"),)
    id: Mapped[Id]
    login: Mapped[Name]
    password_hash: Mapped[str] = mapped_column(String(255))
    active: Mapped[bool] = mapped_column(Boolean(create_constraint=False), server_default=true())
    created_at: Mapped[At]


class StaffRole(Base):
    """What a person may do in one account."""

    __tablename__ = "staff_role"
    __table_args__ = (
        CheckConstraint("role IN ('owner', 'finance', 'operator', 'support')", name="role"),
    )
    staff_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    account_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    role: Mapped[Word]


class ApiKey(Base):
    """A shop's key: belongs to one account; the secret is sealed with the place `api_key/<key>/secret`."""

    __tablename__ = "api_key"
    __table_args__ = (UniqueConstraint("public_key"), Index(None, "account_id"))
    id: Mapped[Id]
    account_id: Mapped[Ref]
    public_key: Mapped[Key64]
    secret: Mapped[Sealed]
    scopes: Mapped[Json]
    addresses: Mapped[MaybeJson]
    expires_at: Mapped[MaybeAt]
    revoked_at: Mapped[MaybeAt]
    created_at: Mapped[At]


class ApiNonce(Base):
    """A nonce that was used: accepted once, whatever happens to Redis. The clock prunes old ones by `at`."""

    __tablename__ = "api_nonce"
    __table_args__ = (Index(None, "at"),)
    api_key_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    nonce: Mapped[str] = mapped_column(_ascii(64), primary_key=True)
    at: Mapped[At]


class Audit(Base):
    """Who changed what. Append-only."""

    __tablename__ = "audit"
    __table_args__ = (Index(None, "account_id", "id"), Index(None, "subject", "id"))
    id: Mapped[Id]
    account_id: Mapped[MaybeRef]
    actor: Mapped[Name]
    action: Mapped[Key64]
    subject: Mapped[Key128]
    before: Mapped[MaybeJson]
    after: Mapped[MaybeJson]
    at: Mapped[At]


# --- members, bindings, codes ---------------------------------------------------------------------------------------


class Member(Base):
    """会员: one follower of one account. `followed_at` is the greatest CreateTime that changed `following`."""

    __tablename__ = "member"
    __table_args__ = (
        UniqueConstraint("account_id", "openid"),
        UniqueConstraint("account_id", "code"),
        Index(None, "account_id", "unionid"),
        Index(None, "account_id", "phone_index"),
        Index(None, "account_id", "email_index"),
        Index(None, "account_id", "joined_at"),  # who joined on a day
        Index(
            None, "referrer_id", "id"
        ),  # the direct downline, and rebuilding `relation` from the truth
        CheckConstraint("status IN ('active', 'suspended')", name="status"),
    )
    id: Mapped[Id]
    account_id: Mapped[Ref]
    openid: Mapped[Key64]
    unionid: Mapped[MaybeKey64]
    code: Mapped[Word]
    nickname: Mapped[MaybeName]
    referrer_id: Mapped[MaybeRef]
    bound_at: Mapped[MaybeAt]
    bound_scene_id: Mapped[MaybeRef]
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


class Scene(Base):
    """场景值: what a code carries, and whom it leads to. Append-only: a code is never reassigned."""

    __tablename__ = "scene"
    __table_args__ = (
        UniqueConstraint("account_id", "code"),
        UniqueConstraint("owner_key"),
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


class QrTicket(Base):
    """带参二维码: what WeChat issued for a scene. Permanent ones have no `expires_at`."""

    __tablename__ = "qr_ticket"
    __table_args__ = (Index(None, "scene_id", "expires_at"),)
    id: Mapped[Id]
    account_id: Mapped[Ref]
    scene_id: Mapped[Ref]
    ticket: Mapped[str] = mapped_column(_ascii(255))
    url: Mapped[str] = mapped_column(String(255))
    expires_at: Mapped[MaybeAt]
    created_at: Mapped[At]


class Poster(Base):
    """推广海报: the last picture of a member, as WeChat keeps it; made anew when `fingerprint` or the media lapse."""

    __tablename__ = "poster"
    member_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    qr_ticket_id: Mapped[Ref]
    fingerprint: Mapped[Key64]
    media_id: Mapped[str] = mapped_column(_ascii(128))
    media_expires_at: Mapped[At]


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


# --- what is sold ---------------------------------------------------------------------------------------------------


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
        Index(None, "account_id", "status", "created_at"),  # unpaid orders
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


# --- commissions and the ledger -------------------------------------------------------------------------------------


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
        Index(None, "member_id", "id"),
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


# --- money that leaves ----------------------------------------------------------------------------------------------


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
    `ask_at` is when WeChat Pay is asked next; `alarm` names what a person has to look at.
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
    payout_no: Mapped[str] = mapped_column(_ascii(32))
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
    provider_state: Mapped[str | None] = mapped_column(_ascii(32))
    package_info: Mapped[str | None] = mapped_column(Text)
    confirm_by: Mapped[MaybeAt]
    terms: Mapped[MaybeJson]
    ask_at: Mapped[MaybeAt]
    alarm: Mapped[MaybeKey64]
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


# --- what is told, and what leaves ----------------------------------------------------------------------------------


class Notice(Base):
    """What a member should be told; the inbox of the chat. A message about it is an `outbox` row."""

    __tablename__ = "notice"
    __table_args__ = (UniqueConstraint("notice_key"), Index(None, "member_id", "id"))
    id: Mapped[Id]
    account_id: Mapped[Ref]
    member_id: Mapped[Ref]
    occasion: Mapped[Word]
    notice_key: Mapped[Key128]
    params: Mapped[Json]
    created_at: Mapped[At]
    read_at: Mapped[MaybeAt]


class Outbox(Base):
    """发件箱: a message that must leave. The row is the message, an RQ job is a doorbell (money.md 2.5)."""

    __tablename__ = "outbox"
    __table_args__ = (
        UniqueConstraint("dedupe_key"),
        Index(None, "state", "topic", "next_at", "id"),  # what a drain claims
        Index(None, "lease_token"),
        Index(None, "account_id", "provider_msg_id"),  # the result event finds its row
        CheckConstraint("state IN ('pending', 'claimed', 'done', 'dead', 'unsure')", name="state"),
    )
    id: Mapped[Id]
    account_id: Mapped[Ref]
    member_id: Mapped[MaybeRef]
    topic: Mapped[Word]
    dedupe_key: Mapped[Key128]
    payload: Mapped[Json]
    state: Mapped[Word]
    attempts: Mapped[Count]
    next_at: Mapped[At]
    first_try_at: Mapped[MaybeAt]
    lease_token: Mapped[str | None] = mapped_column(_ascii(32))
    provider_msg_id: Mapped[MaybeKey64]
    last_error: Mapped[MaybeName]
    delivery: Mapped[str | None] = mapped_column(_ascii(32))
    delivered_at: Mapped[MaybeAt]
    created_at: Mapped[At]
    done_at: Mapped[MaybeAt]


class NoticeTemplate(Base):
    """The WeChat template that an account uses for an occasion; `fields` maps its keywords to our words (JSON)."""

    __tablename__ = "notice_template"
    account_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    occasion: Mapped[str] = mapped_column(_ascii(32), primary_key=True)
    template_id: Mapped[Key64]
    fields: Mapped[MaybeJson]


class Reply(Base):
    """The merchant's own keyword reply."""

    __tablename__ = "reply"
    __table_args__ = (
        UniqueConstraint("account_id", "keyword"),
        CheckConstraint("matching IN ('exact', 'contains')", name="matching"),
    )
    id: Mapped[Id]
    account_id: Mapped[Ref]
    keyword: Mapped[str] = mapped_column(String(60))
    matching: Mapped[Word]
    body: Mapped[str] = mapped_column(String(2000))


class TextOverride(Base):
    """The merchant's own wording of one of our texts (domain/texts.py)."""

    __tablename__ = "text_override"
    account_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    text_key: Mapped[str] = mapped_column(_ascii(64), primary_key=True)
    body: Mapped[str] = mapped_column(String(2000))


# --- grades, promoters, risk ----------------------------------------------------------------------------------------


class Grade(Base):
    """等级: a rank of promoters that picks rates and freeze days in a rule. `conditions` is the JSON of grades.py, null
    means by hand only. `downgrade` never keeps it for ever, monthly keeps it while a month's figures suffice."""

    __tablename__ = "grade"
    __table_args__ = (
        UniqueConstraint("account_id", "code"),
        UniqueConstraint("account_id", "rank"),
        CheckConstraint("downgrade IN ('never', 'monthly')", name="downgrade"),
    )
    id: Mapped[Id]
    account_id: Mapped[Ref]
    code: Mapped[Word]
    name: Mapped[Name]
    rank: Mapped[int] = mapped_column(Integer)
    conditions: Mapped[MaybeJson]
    downgrade: Mapped[Word] = mapped_column(server_default="never")
    updated_at: Mapped[At]


class GradeHistory(Base):
    """Every change of a member's grade, with the figures that it followed from. Append-only."""

    __tablename__ = "grade_history"
    __table_args__ = (UniqueConstraint("member_id", "seq"), Index(None, "account_id", "id"))
    id: Mapped[Id]
    account_id: Mapped[Ref]
    member_id: Mapped[Ref]
    seq: Mapped[int] = mapped_column(Integer)
    from_grade: Mapped[Word]
    to_grade: Mapped[Word]
    reason: Mapped[Name]
    figures: Mapped[MaybeJson]
    actor: Mapped[Name]
    at: Mapped[At]


class GradeMark(Base):
    """A member's totals when a month began for them (the first sweep of that month): a month's figures are differences
    of marks. `month` is Beijing's, as 202603."""

    __tablename__ = "grade_mark"
    member_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    month: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    invited_buyers: Mapped[Count]
    own_spent_fen: Mapped[FenFromZero]
    team_sales_fen: Mapped[FenFromZero]
    earned_fen: Mapped[FenFromZero]


class Sweep(Base):
    """Where a task that walks through all members of an account stands; a killed one goes on from here."""

    __tablename__ = "sweep"
    account_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    task: Mapped[str] = mapped_column(_ascii(32), primary_key=True)
    after_id: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    finished_at: Mapped[MaybeAt]


class PromoterApplication(Base):
    """申请推广: a member's wish to promote, and who decided it; `open_key` is the member while it waits, else null."""

    __tablename__ = "promoter_application"
    __table_args__ = (
        UniqueConstraint("open_key"),
        Index(None, "account_id", "status", "id"),
        Index(None, "member_id", "id"),
        CheckConstraint("status IN ('applied', 'approved', 'rejected')", name="status"),
    )
    id: Mapped[Id]
    account_id: Mapped[Ref]
    member_id: Mapped[Ref]
    open_key: Mapped[MaybeRef]
    status: Mapped[Word]
    message: Mapped[MaybeName]
    applied_at: Mapped[At]
    decided_at: Mapped[MaybeAt]
    decided_by: Mapped[MaybeName]
    reason: Mapped[MaybeName]


class RegistrationDay(Base):
    """拉新: how many new followers a promoter brought on one day (Beijing's); its lock makes a daily cap exact."""

    __tablename__ = "registration_day"
    member_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    day: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    people: Mapped[Count]


class OrderClue(Base):
    """What the shop said of an order besides the money (who paid, where it goes), only if it said so: equal values on
    orders of different members are a sign. `value` is an openid or the shop's hash, never an address."""

    __tablename__ = "order_clue"
    __table_args__ = (
        Index(None, "account_id", "kind", "at"),
        Index(None, "account_id", "value", "at"),
        CheckConstraint("kind IN ('payer', 'phone', 'ship_to')", name="kind"),
    )
    order_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(_ascii(32), primary_key=True)
    account_id: Mapped[Ref]
    value: Mapped[Key64]
    at: Mapped[At]


class RiskSignal(Base):
    """风险信号: something that looks wrong about a member, with its evidence (JSON), waiting for a person."""

    __tablename__ = "risk_signal"
    __table_args__ = (
        UniqueConstraint("signal_key"),
        Index(None, "account_id", "status", "id"),
        Index(None, "member_id", "status", "id"),
        CheckConstraint("status IN ('open', 'released', 'confirmed', 'lapsed')", name="status"),
    )
    id: Mapped[Id]
    account_id: Mapped[Ref]
    signal_key: Mapped[Key128]
    kind: Mapped[Word]
    member_id: Mapped[MaybeRef]
    evidence: Mapped[Json]
    holds: Mapped[bool] = mapped_column(Boolean(create_constraint=False))
    status: Mapped[Word]
    raised_at: Mapped[At]
    expires_at: Mapped[At]
    reviewed_at: Mapped[MaybeAt]
    reviewer: Mapped[MaybeName]
    note: Mapped[MaybeName]


# --- the tree at work: moves, disputes; statistics; what came from elsewhere ----------------------------------------


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
    """What one Beijing day brought a member on one level (1 to 3), or the whole account (member 0, level 0).

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
    source: Mapped[str] = mapped_column(_ascii(32), primary_key=True)
    kind: Mapped[str] = mapped_column(_ascii(16), primary_key=True)
    foreign_key: Mapped[str] = mapped_column(_ascii(64), primary_key=True)
    our_id: Mapped[Ref]
    content_hash: Mapped[Key64]
    at: Mapped[At]


class Lease(Base):
    """Something that only one process may do at a time, until when, and which one does it."""

    __tablename__ = "lease"
    name: Mapped[str] = mapped_column(_ascii(64), primary_key=True)
    token: Mapped[Key64]
    until: Mapped[At]


APPEND_ONLY = (
    Posting.__tablename__,
    Clawback.__tablename__,
    BindingHistory.__tablename__,
    Audit.__tablename__,
    Rule.__tablename__,
    WithdrawalApproval.__tablename__,
    DisputeNote.__tablename__,
    GradeHistory.__tablename__,
)
"""Tables whose rows the database itself refuses to change or delete (triggers of the first migration)."""
