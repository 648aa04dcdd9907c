"""Customer-service messages within the windows that people open."""

from typing import Any

import pytest
import requests

from tests.simulator.conftest import Sim, follower, png

CUSTOM = "/cgi-bin/message/custom/send"


def custom(sim: Sim, openid: str) -> int:
    """Send a text and answer the errcode."""
    body = {"touser": openid, "msgtype": "text", "text": {"content": "您好"}}
    return int(sim.api(CUSTOM, body, access_token=sim.access_token())["errcode"])


def test_a_message_of_the_persons_allows_five_in_48_hours(sim: Sim) -> None:
    openid = follower(sim)
    sim.advance(120)  # what following itself allows is over
    assert custom(sim, openid) == 45015
    sim.control("text", user="小明", content="在吗")
    sim.advance(47 * 3600)
    assert [custom(sim, openid) for _ in range(6)] == [0] * 5 + [45047]
    sim.advance(2 * 3600)
    assert custom(sim, openid) == 45015


@pytest.mark.parametrize("act", ["follow", "click", "scan"])
def test_following_clicking_and_scanning_allow_three_in_a_minute(sim: Sim, act: str) -> None:
    openid = follower(sim)
    sim.advance(120)
    if act == "follow":
        sim.control("unfollow", user="小明")
    extra: dict[str, Any] = {"click": {"key": "K"}, "scan": {"scene": "s"}}.get(act, {})
    sim.control(act, user="小明", **extra)
    assert [custom(sim, openid) for _ in range(4)] == [0, 0, 0, 45047]
    sim.advance(61)
    assert custom(sim, openid) == 45015


def test_windows_of_different_kinds_add_up(sim: Sim) -> None:
    openid = follower(sim)
    sim.control("text", user="小明", content="在吗")
    assert [custom(sim, openid) for _ in range(9)] == [0] * 8 + [45047]


def test_opening_a_page_from_the_menu_allows_nothing(sim: Sim) -> None:
    openid = follower(sim)
    sim.advance(120)
    sim.control("view", user="小明", url="https://e.cn/")
    assert custom(sim, openid) == 45015


def test_nobody_who_left_can_be_written_to(sim: Sim) -> None:
    openid = follower(sim)
    sim.control("text", user="小明", content="再见")
    sim.control("unfollow", user="小明")
    assert custom(sim, openid) == 45015


def test_wechatpy_sends_text_pictures_and_an_article(sim: Sim) -> None:
    client, openid = sim.client(), follower(sim)
    sim.control("text", user="小明", content="在吗")
    media_id = client.media.upload("image", ("a.png", png()))["media_id"]
    article = {"title": "标题", "description": "说明", "url": "https://e.cn/"}
    client.message.send_text(openid, "您好")
    client.message.send_image(openid, media_id)
    client.message.send_articles(openid, [article])
    text, image, news = sim.chat("小明")[-3:]
    assert (text["type"], text["text"]) == ("text", "您好")
    assert requests.get(sim.url + image["image_url"], timeout=10).content == png()
    assert (news["type"], news["articles"][0]["title"]) == ("news", "标题")


BAD_CUSTOM = [
    ({"msgtype": "smoke", "smoke": {}}, 40008),
    ({"msgtype": "text", "text": {"content": ""}}, 44004),
    ({"msgtype": "text", "text": {"content": "长" * 700}}, 45002),
    ({"msgtype": "image", "image": {"media_id": "nope"}}, 40007),
    ({"msgtype": "news", "news": {"articles": [{}, {}]}}, 45008),
    ({"msgtype": "news", "news": {"articles": []}}, 44003),
    ({"msgtype": "msgmenu", "msgmenu": {}}, 40035),
]


@pytest.mark.parametrize(("body", "errcode"), BAD_CUSTOM)
def test_a_wrong_message_is_refused_and_costs_nothing(
    sim: Sim, body: dict[str, Any], errcode: int
) -> None:
    openid = follower(sim)
    refused = sim.api(CUSTOM, {"touser": openid} | body, access_token=sim.access_token())
    assert refused["errcode"] == errcode
    assert [custom(sim, openid) for _ in range(4)] == [0, 0, 0, 45047]


def test_typing_is_shown_for_a_moment_after_a_message(sim: Sim) -> None:
    openid, token = follower(sim), sim.access_token()
    sim.control("text", user="小明", content="在吗")

    def typing(command: str) -> int:
        body = {"touser": openid, "command": command}
        return int(sim.api("/cgi-bin/message/custom/typing", body, access_token=token)["errcode"])

    assert typing("Dancing") == 45072
    assert [typing("Typing"), typing("Typing")] == [0, 45081]
    assert sim.look("chats/小明")["typing"] is True
    assert [typing("CancelTyping"), typing("Typing")] == [0, 0]
    sim.advance(31)
    assert typing("Typing") == 45080
