"""排行 and 申诉: what a follower reads."""

from __future__ import annotations

import pytest

from domain import disputes, reports
from tests.bot.chat import Chat, text_xml


def rank(chat: Chat) -> None:
    account_id, now = chat.tea.id, chat.context.clock.now()
    reports.refresh(chat.context.database, account_id, now)


def decide(chat: Chat, *, upheld: bool, said: str, friend: str | None = None) -> None:
    def change(session: object) -> None:
        found = disputes.of_account(session, chat.tea.id)[0]  # type: ignore[arg-type]
        disputes.decide(
            session, chat.tea, found.id, upheld=upheld, answer=said, friend_openid=friend,  # type: ignore[arg-type]
            actor="staff/1", now=chat.context.clock.now(),
        )  # fmt: skip

    chat.do(change)


def test_ranking_shows_the_first_masked_and_ones_own_place(live_chat: Chat) -> None:
    chat = live_chat
    for openid, by in (("anna", None), ("ben", "anna"), ("cleo", "anna"), ("dora", "ben")):
        chat.follow(openid, by)
    chat.say("anna", "昵称 王小明")
    chat.buy("ben", "A1", 10_000)
    rank(chat)
    text = chat.say("ben", "排行").text
    assert "佣金榜\n1. 王** ¥10.00\n您还没有上榜，共 1 人" in text
    assert "邀请榜\n1. 王** 2 人" in text
    assert "您第 2 名，共 2 人，邀请 1 人" in text
    assert "王小明" not in text


@pytest.mark.parametrize("said", ["排行 月", "排行月榜", "排行 总", "排行 周"])
def test_ranking_of_other_periods(live_chat: Chat, said: str) -> None:
    live_chat.follow("anna")
    live_chat.follow("ben", "anna")
    rank(live_chat)
    assert "您第 1 名" in live_chat.say("anna", said).text


def test_ranking_before_the_first_one_and_for_a_stranger(live_chat: Chat) -> None:
    assert "还没有出来" in live_chat.say("stranger", "排行").text
    live_chat.follow("anna")
    live_chat.follow("ben", "anna")
    rank(live_chat)
    assert "还没有上榜" in live_chat.say("stranger", "排行").text


def test_dispute_from_the_first_word_to_the_answer(chat: Chat) -> None:
    chat.follow("anna")
    chat.follow("ben", "anna")
    chat.follow("eve")
    assert "例如" in chat.say("eve", "申诉").text
    assert "收到您的申诉" in chat.say("eve", "申诉 ben 是我邀请的").text
    assert "已补充" in chat.say("eve", "申诉：有聊天记录").text
    assert "正在核实" in chat.say("eve", "申诉").text
    decide(chat, upheld=True, said="核实属实", friend="ben")
    assert "已通过：核实属实" in chat.say("eve", "申诉").text
    assert chat.referrer_of("ben") == "eve"


def test_repeated_push_of_a_dispute_adds_nothing(chat: Chat) -> None:
    chat.follow("eve")
    xml = text_xml("eve", "申诉 ben 是我邀请的", 77, chat.now_seconds, "gh_tea")
    first, second = chat.push(xml), chat.push(xml)
    assert first.text == second.text
    found = chat.do(lambda s: disputes.of_account(s, chat.tea.id))
    assert len(found) == 1
    assert len(chat.do(lambda s: disputes.notes_of(s, found[0].id))) == 1


def test_dispute_has_limits(chat: Chat) -> None:
    chat.follow("eve")
    assert "太长" in chat.say("eve", "申诉 " + "长" * 1001).text
    for number in range(disputes.NOTES_LIMIT):
        chat.say("eve", f"申诉 第 {number} 次")
    assert "已经够多" in chat.say("eve", "申诉 再来一次").text
