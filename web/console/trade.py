"""订单与佣金: what was bought, who earns by it and why nobody does, completion and refunds for shops without an API."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from flask import render_template, request
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from domain import commissions, members, orders, refunds
from domain.bindings import display_name
from domain.errors import Invalid
from domain.models import Commission, Member, Order
from domain.refunds import Refunding
from domain.staff.permissions import Permission
from web.console.both import Both
from web.console.cells import BADGE, COUNT, INSTANT, MONEY, RATE
from web.console.listing import Choice, Column, Days, Listing, Search, Sort
from web.console.navigation import MONEY as MONEY_TOPIC
from web.console.navigation import TRADE, Menu
from web.console.refusals import explain
from web.console.states import choices, state
from web.console.visit import Answer, Visit, page
from web.pages import t

explain(
    "refund_too_large",
    Both("退款超过了这一行已付的金额。", "The refund is larger than what the line paid."),
)
explain("no amount was entered", Both("请填写退款金额。", "Please enter an amount."))
explain(
    "this is not an amount of yuan",
    Both("金额请写成 12 或 12.50。", "Write the amount as 12 or 12.50."),
)


NOBODY: Final = {
    "no_upline": Both("这一级没有人", "Nobody stands there"),
    "suspended": Both("推广资格已暂停", "The promoter is suspended"),
    "not_qualified": Both("还没有推广资格", "Not qualified yet"),
    "no_rate": Both("这一级比例是 0", "The rate of this level is 0"),
    "rounds_to_zero": Both("不足一分", "Less than a fen"),
    "buyer_unknown": Both("还不知道买家是谁", "The buyer is not known"),
    "no_rule": Both("当时没有生效的规则", "No rule was in force"),
}
"""Why a level pays nobody, in words."""


@dataclass(frozen=True, slots=True)
class OrderLineOfList:
    """An order with its buyer, if they are known."""

    row: Order
    buyer: Member | None

    @property
    def id(self) -> int:
        return self.row.id


def _with_buyers(session: Session, rows: Sequence[Any]) -> list[OrderLineOfList]:
    people = members.by_ids(session, {row.member_id for row in rows if row.member_id is not None})
    return [OrderLineOfList(row, people.get(row.member_id)) for row in rows]


def _name(member: Member | None) -> str | None:
    return None if member is None else display_name(member.nickname, member.code)


ORDERS = Listing(
    title=Both("订单", "Orders"),
    columns=(
        Column(
            Both("订单号", "Order"), lambda line: line.row.order_no, lead=True,
            href=lambda visit, line: visit.url("order", order_id=line.id),
        ),
        Column(
            Both("买家", "Buyer"), lambda line: _name(line.buyer),
            href=lambda visit, line: line.buyer and visit.url("member", member_id=line.buyer.id),
        ),
        Column(Both("状态", "Status"), lambda line: state("order", line.row.status), BADGE),
        Column(Both("实付商品", "Paid goods"), lambda line: line.row.paid_fen, MONEY),
        Column(Both("已退", "Refunded"), lambda line: line.row.refunded_fen or None, MONEY, wide=True),
        Column(Both("付款", "Paid at"), lambda line: line.row.paid_at, INSTANT),
    ),
    sorts=(Sort("newest", Both("最新", "Newest"), Order.id, lambda row: row.id),),
    id_column=Order.id,
    row_id=lambda row: row.id,
    filters=(
        Choice("status", Both("状态", "Status"), choices("order"), Order.status),
        Days("paid", Both("付款日期", "Paid"), Order.paid_at),
    ),
    search=Search(Both("订单号", "Order number"), lambda _visit, text: Order.order_no == text),
    fill=_with_buyers,
    empty=Both("还没有订单。商城通过接口上报，或在这里导入。", "No orders yet. Your shop reports them over the API."),
    file="orders",
)  # fmt: skip


@page("/orders", allow=Permission.ORDERS_READ, menu=Menu(TRADE, Both("订单", "Orders"), "bag", 10))
def orders_list(visit: Visit) -> Answer:
    """Every order of the account."""
    return ORDERS.answer(visit, select(Order).where(Order.account_id == visit.account.id))


def _order(session: Session, visit: Visit, order_id: int) -> Order:
    row = session.get(Order, order_id)
    return orders.get(
        session, visit.account.id, "" if row is None or row.account_id != visit.account.id else row.order_no
    )  # fmt: skip


@page("/orders/<int:order_id>", allow=Permission.ORDERS_READ)
def order(visit: Visit, order_id: int) -> Answer:
    """An order: lines, each level with its earner or why nobody earns, refunds, and what can be done."""

    def look(session: Session) -> dict[str, Any]:
        row = _order(session, visit, order_id)
        lines = orders.lines_of(session, row.id)
        shares = orders.shares_of(session, row, lines)
        earned = {(one.line_no, one.level): one for one in commissions.of_order(session, row.id)}
        ids = {one.member_id for one in earned.values()}
        if row.member_id is not None:
            ids.add(row.member_id)
        return {
            "row": row,
            "lines": lines,
            "shares": shares,
            "earned": earned,
            "people": {key: _name(one) for key, one in members.by_ids(session, ids).items()},
            "refunds": refunds.of_orders(session, [row.id]).get(row.id, []),
        }

    found = visit.read(look)
    return render_template(
        "console/order.html", **found, badge=state("order", found["row"].status),
        badge_of=lambda one: state("commission", one.status), nobody=NOBODY,
    )  # fmt: skip


@page("/orders/<int:order_id>/complete", allow=Permission.ORDERS_CHANGE, methods=("POST",))
def order_complete(visit: Visit, order_id: int) -> Response:
    """The goods arrived: the freeze period starts."""
    row = visit.read(lambda session: _order(session, visit, order_id))
    return visit.change(
        lambda session: orders.complete(session, visit.account, row.order_no, visit.now),
        done=t("订单已完成，冻结期开始计算。", "Completed, the freeze period has started."),
        back=visit.url("order", order_id=order_id),
    )


@page("/orders/<int:order_id>/refund", allow=Permission.ORDERS_CHANGE, methods=("POST",))
def order_refund(visit: Visit, order_id: int) -> Response:
    """A refund by hand, for shops without API: yuan per line, and of the shipping."""
    row = visit.read(lambda session: _order(session, visit, order_id))

    def give_back(session: Session) -> None:
        lines = {
            line.line_no: fen
            for line in orders.lines_of(session, row.id)
            if (fen := fen_of(request.form.get(f"line-{line.line_no}", "")))
        }
        shipping = fen_of(request.form.get("shipping", ""))
        if not lines and not shipping:
            raise Invalid("no amount was entered")
        number = request.form.get("refund_no", "").strip() or f"console-{visit.now:%Y%m%d%H%M%S%f}"
        refunds.record(
            session, visit.account, Refunding(row.order_no, number, lines, shipping), visit.now
        )

    return visit.change(
        give_back,
        done=t("退款已登记，各级佣金已相应失效或追回。", "Recorded; the commissions were voided or taken back."),
        back=visit.url("order", order_id=order_id),
    )  # fmt: skip


_MOST: Final = 1_000_000_000


def fen_of(text: str) -> int:
    """Yuan as a person writes them, in fen; nothing is 0. Raises `Invalid`."""
    text = text.strip()
    if not text:
        return 0
    try:
        fen = Decimal(text) * 100
    except InvalidOperation as error:
        raise Invalid("this is not an amount of yuan") from error
    if not fen.is_finite() or fen != int(fen) or not 0 <= fen <= _MOST:
        raise Invalid("this is not an amount of yuan")
    return int(fen)


# --- commissions ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Earned:
    """A commission with its earner and its order's number."""

    row: Commission
    earner: Member
    order_no: str | None

    @property
    def id(self) -> int:
        return self.row.id


