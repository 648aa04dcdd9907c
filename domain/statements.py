"""对账单: every posting of a member with the running balance of each bucket, and what it belongs to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from domain import ledger, sheets
from domain.db import Sql
from domain.keyset import seek
from domain.models import Commission, Order, Posting, Refund, Withdrawal
from domain.money import yuan

CHUNK: Final = 1000

REASONS: Final = {
    "accrue": "佣金计提",
    "settle": "佣金结算",
    "void": "退款，佣金失效",
    "clawback": "退款，佣金追回",
    "refuse": "复核不予结算",
    "left": "朋友取消关注，邀请奖励收回",
    "absorb": "商家承担",
    "hold": "申请提现",
    "back": "提现退回",
    "paid": "提现到账",
    "fee": "提现手续费",
    "tax": "代扣个税",
    "adjust": "人工调整",
    "opening": "期初余额",
}
HEADINGS: Final = (
    "时间", "事项", "冻结变动", "可提现变动", "提现中变动", "冻结余额", "可提现余额", "提现中余额",
    "订单号", "订单行", "层级", "佣金编号", "退款单号", "提现单号", "分录编号",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Line:
    """One posting of a member: amounts in fen, changes signed, balances after it.

    `order_no` and `commission_id` lead to the order and to the explanation of the amount; `payout_no` to the
    withdrawal. None where the posting has none.
    """

    id: int
    at: datetime
    reason: str
    amount_fen: int
    source: str
    destination: str
    frozen_change_fen: int
    available_change_fen: int
    withdrawing_change_fen: int
    frozen_fen: int
    available_fen: int
    withdrawing_fen: int
    order_no: str | None = None
    line_no: int | None = None
    level: int | None = None
    commission_id: int | None = None
    refund_no: str | None = None
    payout_no: str | None = None


@dataclass(frozen=True, slots=True)
class Cause:
    """What a posting belongs to; None where it has none of it."""

    order_no: str | None = None
    line_no: int | None = None
    level: int | None = None
    commission_id: int | None = None
    refund_no: str | None = None
    payout_no: str | None = None


def _signed(bucket: str) -> str:
    return (
        f"SUM(CASE WHEN destination = '{bucket}' THEN amount_fen"
        f" WHEN source = '{bucket}' THEN -amount_fen ELSE 0 END)"
    )


_MOVED: Final = ", ".join(f"COALESCE({_signed(bucket)}, 0)" for bucket in ledger.MEMBER_BUCKETS)
_UNTIL = Sql(f"SELECT {_MOVED} FROM posting WHERE member_id = ? AND id <= ?")  # noqa: S608 - our names
_SINCE = Sql(
    "SELECT (SELECT SUM(amount_fen - clawed_fen) FROM commission WHERE member_id = ? AND status = 'frozen'),"  # noqa: S608 - our names
    " (SELECT available_fen FROM balance WHERE member_id = ?),"
    f" (SELECT withdrawing_fen FROM balance WHERE member_id = ?), {_MOVED}"
    " FROM posting WHERE member_id = ? AND id > ?"
)
_SPAN = Sql(
    "SELECT (SELECT MIN(id) FROM posting WHERE member_id = ?) AS first,"
    " (SELECT MAX(id) FROM posting WHERE member_id = ?) AS last"
)


def balances_after(session: Session, member_id: int, posting_id: int) -> tuple[int, int, int]:
    """(frozen, available, withdrawing) fen after this posting: a sum over the member's own rows until then, or, when
    those since are probably fewer, what there is now without them."""
    span = _SPAN(session, member_id, member_id).one()
    if posting_id * 2 <= (span.first or 0) + (span.last or 0):
        frozen, available, withdrawing = map(int, _UNTIL(session, member_id, posting_id).one())
        return frozen, available, withdrawing
    # One statement, so one moment: what is posted meanwhile is in both parts or in none.
    row = [int(value or 0) for value in _SINCE(session, *[member_id] * 4, posting_id).one()]
    return row[0] - row[3], row[1] - row[4], row[2] - row[5]


def page(
    session: Session, member_id: int, *, before_id: int | None = None, limit: int = 50
) -> list[Line]:
    """A member's postings, newest first, with the balances after each; keyset page before `before_id`."""
    rows = ledger.statement(session, member_id, before_id=before_id, limit=limit)
    if not rows:
        return []
    rows.reverse()
    start = balances_after(session, member_id, rows[0].id - 1)
    return list(reversed(_lines(session, rows, start)))


def stream(session: Session, member_id: int) -> Iterator[Line]:
    """Every posting of a member, oldest first, a thousand in memory. Give it a snapshot (`Database.snapshot`)."""
    balances = (0, 0, 0)
    after_id = 0
    while True:
        mine = select(Posting).where(Posting.member_id == member_id, Posting.id > after_id)
        query = seek(mine, Posting.id)
        rows = list(session.scalars(query.order_by(Posting.id).limit(CHUNK)))
        if not rows:
            return
        lines = _lines(session, rows, balances)
        session.expunge_all()
        yield from lines
        last = lines[-1]
        balances, after_id = (last.frozen_fen, last.available_fen, last.withdrawing_fen), last.id


