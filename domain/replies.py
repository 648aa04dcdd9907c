"""关键词回复: what the merchant wants answered to certain words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from domain.db import changed
from domain.errors import Invalid, NotFound
from domain.models import Reply

EXACT: Final = "exact"
CONTAINS: Final = "contains"
LIMIT: Final = 500
"""Entries of one account: all of them are looked through for every text that is no command."""
KEYWORD_LENGTH: Final = 60
BODY_LENGTH: Final = 600
"""Characters: WeChat takes about 2048 bytes of text, and a Chinese character has three."""


def _plain(text: str) -> str:
    """How keywords are compared: without blanks around, whatever the case."""
    return text.strip().casefold()


class KeywordTable:
    """An account's replies, ready to be searched: exact before contains, the longest keyword first."""

    def __init__(self, replies: Iterable[Reply] = ()) -> None:
        self._exact: dict[str, str] = {}
        contained: dict[str, str] = {}
        for reply in replies:
            table = self._exact if reply.matching == EXACT else contained
            table[_plain(reply.keyword)] = reply.body
        self._contained = sorted(contained.items(), key=lambda item: (-len(item[0]), item[0]))

    def find(self, text: str) -> str | None:
        """The merchant's answer to this text."""
        said = _plain(text)
        found = self._exact.get(said)
        if found is None:
            found = next((body for keyword, body in self._contained if keyword in said), None)
        return found


def put(session: Session, account_id: int, keyword: str, body: str, matching: str = EXACT) -> Reply:
    """Add a reply, or replace the one of this keyword. Raises `Invalid`, also when the account has `LIMIT` of them."""
    keyword, body = keyword.strip(), body.strip()
    if not 1 <= len(keyword) <= KEYWORD_LENGTH or not 1 <= len(body) <= BODY_LENGTH:
        raise Invalid(
            f"a keyword has 1 to {KEYWORD_LENGTH} characters, a reply 1 to {BODY_LENGTH}",
            keyword=keyword,
        )
    if matching not in {EXACT, CONTAINS}:
        raise Invalid("matching is exact or contains", matching=matching)
    reply = session.scalar(
        select(Reply).where(Reply.account_id == account_id, Reply.keyword == keyword)
    )
    if reply is None:
        count = session.scalar(select(func.count(Reply.id)).where(Reply.account_id == account_id))
        if (count or 0) >= LIMIT:
            raise Invalid(f"an account has at most {LIMIT} replies", limit=LIMIT)
        reply = Reply(account_id=account_id, keyword=keyword)
        session.add(reply)
    reply.keyword, reply.body, reply.matching = keyword, body, matching
    session.flush()
    return reply


def remove(session: Session, account_id: int, reply_id: int) -> None:
    """Delete a reply of this account, or `NotFound`."""
    query = delete(Reply).where(Reply.account_id == account_id, Reply.id == reply_id)
    if not changed(session.execute(query)):
        raise NotFound("no such reply", reply=reply_id)


def all_of(session: Session, account_id: int) -> list[Reply]:
    """The account's replies by keyword."""
    query = select(Reply).where(Reply.account_id == account_id)
    return list(session.scalars(query.order_by(Reply.keyword, Reply.id)))
