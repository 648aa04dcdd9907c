"""暂缓: a frozen commission waits for a person, by hand or because of a risk signal, with a reason and an expiry.

A held commission does not settle. A hold ends released by a person, lapsed by the clock, or refused: then the
commission is void, by its own posting. Whoever earned it is told at every step, politely: a hold is a question.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from domain import audit, ledger, notices
from domain.db import Sql, to_db
from domain.errors import Invalid, NotFound
from domain.ledger import Entry
from domain.models import Commission, Hold
from domain.tally import Changes

OPEN: Final = "open"
RELEASED: Final = "released"
LAPSED: Final = "lapsed"
REFUSED: Final = "refused"

CLOCK: Final = "clock"
"""The actor of a hold that lapsed."""

_FROZEN = (
    "SELECT id, member_id, level, amount_fen, clawed_fen, amount_fen - clawed_fen AS left_fen FROM commission"
    " WHERE account_id = ? AND status = 'frozen' AND id IN (??) ORDER BY id"
)
_FROZEN_LOCKED = Sql(_FROZEN + " FOR UPDATE", sqlite=_FROZEN)
_HELD = Sql("SELECT open_key FROM hold WHERE open_key IN (??)")
_INSERT = Sql(
    "INSERT INTO hold (account_id, commission_id, member_id, open_key, signal_id, reason, actor, at, expires_at,"
    " outcome) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_OPEN_ROWS = (
    "SELECT id, commission_id, member_id, reason FROM hold"
    " WHERE account_id = ? AND outcome = 'open' AND id IN (??) ORDER BY id"
)
_OPEN_LOCKED = Sql(_OPEN_ROWS + " FOR UPDATE", sqlite=_OPEN_ROWS)
_END = Sql(
    "UPDATE hold SET open_key = NULL, outcome = ?, released_at = ?, released_by = ?, note = ?"
    " WHERE outcome = 'open' AND id IN (??)"
)
_EXPIRED = Sql(
    "SELECT id FROM hold WHERE account_id = ? AND outcome = 'open' AND expires_at <= ?"
    " ORDER BY expires_at, id LIMIT ?"
)
_OF_SIGNAL = Sql("SELECT id FROM hold WHERE signal_id = ? AND outcome = 'open' ORDER BY id LIMIT ?")
_VOID = Sql("UPDATE commission SET status = 'voided', clawed_fen = amount_fen WHERE id IN (??)")


@dataclass(frozen=True, slots=True)
class Wish:
    """Why commissions are to wait, until when (None is for ever), and the signal behind it, if there is one."""

    reason: str
    actor: str
    expires_at: datetime | None = None
    signal_id: int | None = None


def place(
    session: Session, account_id: int, commission_ids: Sequence[int], wish: Wish, now: datetime
) -> list[int]:
    """Hold those of the commissions that are frozen and not held; their ids. Locks the commissions first, and
    settlement asks about holds under the same locks: none settles beside its hold. Tells nobody: see `hold`."""
    locked = _FROZEN_LOCKED.among(session, (account_id,), sorted(set(commission_ids))).all()
    held = {row.open_key for row in _HELD.among(session, (), [row.id for row in locked])}
    fresh = [row for row in locked if row.id not in held]
    expires_at = None if wish.expires_at is None else to_db(wish.expires_at)
    _INSERT.many(
        session,
        [
            (account_id, row.id, row.member_id, row.id, wish.signal_id, wish.reason, wish.actor, to_db(now),
             expires_at, OPEN)
            for row in fresh
        ],
    )  # fmt: skip
    return [row.id for row in fresh]


def hold(
    session: Session,
    account_id: int,
    commission_id: int,
    *,
    reason: str,
    actor: str,
    expires_at: datetime | None = None,
    now: datetime,
) -> Hold:
    """By hand: keep a frozen commission from settling until somebody decides; the earner is told the reason. The open
    hold, also when there was one. Raises `NotFound`, and `Invalid` without a reason or for one that is not frozen."""
    if not reason.strip():
        raise Invalid("a hold needs a reason")
    if expires_at is not None and expires_at <= now:
        raise Invalid("a hold expires in the future")
    commission = session.get(Commission, commission_id)
    if commission is None or commission.account_id != account_id:
        raise NotFound("no such commission", commission=commission_id)
    wish = Wish(reason.strip(), actor, expires_at)
    placed = place(session, account_id, [commission_id], wish, now)
    row = session.scalar(select(Hold).where(Hold.open_key == commission_id))
    if row is None:
        raise Invalid("only a frozen commission can be held", commission=commission_id)
    if placed:
        _note(session, account_id, row.id, actor, "commission_held", reason.strip(), now)
        params = {"reason": row.reason, "until": expires_at and expires_at.isoformat()}
        _tell(session, account_id, notices.COMMISSION_HELD, [row], params, now)
    return row


def release(
    session: Session,
    account_id: int,
    hold_ids: Sequence[int],
    *,
    actor: str,
    note: str = "",
    now: datetime,
) -> int:
    """Let held commissions go their way, by a person; the earners are told. How many were open."""
    rows = _end(session, account_id, hold_ids, RELEASED, actor, note, now)
    for row in rows:
        _note(session, account_id, row.id, actor, "hold_released", note, now)
    _tell(session, account_id, notices.COMMISSION_RELEASED, rows, {}, now)
    return len(rows)


def lapse_due(session: Session, account_id: int, now: datetime, limit: int = 500) -> int:
    """End up to `limit` holds that nobody decided in time: the commissions go their way. How many; call until 0."""
    ids = [row.id for row in _EXPIRED(session, account_id, to_db(now), limit)]
    rows = _end(session, account_id, ids, LAPSED, CLOCK, "", now)
    _tell(session, account_id, notices.COMMISSION_RELEASED, rows, {}, now)
    return len(rows)


def refuse(
    session: Session,
    account_id: int,
    hold_ids: Sequence[int],
    *,
    actor: str,
    reason: str,
    now: datetime,
) -> int:
    """A person decided that held commissions are not earned: they are void, each by a posting, and the earners are told
    why. How many were open. Raises `Invalid` without a reason."""
    if not reason.strip():
        raise Invalid("refusing a commission needs a reason")
    about = select(Hold.commission_id).where(
        Hold.account_id == account_id, Hold.id.in_(hold_ids), Hold.outcome == OPEN
    )
    locked = _FROZEN_LOCKED.among(session, (account_id,), sorted(session.scalars(about))).all()
    frozen = {row.id: row for row in locked}
    open_rows = _OPEN_LOCKED.among(session, (account_id,), sorted(set(hold_ids))).all()
    rows = [row for row in open_rows if row.commission_id in frozen]
    # What a refund has voided meanwhile is decided: there is nothing left to refuse.
    gone = [row.id for row in open_rows if row.commission_id not in frozen]
    _end(session, account_id, gone, RELEASED, actor, reason, now)
    _end(session, account_id, [row.id for row in rows], REFUSED, actor, reason, now)
    _void(session, account_id, [(row.id, frozen[row.commission_id]) for row in rows], now)
    lost: dict[int, int] = defaultdict(int)
    for row in rows:
        lost[row.member_id] += frozen[row.commission_id].left_fen
        _note(session, account_id, row.id, actor, "hold_refused", reason, now)
    params = {"reason": reason.strip()}
    _tell(session, account_id, notices.COMMISSION_REFUSED, rows, params, now, lost)
    return len(open_rows)


def _void(
    session: Session, account_id: int, refused: Sequence[tuple[int, Any]], now: datetime
) -> None:
    """(hold id, locked commission): what is left of each goes back to the merchant."""
    if not refused:
        return
    entries, changes = [], Changes()
    for hold_id, row in refused:
        left = row.left_fen
        entries.append(
            Entry(
                f"refuse-{hold_id}", account_id, row.member_id, ledger.FROZEN, ledger.COMMISSION, left, "refuse"
            )
        )  # fmt: skip
        changes.add(row.member_id, row.level, earned_fen=-left, frozen_fen=-left)
    _VOID.among(session, (), [row.id for _, row in refused])
    ledger.post(session, entries, now)
    changes.write(session)


def _end(
    session: Session,
    account_id: int,
    hold_ids: Sequence[int],
    outcome: str,
    actor: str,
    note: str,
    now: datetime,
) -> Sequence[Any]:
    """End those of the holds that are open; their rows."""
    rows = _OPEN_LOCKED.among(session, (account_id,), sorted(set(hold_ids))).all()
    if rows:
        _END.among(
            session, (outcome, to_db(now), actor, note.strip() or None), [row.id for row in rows]
        )
    return rows


def _note(
    session: Session,
    account_id: int,
    hold_id: int,
    actor: str,
    action: str,
    reason: str,
    now: datetime,
) -> None:
    audit.record(
        session, account_id, actor=actor, action=action, subject=f"hold/{hold_id}",
        after={"reason": reason}, now=now,
    )  # fmt: skip


def _tell(
    session: Session,
    account_id: int,
    occasion: str,
    rows: Sequence[Any],
    params: dict[str, Any],
    now: datetime,
    amounts: dict[int, int] | None = None,
) -> None:
    """One notice a member, whatever number of commissions it is about."""
    first = {row.member_id: row.id for row in reversed(rows)}
    counts = {
        member_id: sum(row.member_id == member_id for row in rows) for member_id in first
    }  # a batch is at most a few hundred
    notices.tell(
        session,
        [
            notices.News(
                account_id, member_id, occasion, f"{occasion}-{hold_id}-{member_id}",
                {**params, "count": counts[member_id], "amount_fen": (amounts or {}).get(member_id, 0),
                 "at": now.isoformat()},
            )
            for member_id, hold_id in sorted(first.items())
        ],
        now,
    )  # fmt: skip


# --- reading --------------------------------------------------------------------------------------------------------


def open_of(session: Session, account_id: int, after_id: int = 0, limit: int = 50) -> list[Hold]:
    """Open holds of the account, oldest first; keyset page after `after_id`."""
    query = select(Hold).where(
        Hold.account_id == account_id, Hold.outcome == OPEN, Hold.id > after_id
    )
    return list(session.scalars(query.order_by(Hold.id).limit(limit)))


def ids_of_signal(session: Session, signal_id: int, limit: int = 500) -> list[int]:
    """Up to `limit` open holds of a signal."""
    return [row.id for row in _OF_SIGNAL(session, signal_id, limit)]


def sums_of_signals(session: Session, signal_ids: Collection[int]) -> dict[int, tuple[int, int]]:
    """Signal → how many commissions it holds now, and their fen; a signal that holds none is left out."""
    left = func.sum(Commission.amount_fen - Commission.clawed_fen)
    query = (
        select(Hold.signal_id, func.count(), left)
        .join(Commission, Commission.id == Hold.commission_id)
        .where(Hold.signal_id.in_(signal_ids), Hold.outcome == OPEN)
        .group_by(Hold.signal_id)
    )
    return {
        signal_id: (number, int(fen))
        for signal_id, number, fen in session.execute(query)
        if signal_id is not None
    }


def of_signal(session: Session, signal_id: int, limit: int = 50) -> list[tuple[Hold, Commission]]:
    """Up to `limit` holds of a signal with their commissions, oldest first, whatever became of them."""
    query = (
        select(Hold, Commission)
        .join(Commission, Commission.id == Hold.commission_id)
        .where(Hold.signal_id == signal_id)
    )
    return [(one, row) for one, row in session.execute(query.order_by(Hold.id).limit(limit))]
