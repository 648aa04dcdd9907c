"""Domain rows as the shop sees them. Reads are set-based: 500 orders take as many statements as one."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict
from typing import Any, Final

from sqlalchemy.orm import Session

from domain import (
    bindings,
    commissions,
    members,
    models,
    orders,
    products,
    refunds,
    rules,
    statements,
    withdrawals,
)
from domain.accounts import OpenAccount
from domain.bindings import display_name
from domain.errors import NotFound
from domain.rules import Share
from web.api import shapes

NOBODY: Final = {
    rules.NO_UPLINE: ("这一级没有上级", "there is no upline at this level"),
    rules.SUSPENDED: ("这一级的上级已被停用", "the upline at this level is suspended"),
    rules.NOT_QUALIFIED: (
        "这一级的上级还不是推广员",
        "the upline at this level may not promote yet",
    ),
    rules.NO_RATE: ("规则没有给这一级佣金", "the terms give this level nothing"),
    rules.ROUNDS_TO_ZERO: ("金额太小，不足一分", "less than one fen"),
    rules.BUYER_UNKNOWN: ("买家还没有关注公众号", "the buyer does not follow the account yet"),
    rules.NO_RULE: ("付款时还没有佣金规则", "no rule was in force when the order was paid"),
}


def orders_by_number(
    session: Session, account: OpenAccount, order_nos: Collection[str]
) -> dict[str, shapes.Order]:
    """Those of the orders that exist, with their commissions and refunds, in six statements."""
    found = orders.of_numbers(session, account.id, order_nos)
    ids = [order.id for order in found]
    lines = orders.lines_of_all(session, ids)
    stored: dict[int, list[models.Commission]] = {order_id: [] for order_id in ids}
    for commission in commissions.of_orders(session, ids):
        stored[commission.order_id or 0].append(commission)
    refunded = refunds.of_orders(session, ids)
    people = members.by_ids(
        session,
        {order.member_id for order in found if order.member_id is not None}
        | {one.member_id for rows in stored.values() for one in rows},
    )
    return {
        order.order_no: _order(
            order, lines[order.id], orders.shares_of(session, order, lines[order.id]), stored[order.id],
            refunded[order.id], people,
        )
        for order in found
    }  # fmt: skip


def order(session: Session, account: OpenAccount, order_no: str) -> shapes.Order:
    """One order; `NotFound` when this account has no such number."""
    found = orders_by_number(session, account, [order_no])
    if order_no not in found:
        raise NotFound("no such order", order_no=order_no)
    return found[order_no]


def who(member: models.Member) -> shapes.Who:
    return shapes.Who(
        openid=member.openid, name=bindings.display_name(member.nickname, member.code)
    )


def _order(
    order: models.Order,
    lines: Sequence[models.OrderLine],
    shares: Sequence[Share],
    stored: Sequence[models.Commission],
    refunded: Sequence[models.Refund],
    people: dict[int, models.Member],
) -> shapes.Order:
    by_place = {(one.line_no, one.level): one for one in stored}
    buyer = people.get(order.member_id or 0)
    return shapes.Order(
        order_no=order.order_no,
        status=order.status,
        buyer=shapes.Buyer(
            openid=order.buyer_openid, unionid=order.buyer_unionid, appid=order.buyer_app_id,
            member=who(buyer) if buyer else None,
        ),
        lines=[_line(line) for line in lines],
        paid_fen=order.paid_fen,
        refunded_fen=order.refunded_fen,
        shipping_fen=order.shipping_fen,
        shipping_refunded_fen=order.shipping_refunded_fen,
        paid_at=order.paid_at,
        completed_at=order.completed_at,
        commissions=[
            _commission(share, by_place.get((share.line_no, share.level)), people) for share in shares
        ],
        refunds=[
            shapes.OrderRefund(
                refund_no=one.refund_no, status=one.status, goods_fen=one.goods_fen,
                shipping_refund_fen=one.shipping_refund_fen,
            )
            for one in refunded
        ],
    )  # fmt: skip


def _line(line: models.OrderLine) -> shapes.Line:
    return shapes.Line(
        line_no=line.line_no, sku=line.sku, title=line.title, quantity=line.quantity,
        unit_price_fen=line.unit_price_fen, paid_fen=line.paid_fen, refunded_fen=line.refunded_fen,
    )  # fmt: skip


def _commission(
    share: Share, stored: models.Commission | None, people: dict[int, models.Member]
) -> shapes.Commission:
    """A level of a line: what is stored of it, or why nobody earns it."""
    values: dict[str, Any] = {
        "line_no": share.line_no, "level": share.level, "base_fen": share.base_fen,
        "rate_bps": share.rate_bps, "share_bps": share.share_bps,
    }  # fmt: skip
    if stored is None:
        zh, en = NOBODY[share.nobody]
        return shapes.Commission(
            **values, earner=None, amount_fen=0, clawed_fen=0, status=None, due_at=None, settled_at=None,
            nobody=shapes.Nobody(reason=share.nobody, zh=zh, en=en),
        )  # fmt: skip
    return shapes.Commission(
        **values, earner=who(people[stored.member_id]), amount_fen=stored.amount_fen,
        clawed_fen=stored.clawed_fen, status=stored.status, due_at=stored.due_at,
        settled_at=stored.settled_at, nobody=None,
    )  # fmt: skip


def refund(session: Session, account: OpenAccount, stored: models.Refund) -> shapes.Refund:
    """A refund with what it took."""
    taken = refunds.taken_by(session, stored.id)
    people = members.by_ids(session, {one.member_id for one in taken})
    parked = stored.status == refunds.PARKED
    return shapes.Refund(
        order_no=stored.order_no,
        refund_no=stored.refund_no,
        status=stored.status,
        goods_fen=stored.goods_fen,
        shipping_refund_fen=stored.shipping_refund_fen,
        taken=[
            shapes.Taken(
                line_no=one.line_no or 0, level=one.level, earner=who(people[one.member_id]),
                amount_fen=one.amount_fen,
                effect="voided" if one.from_bucket == "frozen" else "clawed_back",
            )
            for one in taken
        ],
        order=None if parked else order(session, account, stored.order_no),
    )  # fmt: skip


def product(row: models.Product) -> shapes.Product:
    """A product with its own terms, if it has any."""
    terms = products.terms_in(row)
    levels = None if terms is None else list(terms.rates_bps)
    pool = None if terms is None else terms.pool_bps
    return shapes.Product(
        sku=row.sku, name=row.name, price_fen=row.price_fen, stock=row.stock,
        rates=levels if pool is None else None, pool=pool, shares=None if pool is None else levels,
        grades={name: list(own.rates_bps) for name, own in terms.grades} if terms and terms.grades else None,
        updated_at=row.updated_at,
    )  # fmt: skip


def member(session: Session, account_id: int, openid: str) -> shapes.Member:
    """A member with referrer, uplines, figures per level and balances; `NotFound`. Also `flask member show`."""
    row = members.get(session, account_id, openid)
    summary = members.summary(session, account_id, openid)
    if summary is None:
        raise NotFound("no such member", openid=openid)
    above = members.uplines(session, row.id)
    total = summary.total
    return shapes.Member(
        openid=row.openid,
        unionid=row.unionid,
        name=display_name(row.nickname, row.code),
        code=row.code,
        status=row.status,
        following=row.following,
        joined_at=row.joined_at,
        referrer=who(above[0][1]) if above else None,
        bound_at=row.bound_at,
        uplines=[shapes.Upline(level=level, **who(one).model_dump()) for level, one in above],
        levels=[
            shapes.LevelFigures(level=level, **asdict(figures))
            for level, figures in sorted(summary.levels.items())
        ],
        total=shapes.Figures(**asdict(total)),
        balance=shapes.Balance(
            available_fen=summary.available_fen,
            withdrawing_fen=summary.withdrawing_fen,
            frozen_fen=total.frozen_fen,
        ),
    )


def downline_member(row: models.Member) -> shapes.DownlineMember:
    return shapes.DownlineMember(
        **who(row).model_dump(), joined_at=row.joined_at, following=row.following,
        first_paid_at=row.first_paid_at,
    )  # fmt: skip


def member_commission(row: models.Commission, order_nos: dict[int, str]) -> shapes.MemberCommission:
    return shapes.MemberCommission(
        id=row.id, kind=row.kind, order_no=order_nos.get(row.order_id or 0), line_no=row.line_no,
        level=row.level, base_fen=row.base_fen, rate_bps=row.rate_bps, share_bps=row.share_bps,
        amount_fen=row.amount_fen, clawed_fen=row.clawed_fen, status=row.status, due_at=row.due_at,
        settled_at=row.settled_at, created_at=row.created_at,
    )  # fmt: skip


def withdrawal(row: models.Withdrawal, openid: str) -> shapes.Withdrawal:
    return shapes.Withdrawal(
        id=row.id, payout_no=row.payout_no, openid=openid, method=row.method, amount_fen=row.amount_fen,
        fee_fen=row.fee_fen, tax_fen=row.tax_fen, net_fen=withdrawals.net_fen(row), status=row.status,
        state=row.provider_state, reason=row.reason, confirm_by=row.confirm_by, requested_at=row.requested_at,
        decided_at=row.decided_at, finished_at=row.finished_at,
    )  # fmt: skip


def statement_line(line: statements.Line) -> shapes.StatementLine:
    """A posting with the balances after it."""
    return shapes.StatementLine(
        id=line.id, at=line.at, reason=line.reason, amount_fen=line.amount_fen, source=line.source,
        destination=line.destination, frozen_fen=line.frozen_fen, available_fen=line.available_fen,
        withdrawing_fen=line.withdrawing_fen, order_no=line.order_no, line_no=line.line_no, level=line.level,
        commission_id=line.commission_id, refund_no=line.refund_no, payout_no=line.payout_no,
    )  # fmt: skip
