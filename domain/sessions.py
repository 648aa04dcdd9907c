"""登录: who is signed in to an account's pages, in which browser, until when.

The cookie holds a random token, the table its digest: whoever reads the table cannot sign in. A session belongs to one
account, so a cookie that is shown to another account is worth nothing.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from domain.db import Sql, changed, is_duplicate, is_key, to_db
from domain.errors import Conflict
from domain.models import Member, WebSession
from domain.secrets import digest

LIFETIME: Final = timedelta(days=7)
"""Signing in again inside WeChat is silent, so a session need not be long."""
PRUNED_AT_ONCE: Final = 500


class UsedAlready(Conflict):
    """This sign-in has begun a session before: its address was opened a second time."""

    code = "used_already"


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody whose openid is known. `member` is None for a person who has never followed."""

    session_id: int
    openid: str
    member: Member | None


def begin(
    session: Session,
    account_id: int,
    openid: str,
    *,
    login_nonce: str,
    replaces: str | None = None,
    now: datetime,
) -> str:
    """Begin a session; the token for the cookie. `replaces` is the token the browser had, which ends. Raises
    `UsedAlready` for a nonce that has begun one before."""
    if replaces is not None:
        end(session, account_id, replaces, now)
    token = secrets.token_urlsafe(32)
    row = WebSession(
        account_id=account_id, openid=openid, token_digest=digest(token), login_nonce=login_nonce,
        created_at=now, expires_at=now + LIFETIME,
    )  # fmt: skip
    try:
        with session.begin_nested():
            session.add(row)
    except IntegrityError as error:
        if not is_duplicate(error):
            raise
        raise UsedAlready("this sign-in was used before") from error
    return token


def find(session: Session, account_id: int, token: str, now: datetime) -> Visitor | None:
    """Who is signed in with this token in this account."""
    if not is_key(token):
        return None
    query = (
        select(WebSession, Member)
        .outerjoin(
            Member,
            (Member.account_id == WebSession.account_id) & (Member.openid == WebSession.openid),
        )
        .where(
            WebSession.token_digest == digest(token),
            WebSession.account_id == account_id,
            WebSession.expires_at > now,
            WebSession.ended_at.is_(None),
        )
    )
    row = session.execute(query).one_or_none()
    return None if row is None else Visitor(row[0].id, row[0].openid, row[1])


def has_any(session: Session, account_id: int) -> bool:
    """Whether anybody has been signed in to the account's pages of late: WeChat lets us ask who looks."""
    query = select(WebSession.id).where(WebSession.account_id == account_id).limit(1)
    return session.scalar(query) is not None


def end(session: Session, account_id: int, token: str, now: datetime) -> bool:
    """Sign this browser out; whether it was signed in."""
    if not is_key(token):
        return False
    query = update(WebSession).where(
        WebSession.token_digest == digest(token),
        WebSession.account_id == account_id,
        WebSession.ended_at.is_(None),
    )
    return changed(session.execute(query.values(ended_at=now))) == 1


def end_all(session: Session, account_id: int, openid: str, now: datetime) -> int:
    """Sign every browser of a person out; how many there were."""
    query = update(WebSession).where(
        WebSession.account_id == account_id,
        WebSession.openid == openid,
        WebSession.ended_at.is_(None),
    )
    return changed(session.execute(query.values(ended_at=now)))


_PRUNABLE = Sql("SELECT id FROM web_session WHERE expires_at < ? ORDER BY expires_at, id LIMIT ?")
_PRUNE = Sql("DELETE FROM web_session WHERE id IN (??)")


def prune(session: Session, before: datetime) -> int:
    """Forget some sessions that were over by then; how many."""
    ids = [row.id for row in _PRUNABLE(session, to_db(before), PRUNED_AT_ONCE)]
    return changed(_PRUNE.among(session, (), ids)) if ids else 0
