"""文案: the merchant's own wording of a text, changed with a note in the audit."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from domain import audit, texts
from domain.errors import Conflict
from domain.models import Account


def lock(session: Session, account_id: int) -> None:
    """Whoever else changes a text of the account waits: a text that has no row yet could not be locked itself."""
    session.get(Account, account_id, with_for_update=True)


def change(
    session: Session, account_id: int, lang: str, key: str, body: str | None,
    *, was: str | None = None, actor: str, now: datetime,
) -> None:  # fmt: skip
    """Use this wording from now on, or the default again (None). `was`: what the person saw who wrote this, "" for the
    default. Two people at once change one after the other. Raises `Invalid`, and `Conflict` when somebody changed it
    meanwhile."""
    lock(session, account_id)
    before = texts.stored(session, account_id, lang).get(key)
    if was is not None and was != (before or ""):
        raise Conflict("somebody changed it meanwhile", key=key)
    texts.set_override(session, account_id, key, body, lang)
    audit.record(
        session, account_id, actor=actor, action="text_changed", subject=f"text/{lang}/{key}", before=before,
        after=body, now=now,
    )  # fmt: skip
