"""海报模板: the designs of an account, its uploaded backgrounds, and which member is shown which (A/B)."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from domain import designs
from domain.db import changed, is_duplicate, to_json
from domain.designs import Design
from domain.drawing import Upload
from domain.errors import Invalid, NotFound
from domain.models import Picture, PosterTemplate

BUILT_IN: Final = 0
"""The number of our own design, which is shown while an account has no active template of that purpose."""
MOST_ACTIVE: Final = 8
MOST_PICTURES: Final = 60
WEIGHTS: Final = range(1, 101)
NAME_LENGTH: Final = 60


@dataclass(frozen=True, slots=True)
class Template:
    """A variant of the poster; `id` 0 is the built-in one."""

    id: int
    name: str
    design: Design


def put_picture(session: Session, account_id: int, upload: Upload, now: datetime) -> Picture:
    """Keep an uploaded background; the same picture again is the one that is there. Raises `Invalid` when there are
    too many."""
    query = select(Picture).where(Picture.account_id == account_id, Picture.digest == upload.digest)
    known = session.scalar(query)
    if known is not None:
        return known
    count = session.scalar(select(func.count(Picture.id)).where(Picture.account_id == account_id))
    if (count or 0) >= MOST_PICTURES:
        raise Invalid(f"an account keeps at most {MOST_PICTURES} pictures", limit=MOST_PICTURES)
    picture = Picture(
        account_id=account_id, digest=upload.digest, width=upload.width, height=upload.height, jpeg=upload.jpeg,
        created_at=now,
    )  # fmt: skip
    try:
        with session.begin_nested():
            session.add(picture)
    except IntegrityError as error:
        if not is_duplicate(error):
            raise
        return session.scalars(query).one()
    return picture


def picture_of(session: Session, account_id: int, picture_id: int) -> bytes:
    """The JPEG of a background of this account, or `NotFound`."""
    jpeg = session.scalar(
        select(Picture.jpeg).where(Picture.id == picture_id, Picture.account_id == account_id)
    )
    if jpeg is None:
        raise NotFound("no such picture", picture=picture_id)
    return jpeg


def add(
    session: Session, account_id: int, *, name: str, purpose: str, design: Any, now: datetime
) -> PosterTemplate:
    """A new active template from JSON values. Templates are never edited: add the better one, retire the other. Raises
    `Invalid` with every problem, `NotFound` for a background that is not there."""
    name = name.strip()
    if not 0 < len(name) <= NAME_LENGTH:
        raise Invalid(f"a name has 1 to {NAME_LENGTH} characters", name=name)
    if purpose not in designs.PURPOSES:
        raise Invalid(f"purpose is one of {', '.join(designs.PURPOSES)}", purpose=purpose)
    parsed = designs.parse(design)
    if parsed.picture is not None:
        picture_of(session, account_id, parsed.picture)
    _check_room(session, account_id, purpose)
    row = PosterTemplate(
        account_id=account_id, name=name, purpose=purpose, design=to_json(design), created_at=now
    )
    session.add(row)
    session.flush()
    return row


def retire(session: Session, account_id: int, template_id: int, now: datetime) -> None:
    """Show this template to nobody any more; its statistics stay. `NotFound` when it is not active here."""
    query = update(PosterTemplate).where(
        PosterTemplate.id == template_id,
        PosterTemplate.account_id == account_id,
        PosterTemplate.retired_at.is_(None),
    )
    if not changed(session.execute(query.values(retired_at=now))):
        raise NotFound("no such active template", template=template_id)


def activate(session: Session, account_id: int, template_id: int) -> None:
    """Show a retired template again. Raises `NotFound` when it is not retired here, `Invalid` when too many are
    active."""
    row = get(session, account_id, template_id)
    if row.retired_at is None:
        raise NotFound("no such retired template", template=template_id)
    _check_room(session, account_id, row.purpose)
    row.retired_at = None
    session.flush()


def weigh(session: Session, account_id: int, template_id: int, weight: int) -> PosterTemplate:
    """Show a template to more members or to fewer: of two active ones with the weights 3 and 1, to three of four.
    Members go only to one that weighs more than before, or from one that weighs less. Raises `Invalid`, `NotFound`."""
    row = get(session, account_id, template_id)
    if weight not in WEIGHTS:
        raise Invalid(f"a weight is 1 to {WEIGHTS[-1]}", weight=weight)
    row.weight = weight
    session.flush()
    return row


def share_bps(row: PosterTemplate, among: Sequence[PosterTemplate]) -> int:
    """How many of the members see this one of the active templates, in basis points."""
    return row.weight * 10_000 // sum(one.weight for one in among)


def _check_room(session: Session, account_id: int, purpose: str) -> None:
    if len(active(session, account_id, purpose)) >= MOST_ACTIVE:
        raise Invalid(f"at most {MOST_ACTIVE} templates are active at once: retire one first")


def pictures_of(session: Session, account_id: int) -> list[int]:
    """The numbers of the account's backgrounds, the newest first."""
    query = select(Picture.id).where(Picture.account_id == account_id)
    return list(session.scalars(query.order_by(Picture.id.desc())))


def active(session: Session, account_id: int, purpose: str) -> list[PosterTemplate]:
    """The templates that members are shown, at most `MOST_ACTIVE`."""
    query = select(PosterTemplate).where(
        PosterTemplate.account_id == account_id,
        PosterTemplate.purpose == purpose,
        PosterTemplate.retired_at.is_(None),
    )
    return list(session.scalars(query.order_by(PosterTemplate.id)))


def all_of(session: Session, account_id: int, *, limit: int = 200) -> list[PosterTemplate]:
    """Every template of the account, the newest first."""
    query = select(PosterTemplate).where(PosterTemplate.account_id == account_id)
    return list(session.scalars(query.order_by(PosterTemplate.id.desc()).limit(limit)))


def get(session: Session, account_id: int, template_id: int) -> PosterTemplate:
    """The template of this account, or `NotFound`."""
    row = session.get(PosterTemplate, template_id)
    if row is None or row.account_id != account_id:
        raise NotFound("no such template", template=template_id)
    return row


def of_member(session: Session, account_id: int, member_id: int, purpose: str) -> Template:
    """The variant of this member: the same while the active templates stay the same, and when one comes or goes only
    those members change who must."""
    chosen = choose(active(session, account_id, purpose), member_id)
    if chosen is None:
        return Template(BUILT_IN, "built-in", designs.built_in(purpose))
    return Template(chosen.id, chosen.name, designs.parse(json.loads(chosen.design)))


def choose(rows: Sequence[PosterTemplate], member_id: int) -> PosterTemplate | None:
    """The row with the highest score together with this member (weighted rendezvous hashing). Equal weights leave the
    order to the hash alone."""

    def score(row: PosterTemplate) -> float:
        digest = hashlib.sha256(f"{member_id}-{row.id}".encode()).digest()
        between_0_and_1 = (int.from_bytes(digest[:6]) + 0.5) / 2**48
        return row.weight / -math.log(between_0_and_1)

    return max(rows, key=score, default=None)
