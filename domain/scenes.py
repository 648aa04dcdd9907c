"""场景值 and 带参二维码: opaque codes of promoters, channels and products, and what WeChat issued for them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from domain.db import is_duplicate, is_key, to_json
from domain.errors import NotFound
from domain.models import QrTicket, Scene
from domain.secrets import random_code, short_digest

PROMOTER: Final = "promoter"
CHANNEL: Final = "channel"
PRODUCT: Final = "product"
CODE_LENGTH: Final = 12
RENEW_BEFORE_DAYS: Final = 5
"""A temporary code with fewer days to live is made anew: a poster sent today must work next week."""


def of_member(session: Session, account_id: int, member_id: int, now: datetime) -> Scene:
    """The scene of a promoter; made at the first call, the same for ever."""
    return _of_owner(
        session, account_id, PROMOTER, f"promoter-{member_id}", now, member_id=member_id
    )


def of_member_product(
    session: Session, account_id: int, member_id: int, sku: str, now: datetime
) -> Scene:
    """The scene of a promoter's poster of one product: binds like their own, and its scan shows the product."""
    owner_key = f"promoter-{member_id}-{short_digest(sku)}"
    return _of_owner(session, account_id, PROMOTER, owner_key, now, member_id=member_id, sku=sku)


def of_channel(session: Session, account_id: int, label: str, now: datetime) -> Scene:
    """The scene of a channel (a shop window, a magazine): binds nobody, but is counted."""
    # A digest: labels are in any script and of any length, keys are not.
    owner_key = f"channel-{account_id}-{short_digest(label)}"
    return _of_owner(session, account_id, CHANNEL, owner_key, now, label=label)


def of_product(session: Session, account_id: int, sku: str, label: str, now: datetime) -> Scene:
    """The scene of a product in one place (`label`: a shelf, a leaflet): binds nobody, its scan shows the product."""
    owner_key = f"product-{account_id}-{short_digest(to_json([sku, label]))}"
    return _of_owner(session, account_id, PRODUCT, owner_key, now, label=label, sku=sku)


def _of_owner(
    session: Session, account_id: int, kind: str, owner_key: str, now: datetime, **facts: Any
) -> Scene:
    query = select(Scene).where(Scene.owner_key == owner_key)
    known = session.scalar(query)
    if known is not None:
        return known
    scene = Scene(
        account_id=account_id, code=random_code(CODE_LENGTH), kind=kind, owner_key=owner_key, created_at=now, **facts
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


def get(session: Session, account_id: int, scene_id: int) -> Scene:
    """A scene of this account, or `NotFound`."""
    row = session.get(Scene, scene_id)
    if row is None or row.account_id != account_id:
        raise NotFound("no such code", scene=scene_id)
    return row


def of_promoter(session: Session, member_id: int) -> list[Scene]:
    """The scenes that lead to this member: their own, and those of their product posters. Their keys begin alike, so
    the unique index finds them."""
    own = f"{PROMOTER}-{member_id}"
    products = and_(Scene.owner_key > f"{own}-", Scene.owner_key < f"{own}.")
    keys = or_(Scene.owner_key == own, products)
    return list(session.scalars(select(Scene).where(keys).order_by(Scene.id)))


def is_fresh(now: datetime) -> ColumnElement[bool]:
    """The tickets that will still work for some days."""
    lapses = now + timedelta(days=RENEW_BEFORE_DAYS)
    return or_(QrTicket.expires_at.is_(None), QrTicket.expires_at > lapses)


def live_ticket(session: Session, scene_id: int, now: datetime) -> QrTicket | None:
    """A ticket of this scene that will still work for some days: a permanent one before all others, then the newest."""
    query = (
        select(QrTicket)
        .where(QrTicket.scene_id == scene_id, is_fresh(now))
        .order_by(QrTicket.expires_at.is_(None).desc(), QrTicket.id.desc())
        .limit(1)
    )
    return session.scalar(query)


def newest_ticket(session: Session, scene_id: int) -> QrTicket | None:
    """What a code shows now, even when it has lapsed; a permanent ticket before all others."""
    query = select(QrTicket).where(QrTicket.scene_id == scene_id)
    return session.scalar(
        query.order_by(QrTicket.expires_at.is_(None).desc(), QrTicket.id.desc()).limit(1)
    )


def record_ticket(
    session: Session, scene: Scene, *, ticket: str, url: str, expires_at: datetime | None, now: datetime
) -> QrTicket:  # fmt: skip
    """Keep what WeChat issued; earlier tickets of the scene go on working until they lapse. A temporary one will be
    renewed in time while the scene is in use (codes.py); after a permanent one there is nothing to renew."""
    row = QrTicket(
        account_id=scene.account_id, scene_id=scene.id, ticket=ticket, url=url, expires_at=expires_at, created_at=now,
    )  # fmt: skip
    session.add(row)
    session.flush()
    known = newest_ticket(session, scene.id)
    lapses = known.expires_at if known is not None else None
    renew_at = lapses and lapses - timedelta(days=RENEW_BEFORE_DAYS)
    session.execute(update(Scene).where(Scene.id == scene.id).values(renew_at=renew_at))
    return row
