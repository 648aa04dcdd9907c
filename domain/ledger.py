"""账本: postings between buckets, append-only, and the balance row they fold into.

How a yuan moves: accrue commission→frozen, settle frozen→available, void frozen→commission, claw back
available→commission (may go below zero: a debt), withdraw available→withdrawing, paid withdrawing→cash; what another
system owed a member comes in by adjust→available.
`frozen` is never materialised: it is the sum of the frozen commissions. The merchant's buckets are queries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from domain import webhooks
from domain.db import Sql, changed, to_db
from domain.errors import LedgerBroken
from domain.keyset import seek
from domain.models import Posting

# The buckets of a member (member/<id>/frozen …) and of the merchant (merchant/<account>/commission …).
FROZEN: Final = "frozen"
AVAILABLE: Final = "available"
WITHDRAWING: Final = "withdrawing"
COMMISSION: Final = "commission"
CASH: Final = "cash"
FEE: Final = "fee"
TAX: Final = "tax"
ADJUST: Final = "adjust"
MEMBER_BUCKETS: Final = (FROZEN, AVAILABLE, WITHDRAWING)


class Entry(NamedTuple):
    """A posting to be written. `key` is unique for ever: it is what makes the step happen once."""

    key: str
    account_id: int
    member_id: int
    source: str
    destination: str
    amount_fen: int
    reason: str


# The columns of an `Entry`, in its order, and the instant.
_INSERT = Sql(
    "INSERT INTO posting (posting_key, account_id, member_id, source, destination, amount_fen, reason, at)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
_UPSERT = Sql(
    "INSERT INTO balance (member_id, account_id, available_fen, withdrawing_fen) VALUES (?, ?, ?, ?)"
    " ON DUPLICATE KEY UPDATE available_fen = available_fen + VALUES(available_fen)",
    sqlite="INSERT INTO balance (member_id, account_id, available_fen, withdrawing_fen) VALUES (?, ?, ?, ?)"
    " ON CONFLICT (member_id) DO UPDATE SET available_fen = available_fen + excluded.available_fen",
)
# The row exists, and an upsert would try its CHECK on the difference, which may be below zero.
_MOVE = Sql(
    "UPDATE balance SET available_fen = available_fen + ?, withdrawing_fen = withdrawing_fen + ? WHERE member_id = ?"
)


def post(session: Session, entries: Sequence[Entry], now: datetime) -> None:
    """Write postings. The database refuses a known key, an amount that is not positive and equal buckets.

    Postings alone touch no shared row; when one enters or leaves `available` or `withdrawing`, the caller passes the
    same entries to `fold_into_balances` at the end of its transaction (lock order: balance last).
    """
    for entry in entries:
        if entry.amount_fen <= 0:
            raise LedgerBroken(
                "a posting needs a positive amount", key=entry.key, amount_fen=entry.amount_fen
            )
    at = to_db(now)
    _INSERT.many(session, [(*one, at) for one in entries])
    webhooks.tell_postings(session, entries, now)


def fold_into_balances(session: Session, entries: Sequence[Entry]) -> None:
    """Add postings up per member and change each balance row once, in ascending member order."""
    sums: dict[int, list[int]] = {}
    for entry in entries:
        row = sums.setdefault(entry.member_id, [entry.account_id, 0, 0])
        for bucket, place in ((AVAILABLE, 1), (WITHDRAWING, 2)):
            row[place] += entry.amount_fen * (
                (entry.destination == bucket) - (entry.source == bucket)
            )
    if any(withdrawing for _, _, withdrawing in sums.values()):
        for member_id in sorted(sums):
            _, available, withdrawing = sums[member_id]
            if not changed(_MOVE(session, available, withdrawing, member_id)):
                raise LedgerBroken("nothing is being withdrawn here", member=member_id)
        return
    _UPSERT.many(session, [(member_id, *sums[member_id]) for member_id in sorted(sums)])


def statement(
    session: Session, member_id: int, *, before_id: int | None = None, limit: int = 50
) -> list[Posting]:
    """A member's postings, newest first; keyset page before `before_id`."""
    query = (
        select(Posting)
        .where(Posting.member_id == member_id)
        .order_by(Posting.id.desc())
        .limit(limit)
    )
    if before_id is not None:
        query = seek(query.where(Posting.id < before_id), Posting.id)
    return list(session.scalars(query))


_BALANCE_LOCKED = Sql(
    "SELECT member_id, available_fen FROM balance WHERE member_id IN (??) ORDER BY member_id FOR UPDATE",
    sqlite="SELECT member_id, available_fen FROM balance WHERE member_id IN (??) ORDER BY member_id",
)


def lock_available(session: Session, member_ids: Sequence[int]) -> Mapping[int, int]:
    """Available fen of these members, their rows locked in ascending order; a member without a row has 0."""
    rows = _BALANCE_LOCKED.among(session, (), sorted(set(member_ids)))
    return {row.member_id: row.available_fen for row in rows}
