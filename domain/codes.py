"""渠道码, 商品码 and the permanent pool: codes that the merchant makes, gives and looks after.

What a code carries is a scene (scenes.py) and never changes; what is said to who scans it, does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, TypeVarTuple

from sqlalchemy import Select, and_, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from domain import audit, outbox, products, scenes, uploads
from domain.accounts import Settings
from domain.bindings import Found
from domain.bodies import IMAGE, MediaBody
from domain.db import Sql, changed, from_db, is_duplicate, to_db
from domain.errors import Conflict, Invalid, NotFound
from domain.models import (
    Code,
    Outbox,
    PermanentGrant,
    PermanentPool,
    Product,
    QrTicket,
    Scene,
)

Ts = TypeVarTuple("Ts")

NAME_LENGTH: Final = 60
REPLY_LENGTH: Final = 600
"""Characters: WeChat takes about 2048 bytes of text, and a Chinese character has three."""
TAG_LENGTH: Final = 30
MEDIA_LENGTH: Final = 128
POSTER_IN_USE: Final = timedelta(days=30)
"""A promoter's code is renewed while their poster was asked for so recently."""
RENEW_AGAIN: Final = timedelta(days=1)
RENEW_AT_ONCE: Final = 200


class PoolExhausted(Conflict):
    """The account has given all its permanent codes; WeChat will make no more."""

    code = "permanent_pool_exhausted"


@dataclass(frozen=True, slots=True)
class Card:
    """A code of the merchant with the scene behind it and what WeChat issued last."""

    code: Code
    scene: Scene
    ticket: QrTicket | None


# --- channel and product codes --------------------------------------------------------------------------------------


def add(
    session: Session,
    account_id: int,
    *,
    name: str,
    sku: str | None = None,
    reply: str | None = None,
    media: int | None = None,
    media_id: str | None = None,
    tag: str | None = None,
    now: datetime,
) -> Card:
    """A channel code, or with a `sku` a product's code in one place. The answer is a text (`reply`), a picture of
    domain/uploads (`media`), or one that WeChat keeps in its library by another way than ours (`media_id`). WeChat is
    asked for its ticket by a job. Raises `Invalid`, `NotFound` for an unknown product, `Conflict` for a name in use."""
    name = _checked("name", name, NAME_LENGTH) or ""
    if sku is None:
        scene = scenes.of_channel(session, account_id, name, now)
    else:
        products.get(session, account_id, sku)
        scene = scenes.of_product(session, account_id, sku, name, now)
    if session.get(Code, scene.id) is not None:
        raise Conflict("there is a code of this name", name=name, scene=scene.code)
    row = Code(scene_id=scene.id, account_id=account_id, name=name, created_at=now)
    _say(session, row, reply, media, media_id, tag)
    try:
        with session.begin_nested():
            session.add(row)
    except IntegrityError as error:
        if not is_duplicate(error):
            raise
        raise Conflict("there is a code of this name", name=name, scene=scene.code) from error
    ask_ticket(session, scene, f"first-{scene.id}", now, permanent=False)
    return Card(row, scene, None)


def change(
    session: Session,
    account_id: int,
    scene_code: str,
    *,
    reply: str | None,
    media: int | None,
    media_id: str | None,
    tag: str | None,
    name: str | None = None,
) -> Code:
    """What is said to who scans this code from now on, the WeChat tag they get, and with `name` what it is called here.
    Raises `Invalid`, `NotFound`."""
    row = get(session, account_id, scene_code).code
    row.name = _checked("name", name, NAME_LENGTH) or row.name
    _say(session, row, reply, media, media_id, tag)
    session.flush()
    return row


def archive(session: Session, account_id: int, scene_code: str, now: datetime) -> None:
    """Renew this code no more. It still works while its ticket does, and its figures stay."""
    row = get(session, account_id, scene_code).code
    row.archived_at = row.archived_at or now
    session.flush()


def _say(
    session: Session, row: Code, reply: str | None, media: int | None, media_id: str | None, tag: str | None
) -> None:  # fmt: skip
    row.reply = _checked("reply", reply, REPLY_LENGTH)
    row.media_id = _checked("media_id", media_id, MEDIA_LENGTH)
    row.tag = _checked("tag", tag, TAG_LENGTH)
    if row.media_id is not None and not (row.media_id.isascii() and row.media_id.isprintable()):
        raise Invalid("a media id is ASCII", media_id=row.media_id)
    if media is not None:
        uploads.check_present(session, row.account_id, [MediaBody(IMAGE, media)])
    row.media = media
    if sum(each is not None for each in (row.reply, row.media, row.media_id)) > 1:
        raise Invalid("WeChat takes one message as the answer: a text or a picture, not both")


