"""客服消息窗口: to whom a customer-service message can be sent right now (platform.md 9).

What a follower wrote opens 48 hours for five messages; a tap of the menu, a follow and a scan one minute for three.
The taps come from the callback's journal (bot/touches.py), folded every few seconds, so a tap commits nothing;
follows and scans are events already. WeChat's own count decides: 45015 and 45047 close the window here too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from domain import events
from domain.db import Sql, maybe_from_db, to_db
from domain.models import Member, ServiceWindow

SPOKEN: Final = timedelta(hours=48)
SPOKEN_MESSAGES: Final = 5
TAPPED: Final = timedelta(minutes=1)
TAPPED_MESSAGES: Final = 3
MARGIN: Final = timedelta(seconds=5)
"""A message begun now arrives a little later."""

# Not INSERT IGNORE, whose shared lock on a row that is there would make two journals at once deadlock.
_OPEN = Sql(
    "INSERT INTO service_window (member_id, account_id, spent) VALUES (?, ?, ?) ON DUPLICATE KEY UPDATE spent = spent",
    sqlite="INSERT OR IGNORE INTO service_window (member_id, account_id, spent) VALUES (?, ?, ?)",
)
_SPOKE = Sql(
    "UPDATE service_window SET spoke_at = ?, spent = 0 WHERE member_id = ? AND (spoke_at IS NULL OR spoke_at < ?)"
)
_TAPPED = Sql(
    "UPDATE service_window SET tapped_at = ?, spent = CASE WHEN spent > ? THEN ? ELSE spent END"
    " WHERE member_id = ? AND (tapped_at IS NULL OR tapped_at < ?)"
)
_FOUND = Sql(
    "SELECT member_id, spoke_at, tapped_at, spent FROM service_window WHERE member_id IN (??)"
)
_ARRIVED = Sql(
    "SELECT DISTINCT member_id FROM event WHERE kind IN ('follow', 'scan') AND at > ? AND member_id IN (??)"
)
_SPEND = Sql("UPDATE service_window SET spent = spent + 1 WHERE member_id IN (??)")
_CLOSE = Sql("UPDATE service_window SET spoke_at = NULL, tapped_at = NULL WHERE member_id IN (??)")


def record(session: Session, touches: Iterable[tuple[int, int, str, datetime]]) -> None:
    """What members (account, member, kind of event, instant) wrote and tapped. Any order, any number of times: only a
    later act than the one known opens a window anew. Members in order of their ids, as every transaction locks them."""
    latest: dict[tuple[int, int, str], datetime] = {}
    for account_id, member_id, kind, at in touches:
        if kind in {events.TEXT, events.CLICK}:
            key = (member_id, account_id, kind)
            latest[key] = max(at, latest.get(key, at))
    _OPEN.many(session, sorted({(member, account, 0) for member, account, _ in latest}))
    for (member_id, _, kind), at in sorted(latest.items()):
        if kind == events.TEXT:
            _SPOKE(session, to_db(at), member_id, to_db(at))
        else:
            most = SPOKEN_MESSAGES - TAPPED_MESSAGES
            _TAPPED(session, to_db(at), most, most, member_id, to_db(at))


def open_for(session: Session, member_ids: Sequence[int], now: datetime) -> set[int]:
    """Those of these members to whom a customer-service message can probably be sent now."""
    if not member_ids:
        return set()
    wanted = sorted(set(member_ids))
    found = {
        row.member_id
        for row in _FOUND.among(session, (), wanted)
        if row.spent < SPOKEN_MESSAGES
        and (
            _since(maybe_from_db(row.spoke_at), now, SPOKEN)
            or _since(maybe_from_db(row.tapped_at), now, TAPPED)
        )
    }
    rest = [each for each in wanted if each not in found]
    if rest:
        since = to_db(now - TAPPED + MARGIN)
        found |= {row.member_id for row in _ARRIVED.among(session, (since,), rest)}
    return found


def _since(at: datetime | None, now: datetime, window: timedelta) -> bool:
    return at is not None and now + MARGIN < at + window


def spend(session: Session, member_ids: Sequence[int]) -> None:
    """A customer-service message went to each of these members."""
    if member_ids:
        _SPEND.among(session, (), sorted(set(member_ids)))


def close(session: Session, member_ids: Sequence[int]) -> None:
    """WeChat said that the window of these members is closed or used up."""
    if member_ids:
        _CLOSE.among(session, (), sorted(set(member_ids)))


def reachable(
    session: Session, account_id: int, now: datetime, *, after_id: int = 0, limit: int = 500
) -> list[int]:
    """Members who wrote within 48 hours and have messages left, follow, and take promotions; keyset page by id. For
    broadcasts, which do not race the one-minute windows."""
    query = (
        select(ServiceWindow.member_id)
        .join(Member, Member.id == ServiceWindow.member_id)
        .where(
            ServiceWindow.account_id == account_id,
            ServiceWindow.spoke_at > now - SPOKEN + MARGIN,
            ServiceWindow.spent < SPOKEN_MESSAGES,
            ServiceWindow.member_id > after_id,
            Member.following.is_(True),
            Member.promotions_muted.is_(False),
            Member.muted.is_(False),
        )
        .order_by(ServiceWindow.member_id)
        .limit(limit)
    )
    return list(session.scalars(query))
