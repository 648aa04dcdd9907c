"""试算: what a past period would have cost under a draft rule, and what stayed with the merchant. Writes nothing.

Orders are replayed one after another from their own snapshots, lines and refunds, against the rule that was in force
and against the draft; both through the same `plan` that pays. Who may earn is what the snapshot says, or, for a draft
with another qualification of promoters, what it would have been when each order was paid. Sums per member are spilled
to a private temporary file, so memory does not grow with the period or with the number of earners.
"""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from domain import promoters, rules
from domain.accounts import Settings
from domain.bindings import display_name
from domain.db import Sql, from_db, to_db
from domain.models import Member
from domain.money import BPS, share
from domain.orders import own_in, uplines_in
from domain.proof import Progress, silent
from domain.rules import PlanLine, RuleVersion, Share, Terms, Upline

CHUNK: Final = 500

_PAID = (
    "SELECT id, member_id, rule_id, uplines, paid_at FROM orders{seek} WHERE account_id = ? AND paid_at >= ?"
    " AND paid_at < ? AND (paid_at > ? OR id > ?) AND status IN ('paid', 'completed') ORDER BY paid_at, id LIMIT ?"
)
# MariaDB would walk over all earlier orders to the next chunk (keyset.py).
_ORDERS = Sql(
    _PAID.format(seek=" FORCE INDEX (ix_orders_account_id_paid_at_id)"),
    sqlite=_PAID.format(seek=""),
)
_LINES = Sql(
    "SELECT order_id, line_no, paid_fen, refunded_fen, terms FROM order_line WHERE order_id IN (??)"
    " ORDER BY order_id, line_no"
)


@dataclass(frozen=True, slots=True)
class Replayed:
    """A paid order as it was planned; `refunded_fen` by line number, `rule_id` the version in force then."""

    order_id: int
    paid_at: datetime
    buyer_id: int | None
    rule_id: int | None
    uplines: Sequence[Upline]
    own: Upline | None
    lines: Sequence[PlanLine]
    refunded_fen: dict[int, int]

    def shares(self, version: RuleVersion | None) -> list[tuple[Share, int]]:
        """The plan under a version, each share with what is left of it after the refunds, in fen."""
        planned = rules.plan(version, self.buyer_id, self.uplines, self.lines, self.own)
        return [(one, self._left(one)) for one in planned]

    def _left(self, one: Share) -> int:
        base = one.base_fen - self.refunded_fen[one.line_no]
        return min(one.amount_fen, share(base, one.rate_bps, one.share_bps))


def replay(
    session: Session, account_id: int, since: datetime, until: datetime
) -> Iterator[Replayed]:
    """The account's orders paid from `since` until before `until`, in order, a chunk in memory."""
    start, end = to_db(since), to_db(until)
    last, last_id = start, 0
    while True:
        rows = _ORDERS(session, account_id, last, end, last, last_id, CHUNK).all()
        lines: dict[int, list[Any]] = defaultdict(list)
        for line in _LINES.among(session, (), [row.id for row in rows]):
            lines[line.order_id].append(line)
        for row in rows:
            yield Replayed(
                row.id, from_db(row.paid_at), row.member_id, row.rule_id, uplines_in(row.uplines),
                own_in(row.uplines, row.member_id),
                [PlanLine(line.line_no, line.paid_fen, _terms(line.terms)) for line in lines[row.id]],
                {line.line_no: line.refunded_fen for line in lines[row.id]},
            )  # fmt: skip
        if len(rows) < CHUNK:
            return
        last, last_id = to_db(from_db(rows[-1].paid_at)), rows[-1].id


def _terms(stored: str | None) -> Terms | None:
    return None if stored is None else Terms.from_value(json.loads(stored))


_COUNT: Final = Sql(
    "SELECT COUNT(*) AS n FROM (SELECT id FROM orders WHERE account_id = ? AND paid_at >= ? AND paid_at < ? LIMIT ?) o"
)


def count(session: Session, account_id: int, since: datetime, until: datetime, most: int) -> int:
    """How many orders a period has, counted as far as `most`: whether its dry run can be waited for."""
    row = _COUNT(session, account_id, to_db(since), to_db(until), most).one()
    return int(row.n)


# --- what stayed with the merchant ----------------------------------------------------------------------------------


@dataclass(slots=True)
class Cost:
    """What one rule costs over a period, after refunds, in fen: by level, and by the reason for nobody's share."""

    paid_fen: int = 0
    by_level: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    house_by_reason: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    @property
    def house_fen(self) -> int:
        """What no eligible earner took: it stayed with the merchant."""
        return sum(self.house_by_reason.values())

    def add(self, one: Share, left_fen: int) -> None:
        if one.member_id is None:
            self.house_by_reason[one.nobody] += left_fen
        else:
            self.paid_fen += left_fen
            self.by_level[one.level] += left_fen

    def as_value(self, goods_fen: int) -> dict[str, Any]:
        """For JSON; `cost_bps` of the goods value that was not refunded."""
        return {
            "cost_fen": self.paid_fen,
            "cost_bps": self.paid_fen * BPS // goods_fen if goods_fen else 0,
            "by_level": {str(level): fen for level, fen in sorted(self.by_level.items())},
            "house_fen": self.house_fen,
            "house_by_reason": {key: fen for key, fen in sorted(self.house_by_reason.items()) if fen},
        }  # fmt: skip


