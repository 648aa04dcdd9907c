"""What followers did, once each: the base of statistics, the friend's journey, and of knowing a repeated push."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from domain.db import Sql, is_duplicate, to_db

FOLLOW: Final = "follow"
LEAVE: Final = "leave"
SCAN: Final = "scan"
CLICK: Final = "click"
VIEW: Final = "view"
LINK: Final = "link"
TEXT: Final = "text"
CODE: Final = "code"
"""A friend's 邀请码 was typed."""
POSTER: Final = "poster"
"""A poster was sent; `detail` is its template, 0 the built-in one."""
BUY: Final = "buy"
BIND_REFUSED: Final = "bind_refused"
SUBSCRIPTION: Final = "subscription"

_INSERT = Sql(
    "INSERT INTO event (account_id, push_key, kind, member_id, scene_id, detail, at) VALUES (?, ?, ?, ?, ?, ?, ?)"
)
_INSERT_NEW = Sql(
    "INSERT IGNORE INTO event (account_id, push_key, kind, member_id, scene_id, detail, at)"
    " VALUES (?, ?, ?, ?, ?, ?, ?)",
    sqlite="INSERT OR IGNORE INTO event (account_id, push_key, kind, member_id, scene_id, detail, at)"
    " VALUES (?, ?, ?, ?, ?, ?, ?)",
)


def record(
    session: Session,
    account_id: int,
    push_key: str,
    kind: str,
    at: datetime,
    *,
    member_id: int | None = None,
    scene_id: int | None = None,
    detail: str | None = None,
) -> bool:
    """Write the event; False when this key was recorded before, which means: all of it has been done already."""
    try:
        _INSERT(session, account_id, push_key, kind, member_id, scene_id, detail, to_db(at))
    except IntegrityError as error:
        if is_duplicate(error):
            return False
        raise
    return True


def record_touches(
    session: Session,
    rows: Sequence[tuple[int, str, str, int | None, int | None, str | None, datetime]],
) -> int:
    """Write many statistics-only events (account, push key, kind, member, scene, detail, at), skipping known keys;
    how many were new. Values are ours and in range, so the only thing IGNORE can skip is a repeat."""
    return _INSERT_NEW.many(session, [(*row[:6], to_db(row[6])) for row in rows])
