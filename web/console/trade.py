"""订单与佣金: what was bought, who earns by it and why nobody does, completion and refunds for shops without an API."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from flask import render_template, request
from sqlalchemy import false, select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from domain import commissions, members, orders, refunds
from domain.bindings import display_name
from domain.db import is_key
from domain.errors import Invalid
from domain.models import Commission, Event, Grade, Hold, Member, Order
from domain.refunds import Refunding
from domain.staff.permissions import Permission
from web.console.both import Both
from web.console.cells import BADGE, COUNT, INSTANT, MONEY, RATE
from web.console.happenings import badge_of, detail_of
from web.console.listing import Choice, Column, Condition, Days, Listing, Search, Sort
from web.console.member import Earned, earned, held_among
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
explain(
    "refund_conflict",
    Both("这个退款单号已用于另一笔退款。", "This refund number was used for another refund."),
)
explain(
    "only a paid order can be completed",
    Both("只有已付款的订单可以标记完成。", "Only a paid order can be completed."),
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


def _order_found_by(visit: Visit, text: str) -> Condition | None:
    """An order's number, else what the shop called its buyer: each by its own index."""
    if not is_key(text):
        return false()
    mine = Order.account_id == visit.account.id
    found = visit.read(
        lambda session: session.scalar(select(Order.id).where(mine, Order.order_no == text))
    )
    return Order.buyer_openid == text if found is None else Order.id == found


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
    sorts=(Sort("newest", Both("最新", "Newest"), Order.paid_at, lambda row: row.paid_at),),
    id_column=Order.id,
    row_id=lambda row: row.id,
    filters=(
        Choice("status", Both("状态", "Status"), choices("order"), Order.status),
        Days("paid", Both("付款日期", "Paid"), Order.paid_at),
    ),
    search=Search(Both("订单号或买家 openid", "Order number or the buyer's openid"), _order_found_by),
    fill=_with_buyers,
    empty=Both(
        "还没有订单。商城通过接口上报，没有接口的商城可以导入表格。",
        "No orders yet. Your shop reports them over the API; without one, upload a table.",
    ),
    file="orders",
    template="console/orders.html",
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


JOURNEY: Final = 6
"""So many of the buyer's last steps before they paid stand beside the order."""
REFUND_STATES: Final = {
    "applied": Both("已登记", "Recorded"),
    "parked": Both("等待订单", "Waits for its order"),
    "refused": Both("超出实付，未登记", "More than was paid: not recorded"),
}
_ONCE: Final = re.compile(r"[0-9a-f]{16}")


@page("/orders/<int:order_id>", allow=Permission.ORDERS_READ)
def order(visit: Visit, order_id: int) -> Answer:
    """An order: lines, each level with its earner or why nobody earns, refunds, and what can be done."""

    def look(session: Session) -> dict[str, Any]:
        row = _order(session, visit, order_id)
        lines = orders.lines_of(session, row.id)
        claims = {(one.line_no, one.level): one for one in commissions.of_order(session, row.id)}
        ids = {one.member_id for one in claims.values()}
        if row.member_id is not None:
            ids.add(row.member_id)
        names = select(Grade.code, Grade.name).where(Grade.account_id == visit.account.id)
        return {
            "row": row,
            "lines": lines,
            "shares": orders.shares_of(session, row, lines),
            "earned": claims,
            "held": held_among(session, [one.id for one in claims.values()]),
            "people": {key: _name(one) for key, one in members.by_ids(session, ids).items()},
            "grades": {code: name for code, name in session.execute(names)},
            "refunds": refunds.of_orders(session, [row.id]).get(row.id, []),
            "journey": _journey(session, row),
        }

    found = visit.read(look)
    held = found.pop("held")

    def mark(one: Commission) -> Any:
        return state(
            "commission", "held" if one.id in held and one.status == "frozen" else one.status
        )

    return render_template(
        "console/order.html", **found, badge=state("order", found["row"].status), mark=mark, nobody=NOBODY,
        refund_states=REFUND_STATES, badge_of=badge_of, detail_of=detail_of, once=secrets.token_hex(8),
    )  # fmt: skip


def _journey(session: Session, row: Order) -> list[Event]:
    """What the buyer did last, newest first: where they came from."""
    if row.member_id is None:
        return []
    query = select(Event).where(Event.member_id == row.member_id)
    if row.paid_at is not None:
        query = query.where(Event.at <= row.created_at)
    return list(session.scalars(query.order_by(Event.at.desc(), Event.id.desc()).limit(JOURNEY)))