def house(session: Session, account_id: int, since: datetime, until: datetime) -> dict[str, Any]:
    """The house account of a period: what levels without an eligible earner would have been paid, by reason, beside
    what was paid. A query over snapshots: the hot path writes nothing for it."""
    cost, goods_fen, number = Cost(), 0, 0
    for order in replay(session, account_id, since, until):
        version = None if order.rule_id is None else rules.get_version(session, order.rule_id)
        number += 1
        goods_fen += _goods(order)
        for one, left in order.shares(version):
            cost.add(one, left)
    return {"orders": number, "goods_fen": goods_fen, **cost.as_value(goods_fen)}


def _goods(order: Replayed) -> int:
    """Goods that were paid and kept, in fen."""
    return sum(line.base_fen for line in order.lines) - sum(order.refunded_fen.values())


# --- another qualification ------------------------------------------------------------------------------------------

ASSUMES: Final = (
    "somebody who was suspended when an order was paid stays without commission",
    "an approval counts from the decision on the application; one without an application, as if it had always been",
    "earlier purchases count by when they were paid, less all that was refunded of them until today",
)
"""What the data do not tell about the past, for who reads the result."""

_PURCHASES = Sql(
    "SELECT id, member_id, paid_at, paid_fen - refunded_fen AS kept_fen FROM orders"
    " WHERE status IN ('paid', 'completed') AND paid_at < ? AND member_id IN (??) ORDER BY member_id, paid_at, id"
)
_PROMOTERS = Sql("SELECT id, promoter FROM member WHERE id IN (??)")
_DECIDED = Sql(
    "SELECT member_id, MIN(decided_at) AS at FROM promoter_application"
    " WHERE status = 'approved' AND member_id IN (??) GROUP BY member_id"
)


@dataclass(frozen=True, slots=True)
class _Past:
    """What some members had bought and when they were approved: what a qualification asks about."""

    purchases: dict[int, list[tuple[datetime, int, int]]]
    approved_from: dict[int, datetime | None]

    @classmethod
    def of(cls, session: Session, orders: Sequence[Replayed]) -> _Past:
        """Of everybody who could earn by these orders; three statements."""
        ids = {one.member_id for order in orders for one in _chain(order)}
        until = max(order.paid_at for order in orders)
        purchases: dict[int, list[tuple[datetime, int, int]]] = defaultdict(list)
        for row in _PURCHASES.among(session, (to_db(until),), sorted(ids)):
            purchases[row.member_id].append((from_db(row.paid_at), row.id, row.kept_fen))
        decided = {
            row.member_id: from_db(row.at) for row in _DECIDED.among(session, (), sorted(ids))
        }
        people = _PROMOTERS.among(session, (), sorted(ids))
        approved = [row.id for row in people if row.promoter == promoters.APPROVED]
        return cls(purchases, {member_id: decided.get(member_id) for member_id in approved})

    def judged(self, settings: Settings, order: Replayed, one: Upline) -> Upline:
        """This earner as the account's settings would have judged them when the order was paid."""
        if one.refusal == rules.SUSPENDED:
            return one
        earlier = [
            kept
            for paid_at, order_id, kept in self.purchases.get(one.member_id, ())
            if (paid_at, order_id) < (order.paid_at, order.order_id)
        ]
        since = self.approved_from.get(one.member_id)
        approved = one.member_id in self.approved_from and (since is None or since <= order.paid_at)
        refusal = promoters.refusal(
            settings, "active", promoters.APPROVED if approved else "", bool(earlier)
        )
        by_spending = settings.qualification == promoters.BY_SPENDING
        if refusal and by_spending and sum(earlier) >= settings.qualification_spent_fen and earlier:
            refusal = ""
        return replace(one, refusal=refusal)


def _chain(order: Replayed) -> list[Upline]:
    return [*order.uplines, *([order.own] if order.own is not None else [])]


def _requalified(
    session: Session, settings: Settings | None, orders: Sequence[Replayed]
) -> Iterator[Replayed]:
    """The orders as they would have been snapshotted under these settings; None leaves the snapshots alone."""
    if settings is None or not orders:
        yield from orders
        return
    past = _Past.of(session, orders)
    for order in orders:
        own = None if order.own is None else past.judged(settings, order, order.own)
        yield replace(
            order, own=own, uplines=[past.judged(settings, order, one) for one in order.uplines]
        )


