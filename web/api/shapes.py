"""What the shop sends and what it gets: the models behind the OpenAPI description.

Requests are strict: an unknown key, a boolean or a fraction where an integer belongs, an instant without a time zone
are errors, because each of them has cost some shop money. Amounts are integer fen, rates integer basis points.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SkipValidation,
    WithJsonSchema,
    model_validator,
)

from domain.orders import MAX_FEN, MAX_LINES

BATCH_LIMIT: Final = 500
PAGE_LIMIT: Final = 200
MAX_QUANTITY: Final = 1_000_000
MAX_LINE_NO: Final = 1_000_000
_EARLIEST, _LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)


def _text_only(value: Any) -> Any:
    """A number is not an instant here: seconds and milliseconds are too easily confused."""
    if not isinstance(value, str):
        raise ValueError("an instant is a text such as 2026-11-22T10:00:00+08:00")
    return value


def _in_range(value: datetime) -> datetime:
    if not _EARLIEST <= value < _LATEST:
        raise ValueError("an instant lies between the years 2000 and 2100")
    return value.astimezone(UTC)


Instant = Annotated[
    AwareDatetime,
    Field(strict=False, examples=["2026-11-22T10:00:00+08:00"]),
    BeforeValidator(_text_only),
    AfterValidator(_in_range),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
Moment = Annotated[datetime, WithJsonSchema({"type": "string", "format": "date-time"})]
Fen = Annotated[int, Field(ge=0, le=MAX_FEN)]
PositiveFen = Annotated[int, Field(ge=1, le=MAX_FEN)]
Number = Annotated[str, Field(pattern=r"^[0-9A-Za-z][0-9A-Za-z_.|*@:-]{0,63}$")]
Name64 = Annotated[str, Field(pattern=r"^[0-9A-Za-z_-]{1,64}$")]
Sku = Annotated[str, Field(pattern=r"^[0-9A-Za-z_.|*-]{1,64}$")]
Hash = Annotated[str, Field(pattern=r"^[0-9A-Za-z+/=_-]{8,64}$")]
Grade = Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,32}$")]
Title = Annotated[str, Field(min_length=1, max_length=190)]
LineNo = Annotated[int, Field(ge=1, le=MAX_LINE_NO)]
Bps = Annotated[int, Field(ge=0, le=10_000)]
Levels = Annotated[list[Bps], Field(min_length=1, max_length=3)]


def _one_of(*words: str) -> Any:
    """A text that is one of these; said to readers, not checked again on the way out."""
    return WithJsonSchema({"type": "string", "enum": list(words)})


OrderStatus = Annotated[str, _one_of("unpaid", "paid", "completed", "closed")]
CommissionStatus = Annotated[str, _one_of("frozen", "settled", "voided", "clawed_back")]
Reason = Annotated[
    str,
    _one_of(
        "no_upline", "suspended", "not_qualified", "no_rate", "rounds_to_zero", "buyer_unknown", "no_rule"
    ),
]  # fmt: skip


class Request(BaseModel):
    """A part of a request."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Answer(BaseModel):
    """A part of an answer."""

    model_config = ConfigDict(extra="forbid")


# --- errors ---------------------------------------------------------------------------------------------------------


class Error(Answer):
    """Every refusal has this shape. `code` is stable; `message` is for your log; `details` depend on the code."""

    code: str = Field(examples=["order_conflict"])
    message: str = Field(examples=["this order number is known with other content"])
    details: dict[str, Any] = Field(default_factory=dict, examples=[{"order_no": "S20261122-1"}])


# --- addresses and pages --------------------------------------------------------------------------------------------


class OrderPath(BaseModel):
    order_no: Number = Field(description="The shop's number of the order.")


class SkuPath(BaseModel):
    sku: Sku


class MemberPath(BaseModel):
    openid: Name64 = Field(description="The member's openid in this official account.")


class IdentityPath(MemberPath):
    appid: Name64 = Field(description="A mini program that the account lists in `linked_apps`.")


class Page(BaseModel):
    """A keyset page. Send `next_cursor` of one page as `cursor` of the next; null means that was the last one."""

    model_config = ConfigDict(extra="forbid")

    cursor: str | None = Field(default=None, max_length=200, description="From `next_cursor`.")
    limit: int = Field(default=50, ge=1, le=PAGE_LIMIT)


