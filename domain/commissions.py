"""佣金: accrue when an order is paid, settle when the freeze period is over, take back when goods are refunded.

frozen → settled → clawed_back, frozen → voided. A commission that is partly taken back stays where it is, with
`clawed_fen`. Every step is set-based: a batch of orders or of due commissions costs as many statements as one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from domain import ledger, notices
from domain.accounts import OpenAccount, Settings
from domain.db import Sql, changed, to_db
from domain.errors import LedgerBroken
from domain.keyset import seek
from domain.ledger import Entry
from domain.models import Commission
from domain.money import remaining_after_refund
from domain.rules import PlanLine, RuleVersion, Share, Upline, earners_of, plan
from domain.tally import Changes

FROZEN: Final = "frozen"
SETTLED: Final = "settled"
VOIDED: Final = "voided"
CLAWED_BACK: Final = "clawed_back"


@dataclass(frozen=True, slots=True)
class Accruing:
    """A paid order as accrual sees it: everything the plan needs, and what the notices say.

    `first_purchase`: the buyer counts as a buyer of their uplines from now on. `due_at`: end of the freeze period,
    None while the order is not completed.
    """

    order_id: int
    order_no: str
    buyer_id: int
    buyer_name: str
    paid_fen: int
    rule: RuleVersion | None
    uplines: Sequence[Upline]
    lines: Sequence[PlanLine]
    due_at: datetime | None
    first_purchase: bool
    own: Upline | None = None

    def shares(self) -> list[Share]:
        return plan(self.rule, self.buyer_id, self.uplines, self.lines, self.own)

    def due_of(self, one: Share) -> str | None:
        """When a share is due, as the database stores it: grades may have freeze periods of their own."""
        if self.due_at is None or self.rule is None:
            return None
        longer = self.rule.freeze_days_of(one.grade) - self.rule.freeze_days
        return to_db(self.due_at + timedelta(days=longer))


_INSERT = Sql(
    "INSERT INTO commission (account_id, kind, order_id, line_no, level, member_id, base_fen, rate_bps, share_bps,"
    " amount_fen, clawed_fen, status, due_at, created_at)"
    " VALUES (?, 'order', ?, ?, ?, ?, ?, ?, ?, ?, 0, 'frozen', ?, ?)"
)


def accrue(session: Session, account_id: int, orders: Sequence[Accruing], now: datetime) -> None:
    """Write the commissions of paid orders with their postings, figures and notices: inserts only, so a popular
    upline costs nothing extra (money.md 4.2). The caller has made sure that each order comes here once; the unique
    keys say so too."""
    rows: list[tuple[Any, ...]] = []
    entries: list[Entry] = []
    news: list[notices.News] = []
    changes = Changes()
    at = to_db(now)
    for order in orders:
        for upline in order.uplines:
            changes.add(
                upline.member_id, upline.level,
                orders=1, spent_fen=order.paid_fen, buyers=1 if order.first_purchase else 0,
            )  # fmt: skip
        due_at = None if order.due_at is None else to_db(order.due_at)
        graded = order.rule is not None and bool(order.rule.grade_freeze_days)
        earned: dict[tuple[int, int], int] = defaultdict(int)
        for earner_id, one in _within_budget(order):
            rows.append(
                (account_id, order.order_id, one.line_no, one.level, earner_id, one.base_fen, one.rate_bps,
                 one.share_bps, one.amount_fen, order.due_of(one) if graded else due_at, at)
            )  # fmt: skip
            key = f"accrue-{order.order_id}-{one.line_no}-{one.level}"
            entries.append(
                Entry(
                    key,
                    account_id,
                    earner_id,
                    ledger.COMMISSION,
                    ledger.FROZEN,
                    one.amount_fen,
                    "accrue",
                )
            )
            earned[earner_id, one.level] += one.amount_fen
        for (member_id, level), amount_fen in earned.items():
            changes.add(member_id, level, earned_fen=amount_fen, frozen_fen=amount_fen)
            news.append(
                notices.News(
                    account_id, member_id, notices.COMMISSION_ACCRUED, f"accrued-{order.order_id}-{member_id}",
                    {"order_no": order.order_no, "friend": order.buyer_name, "level": level, "amount_fen": amount_fen,
                     "paid_fen": order.paid_fen, "at": now.isoformat()},
                )
            )  # fmt: skip
    _INSERT.many(session, rows)
    ledger.post(session, entries, now)
    changes.write(session)
    notices.tell(session, news, now)


def _within_budget(order: Accruing) -> list[tuple[int, Share]]:
    """The shares that somebody earns; refuses, never trims, when a line would pay more than its terms allow."""
    paid: dict[int, int] = defaultdict(int)
    earners = earners_of(order.shares())
    for _, one in earners:
        paid[one.line_no] += one.amount_fen
    for line in order.lines:
        allowed = 0 if order.rule is None else order.rule.most_fen(line)
        if paid[line.line_no] > allowed:
            raise LedgerBroken(
                "commissions exceed the budget", order=order.order_no, line_no=line.line_no
            )
    return earners


# --- freeze and settlement ------------------------------------------------------------------------------------------

_START_FREEZE = Sql(
    "UPDATE commission SET due_at = ? WHERE order_id = ? AND status = ? AND due_at IS NULL"
)
_START_FREEZE_OF = Sql(
    "UPDATE commission SET due_at = ? WHERE order_id = ? AND status = ? AND due_at IS NULL AND member_id IN (??)"
)


def start_freeze(
    session: Session,
    order_id: int,
    completed_at: datetime,
    version: RuleVersion,
    earners: Sequence[Upline],
) -> None:
    """The order is completed: its frozen commissions settle after the freeze period, unless payment set that already.
    `earners` are those of its snapshot: grades may have freeze periods of their own."""
    for grade, days in version.grade_freeze_days.items():
        of_grade = [one.member_id for one in earners if one.grade == grade]
        if of_grade:
            due_at = to_db(completed_at + timedelta(days=days))
            _START_FREEZE_OF.among(session, (due_at, order_id, FROZEN), of_grade)
    due_at = to_db(completed_at + timedelta(days=version.freeze_days))
    _START_FREEZE(session, due_at, order_id, FROZEN)


_DUE = Sql(
    "SELECT c.id FROM commission c LEFT JOIN hold h ON h.open_key = c.id"
    " WHERE c.account_id = ? AND c.status = ? AND c.due_at <= ? AND h.id IS NULL ORDER BY c.due_at, c.id LIMIT ?"
)
_DUE_ROWS = (
    "SELECT id, member_id, level, amount_fen - clawed_fen AS left_fen FROM commission"
    " WHERE status = 'frozen' AND id IN (??) ORDER BY id"
)
_DUE_LOCKED = Sql(_DUE_ROWS + " FOR UPDATE", sqlite=_DUE_ROWS)
_HELD = Sql("SELECT open_key FROM hold WHERE open_key IN (??)")
_SETTLE = Sql(
    "UPDATE commission SET status = 'settled', settled_at = ? WHERE status = 'frozen' AND id IN (??)"
)


def settle_due(session: Session, account: OpenAccount, now: datetime, limit: int = 500) -> int:
    """Settle up to `limit` commissions whose freeze period is over and that no hold stops; how many.

    Resumable: call it, one transaction each, until it returns 0. Two at once are harmless: the rows are locked and
    looked at again. A member hears once per batch.
    """
    if account.settings.commissions_stopped:
        return 0
    candidates = [row.id for row in _DUE(session, account.id, FROZEN, to_db(now), limit)]
    locked = _DUE_LOCKED.among(session, (), candidates).all() if candidates else []
    # Asked again under the locks: a hold locks its commission first (holds.py), so it is seen here or comes after us.
    held = {row.open_key for row in _HELD.among(session, (), [row.id for row in locked])}
    due = [row for row in locked if row.id not in held]
    if not due:
        return 0
    if changed(_SETTLE.among(session, (to_db(now),), [row.id for row in due])) != len(due):
        raise LedgerBroken("a locked commission changed its state")
    entries = [
        Entry(
            f"settle-{row.id}",
            account.id,
            row.member_id,
            ledger.FROZEN,
            ledger.AVAILABLE,
            row.left_fen,
            "settle",
        )
        for row in due
    ]
    changes = Changes()
    told: dict[int, list[int]] = defaultdict(lambda: [0, 0, 0])
    for row in due:
        changes.add(row.member_id, row.level, frozen_fen=-row.left_fen)
        one = told[row.member_id]
        one[0] = one[0] or row.id
        one[1] += row.left_fen
        one[2] += 1
    news = [
        notices.News(
            account.id, member_id, notices.COMMISSION_SETTLED, f"settled-{first_id}-{member_id}",
            {"amount_fen": amount_fen, "count": count, "at": now.isoformat()},
        )
        for member_id, (first_id, amount_fen, count) in told.items()
    ]  # fmt: skip
    ledger.post(session, entries, now)
    changes.write(session)
    ledger.fold_into_balances(session, entries)
    notices.tell(session, news, now)
    return len(due)


# --- taking back ----------------------------------------------------------------------------------------------------

_OF_LINES = (
    "SELECT id, member_id, line_no, level, base_fen, rate_bps, share_bps, amount_fen, clawed_fen, status"
    " FROM commission WHERE order_id = ? AND line_no IN (??) ORDER BY line_no, level"
)
_OF_LINES_LOCKED = Sql(_OF_LINES + " FOR UPDATE", sqlite=_OF_LINES)
_TAKE = Sql("UPDATE commission SET clawed_fen = clawed_fen + ?, status = ? WHERE id = ?")
_CLAWBACK = Sql(
    "INSERT INTO clawback (refund_id, commission_id, amount_fen, from_bucket, at) VALUES (?, ?, ?, ?, ?)"
)


def take_back(
    session: Session,
    account: OpenAccount,
    order_id: int,
    order_no: str,
    refund_id: int,
    refunded_by_line: dict[int, int],
    now: datetime,
) -> list[int]:
    """Reduce the commissions of an order whose lines have been refunded by `refunded_by_line` fen **in all**.

    At the original rate on every level; cumulative, so any sequence of refunds ends at the same amounts. What is
    frozen is voided; what is settled is clawed back from `available`, below zero if need be (a debt that later
    settlements fill first), unless the account absorbs the shortfall, which is a posting of its own.
    Returns the members whose available money it took.
    """
    locked = _OF_LINES_LOCKED.among(session, (order_id,), sorted(refunded_by_line)).all()
    taken = []
    for row in locked:
        kept = left_after_refund(row, refunded_by_line[row.line_no])
        amount = row.amount_fen - row.clawed_fen - kept
        if amount > 0:
            taken.append((row, amount, kept))
    if not taken:
        return []
    changes, entries, news = Changes(), [], _TakenNews(account.id, order_no, refund_id, now)
    for row, amount, kept in taken:
        frozen = row.status == FROZEN
        source, verb = (ledger.FROZEN, "void") if frozen else (ledger.AVAILABLE, "clawback")
        status = row.status if kept else (VOIDED if frozen else CLAWED_BACK)
        _TAKE(session, amount, status, row.id)
        _CLAWBACK(session, refund_id, row.id, amount, source, to_db(now))
        key = f"{verb}-{refund_id}-{row.id}"
        entries.append(
            Entry(key, account.id, row.member_id, source, ledger.COMMISSION, amount, verb)
        )
        changes.add(
            row.member_id, row.level, earned_fen=-amount, frozen_fen=-amount if frozen else 0
        )
        news.add(row.member_id, frozen, amount)
    entries += absorbed(session, account.settings, str(refund_id), entries)
    ledger.post(session, entries, now)
    changes.write(session)
    ledger.fold_into_balances(
        session, [one for one in entries if ledger.AVAILABLE in (one.source, one.destination)]
    )
    notices.tell(session, news.as_list(), now)
    return sorted({one.member_id for one in entries if one.source == ledger.AVAILABLE})


def left_after_refund(commission: Any, refunded_fen: int) -> int:
    """What a commission keeps when `refunded_fen` of its line has been refunded in all: its rate of what was not
    refunded, and never more than it was, which is less than its rate when a cap made it so."""
    left = remaining_after_refund(
        commission.base_fen, refunded_fen, commission.rate_bps, commission.share_bps
    )
    return min(left, int(commission.amount_fen))


class _TakenNews:
    """One notice per member and kind for a whole refund."""

    def __init__(self, account_id: int, order_no: str, refund_id: int, now: datetime) -> None:
        self._account_id, self._order_no, self._refund_id, self._now = (
            account_id,
            order_no,
            refund_id,
            now,
        )
        self._sums: dict[tuple[int, bool], int] = defaultdict(int)

    def add(self, member_id: int, frozen: bool, amount_fen: int) -> None:
        self._sums[member_id, frozen] += amount_fen

    def as_list(self) -> list[notices.News]:
        return [
            notices.News(
                self._account_id, member_id,
                notices.COMMISSION_VOIDED if frozen else notices.COMMISSION_CLAWED_BACK,
                f"{'voided' if frozen else 'clawed'}-{self._refund_id}-{member_id}",
                {"order_no": self._order_no, "amount_fen": amount_fen, "at": self._now.isoformat()},
            )
            for (member_id, frozen), amount_fen in self._sums.items()
        ]  # fmt: skip


def absorbed(
    session: Session, settings: Settings, cause: str, entries: Sequence[Entry]
) -> list[Entry]:
    """What the merchant gives back because a claw-back would leave a larger debt than the account allows. `cause` is
    in the keys: the refund's id, or what else took the money. Locks the balances."""
    if settings.shortfall == "debt":
        return []
    clawed: dict[int, int] = defaultdict(int)
    for one in entries:
        if one.source == ledger.AVAILABLE:
            clawed[one.member_id] += one.amount_fen
    account_id = entries[0].account_id
    floor_fen = -settings.debt_cap_fen if settings.shortfall == "capped" else 0
    available = ledger.lock_available(session, list(clawed))
    result = []
    for member_id, amount_fen in sorted(clawed.items()):
        before = available.get(member_id, 0)
        lowest = min(before, floor_fen)  # an old debt is not forgiven by a new claw-back
        excess = min(amount_fen, lowest - (before - amount_fen))
        if excess > 0:
            key = f"absorb-{cause}-{member_id}"
            result.append(
                Entry(
                    key,
                    account_id,
                    member_id,
                    ledger.COMMISSION,
                    ledger.AVAILABLE,
                    excess,
                    "absorb",
                )
            )
    return result


