"""头像: the picture that a member let us know by WeChat's page of consent. It stands on their posters alone, and is
erased with the name (privacy.py)."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from domain import outbox
from domain.db import is_duplicate
from domain.drawing import Upload
from domain.models import Avatar, Member

LARGEST: Final = (400, 400)
"""Pixels that are kept: what a poster shows is smaller."""
ADDRESS_LENGTH: Final = 1024


def ask(session: Session, member: Member, address: str, key: str, now: datetime) -> None:
    """Let a job fetch the picture from `address`, as WeChat gave it just now; the same key asks once. What is no
    address of the web is left out."""
    if address.startswith(("https://", "http://")) and len(address) <= ADDRESS_LENGTH:
        payload = {"picture": address}
        message = outbox.Message(
            member.account_id, outbox.PROFILE, f"avatar-{key}", payload, now, member.id
        )
        outbox.put_once(session, message, now)


def keep(session: Session, member_id: int, upload: Upload, now: datetime) -> bool:
    """Keep the picture of a member, in the place of the one before. False, and nothing kept, when they left or had
    their data erased meanwhile: the name, which came with the same consent, is gone then."""
    member = session.get(Member, member_id)
    if member is None or not member.following or member.nickname is None:
        return False
    row = Avatar(
        member_id=member_id, account_id=member.account_id, digest=upload.digest, jpeg=upload.jpeg, kept_at=now
    )  # fmt: skip
    try:
        with session.begin_nested():
            session.merge(row)
    except IntegrityError as error:
        if not is_duplicate(error):
            raise
        session.merge(row)  # two consents at once: the other made the row, the later picture stays
    session.flush()
    return True


def digest_of(session: Session, member_id: int) -> str | None:
    """Which picture a member has; None for none."""
    return session.scalar(select(Avatar.digest).where(Avatar.member_id == member_id))


def jpeg_of(session: Session, member_id: int) -> bytes | None:
    """The picture itself."""
    return session.scalar(select(Avatar.jpeg).where(Avatar.member_id == member_id))
