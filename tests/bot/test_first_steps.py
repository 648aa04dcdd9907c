"""Follow, scan, ask: the first minute of a follower."""

from __future__ import annotations

import pytest

from domain import accounts
from domain.errors import Busy
from tests.bot.chat import Chat


def test_wechat_hears_its_echo(chat: Chat) -> None:
    response = chat.app.test_client().get("/wechat/tea", query_string=chat.query(echostr="4711"))
    assert (response.status_code, response.text) == (200, "4711")


def test_a_friend_who_scans_is_bound_and_greeted(chat: Chat) -> None:
    assert "tea铺" in chat.follow("anna").text
    reply = chat.follow("ben", by="anna")
    member = chat.member("anna")
    assert member is not None
    assert f"会员·{member.code} 邀请了您" in reply.text
    assert chat.referrer_of("ben") == "anna"


def test_a_follower_without_referrer_is_bound_by_a_later_scan(chat: Chat) -> None:
    chat.follow("anna")
    chat.follow("ben")
    assert "现在是您的邀请人" in chat.scan("ben", by="anna").text
    assert chat.referrer_of("ben") == "anna"


def test_earnings_and_team_are_told(chat: Chat) -> None:
    chat.follow("anna")
    chat.follow("ben", by="anna")
    chat.buy("ben", "A1", 2997)
    text = chat.say("anna", "我的收益").text
    assert "冻结中 ¥2.99" in text
    assert "我的团队 1 人，买过 1 人" in text
    assert "消费 ¥29.97" in chat.say("anna", "我的团队").text
    assert "¥29.97 × 10% = ¥2.997" in chat.say("anna", "为什么").text


def test_echo_is_noted_for_the_console_and_a_locked_database_does_not_keep_it_back(
    chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = chat.app.test_client()
    account_id, database = chat.accounts["tea"].id, chat.context.database
    assert database.read(lambda s: accounts.verified_at(s, account_id)) is None
    client.get("/wechat/tea", query_string=chat.query(echostr="1"))
    assert database.read(lambda s: accounts.verified_at(s, account_id)) is not None

    def locked(*_: object) -> bool:
        raise Busy("the database is busy")

    monkeypatch.setattr(accounts, "note_verified", locked)
    response = client.get("/wechat/tea", query_string=chat.query(echostr="2"))
    assert (response.status_code, response.text) == (200, "2")
