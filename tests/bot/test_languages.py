"""Followers are answered in the language they chose, and hear at their next visit what no channel could tell."""

from __future__ import annotations

import pytest
from sqlalchemy.orm import Session

from domain import notices, texts
from domain.models import Notice
from domain.texts import en, zh_cn, zh_tw
from tests.bot.chat import Chat, text_xml

STAFF = ("wechat.", "menu.", "warning.")
"""What merchants read in the console, which has its own two languages."""


@pytest.mark.parametrize("other", [zh_tw, en])
def test_every_text_for_followers_is_in_every_language_with_the_same_placeholders(
    other: object,
) -> None:
    theirs: dict[str, str] = dict(other.TEXTS)  # type: ignore[attr-defined]
    wanted = {key for key in zh_cn.TEXTS if not key.startswith(STAFF)}
    assert wanted - set(theirs) == set()
    assert set(theirs) - set(zh_cn.TEXTS) == set()
    for key, body in theirs.items():
        assert texts.placeholders(body) == texts.PLACEHOLDERS[key], key


def test_language_is_chosen_by_keyword_and_stays(chat: Chat) -> None:
    chat.follow("anna")
    assert (
        "team" in chat.say("anna", "语言 English").text.casefold() or chat.say("anna", "help").text
    )
    assert "Available" in chat.say("anna", "my earnings").text
    assert "Available" in chat.say("anna", "我的收益").text
    chat.say("anna", "language 繁體")
    assert (
        "可提領" in chat.say("anna", "我的收益").text
        or "可提現" in chat.say("anna", "我的收益").text
    )
    chat.say("anna", "语言 简体")
    assert "可提现" in chat.say("anna", "我的收益").text


def test_commands_are_understood_in_english_and_in_traditional_chinese(chat: Chat) -> None:
    chat.follow("anna")
    for said in ("MY TEAM", "我的團隊"):
        assert chat.say("anna", said).text == chat.say("anna", "我的团队").text
    assert chat.say("anna", "withdraw 50").text == chat.say("anna", "提现 50").text


def test_unknown_language_is_answered_with_those_there_are(chat: Chat) -> None:
    chat.follow("anna")
    answer = chat.say("anna", "语言 法语").text
    assert "English" in answer


def _wait(chat: Chat, *keys: str) -> None:
    member = chat.member("anna")
    assert member is not None

    def work(session: Session) -> None:
        now = chat.context.clock.now()
        params = {"friend": "小红", "at": now.isoformat()}
        news = [
            notices.News(chat.tea.id, member.id, notices.FRIEND_JOINED, key, params) for key in keys
        ]
        notices.tell(session, news, now)
        notices.wait_in_inbox(session, list(keys), [member.id], now)

    chat.do(work)


def test_what_waits_is_told_once_below_the_next_answer(chat: Chat) -> None:
    chat.follow("anna")
    _wait(chat, "one", "two")
    first = chat.say("anna", "我的收益").text
    assert first.count("小红") == 2
    assert "小红" not in chat.say("anna", "我的收益").text
    read = chat.do(lambda session: [one.read_at for one in session.query(Notice)])
    assert all(read)


def test_a_repeat_of_the_push_whose_answer_was_lost_tells_the_same_again(chat: Chat) -> None:
    """WeChat repeats a push that it heard no answer to; what was marked as read then has been seen by nobody."""
    chat.follow("anna")
    _wait(chat, *[f"n{number}" for number in range(8)])
    push = text_xml("anna", "我的收益", 77, chat.now_seconds - 2)
    first = chat.push(push).text
    assert first.count("小红") == 5
    assert chat.push(push).text == first
    assert chat.say("anna", "我的收益").text.count("小红") == 3
    assert "小红" not in chat.say("anna", "我的收益").text
    member = chat.member("anna")
    assert member is not None
    assert not member.unread


def test_more_than_fits_waits_for_the_answer_after(chat: Chat) -> None:
    chat.follow("anna")
    _wait(chat, *[f"n{number}" for number in range(8)])
    first, second = chat.say("anna", "我的收益").text, chat.say("anna", "我的收益").text
    assert first.count("小红") == 5
    assert second.count("小红") == 3
    assert len(first.encode()) <= 2048