def _checked(what: str, text: str | None, most: int) -> str | None:
    if text is None:
        return None
    if not 0 < len(text.strip()) <= most:
        raise Invalid(f"a {what} has 1 to {most} characters")
    return text.strip()


def get(session: Session, account_id: int, scene_code: str) -> Card:
    """A code of this account, or `NotFound`."""
    scene = scenes.find(session, account_id, scene_code)
    row = session.get(Code, scene.id) if scene is not None else None
    if scene is None or row is None:
        raise NotFound("no such code", code=scene_code)
    return Card(row, scene, scenes.newest_ticket(session, scene.id))


def page(
    session: Session, account_id: int, *, after_scene: int = 0, limit: int = 50, archived: bool = False
) -> list[Card]:  # fmt: skip
    """Codes in the order they were made; keyset page after a scene's id. Two statements, however many codes."""
    query = _listed(select(Code, Scene), account_id, archived)
    found = session.execute(query.where(Code.scene_id > after_scene).limit(limit)).all()
    if not found:
        return []
    newest = newest_tickets(session, [scene.id for _, scene in found])
    return [Card(code, scene, newest.get(scene.id)) for code, scene in found]


def names(
    session: Session, account_id: int, *, limit: int, archived: bool = False
) -> list[tuple[str, str]]:
    """(scene, name) of codes in the order they were made, to choose one of."""
    query = _listed(select(Scene.code, Code.name), account_id, archived)
    return [(scene_code, name) for scene_code, name in session.execute(query.limit(limit))]


def _listed(chosen: Select[*Ts], account_id: int, archived: bool) -> Select[*Ts]:
    query = chosen.join_from(Code, Scene, Scene.id == Code.scene_id)
    query = query.where(Code.account_id == account_id).order_by(Code.scene_id)
    return query if archived else query.where(Code.archived_at.is_(None))


def newest_tickets(session: Session, scene_ids: Sequence[int]) -> dict[int, QrTicket]:
    """What WeChat issued last for each of these scenes; a permanent ticket before all others."""
    tickets = session.scalars(
        select(QrTicket)
        .where(QrTicket.scene_id.in_(scene_ids))
        .order_by(QrTicket.expires_at.is_(None), QrTicket.id)
    )
    return {ticket.scene_id: ticket for ticket in tickets}


# --- what a scan is answered with -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Answering:
    """What the merchant wants said to who scanned a code, and the product it is about."""

    reply: str | None
    media: int | None
    media_id: str | None
    product: Product | None


NOTHING: Final = Answering(None, None, None, None)
"""Of somebody who came without a code, or by a promoter's own."""


def answering(session: Session, account_id: int, found: Found) -> Answering:
    """What belongs to a scanned code; empty for a promoter's own."""
    if found.kind == scenes.PROMOTER and found.sku is None:
        return NOTHING
    row = session.get(Code, found.scene_id)
    product = products.find(session, account_id, found.sku) if found.sku is not None else None
    if row is None:
        return Answering(None, None, None, product)
    return Answering(row.reply, row.media, row.media_id, product)


# --- tickets --------------------------------------------------------------------------------------------------------


def ask_ticket(session: Session, scene: Scene, key: str, now: datetime, *, permanent: bool) -> None:
    """Let a job ask WeChat for a code of this scene; the same key asks once."""
    payload: dict[str, Any] = {"scene_id": scene.id, "permanent": permanent}
    message = outbox.Message(scene.account_id, outbox.CODE, f"code-{key}", payload, now)
    outbox.put_once(session, message, now)


def asking(session: Session, scene_id: int) -> Outbox | None:
    """The row that asked WeChat last for a code of this scene, for people who wait for it."""
    renewed = f"code-{scene_id}-"
    keys = or_(
        Outbox.dedupe_key.in_([f"code-first-{scene_id}", f"code-permanent-{scene_id}"]),
        and_(Outbox.dedupe_key > renewed, Outbox.dedupe_key < f"code-{scene_id}."),
    )
    return session.scalar(select(Outbox).where(keys).order_by(Outbox.id.desc()).limit(1))