# --- the dry run ----------------------------------------------------------------------------------------------------


class _PerMember:
    """Sums of (now, draft) per member in a temporary SQLite file of our own, which vanishes with it."""

    def __init__(self) -> None:
        self._file = sqlite3.connect("", isolation_level=None)
        self._file.execute("PRAGMA journal_mode=OFF")
        self._file.execute("PRAGMA synchronous=OFF")
        self._file.execute(
            "CREATE TABLE sums (member INTEGER PRIMARY KEY, now INTEGER, draft INTEGER)"
        )
        self._buffer: dict[int, list[int]] = {}

    def earn(self, one: Share, now_fen: int, draft_fen: int) -> None:
        """Count a share for whoever earns it."""
        if one.member_id is None:
            return
        row = self._buffer.setdefault(one.member_id, [0, 0])
        row[0] += now_fen
        row[1] += draft_fen
        if len(self._buffer) >= 20 * CHUNK:
            self._spill()

    def _spill(self) -> None:
        self._file.execute("BEGIN")
        self._file.executemany(
            "INSERT INTO sums VALUES (?, ?, ?) ON CONFLICT (member) DO UPDATE SET now = now + excluded.now,"
            " draft = draft + excluded.draft",
            [(member, *sums) for member, sums in self._buffer.items()],
        )
        self._file.execute("COMMIT")
        self._buffer = {}

    def counts(self) -> dict[str, int]:
        """How many members gain, lose and stay."""
        self._spill()
        row = self._file.execute(
            "SELECT COUNT(*), COALESCE(SUM(draft > now), 0), COALESCE(SUM(draft < now), 0) FROM sums"
        ).fetchone()
        return {"earners": row[0], "winners": row[1], "losers": row[2]}

    def first(self, order: str, where: str, limit: int) -> list[tuple[int, int, int]]:
        """(member, now, draft) of those who gain or lose most."""
        query = (
            f"SELECT member, now, draft FROM sums WHERE {where} ORDER BY {order}, member LIMIT ?"
        )
        return self._file.execute(query, (limit,)).fetchall()

    def close(self) -> None:
        self._file.close()


def run(
    session: Session,
    account_id: int,
    draft: RuleVersion,
    *,
    since: datetime,
    until: datetime,
    top: int = 10,
    qualification: Settings | None = None,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Replay a period under a draft (`rules.draft`): what it would have cost beside what it did, by level, as a share
    of the goods value, the `top` members who win and who lose, and the house account of both. For JSON.

    `session` should be a snapshot. Uplines and grades are those of the orders' own snapshots, and a product's own terms
    go before the draft as they go before any rule. Who may earn is what the snapshots say; with `qualification` the
    draft asks instead what these settings would have said then, and `assumes` names what the data do not tell.
    """
    now, then = Cost(), Cost()
    goods_fen, number = 0, 0
    members = _PerMember()
    try:
        orders = replay(session, account_id, since, until)
        while chunk := list(islice(orders, CHUNK)):
            drafted = _requalified(session, qualification, chunk)
            for order, other in zip(chunk, drafted, strict=True):
                version = (
                    None if order.rule_id is None else rules.get_version(session, order.rule_id)
                )
                number += 1
                goods_fen += _goods(order)
                for one, left in order.shares(version):
                    now.add(one, left)
                    members.earn(one, left, 0)
                for one, left in other.shares(draft):
                    then.add(one, left)
                    members.earn(one, 0, left)
            progress("orders", number)
        counts = members.counts()
        winners = members.first("draft - now DESC", "draft > now", top)
        losers = members.first("draft - now", "draft < now", top)
    finally:
        members.close()
    return {
        "since": since.isoformat(), "until": until.isoformat(), "orders": number, "goods_fen": goods_fen,
        "now": now.as_value(goods_fen), "draft": then.as_value(goods_fen),
        "difference_fen": then.paid_fen - now.paid_fen,
        "margin_fen": {"now": goods_fen - now.paid_fen, "draft": goods_fen - then.paid_fen},
        **{f"{name}_count": count for name, count in counts.items()},
        "winners": _named(session, winners), "losers": _named(session, losers),
        "qualification": "snapshots" if qualification is None else qualification.qualification,
        "assumes": [] if qualification is None else list(ASSUMES),
    }  # fmt: skip


def _named(session: Session, rows: Iterable[tuple[int, int, int]]) -> list[dict[str, Any]]:
    found = list(rows)
    ids = [member_id for member_id, _, _ in found]
    query = select(Member.id, Member.code, Member.nickname).where(Member.id.in_(ids))
    names = {row.id: display_name(row.nickname, row.code) for row in session.execute(query)}
    return [
        {"member": member_id, "name": names.get(member_id, ""), "now_fen": now, "draft_fen": draft,
         "difference_fen": draft - now}
        for member_id, now, draft in found
    ]  # fmt: skip