def _with_earners(session: Session, rows: Sequence[Any]) -> list[Earned]:
    people = members.by_ids(session, {row.member_id for row in rows})
    numbers = orders.numbers_of(session, {row.order_id for row in rows if row.order_id is not None})
    return [Earned(row, people[row.member_id], numbers.get(row.order_id)) for row in rows]


_STORED: Final = [
    one for one in choices("commission") if one[0] != "held"
]  # a hold is a row beside it

COMMISSIONS = Listing(
    title=Both("佣金", "Commissions"),
    columns=(
        Column(
            Both("佣金", "Commission"), lambda one: one.row.amount_fen, MONEY, lead=True,
            href=lambda visit, one: visit.url("commission", commission_id=one.id),
        ),
        Column(
            Both("会员", "Earner"), lambda one: _name(one.earner),
            href=lambda visit, one: visit.url("member", member_id=one.earner.id),
        ),
        Column(Both("层级", "Level"), lambda one: one.row.level, COUNT),
        Column(Both("状态", "Status"), lambda one: state("commission", one.row.status), BADGE),
        Column(Both("订单", "Order"), lambda one: one.order_no, wide=True),
        Column(Both("计佣金额", "Base"), lambda one: one.row.base_fen, MONEY, wide=True),
        Column(Both("比例", "Rate"), lambda one: one.row.rate_bps, RATE, wide=True),
        Column(Both("已追回", "Taken back"), lambda one: one.row.clawed_fen or None, MONEY, wide=True),
        Column(Both("产生", "Accrued"), lambda one: one.row.created_at, INSTANT),
    ),
    sorts=(Sort("newest", Both("最新", "Newest"), Commission.id, lambda row: row.id),),
    id_column=Commission.id,
    row_id=lambda row: row.id,
    filters=(Choice("status", Both("状态", "Status"), _STORED, Commission.status),),
    fill=_with_earners,
    empty=Both("还没有佣金。", "No commissions yet."),
    file="commissions",
)  # fmt: skip


@page(
    "/commissions",
    allow=Permission.COMMISSIONS_READ,
    menu=Menu(MONEY_TOPIC, Both("佣金", "Commissions"), "coin", 10),
)
def commissions_list(visit: Visit) -> Answer:
    """Every commission; each leads to its 为什么."""
    rows = select(Commission).where(Commission.account_id == visit.account.id)
    return COMMISSIONS.answer(visit, rows)
