"""推广海报: what a member's poster says, which picture of it WeChat keeps, and whether that still says what is true."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from domain import avatars, codes, designs, drawing, poster_templates, products, scenes
from domain.bindings import display_name
from domain.china import day_of
from domain.db import is_duplicate, to_json
from domain.drawing import Shown
from domain.drawing.lettering import is_drawable
from domain.errors import Invalid
from domain.models import Account, Member, Poster, Product, Scene
from domain.money import yuan
from domain.poster_templates import Template
from domain.secrets import short_digest

DRAWING: Final = "banyan-2"
"""Change it with the code that draws, and every poster is drawn anew when it is asked for."""
MEDIA_MARGIN: Final = timedelta(hours=1)
"""WeChat keeps a picture for three days. One that lapses sooner than this is not sent any more."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a poster says. `fallback` is the name for pictures that cannot show `name`; `expires_on` in Beijing's days,
    None for a permanent code; `background` the uploaded picture's id, when the template has one; `avatar` the digest of
    the member's own picture."""

    account_id: int
    member_id: int
    openid: str
    account: str
    name: str
    fallback: str
    code: str
    scene_id: int
    scene: str
    template: Template
    product: str | None = None
    price_fen: int | None = None
    is_permanent: bool = False
    ticket_id: int | None = None
    ticket_url: str | None = None
    expires_on: date | None = None
    avatar: str | None = None

    @property
    def fingerprint(self) -> str:
        """Same text, same picture."""
        shown = [
            DRAWING, self.template.id, self.template.design.digest, self.account, self.name, self.code, self.product,
            self.price_fen, self.ticket_url, str(self.expires_on), *([self.avatar] if self.avatar else []),
        ]  # fmt: skip
        return short_digest(to_json(shown))

    @property
    def values(self) -> dict[str, str]:
        """The words for the template's placeholders."""
        until = "二维码长期有效"
        if self.expires_on is not None:
            day = self.expires_on
            until = f"二维码有效期至 {day.year}年{day.month}月{day.day}日"
        name = self.name if is_drawable(self.name) else self.fallback
        return {
            "name": name, "code": self.code, "expires": until, "account": self.account,
            "product": self.product or "", "price": "" if self.price_fen is None else f"¥{yuan(self.price_fen)}",
        }  # fmt: skip


def facts(
    session: Session, member_id: int, now: datetime, *, sku: str | None = None
) -> Facts | None:
    """What the poster of this member, or theirs of a product, would say now; None for somebody who may not promote and
    for a product that is gone. Makes the scene at the first call. Without a live ticket, or with a temporary one where
    a permanent code was given, `ticket_url` is None: get one, `scenes.record_ticket`, and ask again."""
    row = session.execute(
        select(Member, Account.name)
        .join(Account, Account.id == Member.account_id)
        .where(Member.id == member_id)
    ).one_or_none()
    if row is None or row[0].status != "active":
        return None
    member, account = row
    if sku is None:
        scene = scenes.of_member(session, member.account_id, member.id, now)
        return _facts(session, member, account, scene, None, now)
    product = products.find(session, member.account_id, sku)
    if product is None:
        return None
    scene = scenes.of_member_product(session, member.account_id, member.id, sku, now)
    return _facts(session, member, account, scene, product, now)


def _facts(
    session: Session, member: Member, account: str, scene: Scene, product: Product | None, now: datetime
) -> Facts:  # fmt: skip
    ticket = scenes.live_ticket(session, scene.id, now)
    permanent = codes.is_permanent(session, scene.id)
    if ticket is not None and permanent and ticket.expires_at is not None:
        ticket = None
    expires_at = ticket.expires_at if ticket is not None else None
    purpose = designs.INVITE if product is None else designs.PRODUCT
    return Facts(
        account_id=member.account_id, member_id=member.id, openid=member.openid, account=account,
        name=display_name(member.nickname, member.code), fallback=display_name(None, member.code),
        code=member.code, scene_id=scene.id, scene=scene.code,
        template=poster_templates.of_member(session, member.account_id, member.id, purpose),
        product=None if product is None else product.name,
        price_fen=None if product is None else product.price_fen, is_permanent=permanent,
        ticket_id=None if ticket is None else ticket.id, ticket_url=None if ticket is None else ticket.url,
        expires_on=expires_at and day_of(expires_at),
        avatar=avatars.digest_of(session, member.id),
    )  # fmt: skip


