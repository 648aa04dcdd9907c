"""退款: goods paid back in part or in full, before the payment is known, while frozen, or after settlement."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from domain import alerts, audit, commissions, withdrawals
from domain.accounts import OpenAccount
from domain.db import Sql, changed, is_duplicate, is_key, to_db, to_json
from domain.errors import Invalid, RefundConflict, RefundTooLarge
from domain.models import Clawback, Commission, Order, Refund
from domain.secrets import digest
from domain.tally import Changes

PARKED: Final = "parked"
APPLIED: Final = "applied"
REFUSED: Final = "refused"


@dataclass(frozen=True, slots=True)
class Refunding:
    """A refund as the shop reports it: fen per line number, and of the shipping."""

    order_no: str
    refund_no: str
    lines: Mapping[int, int]
    shipping_fen: int = 0

    @property
    def goods_fen(self) -> int:
        return sum(self.lines.values())

    def content_hash(self) -> str:
        return digest(
            to_json([self.order_no, self.refund_no, sorted(self.lines.items()), self.shipping_fen])
        )

    def check(self) -> None:
        """`Invalid` for amounts that are not positive, or nothing refunded at all."""
        if not (is_key(self.order_no) and is_key(self.refund_no)):
            raise Invalid("a number has 1 to 64 ASCII characters", refund_no=self.refund_no)
        if self.shipping_fen < 0 or any(fen <= 0 for fen in self.lines.values()):
            raise Invalid("a refund is positive", refund_no=self.refund_no)
        if not self.lines and not self.shipping_fen:
            raise Invalid("nothing is refunded", refund_no=self.refund_no)


@dataclass(frozen=True, slots=True)
class Taken:
    """What a refund took from one commission; `from_bucket` frozen means voided, available clawed back."""

    line_no: int | None
    level: int
    member_id: int
    amount_fen: int
    from_bucket: str


_INSERT = Sql(
    "INSERT INTO refund"
    " (account_id, order_no, refund_no, order_id, content_hash, status, goods_fen, shipping_refund_fen, created_at)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_INSERT_LINE = Sql("INSERT INTO refund_line (refund_id, line_no, refund_fen) VALUES (?, ?, ?)")
_ORDER = "SELECT id, status, member_id, uplines FROM orders WHERE account_id = ? AND order_no = ?"
_ORDER_LOCKED = Sql(_ORDER + " FOR UPDATE", sqlite=_ORDER)
_PARKED = (
    "SELECT id, order_no, refund_no, goods_fen, shipping_refund_fen FROM refund"
    " WHERE account_id = ? AND status = ? AND order_no IN (??) ORDER BY id"
)
_PARKED_LOCKED = Sql(_PARKED + " FOR UPDATE", sqlite=_PARKED)
_LINES = Sql("SELECT line_no, refund_fen FROM refund_line WHERE refund_id = ? ORDER BY line_no")
_SET_STATUS = Sql("UPDATE refund SET status = ?, order_id = ? WHERE id = ?")
_REFUND_ORDER = Sql(
    "UPDATE orders SET refunded_fen = refunded_fen + ?, shipping_refunded_fen = shipping_refunded_fen + ?"
    " WHERE id = ? AND refunded_fen + ? <= paid_fen AND shipping_refunded_fen + ? <= shipping_fen"
)
_REFUND_LINE = Sql(
    "UPDATE order_line SET refunded_fen = refunded_fen + ?"
    " WHERE order_id = ? AND line_no = ? AND refunded_fen + ? <= paid_fen"
)
_REFUNDED = Sql(
    "SELECT line_no, refunded_fen FROM order_line WHERE order_id = ? AND refunded_fen > 0 ORDER BY line_no"
)


def record(session: Session, account: OpenAccount, refund: Refunding, now: datetime) -> Refund:
    """Apply a refund, or park it while its order is not known as paid; the stored refund, the same for a repeat.

    Raises `RefundConflict` (the number is known with other content), `RefundTooLarge`, `Invalid` (no such line).
    Locks the order first (money.md 2.3); when there is none the refund is written and the order is looked for again,
    so a payment that arrives at the same moment either sees the parked refund or is seen here.
    """
    refund.check()
    order = _ORDER_LOCKED(session, account.id, refund.order_no).one_or_none()
    refund_id = _insert(session, account.id, refund, now)
    if refund_id is None:
        return _known(session, account.id, refund)
    if order is None:
        order = _ORDER_LOCKED(session, account.id, refund.order_no).one_or_none()
    if order is not None and order.status in {"paid", "completed"}:
        _apply(session, account, order, refund_id, refund, now)
    elif order is not None and order.status == "closed":
        raise Invalid("the order was closed without a payment", order_no=refund.order_no)
    return session.get_one(Refund, refund_id, populate_existing=True)


def _insert(session: Session, account_id: int, refund: Refunding, now: datetime) -> int | None:
    """Write the refund as parked; its id, or None when the number is known."""
    try:
        result = _INSERT(
            session, account_id, refund.order_no, refund.refund_no, None, refund.content_hash(), PARKED,
            refund.goods_fen, refund.shipping_fen, to_db(now),
        )  # fmt: skip
    except IntegrityError as error:
        if is_duplicate(error):
            return None
        raise
    refund_id = result.lastrowid
    _INSERT_LINE.many(
        session, [(refund_id, line_no, fen) for line_no, fen in sorted(refund.lines.items())]
    )
    return refund_id


def _known(session: Session, account_id: int, refund: Refunding) -> Refund:
    query = select(Refund).where(
        Refund.account_id == account_id,
        Refund.order_no == refund.order_no,
        Refund.refund_no == refund.refund_no,
    )
    stored = session.scalars(query).one()
    if stored.content_hash != refund.content_hash():
        raise RefundConflict(
            "this refund number is known with other content", refund_no=refund.refund_no
        )
    return stored


def _apply(
    session: Session,
    account: OpenAccount,
    order: Any,
    refund_id: int,
    refund: Refunding,
    now: datetime,
) -> None:
    """Count the refund on the order, whose row is locked, and take its commissions back. Raises `RefundTooLarge`."""
    goods, shipping = refund.goods_fen, refund.shipping_fen
    if not changed(_REFUND_ORDER(session, goods, shipping, order.id, goods, shipping)):
        raise RefundTooLarge("more is refunded than was paid", refund_no=refund.refund_no)
    for line_no, fen in sorted(refund.lines.items()):
        if not changed(_REFUND_LINE(session, fen, order.id, line_no, fen)):
            raise RefundTooLarge(
                "no such line, or more is refunded than it cost",
                refund_no=refund.refund_no,
                line_no=line_no,
            )
    _SET_STATUS(session, APPLIED, order.id, refund_id)
    if order.member_id is not None and refund.lines:
        _count_refunded(session, order.uplines, goods)
        by_line = {
            row.line_no: row.refunded_fen
            for row in _REFUNDED(session, order.id)
            if row.line_no in refund.lines
        }
        poorer = commissions.take_back(
            session, account, order.id, refund.order_no, refund_id, by_line, now
        )
        withdrawals.ask_again_for_debtors(session, poorer)


def _count_refunded(session: Session, uplines: str | None, goods_fen: int) -> None:
    changes = Changes()
    for level, member_id, *_ in json.loads(uplines)["chain"] if uplines else ():
        changes.add(member_id, level, refunded_fen=goods_fen)
    changes.write(session)


def apply_parked(
    session: Session, account: OpenAccount, order_ids: Mapping[str, int], now: datetime
) -> None:
    """Apply the refunds that came before these orders (number → id). One that is larger than the payment is refused,
    noted, and told to the staff: the shop's payment itself cannot be refused for it."""
    waiting = _PARKED_LOCKED.among(session, (account.id, PARKED), sorted(order_ids)).all()
    for row in waiting:
        refund = Refunding(
            row.order_no, row.refund_no, {line.line_no: line.refund_fen for line in _LINES(session, row.id)},
            row.shipping_refund_fen,
        )  # fmt: skip
        order = _ORDER_LOCKED(session, account.id, row.order_no).one()
        try:
            with session.begin_nested():
                _apply(session, account, order, row.id, refund, now)
        except RefundTooLarge as error:
            _SET_STATUS(session, REFUSED, order.id, row.id)
            audit.record(
                session, account.id, actor="system", action="refund_refused", subject=f"order/{order.id}",
                after={"refund_no": row.refund_no, "why": error.message}, now=now,
            )  # fmt: skip
            facts = {
                "order_no": row.order_no,
                "refund_no": row.refund_no,
                "goods_fen": row.goods_fen,
            }
            alerts.raise_alert(session, account.id, alerts.REFUND_REFUSED, str(row.id), facts, now)


