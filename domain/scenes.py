"""场景值 and 带参二维码: opaque codes of promoters, channels and products, and what WeChat issued for them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from domain.db import is_duplicate, is_key
from domain.models import QrTicket, Scene
from domain.secrets import random_code, short_digest

CODE_LENGTH: Final = 12
RENEW_BEFORE_DAYS: Final = 5
"""A temporary code with fewer days to live is made anew: a poster sent today must work next week."""


def of_member(session: Session, account_id: int, member_id: int, now: datetime) -> Scene:
    """The scene of a promoter; made at the first call, the same for ever."""
    return _of_owner(
        session, account_id, "promoter", f"promoter-{member_id}", now, member_id=member_id
    )


def of_channel(session: Session, account_id: int, label: str, now: datetime) -> Scene:
    """The scene of a channel (a shop window, a magazine): binds nobody, but is counted."""
    # A digest: labels are in any script and of any length, keys are not.
    owner_key = f"channel-{account_id}-{short_digest(label)}"
    return _of_owner(session, account_id, "channel", owner_key, now, label=label)


def _of_owner(
    session: Session,
    account_id: int,
    kind: str,
    owner_key: str,
    now: datetime,
    *,
    member_id: int | None = None,
    label: str | None = None,
) -> Scene:
    query = select(Scene).where(Scene.owner_key == owner_key)
    known = session.scalar(query)
    if known is not None:
        return known
    scene = Scene(
        account_id=account_id, code=random_code(CODE_LENGTH), kind=kind, owner_key=owner_key,
        member_id=member_id, label=label, created_at=now,
    )  # fmt: skip
    try:
        with session.begin_nested():
            session.add(scene)
    except IntegrityError as error:
        if not is_duplicate(error):
            raise
        return session.scalars(query).one()  # two posters asked for at once: the other made it
    return scene


def find(session: Session, account_id: int, code: str) -> Scene | None:
    """The scene behind a code of this account; a code of another account is unknown here."""
    if not is_key(code):
        return None
    return session.scalar(select(Scene).where(Scene.account_id == account_id, Scene.code == code))


def is_fresh(now: datetime) -> ColumnElement[bool]:
    """The tickets that will still work for some days."""
    lapses = now + timedelta(days=RENEW_BEFORE_DAYS)
    return or_(QrTicket.expires_at.is_(None), QrTicket.expires_at > lapses)


def live_ticket(session: Session, scene_id: int, now: datetime) -> QrTicket | None:
    """A ticket of this scene that will still work for some days, the longest-lived one."""
    query = (
        select(QrTicket)
        .where(QrTicket.scene_id == scene_id, is_fresh(now))
        .order_by(QrTicket.id.desc())
        .limit(1)
    )
    return session.scalar(query)


def record_ticket(
    session: Session,
    scene: Scene,
    *,
    ticket: str,
    url: str,
    expires_at: datetime | None,
    now: datetime,
) -> QrTicket:
    """Keep what WeChat issued; earlier tickets of the scene go on working until they lapse."""
    row = QrTicket(
        account_id=scene.account_id,
        scene_id=scene.id,
        ticket=ticket,
        url=url,
        expires_at=expires_at,
        created_at=now,
    )
    session.add(row)
    session.flush()
    return row