class DownlinePage(Page):
    level: int = Field(default=1, ge=1, le=3, description="1 are those whom the member brought.")


# --- orders: requests -----------------------------------------------------------------------------------------------


class LineIn(Request):
    """A line of an order. Commissions are counted on `paid_fen`, what was really paid for it after every discount."""

    line_no: LineNo
    sku: Sku | None = Field(
        default=None, description="One that we do not know uses the account's rule."
    )
    title: Title
    quantity: int = Field(ge=1, le=MAX_QUANTITY)
    unit_price_fen: Fen | None = None
    paid_fen: Fen


class OrderIn(Request):
    """A paid order. The buyer is an `openid` of the official account, a `unionid`, or the `openid` of a linked mini
    program with its `appid`."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "order_no": "S20261122-1",
                    "openid": "oBuyer-0000000000000000000001",
                    "lines": [
                        {"line_no": 1, "sku": "tea-1", "title": "凤凰单丛 250 g", "quantity": 1,
                         "unit_price_fen": 2997, "paid_fen": 2997},
                    ],
                    "shipping_fen": 800,
                    "paid_at": "2026-11-22T10:00:00+08:00",
                }
            ]
        }
    )  # fmt: skip

    order_no: Number
    openid: Name64 | None = None
    unionid: Name64 | None = None
    appid: Name64 | None = None
    lines: list[LineIn] = Field(min_length=1, max_length=MAX_LINES)
    shipping_fen: Fen = Field(default=0, description="Never part of a commission.")
    paid_at: Instant
    payer_openid: Name64 | None = Field(
        default=None, description="Who paid, if not the buyer. Only risk signals read it."
    )
    phone_hash: Hash | None = Field(
        default=None, description="Your hash of the phone number: equal for equal ones."
    )
    ship_to_hash: Hash | None = Field(
        default=None, description="Your hash of the address: equal for equal ones."
    )

    campaign: Name64 | None = Field(
        default=None,
        description="The `c` parameter of the link by which the buyer came to your shop: the broadcast that sold it.",
    )

    @model_validator(mode="after")
    def _names_somebody(self) -> OrderIn:
        if self.openid is None and self.unionid is None:
            raise ValueError("the buyer needs an openid or a unionid")
        if self.appid is not None and self.openid is None:
            raise ValueError("an appid goes with the openid of that app")
        numbers = [line.line_no for line in self.lines]
        if len(set(numbers)) != len(numbers):
            raise ValueError("every line has a line_no of its own")
        return self


class BatchIn(Request):
    """Up to 500 orders, each as in `POST /orders`."""

    # Not looked into here: each is checked by itself, so that bad ones get their error and good ones are recorded.
    orders: list[SkipValidation[OrderIn]] = Field(min_length=1, max_length=BATCH_LIMIT)


class CompleteIn(Request):
    """The order is completed: the goods arrived, or the time to send them back is over."""

    completed_at: Instant


class RefundLineIn(Request):
    line_no: LineNo
    refund_fen: PositiveFen


class RefundIn(Request):
    """Money that goes back to the buyer. Amounts are of this refund alone, not in all."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"refund_no": "R1", "lines": [{"line_no": 1, "refund_fen": 1000}], "shipping_refund_fen": 0}
            ]
        }
    )  # fmt: skip

    refund_no: Number
    lines: list[RefundLineIn] = Field(default_factory=list, max_length=MAX_LINES)
    shipping_refund_fen: Fen = 0

    @model_validator(mode="after")
    def _refunds_something(self) -> RefundIn:
        numbers = [line.line_no for line in self.lines]
        if len(set(numbers)) != len(numbers):
            raise ValueError("a line is refunded once in one refund")
        if not self.lines and not self.shipping_refund_fen:
            raise ValueError("nothing is refunded")
        return self


# --- orders: answers ------------------------------------------------------------------------------------------------


class Who(Answer):
    """A member, as others see one."""

    openid: str
    name: str = Field(examples=["会员·7KQ2M4P"])


class Buyer(Answer):
    """What the shop said of the buyer, and the member we know them as: null until they follow."""

    openid: str | None
    unionid: str | None
    appid: str | None
    member: Who | None


