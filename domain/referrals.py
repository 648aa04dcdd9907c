"""推广链接: touches by people who do not follow yet. They wait for the follow and then count as of when they were made.

A follower's touch binds at once (members.by_link); a link is a code like any other, with the same refusals.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy.orm import Session

from domain import bindings
from domain.accounts import OpenAccount
from domain.db import Sql, changed, to_db

WAITS: Final = timedelta(days=30)
"""A touch older than this is forgotten, and another may take its place."""
PRUNED_AT_ONCE: Final = 500

# Not INSERT IGNORE, whose shared lock on a row that is there would make two touches at once deadlock.
_FIRST = Sql(
    "INSERT INTO link_touch (account_id, openid, scene_code, at) VALUES (?, ?, ?, ?)"
    " ON DUPLICATE KEY UPDATE scene_code = scene_code",
    sqlite="INSERT OR IGNORE INTO link_touch (account_id, openid, scene_code, at) VALUES (?, ?, ?, ?)",
)
_LATER = Sql(
    "UPDATE link_touch SET scene_code = ?, at = ? WHERE account_id = ? AND openid = ? AND at < ?"
)
_WAITING = Sql("SELECT scene_code FROM link_touch WHERE account_id = ? AND openid = ? AND at >= ?")
_TAKE = Sql("DELETE FROM link_touch WHERE account_id = ? AND openid = ?")
_PRUNABLE = Sql("SELECT account_id, openid FROM link_touch WHERE at < ? ORDER BY at LIMIT ?")


def remember(
    session: Session, account: OpenAccount, openid: str, scene_code: str, now: datetime
) -> bool:
    """Keep the touch of somebody who does not follow: the first one, or the last where the account binds by the last.
    False for a code that leads to no promoter of this account."""
    found = bindings.look_up(session, account.id, scene_code)
    if found is None or found.promoter_id is None:
        return False
    at = to_db(now)
    _FIRST(session, account.id, openid, scene_code, at)
    last_wins = account.settings.bind_policy == "last_touch"
    stale_before = at if last_wins else to_db(now - WAITS)
    _LATER(session, scene_code, at, account.id, openid, stale_before)
    return True


def take(session: Session, account_id: int, openid: str, now: datetime) -> str | None:
    """The code that waits for somebody who follows now; it waits no longer."""
    row = _WAITING(session, account_id, openid, to_db(now - WAITS)).one_or_none()
    if row is None:
        return None
    _TAKE(session, account_id, openid)
    return str(row.scene_code)


def forget(session: Session, account_id: int, openid: str) -> None:
    """No touch of this person waits any longer."""
    _TAKE(session, account_id, openid)


def prune(session: Session, before: datetime) -> int:
    """Forget some touches that were made before then; how many."""
    rows = _PRUNABLE(session, to_db(before), PRUNED_AT_ONCE).all()
    return sum(changed(_TAKE(session, row.account_id, row.openid)) for row in rows)