# --- reading --------------------------------------------------------------------------------------------------------


def of_member(
    session: Session, member_id: int, *, before_id: int | None = None, limit: int = 20
) -> list[Commission]:
    """A member's commissions, newest first; keyset page before `before_id`."""
    query = (
        select(Commission)
        .where(Commission.member_id == member_id)
        .order_by(Commission.id.desc())
        .limit(limit)
    )
    if before_id is not None:
        query = seek(query.where(Commission.id < before_id), Commission.id)
    return list(session.scalars(query))


def of_order(session: Session, order_id: int) -> list[Commission]:
    """The commissions of an order, by line and level."""
    query = (
        select(Commission)
        .where(Commission.order_id == order_id)
        .order_by(Commission.line_no, Commission.level)
    )
    return list(session.scalars(query))


def of_orders(session: Session, order_ids: Collection[int]) -> list[Commission]:
    """The commissions of several orders, by order, line and level."""
    query = select(Commission).where(Commission.order_id.in_(order_ids))
    return list(
        session.scalars(query.order_by(Commission.order_id, Commission.line_no, Commission.level))
    )


def due_date(
    paid_at: datetime, completed_at: datetime | None, freeze_from: str, freeze_days: int
) -> datetime | None:
    """When the freeze period of an order ends: counted from payment or completion; None while that has not come."""
    start = paid_at if freeze_from == "paid" else completed_at
    return None if start is None else start + timedelta(days=freeze_days)