def take_back_again(session: Session, account: OpenAccount, order_id: int, now: datetime) -> None:
    """For an order whose buyer became known only now: what its earlier refunds take from the new commissions."""
    by_line = {row.line_no: row.refunded_fen for row in _REFUNDED(session, order_id)}
    if not by_line:
        return
    last = session.scalars(
        select(Refund)
        .where(Refund.order_id == order_id, Refund.status == APPLIED)
        .order_by(Refund.id.desc())
        .limit(1)
    ).one()
    uplines = session.execute(select(Order.uplines).where(Order.id == order_id)).scalar_one()
    _count_refunded(session, uplines, sum(by_line.values()))
    commissions.take_back(session, account, order_id, last.order_no, last.id, by_line, now)


def parked(session: Session, account_id: int, since: datetime, limit: int) -> list[Refund]:
    """Refunds after `since` whose order has not been reported as paid, oldest first."""
    query = select(Refund).where(
        Refund.account_id == account_id, Refund.created_at >= since, Refund.status == PARKED
    )
    return list(session.scalars(query.order_by(Refund.created_at, Refund.id).limit(limit)))


def of_orders(session: Session, order_ids: Collection[int]) -> dict[int, list[Refund]]:
    """The refunds of these orders that were applied or refused, oldest first, by order id."""
    query = select(Refund).where(Refund.order_id.in_(order_ids)).order_by(Refund.id)
    found: dict[int, list[Refund]] = {order_id: [] for order_id in order_ids}
    for row in session.scalars(query):
        found[row.order_id or 0].append(row)
    return found


def taken_by(session: Session, refund_id: int) -> list[Taken]:
    """What the refund took on each level, by line and level."""
    query = (
        select(Clawback, Commission)
        .join(Commission, Commission.id == Clawback.commission_id)
        .where(Clawback.refund_id == refund_id)
        .order_by(Commission.line_no, Commission.level)
    )
    return [
        Taken(
            commission.line_no,
            commission.level,
            commission.member_id,
            clawback.amount_fen,
            clawback.from_bucket,
        )
        for clawback, commission in session.execute(query)
    ]
