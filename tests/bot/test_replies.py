"""The merchant's own answers in the chat: every kind, on every occasion, and what follows behind the first message."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any
from xml.etree import ElementTree

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from bot import known
from bot.view import BUDGET_SECONDS
from domain import members, outbox, replies, uploads
from domain.bodies import Article, Body, MediaBody, NewsBody, TextBody
from domain.models import Reply
from domain.replies import CLICK, CONTAINS, DEFAULT, REGEX, SUBSCRIBE
from tests.bot import samples
from tests.bot.chat import Chat
from tests.bot.chat import Reply as Answered


@pytest.fixture(autouse=True)
def _always_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "KEEP_SECONDS", 0)


def put(chat: Chat, keyword: str, *said: Body, **more: Any) -> None:
    chat.do(lambda s: replies.put(s, chat.tea.id, keyword, list(said), **more))


def upload(chat: Chat, kind: str, name: str, content: bytes, media_id: str | None) -> int:
    now = chat.context.clock.now()

    def add(session: Session) -> int:
        row = uploads.add(
            session, chat.tea.id, kind=kind, name=name, content=content, actor="小王", now=now
        )
        if media_id:
            uploads.keep_id(session, row.id, media_id, now + timedelta(days=3))
        return row.id

    return chat.do(add)


def waiting(chat: Chat) -> list[list[dict[str, Any]]]:
    """What is still to be said, by row of the outbox."""
    rows = chat.context.database.read(lambda s: outbox.list_rows(s, states=["pending"]))
    return [outbox._payload(row.payload)["messages"] for row in rows if row.topic == outbox.REPLY]


def card(number: int) -> Article:
    return Article(
        f"第{number}篇", "说明", f"https://tea.example/{number}", "https://tea.example/p.png"
    )


def test_each_kind_of_message_is_a_passive_reply(chat: Chat) -> None:
    picture = upload(chat, "image", "a.png", b"\x89PNG\r\n\x1a\n1", "m-image")
    voice = upload(chat, "voice", "a.mp3", b"ID3", "m-voice")
    video = upload(chat, "video", "a.mp4", b"0000ftyp", "m-video")
    put(chat, "图", MediaBody("image", picture))
    put(chat, "音", MediaBody("voice", voice))
    put(chat, "像", MediaBody("video", video, "标题 {account}", "说明]]>"))
    put(chat, "文", NewsBody((card(1),)))
    assert chat.say("anna", "图").field("Image/MediaId") == "m-image"
    assert chat.say("anna", "音").field("Voice/MediaId") == "m-voice"
    film = chat.say("anna", "像")
    assert film.field("Video/MediaId") == "m-video"
    assert (film.field("Video/Title"), film.field("Video/Description")) == ("标题 tea铺", "说明]]>")
    news = chat.say("anna", "文")
    assert news.field("ArticleCount") == "1"
    assert news.field("Articles/item/Url") == "https://tea.example/1"
    assert waiting(chat) == []


def test_a_menu_tap_may_be_answered_with_eight_cards(chat: Chat) -> None:
    put(chat, "新品", NewsBody(tuple(card(number) for number in range(8))), kind=CLICK)
    tapped = ElementTree.fromstring(chat.click("anna", "新品").xml)
    assert len(tapped.findall("Articles/item")) == 8
    assert "收到" in chat.say("anna", "新品").text, "a menu key is no keyword"


def test_the_welcome_is_the_first_message_and_the_others_follow_once(chat: Chat) -> None:
    said: list[Body] = [
        TextBody("欢迎来{account}"),
        NewsBody((card(1),)),
        TextBody("邀请码 {code}"),
    ]
    put(chat, "", *said, kind=SUBSCRIBE)
    created = chat.now_seconds
    assert chat.follow("anna", created=created).text == "欢迎来tea铺"
    assert chat.follow("anna", created=created).text == "欢迎来tea铺"
    member = chat.member("anna")
    assert member is not None
    [[news, text]] = waiting(chat)
    assert (news["kind"], text["text"]) == ("news", f"邀请码 {member.code}")


def test_who_came_by_a_friend_reads_so_before_the_welcome(chat: Chat) -> None:
    chat.follow("anna")
    put(chat, "", TextBody("看看新茶"), kind=SUBSCRIBE)
    text = chat.follow("ben", by="anna").text
    assert text.endswith("\n\n看看新茶")
    assert "tea铺" in text
    put(chat, "", NewsBody((card(1),)), kind=SUBSCRIBE)
    assert "tea铺" in chat.follow("carl", by="anna").text
    [[news]] = waiting(chat)
    assert news["kind"] == "news"


def test_a_file_that_wechat_does_not_have_follows_as_a_message(chat: Chat) -> None:
    put(chat, "图", MediaBody("image", upload(chat, "image", "a.png", b"\x89PNG\r\n\x1a\n1", None)))
    assert chat.say("anna", "图").is_success
    [[image]] = waiting(chat)
    assert image["kind"] == "image"


def test_the_default_answers_what_nothing_else_does(chat: Chat) -> None:
    put(chat, "", TextBody("客服九点上班"), kind=DEFAULT)
    put(chat, "^发.?货$", TextBody("三天"), matching=REGEX)
    assert chat.say("anna", "在吗").text == "客服九点上班"
    assert chat.push(samples.MESSAGES["image"]).text == "客服九点上班"
    assert chat.click("anna", "没有这个键").text == "客服九点上班"
    assert chat.say("anna", "发 货").text == "三天"
    assert chat.say("anna", "帮助").text != "客服九点上班"


@pytest.mark.parametrize("name", ["{code}", "{account.name}", "]]><MsgType>x", "{", "%s {0}"])
def test_what_a_follower_calls_themselves_stays_text(chat: Chat, name: str) -> None:
    chat.follow("anna")
    chat.do(lambda s: members.set_nickname(s, chat.tea.id, "anna", name))
    put(chat, "你好", TextBody("你好，{nickname}！"))
    assert chat.say("anna", "你好").text == f"你好，{name}！"


def test_a_stranger_is_a_friend_without_a_code(chat: Chat) -> None:
    put(chat, "你好", TextBody("你好，{nickname}{code}！"))
    assert chat.say("nobody", "你好").text == "你好，朋友！"


def test_a_slow_pattern_costs_the_follower_nothing_and_is_counted(
    chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("domain.patterns.check", lambda _text: None)  # one that the check let pass
    put(chat, "(a+)+b$", TextBody("x"), matching=REGEX)
    assert "收到" in chat.say("anna", "a" * 600 + "!").text
    chat.say("anna", "在吗")
    [row] = chat.context.database.read(lambda s: replies.all_of(s, chat.tea.id))
    assert row.timeouts == 1


def test_a_count_of_slow_patterns_that_has_to_wait_loses_no_push(
    live_chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("domain.patterns.check", lambda _text: None)
    put(live_chat, "(a+)+b$", TextBody("x"), matching=REGEX)
    live_chat.say("anna", "a" * 600 + "!")

    def answer_meanwhile(session: Session) -> tuple[Answered, float]:
        session.execute(update(Reply).values(priority=7))  # as the merchant saves their replies
        began = time.monotonic()
        return live_chat.say("anna", "在吗"), time.monotonic() - began

    reply, seconds = live_chat.do(answer_meanwhile)
    assert "收到" in reply.text
    assert seconds < BUDGET_SECONDS


def test_who_reads_another_language_gets_the_reply_in_it(chat: Chat) -> None:
    put(chat, "你好", TextBody("你好！"), variants={"en": [TextBody("Hello!")]})
    chat.follow("anna")
    assert chat.say("anna", "你好").text == "你好！"
    chat.say("anna", "语言 English")
    assert chat.say("anna", "你好").text == "Hello!"


def test_the_trial_names_the_reply_that_the_chat_says(chat: Chat) -> None:
    put(chat, "茶", TextBody("一"), matching=CONTAINS)
    put(chat, "春茶", TextBody("二"), matching=CONTAINS)
    put(chat, "^春.茶$", TextBody("三"), matching=REGEX, priority=1)
    put(chat, "promo", TextBody("四"), kind=CLICK)
    put(chat, "", TextBody("五"), kind=DEFAULT)
    chat.follow("anna")

    def chosen(text: str) -> replies.Chosen:
        found = chat.context.database.read(lambda s: replies.try_text(s, chat.tea.id, text))
        return found.chosen

    for text in ("茶", "春茶", "春 茶", "promo", "别的", "提现说明"):
        rule = chosen(text).rule
        assert rule is not None
        assert rule.messages == (TextBody(chat.say("anna", text).text),)
    for text in ("提现 50", "帮助", "TEAM", "邀请码 ABC1234"):
        assert chosen(text).command
        assert chat.say("anna", text).text not in "一二三四五"
