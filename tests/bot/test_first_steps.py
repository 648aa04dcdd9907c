"""Follow, scan, ask: the first minute of a follower."""

from __future__ import annotations

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
