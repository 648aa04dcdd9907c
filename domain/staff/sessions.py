"""Who is signed in where. A session is a row; the browser holds a token of which only the hash is kept here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from domain.db import changed, is_key
from domain.models import Staff, StaffSession
from domain.secrets import digest, random_secret

IDLE: Final = timedelta(hours=12)
"""A session that nobody used for so long is over."""
ABSOLUTE: Final = timedelta(days=14)
"""And so is one of this age, however busy."""
SEEN_EVERY: Final = timedelta(minutes=1)
"""How exactly `seen_at` is kept: a page a second must not be a write a second."""
KEPT: Final = timedelta(days=30)
"""How long an ended session stays in the list of its person."""


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A person behind a valid token."""

    session_id: int
    staff_id: int
    login: str
    language: str
    has_totp: bool
    opens_accounts: bool
    seen_at: datetime


def begin(
    session: Session, staff_id: int, *, address: str, agent: str, now: datetime
) -> tuple[str, StaffSession]:
    """Sign a person in: the token for the cookie, which is never seen again, and the row."""
    token = random_secret()
    row = StaffSession(
        staff_id=staff_id, token_hash=digest(token), created_at=now, seen_at=now, expires_at=now + ABSOLUTE,
        address=address[:64] if is_key(address, 200) else "", agent=agent[:190],
    )  # fmt: skip
    session.add(row)
    session.flush()
    return token, row


def find(session: Session, token: str, now: datetime) -> SignedIn | None:
    """Who this token signs in; None for one that is unknown, over, revoked, or of somebody who was shut out."""
    query = (
        select(StaffSession, Staff)
        .join(Staff, Staff.id == StaffSession.staff_id)
        .where(StaffSession.token_hash == digest(token))
    )
    row = session.execute(query).one_or_none()
    if row is None:
        return None
    one, person = row
    if one.revoked_at is not None or not person.active:
        return None
    if one.expires_at <= now or one.seen_at + IDLE <= now:
        return None
    return SignedIn(
        one.id, person.id, person.login, person.language, person.totp_since is not None,
        person.opens_accounts, one.seen_at,
    )  # fmt: skip


def saw(session: Session, session_id: int, now: datetime) -> None:
    """Keep the session from idling out."""
    session.execute(
        update(StaffSession)
        .where(StaffSession.id == session_id, StaffSession.seen_at < now)
        .values(seen_at=now)
    )


def open_of(session: Session, staff_id: int, now: datetime, limit: int = 50) -> list[StaffSession]:
    """The person's open sessions, newest first."""
    query = select(StaffSession).where(
        StaffSession.staff_id == staff_id,
        StaffSession.revoked_at.is_(None),
        StaffSession.expires_at > now,
        StaffSession.seen_at > now - IDLE,
    )
    return list(session.scalars(query.order_by(StaffSession.id.desc()).limit(limit)))


def revoke(session: Session, staff_id: int, session_id: int, now: datetime) -> bool:
    """End one session of this person; False when it was over already, or is somebody else's."""
    query = update(StaffSession).where(
        StaffSession.id == session_id,
        StaffSession.staff_id == staff_id,
        StaffSession.revoked_at.is_(None),
    )
    return changed(session.execute(query.values(revoked_at=now))) == 1


def revoke_all(session: Session, staff_id: int, now: datetime, *, but: int | None = None) -> int:
    """End every session of a person, perhaps but the one that asks; how many."""
    query = update(StaffSession).where(
        StaffSession.staff_id == staff_id, StaffSession.revoked_at.is_(None)
    )
    if but is not None:
        query = query.where(StaffSession.id != but)
    return changed(session.execute(query.values(revoked_at=now)))


def prune(session: Session, now: datetime, limit: int = 500) -> int:
    """Forget sessions that ended long ago; how many."""
    old = select(StaffSession.id).where(StaffSession.expires_at < now - KEPT).limit(limit)
    ids = list(session.scalars(old))
    return (
        changed(session.execute(delete(StaffSession).where(StaffSession.id.in_(ids)))) if ids else 0
    )