@page("/orders/<int:order_id>/complete", allow=Permission.ORDERS_CHANGE, methods=("POST",))
def order_complete(visit: Visit, order_id: int) -> Response:
    """The goods arrived: the freeze period starts."""

    def complete(session: Session) -> None:
        row = _order(session, visit, order_id)
        before = row.status
        orders.complete(session, visit.account, row.order_no, visit.now)
        if before != "completed":
            visit.note(
                session,
                action="order_completed",
                subject=f"order/{order_id}",
                before={"status": before},
                after={"status": "completed"},
            )

    return visit.change(
        complete,
        done=t("订单已完成，冻结期开始计算。", "Completed, the freeze period has started."),
        back=visit.url("order", order_id=order_id),
    )


@page("/orders/<int:order_id>/refund", allow=Permission.ORDERS_CHANGE, methods=("POST",))
def order_refund(visit: Visit, order_id: int) -> Response:
    """A refund by hand, for shops without API: yuan per line, and of the shipping. `once` came with the form: sent
    twice, it is one refund."""

    def give_back(session: Session) -> None:
        row = _order(session, visit, order_id)
        before = row.refunded_fen, row.shipping_refunded_fen
        lines = {
            line.line_no: fen
            for line in orders.lines_of(session, row.id)
            if (fen := fen_of(request.form.get(f"line-{line.line_no}", "")))
        }
        shipping = fen_of(request.form.get("shipping", ""))
        if not lines and not shipping:
            raise Invalid("no amount was entered")
        given = Refunding(row.order_no, _refund_number(), lines, shipping)
        refunds.record(session, visit.account, given, visit.now)
        session.refresh(row)
        after = row.refunded_fen, row.shipping_refunded_fen
        if before != after:
            names = ("refunded_fen", "shipping_refunded_fen")
            visit.note(
                session, action="order_refunded", subject=f"order/{order_id}",
                before=dict(zip(names, before, strict=True)),
                after={**dict(zip(names, after, strict=True)), "refund_no": given.refund_no},
            )  # fmt: skip

    return visit.change(
        give_back,
        done=t("退款已登记，各级佣金已相应失效或追回。", "Recorded; the commissions were voided or taken back."),
        back=visit.url("order", order_id=order_id),
    )  # fmt: skip


def _refund_number() -> str:
    """The shop's own number, or the one that came with the form."""
    once = request.form.get("once", "")
    given = request.form.get("refund_no", "").strip()
    return given or f"console-{once if _ONCE.fullmatch(once) else secrets.token_hex(8)}"


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
class EarnedBy(Earned):
    """Of the account's list, which names the earner."""

    earner: Member


def _with_earners(session: Session, rows: Sequence[Any]) -> list[EarnedBy]:
    people = members.by_ids(session, {row.member_id for row in rows})
    return [
        EarnedBy(one.row, one.order_no, one.is_held, people[one.row.member_id])
        for one in earned(session, rows)
    ]


def _in_state(value: str) -> Condition:
    """A hold is a row beside a commission, which stays frozen."""
    if value != "held":
        return Commission.status == value
    return Commission.id.in_(select(Hold.open_key).where(Hold.outcome == "open"))


def _commission_found_by(visit: Visit, text: str) -> Condition | None:
    """By the number of its order."""
    if not is_key(text):
        return false()
    mine = select(Order.id).where(Order.account_id == visit.account.id, Order.order_no == text)
    found = visit.read(lambda session: session.scalar(mine))
    return false() if found is None else Commission.order_id == found


def _to_order(visit: Visit, one: EarnedBy) -> str | None:
    return None if one.row.order_id is None else visit.link("order", order_id=one.row.order_id)


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
        Column(Both("状态", "Status"), lambda one: state("commission", one.state), BADGE),
        Column(Both("来源", "From"), lambda one: one.order_no or str(Both("拉新奖励", "Registration")), href=_to_order),
        Column(Both("计佣金额", "Base"), lambda one: one.row.base_fen, MONEY, wide=True),
        Column(Both("比例", "Rate"), lambda one: one.row.rate_bps, RATE, wide=True),
        Column(Both("已追回", "Taken back"), lambda one: one.row.clawed_fen or None, MONEY, wide=True),
        Column(Both("产生", "Accrued"), lambda one: one.row.created_at, INSTANT),
    ),
    sorts=(Sort("newest", Both("最新", "Newest"), Commission.id, lambda row: row.id),),
    id_column=Commission.id,
    row_id=lambda row: row.id,
    filters=(Choice("status", Both("状态", "Status"), choices("commission"), where=_in_state),),
    search=Search(Both("订单号", "Order number"), _commission_found_by),
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
