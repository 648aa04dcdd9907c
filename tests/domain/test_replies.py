"""The merchant's keyword replies."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from domain import bodies, patterns, replies, uploads
from domain.bodies import Article, Body, MediaBody, NewsBody, TextBody
from domain.db import Database
from domain.errors import Conflict, Invalid, NotFound
from domain.models import Reply
from domain.replies import (
    CLICK,
    CONTAINS,
    DEFAULT,
    EXACT,
    KEYWORD,
    REGEX,
    SUBSCRIBE,
    KeywordTable,
    Rule,
)

ACCOUNT = 7
NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)


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
    found = table.find(said)
    assert (found and found.messages[0]) == (answer and TextBody(answer))


def test_replies_are_kept_replaced_and_removed(database: Database) -> None:
    def put(session: Session) -> int:
        replies.put(session, ACCOUNT, " 茶 ", "红茶")
        return replies.put(session, ACCOUNT, "茶", "绿茶", priority=2).id

    reply_id = database.transact(put)
    [reply] = database.read(lambda s: replies.all_of(s, ACCOUNT))
    assert (reply.keyword, reply.body, reply.priority) == ("茶", "绿茶", 2)
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
        ("x", "x", "fuzzy"),
        ("(", "x", "regex"),
        ("(a+)+$", "x", "regex"),
        ("a*", "x", "regex"),
        ("x" * 191, "x", "regex"),
        ("x", "{balance}", EXACT),
        ("x", "{nickname.__class__}", EXACT),
        ("x", "{", EXACT),
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


# --- kinds, priorities, patterns ------------------------------------------------------------------------------------


def _rule(number: int, keyword: str, matching: str, priority: int = 0, **more: Any) -> Rule:
    return Rule(number, more.pop("kind", KEYWORD), matching, keyword, (TextBody("x"),), priority, **more)  # fmt: skip


def _found(table: KeywordTable, said: str) -> int | None:
    rule = table.find(said)
    return None if rule is None else rule.number


def test_a_pattern_answers_after_words_unless_its_priority_is_higher() -> None:
    words = [_rule(1, "茶", EXACT), _rule(2, "红茶", CONTAINS)]
    low = KeywordTable([*words, _rule(3, "茶$", REGEX)])
    assert [_found(low, said) for said in ("茶", "红茶", "绿茶", "茶叶")] == [1, 2, 3, None]
    high = KeywordTable([*words, _rule(3, "茶$", REGEX, 5)])
    assert [_found(high, said) for said in ("茶", "红茶", "绿茶")] == [3, 3, 3]
    assert _found(KeywordTable([*words, _rule(4, "红", CONTAINS, 1)]), "红茶") == 4


def test_a_reply_that_is_switched_off_answers_nothing() -> None:
    table = KeywordTable(
        [_rule(1, "茶", EXACT, enabled=False), _rule(2, "", EXACT, kind=DEFAULT, enabled=False)]
    )
    assert (table.find("茶"), table.default) == (None, None)


def test_a_menu_key_finds_its_own_reply_before_the_keyword() -> None:
    table = KeywordTable([_rule(1, "promo", EXACT), _rule(2, "promo", EXACT, kind=CLICK)])
    tapped, typed = table.click("promo"), table.find("promo")
    assert (tapped and tapped.number, typed and typed.number) == (2, 1)


def test_a_pattern_that_takes_too_long_is_no_match_and_is_counted(database: Database) -> None:
    """The check at saving finds the usual ones; whatever gets past it is stopped when it is used."""
    row = database.transact(lambda s: replies.put(s, ACCOUNT, "快递", "x", REGEX))
    table = KeywordTable([_rule(row.id, "(a+)+b$", REGEX)])
    assert table.find("a" * 5000 + "!") is None
    assert table.timeouts == {row.id: 1}
    database.transact(lambda s: replies.add_timeouts(s, table.timeouts))
    [stored] = database.read(lambda s: replies.all_of(s, ACCOUNT))
    assert stored.timeouts == 1


@pytest.mark.parametrize(
    "text", ["a{1001}", "(?:a{, 99}){ 99 }b", "(?:(?:a?){99}){99,}b", "a{100}b{100}"]
)
def test_a_pattern_that_would_be_written_out_without_end_is_refused(text: str) -> None:
    """Making it ready takes memory and time by the numbers multiplied, and cannot be stopped."""
    with pytest.raises(Invalid, match="too often"):
        patterns.check(text)


@pytest.mark.parametrize(
    "text", [r"\d{4}-\d{2}-\d{2} \d{1,2}:\d{2}", r"(\d{1,3}\.){3}\d{1,3}", "a{1000}", "a{0}b{3,}"]
)
def test_a_pattern_with_ordinary_numbers_is_fine(text: str) -> None:
    patterns.check(text)


def test_a_row_of_an_earlier_release_is_its_one_text() -> None:
    rule = Rule.of(Reply(keyword="茶", matching=EXACT, body="有红茶"))
    assert rule.messages == (TextBody("有红茶"),)
    assert (rule.kind, rule.enabled, rule.priority) == (KEYWORD, True, 0)


def _png(size: int = 100) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"\0" * size


def _picture(database: Database, account: int = ACCOUNT, size: int = 100) -> int:
    def add(session: Session) -> int:
        return uploads.add(
            session, account, kind="image", name="茶.png", content=_png(size), actor="小王", now=NOW
        ).id

    return database.transact(add)


def test_all_kinds_of_messages_come_back_as_they_were_saved(database: Database) -> None:
    picture = _picture(database)
    article = Article(
        "新茶", "{nickname}，请看", "https://tea.example/a", "https://tea.example/a.png"
    )
    said: list[Body] = [
        NewsBody((article,) * 8),
        TextBody("你好{nickname}"),
        MediaBody("image", picture),
    ]
    database.transact(lambda s: replies.put(s, ACCOUNT, "", said, kind=SUBSCRIBE))
    [row] = database.read(lambda s: replies.all_of(s, ACCOUNT))
    assert list(Rule.of(row).messages) == said
    assert bodies.of_values(replies.as_value(row)["messages"]) == said
    table = database.read(lambda s: replies.table_of(s, ACCOUNT))
    assert table.welcome is not None
    assert set(table.media) == {picture}


def test_cards_are_as_many_as_wechat_shows_in_that_place(database: Database) -> None:
    cards = NewsBody((Article("新茶", "", "https://tea.example", ""),) * 2)
    wrong: list[tuple[str, list[Body]]] = [(KEYWORD, [cards]), (SUBSCRIBE, [TextBody("x"), cards])]
    for kind, said in wrong:
        keyword = "茶" if kind == KEYWORD else ""
        with pytest.raises(Invalid):
            database.transact(lambda s, k=kind, w=keyword, m=said: replies.put(s, ACCOUNT, w, m, kind=k))  # type: ignore[misc]  # fmt: skip
    database.transact(lambda s: replies.put(s, ACCOUNT, "promo", [cards], kind=CLICK))


@pytest.mark.parametrize(
    "values",
    [
        "x",
        ["x"],
        [{"kind": "music"}],
        [{"kind": "text"}],
        [{"kind": "text", "text": "x", "more": 1}],
        [{"kind": "news", "articles": [{"title": "x"}]}],
        [{"kind": "image", "media": "x"}],
    ],
)
def test_messages_that_are_none_are_refused(values: Any) -> None:
    with pytest.raises(Invalid):
        bodies.of_values(values)


@pytest.mark.parametrize("url", ["javascript:alert(1)", "tea.example", "https://a b"])
def test_a_card_leads_to_a_page(url: str) -> None:
    with pytest.raises(Invalid):
        bodies.check([NewsBody((Article("x", "", url, ""),))], most_articles=1)


def test_files_are_what_their_names_say_and_belong_to_one_account(database: Database) -> None:
    for kind, name, content in (
        ("image", "a.png", b"<svg>"),
        ("image", "a.mp3", b"ID3"),
        ("image", "a.png", _png(2 * 1024 * 1024)),
        ("image", "a.png", b""),
        ("thumb", "a.jpg", b"\xff\xd8\xff"),
    ):
        with pytest.raises(Invalid):
            database.transact(
                lambda s, k=kind, n=name, c=content: uploads.add(  # type: ignore[misc]
                    s, ACCOUNT, kind=k, name=n, content=c, actor="小王", now=NOW
                )
            )
    picture = _picture(database)
    assert _picture(database) == picture, "the same bytes are one file"
    foreign = _picture(database, ACCOUNT + 1)
    with pytest.raises(Invalid, match="no such file"):
        database.transact(lambda s: replies.put(s, ACCOUNT, "图", [MediaBody("image", foreign)]))


def test_a_file_that_a_reply_shows_stays(database: Database) -> None:
    picture = _picture(database)
    row = database.transact(lambda s: replies.put(s, ACCOUNT, "图", [MediaBody("image", picture)]))
    with pytest.raises(Conflict):
        database.transact(lambda s: uploads.remove(s, ACCOUNT, picture))
    database.transact(lambda s: replies.remove(s, ACCOUNT, row.id))
    database.transact(lambda s: uploads.remove(s, ACCOUNT, picture))
    with pytest.raises(NotFound):
        database.transact(lambda s: uploads.remove(s, ACCOUNT, picture))


def test_only_shown_files_are_renewed_and_only_when_it_is_time(database: Database) -> None:
    shown, _unused = _picture(database, size=1), _picture(database, size=2)
    database.transact(lambda s: replies.put(s, ACCOUNT, "图", [MediaBody("image", shown)]))
    assert database.read(lambda s: uploads.to_renew(s, NOW)) == [(ACCOUNT, shown)]
    database.transact(lambda s: uploads.keep_id(s, shown, "m1", NOW + timedelta(days=3)))
    assert database.read(lambda s: uploads.to_renew(s, NOW)) == []
    later = NOW + timedelta(days=2, hours=13)
    assert database.read(lambda s: uploads.to_renew(s, later)) == [(ACCOUNT, shown)]
    known = database.read(lambda s: uploads.known(s, ACCOUNT))[shown]
    assert known.usable_id(later) == "m1"
    assert known.usable_id(NOW + timedelta(days=3)) is None


def test_trying_a_text_tells_who_would_answer(database: Database) -> None:
    def prepare(session: Session) -> int:
        replies.put(session, ACCOUNT, "", "不明白", kind=DEFAULT)
        replies.put(session, ACCOUNT, "promo", "优惠", kind=CLICK)
        return replies.put(session, ACCOUNT, "运费", "包邮", CONTAINS).id

    number = database.transact(prepare)

    def tried(text: str, *, tapped: bool = False) -> tuple[str | None, str | None]:
        trial = database.read(lambda s: replies.try_text(s, ACCOUNT, text, tapped=tapped))
        chosen = trial.chosen
        return chosen.command or None, chosen.rule.kind if chosen.rule else None

    assert tried("团队") == ("我的团队", None)
    assert tried("提现 50") == ("提现", None)
    assert tried("提现说明") == (None, DEFAULT), "what follows 提现 is no amount"
    assert tried("运费多少") == (None, KEYWORD)
    assert tried("promo") == (None, DEFAULT)
    assert tried("promo", tapped=True) == (None, CLICK)
    trial = database.read(lambda s: replies.try_text(s, ACCOUNT, "运费"))
    assert trial.chosen.rule is not None
    assert trial.chosen.rule.number == number


def test_trying_tells_which_others_fit_even_those_that_are_off(database: Database) -> None:
    def prepare(session: Session) -> None:
        replies.put(session, ACCOUNT, "茶", "一", CONTAINS)
        replies.put(session, ACCOUNT, "春茶", "二", CONTAINS, enabled=False)
        replies.put(session, ACCOUNT, "^春", "三", REGEX, priority=1)
        replies.put(session, ACCOUNT, "水", "四", CONTAINS)

    database.transact(prepare)
    trial = database.read(lambda s: replies.try_text(s, ACCOUNT, " 春茶 "))
    assert trial.chosen.rule is not None
    assert trial.chosen.rule.keyword == "^春"
    assert {one.keyword for one in trial.others} == {"茶", "春茶"}


def test_files_of_other_languages_are_kept_and_renewed_too(database: Database) -> None:
    picture = _picture(database, size=7)

    def prepare(session: Session) -> None:
        said = {"en": [MediaBody("image", picture)]}
        replies.put(session, ACCOUNT, "图", "没有图", variants=said)

    database.transact(prepare)
    assert database.read(lambda s: uploads.to_renew(s, NOW)) == [(ACCOUNT, picture)]
    with pytest.raises(Conflict):
        database.transact(lambda s: uploads.remove(s, ACCOUNT, picture))
    with pytest.raises(Invalid):
        database.transact(
            lambda s: replies.put(s, ACCOUNT, "图", "x", variants={"fr": [TextBody("y")]})
        )


def test_changing_a_reply_does_not_take_another_ones_keyword(database: Database) -> None:
    first = database.transact(lambda s: replies.put(s, ACCOUNT, "茶", "x").id)
    second = database.transact(lambda s: replies.put(s, ACCOUNT, "水", "x").id)
    rule = Rule(0, KEYWORD, EXACT, "茶", (TextBody("y"),), 3)
    with pytest.raises(Conflict):
        database.transact(lambda s: replies.change(s, ACCOUNT, second, rule))
    database.transact(lambda s: replies.change(s, ACCOUNT, first, rule))
    with pytest.raises(NotFound):
        database.transact(lambda s: replies.change(s, ACCOUNT + 1, first, rule))
    row = database.read(lambda s: replies.get(s, ACCOUNT, first))
    assert (row.body, row.priority) == ("y", 3)
