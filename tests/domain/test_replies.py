"""The merchant's keyword replies."""

from __future__ import annotations

import pytest
from sqlalchemy.orm import Session

from domain import replies
from domain.db import Database
from domain.errors import Invalid, NotFound
from domain.models import Reply
from domain.replies import CONTAINS, EXACT, KeywordTable

ACCOUNT = 7


def _table(*entries: tuple[str, str]) -> KeywordTable:
    return KeywordTable(
        Reply(keyword=keyword, matching=matching, body=f"{matching} {keyword}")
        for keyword, matching in entries
    )


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("茶", "exact 茶"),
        (" 茶\n", "exact 茶"),
        ("红茶多少钱", "contains 红茶"),
        ("绿茶多少钱", "contains 茶"),
        ("WiFi", "exact wifi"),
        ("你好", None),
        ("", None),
    ],
)
def test_exact_goes_before_contains_and_longer_before_shorter(
    said: str, answer: str | None
) -> None:
    table = _table(("茶", CONTAINS), ("红茶", CONTAINS), ("wifi", EXACT), ("茶", EXACT))
    assert table.find(said) == answer


def test_replies_are_kept_replaced_and_removed(database: Database) -> None:
    def put(session: Session) -> int:
        replies.put(session, ACCOUNT, " 茶 ", "红茶")
        return replies.put(session, ACCOUNT, "茶", "绿茶", CONTAINS).id

    reply_id = database.transact(put)
    [reply] = database.read(lambda s: replies.all_of(s, ACCOUNT))
    assert (reply.keyword, reply.body, reply.matching) == ("茶", "绿茶", CONTAINS)
    with pytest.raises(NotFound):
        database.transact(lambda s: replies.remove(s, ACCOUNT + 1, reply_id))
    database.transact(lambda s: replies.remove(s, ACCOUNT, reply_id))
    assert database.read(lambda s: replies.all_of(s, ACCOUNT)) == []


@pytest.mark.parametrize(
    ("keyword", "body", "matching"),
    [
        ("", "x", EXACT),
        ("x", "", EXACT),
        ("x" * 61, "x", EXACT),
        ("x", "x" * 601, EXACT),
        ("x", "x", "regex"),
    ],
)
def test_what_cannot_be_a_reply_is_refused(
    database: Database, keyword: str, body: str, matching: str
) -> None:
    with pytest.raises(Invalid):
        database.transact(lambda s: replies.put(s, ACCOUNT, keyword, body, matching))


def test_an_account_has_a_limit_that_replacing_does_not_count(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replies, "LIMIT", 2)

    def put(session: Session, keyword: str) -> None:
        replies.put(session, ACCOUNT, keyword, "x")

    def put_all(session: Session) -> None:
        for keyword in ("a", "b", "a"):
            put(session, keyword)

    database.transact(put_all)
    with pytest.raises(Invalid):
        database.transact(lambda s: put(s, "c"))