def picture(session: Session, shown: Facts) -> Shown:
    """Everything that the drawing needs, with the background of the template."""
    if shown.ticket_url is None:
        raise Invalid("a poster needs a ticket")
    background = shown.template.design.picture
    values = shown.values
    return Shown(
        shown.ticket_url, values["name"], values, avatar=avatars.jpeg_of(session, shown.member_id),
        background=(background and poster_templates.picture_of(session, shown.account_id, background)) or None,
    )  # fmt: skip


def live_media(session: Session, shown: Facts, now: datetime) -> str | None:
    """The media id of the picture that says exactly this, while WeChat keeps it."""
    return session.scalar(
        select(Poster.media_id).where(
            Poster.scene_id == shown.scene_id,
            Poster.fingerprint == shown.fingerprint,
            Poster.media_expires_at > now + MEDIA_MARGIN,
        )
    )


@dataclass(frozen=True, slots=True)
class Ready:
    """A picture that WeChat keeps, and the variant it shows."""

    media_id: str
    template_id: int


def ready_for(
    session: Session, account_id: int, openid: str, now: datetime, *, sku: str | None = None
) -> Ready | None:
    """What answers this person's wish for their poster at once; None when one must be made. A few small reads by key,
    because a follower waits for it."""
    row = session.execute(
        select(Member, Account.name, Scene, Poster)
        .join(Account, Account.id == Member.account_id)
        .join(Poster, Poster.member_id == Member.id)
        .join(Scene, Scene.id == Poster.scene_id)
        .where(
            Member.account_id == account_id,
            Member.openid == openid,
            Scene.sku.is_(None) if sku is None else Scene.sku == sku,
        )
    ).one_or_none()
    if row is None or row.Member.status != "active":
        return None
    product = None if sku is None else products.find(session, account_id, sku)
    if sku is not None and product is None:
        return None
    shown = _facts(session, row.Member, row.name, row.Scene, product, now)
    same = shown.ticket_url is not None and row.Poster.fingerprint == shown.fingerprint
    if not same or row.Poster.media_expires_at <= now + MEDIA_MARGIN:
        return None
    return Ready(row.Poster.media_id, row.Poster.template_id)


def keep(
    session: Session, shown: Facts, media_id: str, expires_at: datetime, now: datetime
) -> None:
    """Remember the picture that was uploaded; it takes the place of the scene's earlier one."""
    if shown.ticket_id is None:
        raise Invalid("a poster needs a ticket")
    kept = {
        "member_id": shown.member_id,
        "qr_ticket_id": shown.ticket_id,
        "template_id": shown.template.id,
        "fingerprint": shown.fingerprint,
        "media_id": media_id,
        "media_expires_at": expires_at,
        "asked_at": now,
    }
    try:
        with session.begin_nested():
            session.merge(Poster(scene_id=shown.scene_id, **kept))
    except IntegrityError as error:
        if not is_duplicate(error):
            raise
        # Two wishes of one member were drawn at once, and the other was first: the later picture stays.
        session.execute(update(Poster).where(Poster.scene_id == shown.scene_id).values(**kept))


def forget(session: Session, scene_id: int, media_id: str) -> None:
    """WeChat does not know this picture any more. A newer one, which another wish made meanwhile, stays."""
    poster = session.get(Poster, scene_id)
    if poster is not None and poster.media_id == media_id:
        session.delete(poster)
        session.flush()


def render(shown: Facts, picture: Shown) -> bytes:
    """The poster as a JPEG."""
    return drawing.draw(shown.template.design, picture)
