"""推广海报: which picture of a member WeChat keeps, and whether it still says what is true."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta, timezone
from typing import Final

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from domain import scenes
from domain.bindings import display_name
from domain.db import is_duplicate, to_json
from domain.errors import Invalid
from domain.models import Account, Member, Poster, QrTicket, Scene
from domain.secrets import short_digest

DESIGN: Final = "banyan-1"
"""Change it with the drawing, and every poster is drawn anew when it is asked for."""
MEDIA_MARGIN: Final = timedelta(hours=1)
"""WeChat keeps a picture for three days. One that lapses sooner than this is not sent any more."""
_BEIJING: Final = timezone(timedelta(hours=8))


@dataclass(frozen=True, slots=True)
class Facts:
    """What a poster says. `fallback` is the name for pictures that cannot show `name`; `expires_on` in Beijing's days,
    None for a permanent code."""

    account_id: int
    member_id: int
    openid: str
    account: str
    name: str
    fallback: str
    scene: str
    ticket_id: int | None = None
    ticket_url: str | None = None
    expires_on: date | None = None

    @property
    def fingerprint(self) -> str:
        """Same text, same picture."""
        shown = [DESIGN, self.account, self.name, self.ticket_url, str(self.expires_on)]
        return short_digest(to_json(shown))


def facts(session: Session, member_id: int, now: datetime) -> Facts | None:
    """What the poster of this member would say now; None for somebody who may not promote. Makes the scene at the first
    call. Without a live ticket `ticket_url` is None: get one, `scenes.record_ticket`, and ask again."""
    row = session.execute(
        select(Member, Account.name)
        .join(Account, Account.id == Member.account_id)
        .where(Member.id == member_id)
    ).one_or_none()
    if row is None or row[0].status != "active":
        return None
    member, account = row
    scene = scenes.of_member(session, member.account_id, member.id, now)
    return _facts(member, account, scene, scenes.live_ticket(session, scene.id, now))


def _facts(member: Member, account: str, scene: Scene, ticket: QrTicket | None) -> Facts:
    name, fallback = display_name(member.nickname, member.code), display_name(None, member.code)
    known = Facts(member.account_id, member.id, member.openid, account, name, fallback, scene.code)
    if ticket is None:
        return known
    expires_on = ticket.expires_at and ticket.expires_at.astimezone(_BEIJING).date()
    return replace(known, ticket_id=ticket.id, ticket_url=ticket.url, expires_on=expires_on)


def live_media(session: Session, shown: Facts, now: datetime) -> str | None:
    """The media id of the picture that says exactly this, while WeChat keeps it."""
    return session.scalar(
        select(Poster.media_id).where(
            Poster.member_id == shown.member_id,
            Poster.fingerprint == shown.fingerprint,
            Poster.media_expires_at > now + MEDIA_MARGIN,
        )
    )


def ready_for(session: Session, account_id: int, openid: str, now: datetime) -> str | None:
    """The media id that answers this person's wish for their poster at once; None when one must be made. One statement,
    because a follower waits for it."""
    row = session.execute(
        select(Member, Account.name, Scene, QrTicket, Poster)
        .join(Account, Account.id == Member.account_id)
        .join(Poster, Poster.member_id == Member.id)
        .join(QrTicket, QrTicket.id == Poster.qr_ticket_id)
        .join(Scene, Scene.id == QrTicket.scene_id)
        .where(Member.account_id == account_id, Member.openid == openid, scenes.is_fresh(now))
    ).one_or_none()
    if row is None or row.Member.status != "active":
        return None
    same = (
        row.Poster.fingerprint == _facts(row.Member, row.name, row.Scene, row.QrTicket).fingerprint
    )
    kept = row.Poster.media_expires_at > now + MEDIA_MARGIN
    return row.Poster.media_id if same and kept else None


def keep(session: Session, shown: Facts, media_id: str, expires_at: datetime) -> None:
    """Remember the picture that was uploaded; it takes the place of the member's earlier one."""
    if shown.ticket_id is None:
        raise Invalid("a poster needs a ticket")
    picture = {
        "qr_ticket_id": shown.ticket_id,
        "fingerprint": shown.fingerprint,
        "media_id": media_id,
        "media_expires_at": expires_at,
    }
    try:
        with session.begin_nested():
            session.merge(Poster(member_id=shown.member_id, **picture))
    except IntegrityError as error:
        if not is_duplicate(error):
            raise
        # Two wishes of one member were drawn at once, and the other was first: the later picture stays.
        session.execute(update(Poster).where(Poster.member_id == shown.member_id).values(**picture))


def forget(session: Session, member_id: int) -> None:
    """WeChat does not know the picture any more."""
    poster = session.get(Poster, member_id)
    if poster is not None:
        session.delete(poster)
        session.flush()
