"""对账 results: what the last comparison with WeChat Pay found, kept for the console and for `flask reconcile`."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from domain.china import bounds
from domain.db import Sql, to_db, to_json
from domain.errors import NotFound
from domain.models import Merchant, Reconciliation, Withdrawal

NUMBERS: Final = "numbers"
BILL: Final = "bill"
SHOWN: Final = 100
"""Differences that a row names; it counts all of them."""


@dataclass(slots=True)
class Comparison:
    """What a reconciliation found: how many were compared, how many could not be, how much was paid, and every
    difference."""

    compared: int = 0
    unanswered: int = 0
    paid_fen: int = 0
    differences: list[dict[str, Any]] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.differences and not self.unanswered

    def add(self, other: Comparison) -> None:
        self.compared += other.compared
        self.unanswered += other.unanswered
        self.paid_fen += other.paid_fen
        self.differences += other.differences


_PUT = Sql(
    "INSERT INTO reconciliation"
    " (account_id, kind, day, compared, unanswered, paid_fen, difference_count, differences, at)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON DUPLICATE KEY UPDATE compared = VALUES(compared),"
    " unanswered = VALUES(unanswered), paid_fen = VALUES(paid_fen), difference_count = VALUES(difference_count),"
    " differences = VALUES(differences), at = VALUES(at)",
    sqlite="INSERT INTO reconciliation"
    " (account_id, kind, day, compared, unanswered, paid_fen, difference_count, differences, at)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (account_id, kind, day) DO UPDATE SET"
    " compared = excluded.compared, unanswered = excluded.unanswered, paid_fen = excluded.paid_fen,"
    " difference_count = excluded.difference_count, differences = excluded.differences, at = excluded.at",
)


def record(
    session: Session, account_id: int, kind: str, day: date, found: Comparison, now: datetime
) -> None:
    """Keep what the comparison of a kind (`NUMBERS`, `BILL`) and day found, in place of an earlier one."""
    _PUT(
        session, account_id, kind, day.isoformat(), found.compared, found.unanswered, found.paid_fen,
        len(found.differences), to_json(found.differences[:SHOWN]), to_db(now),
    )  # fmt: skip


def is_done(session: Session, account_id: int, kind: str, day: date) -> bool:
    """Whether this day was compared and everything had an answer: then it is not due again."""
    row = _of_day(session, account_id, kind, day)
    return row is not None and row.unanswered == 0


def _of_day(session: Session, account_id: int, kind: str, day: date) -> Reconciliation | None:
    return session.scalar(
        select(Reconciliation).where(
            Reconciliation.account_id == account_id,
            Reconciliation.kind == kind,
            Reconciliation.day == day,
        )
    )


def latest(session: Session, account_id: int, kind: str) -> Reconciliation | None:
    """The newest comparison of a kind, for the console; None before the first."""
    query = select(Reconciliation).where(
        Reconciliation.account_id == account_id, Reconciliation.kind == kind
    )
    return session.scalar(query.order_by(Reconciliation.day.desc()).limit(1))


def get(session: Session, account_id: int, reconciliation_id: int) -> Reconciliation:
    """The comparison of this account, or `NotFound`."""
    row = session.get(Reconciliation, reconciliation_id)
    if row is None or row.account_id != account_id:
        raise NotFound("no such reconciliation", reconciliation=reconciliation_id)
    return row


def as_value(row: Reconciliation) -> dict[str, Any]:
    """For JSON."""
    return {
        "kind": row.kind, "day": row.day.isoformat(), "compared": row.compared, "unanswered": row.unanswered,
        "paid_fen": row.paid_fen, "difference_count": row.difference_count,
        "differences": json.loads(row.differences), "at": row.at.isoformat(),
    }  # fmt: skip


# --- our side of a bill ---------------------------------------------------------------------------------------------


def ended_on(
    session: Session, account_id: int, day: date, *, after_id: int = 0, limit: int = 500
) -> Sequence[Withdrawal]:
    """Transfers of the account that ended on Beijing's `day`, by id; keyset page after `after_id`."""
    since, until = bounds(day)
    query = select(Withdrawal).where(
        Withdrawal.account_id == account_id,
        Withdrawal.id > after_id,
        Withdrawal.terms.is_not(None),
        Withdrawal.finished_at >= since,
        Withdrawal.finished_at < until,
    )
    return list(session.scalars(query.order_by(Withdrawal.id).limit(limit)))


def ours_among(
    session: Session, mch_id: str, own_nos: Collection[str], provider_nos: Collection[str]
) -> set[str]:
    """Those of the numbers that payouts of this installation carry, whichever account pays by this merchant number."""
    by_own = select(Withdrawal.payout_no).where(
        Withdrawal.payout_no.in_(own_nos), Withdrawal.terms.is_not(None)
    )
    accounts = select(Merchant.account_id).where(Merchant.mch_id == mch_id)
    by_theirs = select(Withdrawal.provider_bill_no).where(
        Withdrawal.account_id.in_(accounts), Withdrawal.provider_bill_no.in_(provider_nos)
    )
    found = set(session.scalars(by_own))
    return found | {number for number in session.scalars(by_theirs) if number is not None}