def _lines(session: Session, rows: Sequence[Posting], balances: tuple[int, int, int]) -> list[Line]:
    causes = causes_of(session, rows)
    lines = []
    for row in rows:
        frozen, available, withdrawing = (
            row.amount_fen * ((row.destination == bucket) - (row.source == bucket))
            for bucket in ledger.MEMBER_BUCKETS
        )
        balances = (balances[0] + frozen, balances[1] + available, balances[2] + withdrawing)
        cause = causes.get(row.posting_key, Cause())
        lines.append(
            Line(
                row.id, row.at, row.reason, row.amount_fen, row.source, row.destination,
                frozen, available, withdrawing, *balances,
                cause.order_no, cause.line_no, cause.level, cause.commission_id, cause.refund_no, cause.payout_no,
            )
        )  # fmt: skip
    return lines


# --- what a posting belongs to --------------------------------------------------------------------------------------


def causes_of(session: Session, rows: Sequence[Posting]) -> dict[str, Cause]:
    """Key → cause of these postings. A key names its cause (`settle-<commission>`, `hold-<withdrawal>`, …); the
    postings of another kind have none."""
    keys = {row.posting_key: row.posting_key.split("-") for row in rows}
    commissions = _commissions(session, keys)
    orders = _order_numbers(
        session, {one.order_id for one in commissions.values() if one.order_id is not None}
    )
    refunds = _refund_numbers(session, keys)
    payouts = _payout_numbers(session, keys)
    causes = {}
    for key, parts in keys.items():
        row = commissions.get(key)
        refund = refunds.get(_number(parts, 1)) if parts[0] in _OF_REFUND else None
        if row is not None:
            causes[key] = Cause(
                orders.get(row.order_id or 0), row.line_no, row.level, row.id, refund and refund[0]
            )
        elif refund is not None:
            causes[key] = Cause(order_no=refund[1], refund_no=refund[0])
        elif parts[0] in _OF_WITHDRAWAL:
            causes[key] = Cause(payout_no=payouts.get(_number(parts, 1)))
    return causes


_OF_REFUND: Final = ("void", "clawback", "absorb")
_COMMISSION_AT: Final = {"settle": 1, "void": 2, "clawback": 2}
"""Where the commission's number stands in a key: `void-<refund>-<commission>`, `void-registration-<commission>`."""
_OF_WITHDRAWAL: Final = ("hold", "back", "paid", "fee", "tax")


def _number(parts: Sequence[str], place: int) -> int:
    """The number at this place of a key, 0 when there is none."""
    return int(parts[place]) if len(parts) > place and parts[place].isdigit() else 0


def _commissions(session: Session, keys: dict[str, list[str]]) -> dict[str, Commission]:
    by_id: dict[int, list[str]] = {}
    accrued: dict[tuple[int, int, int], str] = {}
    for key, parts in keys.items():
        if parts[0] == "accrue" and len(parts) == 4:
            accrued[_number(parts, 1), _number(parts, 2), _number(parts, 3)] = key
        elif parts[0] in _COMMISSION_AT:
            by_id.setdefault(_number(parts, _COMMISSION_AT[parts[0]]), []).append(key)
    found: dict[str, Commission] = {}
    for row in session.scalars(select(Commission).where(Commission.id.in_(by_id))):
        found |= dict.fromkeys(by_id[row.id], row)
    order_ids = {order_id for order_id, _, _ in accrued}
    for row in session.scalars(select(Commission).where(Commission.order_id.in_(order_ids))):
        known = accrued.get((row.order_id or 0, row.line_no or 0, row.level))
        if known is not None:
            found[known] = row
    return found


def _order_numbers(session: Session, ids: set[int]) -> dict[int, str]:
    query = select(Order.id, Order.order_no).where(Order.id.in_(ids))
    return {row.id: row.order_no for row in session.execute(query)}


def _refund_numbers(session: Session, keys: dict[str, list[str]]) -> dict[int, tuple[str, str]]:
    ids = {_number(parts, 1) for parts in keys.values() if parts[0] in _OF_REFUND}
    query = select(Refund.id, Refund.refund_no, Refund.order_no).where(Refund.id.in_(ids))
    return {row.id: (row.refund_no, row.order_no) for row in session.execute(query)}


def _payout_numbers(session: Session, keys: dict[str, list[str]]) -> dict[int, str]:
    ids = {_number(parts, 1) for parts in keys.values() if parts[0] in _OF_WITHDRAWAL}
    query = select(Withdrawal.id, Withdrawal.payout_no).where(Withdrawal.id.in_(ids))
    return {row.id: row.payout_no for row in session.execute(query)}


# --- as a file ------------------------------------------------------------------------------------------------------


def as_csv(session: Session, member_id: int) -> Iterator[bytes]:
    """The whole statement as pieces of a CSV file that Excel opens; amounts in yuan with two decimals."""
    return sheets.encode(_rows(session, member_id))


def _rows(session: Session, member_id: int) -> Iterator[Sequence[object]]:
    yield HEADINGS
    for line in stream(session, member_id):
        changes = (line.frozen_change_fen, line.available_change_fen, line.withdrawing_change_fen)
        yield (
            sheets.instant(line.at),
            sheets.text(REASONS.get(line.reason, line.reason)),
            *(yuan(fen) if fen else "" for fen in changes),
            yuan(line.frozen_fen),
            yuan(line.available_fen),
            yuan(line.withdrawing_fen),
            sheets.text(line.order_no),
            "" if line.line_no is None else line.line_no,
            "" if line.level is None else line.level,
            "" if line.commission_id is None else line.commission_id,
            sheets.text(line.refund_no),
            sheets.text(line.payout_no),
            line.id,
        )