_DUE = Sql(
    "SELECT s.id, s.renew_at, c.scene_id AS managed, c.archived_at, p.asked_at FROM scene s"
    " LEFT JOIN code c ON c.scene_id = s.id LEFT JOIN poster p ON p.scene_id = s.id"
    " WHERE s.renew_at <= ? ORDER BY s.renew_at, s.id LIMIT ?"
)
_RENEW_AT = Sql("UPDATE scene SET renew_at = ? WHERE id = ? AND renew_at = ?")


def renew_due(session: Session, now: datetime) -> bool:
    """Ask for new tickets of the codes that lapse soon and are in use, of every account; whether there may be more.

    One that is not in use any more is let go: its next poster asks for a ticket. A renewal that comes to nothing is
    asked for again the next day.
    """
    due = _DUE(session, to_db(now), RENEW_AT_ONCE).all()
    for row in due:
        in_use = row.archived_at is None if row.managed else _is_recent(row.asked_at, now)
        again = to_db(now + RENEW_AGAIN) if in_use else None
        if changed(_RENEW_AT(session, again, row.id, row.renew_at)) and in_use:
            scene = session.get_one(Scene, row.id)
            ask_ticket(session, scene, f"{row.id}-{to_db(now)[:10]}", now, permanent=False)
    return len(due) == RENEW_AT_ONCE


def _is_recent(asked_at: Any, now: datetime) -> bool:
    return asked_at is not None and from_db(asked_at) >= now - POSTER_IN_USE


# --- the permanent pool ---------------------------------------------------------------------------------------------

# Not INSERT IGNORE: of a row that is there it takes a shared lock, and two who hold one wait for each other to count.
_OPEN_POOL = Sql(
    "INSERT INTO permanent_pool (account_id, granted) VALUES (?, 0) ON DUPLICATE KEY UPDATE granted = granted",
    sqlite="INSERT OR IGNORE INTO permanent_pool (account_id, granted) VALUES (?, 0)",
)
_TAKE = Sql("UPDATE permanent_pool SET granted = granted + 1 WHERE account_id = ? AND granted < ?")


@dataclass(frozen=True, slots=True)
class Granted:
    """The place of a scene in the account's pool, for ever; `new`: it was given just now."""

    number: int
    left: int
    new: bool


def grant_permanent(
    session: Session, account_id: int, settings: Settings, scene_code: str, *, actor: str, now: datetime
) -> Granted:  # fmt: skip
    """Give a scene (a channel, a product, a chosen promoter) one of the account's permanent codes. A second time it is
    the same one. A job asks WeChat for it. Raises `NotFound`, `PoolExhausted`."""
    scene = scenes.find(session, account_id, scene_code)
    if scene is None:
        raise NotFound("no such code", code=scene_code)
    _OPEN_POOL(session, account_id)
    taken = changed(_TAKE(session, account_id, settings.permanent_pool))
    given = granted(session, account_id)  # the row is ours until the end of the transaction
    known = session.scalar(select(PermanentGrant).where(PermanentGrant.scene_id == scene.id))
    if known is not None:
        if taken:
            _give_back(session, account_id)
        return Granted(known.number, settings.permanent_pool - given + taken, new=False)
    if not taken:
        raise PoolExhausted(
            f"all {settings.permanent_pool} permanent codes of this account are given", given=given
        )
    row = PermanentGrant(
        account_id=account_id, number=given, scene_id=scene.id, actor=actor, granted_at=now
    )
    session.add(row)
    audit.record(
        session, account_id, actor=actor, action="code_permanent", subject=f"scene/{scene.id}",
        after={"number": given}, now=now,
    )  # fmt: skip
    ask_ticket(session, scene, f"permanent-{scene.id}", now, permanent=True)
    session.flush()
    return Granted(given, settings.permanent_pool - given, new=True)


def _give_back(session: Session, account_id: int) -> None:
    """Before this transaction ends nobody else has seen the number."""
    session.execute(
        update(PermanentPool)
        .where(PermanentPool.account_id == account_id)
        .values(granted=PermanentPool.granted - 1)
    )


def granted(session: Session, account_id: int) -> int:
    """How many permanent codes the account has given."""
    return (
        session.scalar(select(PermanentPool.granted).where(PermanentPool.account_id == account_id))
        or 0
    )


def is_permanent(session: Session, scene_id: int) -> bool:
    """Whether a permanent code was given to this scene."""
    query = select(PermanentGrant.number).where(PermanentGrant.scene_id == scene_id)
    return session.scalar(query) is not None