class Line(Answer):
    line_no: int
    sku: str | None
    title: str
    quantity: int
    unit_price_fen: int | None
    paid_fen: int
    refunded_fen: int


class Nobody(Answer):
    """Why nobody earns a level. The money stays with the merchant."""

    reason: Reason
    zh: str = Field(examples=["这一级没有上级"])
    en: str = Field(examples=["there is no upline at this level"])


class Commission(Answer):
    """One level of one line. amount_fen = floor(base_fen × rate_bps × share_bps ÷ 10000²); `share_bps` is 10000 unless
    a product's pool is shared. With `nobody` set nobody earns it: `earner` and `status` are null, the amount is 0."""

    line_no: int
    level: int
    earner: Who | None
    base_fen: int
    rate_bps: int
    share_bps: int
    amount_fen: int
    clawed_fen: int = Field(description="What refunds have taken back of it.")
    status: CommissionStatus | None
    due_at: Moment | None = Field(description="When it settles; null until the order is completed.")
    settled_at: Moment | None
    nobody: Nobody | None


class OrderRefund(Answer):
    """A refund of an order."""

    refund_no: str
    status: Annotated[str, _one_of("applied", "refused")]
    goods_fen: int
    shipping_refund_fen: int


class Order(Answer):
    """An order as it is now, with its commissions."""

    order_no: str
    status: OrderStatus
    buyer: Buyer
    lines: list[Line]
    paid_fen: int = Field(description="Goods only, in all.")
    refunded_fen: int
    shipping_fen: int
    shipping_refunded_fen: int
    paid_at: Moment | None
    completed_at: Moment | None
    commissions: list[Commission]
    refunds: list[OrderRefund] = Field(
        description="`refused` is one that was parked and asked for more than was then paid."
    )


class BatchResult(Answer):
    """What became of one order of a batch, in the order of the request."""

    order_no: str | None = Field(description="Null when it could not be read.")
    result: Annotated[str, _one_of("created", "unchanged", "refused")]
    status: int = Field(description="What `POST /orders` would have answered.", examples=[201])
    order: Order | None
    error: Error | None


class Batch(Answer):
    created: int
    unchanged: int
    refused: int
    results: list[BatchResult]


class Taken(Answer):
    """What a refund took from one level of one line: `voided` before settlement, `clawed_back` after it."""

    line_no: int
    level: int
    earner: Who
    amount_fen: int
    effect: Annotated[str, _one_of("voided", "clawed_back")]


class Refund(Answer):
    """A refund. `parked` (202) waits for the payment of its order and is applied with it."""

    order_no: str
    refund_no: str
    status: Annotated[str, _one_of("parked", "applied")]
    goods_fen: int
    shipping_refund_fen: int
    taken: list[Taken]
    order: Order | None = Field(description="Null while the refund is parked.")


# --- products -------------------------------------------------------------------------------------------------------


class ProductIn(Request):
    """A product. Its own commission terms, if any, go before the account's rule: `rates` per level (level 1 first), or
    a `pool` that the levels share by `shares`; all in basis points. Without either the account's rule decides. `grades`
    are other rates, or other shares of the same pool, for promoters of a grade."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"name": "凤凰单丛 250 g", "price_fen": 2997, "stock": 100, "rates": [1000, 500, 200]},
                {"name": "礼盒", "price_fen": 10000, "pool": 2000, "shares": [5000, 3000, 2000]},
            ]
        }
    )  # fmt: skip

    name: Title
    price_fen: Fen
    stock: int | None = Field(
        default=None, ge=0, le=2_000_000_000, description="Null: not counted."
    )
    rates: Levels | None = None
    pool: Bps | None = None
    shares: Levels | None = None
    grades: dict[Grade, Levels] | None = None

    @model_validator(mode="after")
    def _one_kind_of_terms(self) -> ProductIn:
        if self.grades is not None and self.rates is None and self.shares is None:
            raise ValueError("grades go with rates or shares")
        if (self.pool is None) != (self.shares is None):
            raise ValueError("pool and shares go together")
        if self.rates is not None and self.pool is not None:
            raise ValueError("rates or a pool, not both")
        return self


class Product(Answer):
    sku: str
    name: str
    price_fen: int
    stock: int | None
    rates: list[int] | None
    pool: int | None
    shares: list[int] | None
    grades: dict[str, list[int]] | None
    updated_at: Moment


class Products(Answer):
    items: list[Product]
    next_cursor: str | None


# --- members --------------------------------------------------------------------------------------------------------


class Figures(Answer):
    """A level of a member's team. `spent_fen` is what it paid for goods, `refunded_fen` what it got back of that,
    `earned_fen` what the member earned by it after claw-backs, `frozen_fen` the part that is not settled."""

    people: int
    following: int
    buyers: int
    orders: int
    spent_fen: int
    refunded_fen: int
    earned_fen: int
    frozen_fen: int


class LevelFigures(Figures):
    level: int


class Upline(Who):
    level: int


class Balance(Answer):
    """In fen. `available_fen` below zero is a debt that later settlements fill first."""

    available_fen: int
    withdrawing_fen: int
    frozen_fen: int


class Member(Answer):
    """A member with their team. Figures never name the people; `downline` does."""

    openid: str
    unionid: str | None
    name: str
    code: str
    status: Annotated[str, _one_of("active", "suspended")]
    following: bool
    joined_at: Moment
    referrer: Who | None
    bound_at: Moment | None
    uplines: list[Upline] = Field(description="Nearest first, at most three.")
    levels: list[LevelFigures] = Field(description="Levels 1, 2 and 3.")
    total: Figures
    balance: Balance


class DownlineMember(Who):
    joined_at: Moment
    following: bool
    first_paid_at: Moment | None


class Downline(Answer):
    level: int
    items: list[DownlineMember]
    next_cursor: str | None


class MemberCommission(Answer):
    """A commission of a member: of an order, or a registration reward (then order_no and line_no are null)."""

    id: int
    kind: Annotated[str, _one_of("order", "registration")]
    order_no: str | None
    line_no: int | None
    level: int
    base_fen: int
    rate_bps: int
    share_bps: int
    amount_fen: int
    clawed_fen: int
    status: CommissionStatus
    due_at: Moment | None
    settled_at: Moment | None
    created_at: Moment


class StatementLine(Answer):
    """A posting of a member: what moved between the buckets, and the balances after it, in fen."""

    id: int
    at: Moment
    reason: str = Field(
        description="accrue, settle, void, clawback, absorb, hold, back, paid, fee, tax, opening …"
    )
    amount_fen: int
    source: str = Field(
        description="The bucket it left: commission, frozen, available, withdrawing, adjust …"
    )
    destination: str
    frozen_fen: int
    available_fen: int = Field(description="Below zero is a debt.")
    withdrawing_fen: int
    order_no: str | None
    line_no: int | None
    level: int | None
    commission_id: int | None
    refund_no: str | None
    payout_no: str | None


class Statement(Answer):
    """Newest first."""

    items: list[StatementLine]
    next_cursor: str | None


class MemberCommissions(Answer):
    items: list[MemberCommission]
    next_cursor: str | None


# --- withdrawals ----------------------------------------------------------------------------------------------------

WithdrawalStatus = Literal["requested", "approved", "rejected", "paying", "paid", "failed"]


class Withdrawal(Answer):
    """A member's request for money. `net_fen` is what they receive: the amount less fee and tax. `state` is what
    WeChat Pay says of the transfer; while it is WAIT_USER_CONFIRM the member has to confirm until `confirm_by`."""

    id: int
    payout_no: str
    openid: str
    method: Annotated[str, _one_of("wechat", "offline")]
    amount_fen: int
    fee_fen: int
    tax_fen: int
    net_fen: int
    status: WithdrawalStatus
    state: str | None
    reason: str | None
    confirm_by: Moment | None
    requested_at: Moment
    decided_at: Moment | None
    finished_at: Moment | None


class Withdrawals(Answer):
    items: list[Withdrawal]
    next_cursor: str | None


class WithdrawalPage(Page):
    status: WithdrawalStatus | None = None


class IdentityIn(Request):
    openid: Name64 = Field(description="The same person's openid in the mini program.")


class Identity(Answer):
    openid: str
    appid: str
    linked_openid: str
    orders_attached: int = Field(
        description="Orders that waited for this buyer and were given now."
    )
